"""What a machine looks like from outside, derived on demand: struct pages, the document, broken invariants."""
