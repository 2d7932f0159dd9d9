"""The state of a machine: extents, zones, nodes, blocks, memmap mappings, resources.

Nothing here does I/O, logs, or knows plugins. Mutable state lives in few classes, and every array
inside them is replaced, never written in place, so that a copy of a machine shares its arrays.
"""
