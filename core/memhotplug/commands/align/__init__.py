"""Aligning: what a range strands under each memory block size, and the next legal address."""
