"""Machines as a kernel log shows them in the moment in which memory ran out."""
