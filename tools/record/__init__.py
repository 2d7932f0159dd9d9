"""Records real kernels under memory hotplug, in the format that ``mhp conform`` replays.

A scenario says which guest to boot and what to do to its memory; QEMU runs a distribution's kernel
with one small static process as init; after each step the kernel's own files and page flags are
kept. See docs/recording.md.
"""
