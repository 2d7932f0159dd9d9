"""Physical memory as bars: for terminals, notebooks and reports."""
