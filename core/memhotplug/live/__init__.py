"""A modelled machine that lives: unmodified programs see it at /sys and /proc, and change it."""
