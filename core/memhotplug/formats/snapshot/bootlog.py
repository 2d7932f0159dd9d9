"""What the kernel's log of the boot says of memory, where it was kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

from memhotplug.formats.snapshot.extents import Extents

__all__ = ["BOOT_LOG", "early_log", "early_ranges"]

BOOT_LOG = "sos_commands/kernel/dmesg"
"""The file of a snapshot that has it, as sos reports do."""

_HEADER = "Early memory node ranges"
_RANGE = re.compile(r"\bnode +\d+: \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\]\s*$")


def early_ranges(lines: Iterable[str]) -> Extents:
    """Return the memory that was there at boot, in bytes, half-open, ascending; nothing where the log does not list it.

    Memory of two nodes is two ranges, even if they are neighbours.

    Models: mm/mm_init.c:free_area_init() (v6.4 to v7.2), before it mm/page_alloc.c (v5.2): one line for each range
    of memory, after a heading.
    """
    found: list[tuple[int, int]] = []
    listed = False
    for line in lines:
        if not listed:
            listed = line.rstrip().endswith(_HEADER)
            continue
        told = _RANGE.search(line)
        if told is None:
            break
        start, last = int(told[1], 16), int(told[2], 16)
        if start <= last:
            found.append((start, last + 1))
    return tuple(sorted(found))


def early_log(ranges: Extents) -> str:
    """Return the lines that :func:`early_ranges` reads, for memory of which no other log was kept.

    Args:
        ranges: in bytes, half-open.
    """
    lines = [f"  node   0: [mem 0x{start:016x}-0x{end - 1:016x}]" for start, end in ranges]
    return "\n".join([_HEADER, *lines, ""])
