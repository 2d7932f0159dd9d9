"""Parsing /proc/iomem: the tree of physical address ranges."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from memhotplug.formats.snapshot.source import Source

__all__ = ["IomemEntry", "is_hidden", "parse_iomem", "system_ram"]

_RAM = "System RAM"
_ENTRY = re.compile(r"( *)([0-9a-f]{4,16})-([0-9a-f]{4,16}) : (.*)")


class IomemEntry(NamedTuple):
    """One range; ``end`` is inclusive, in bytes, as the file shows it.

    Attributes:
        depth: 0 for the outermost ranges; the parent is the last entry above with a smaller depth.
    """

    start: int
    end: int
    name: str
    depth: int

    @property
    def is_ram(self) -> bool:
        """Whether it is memory that the kernel uses as RAM, a driver's own kind included (``System RAM (kmem)``)."""
        return self.name == _RAM or self.name.startswith(f"{_RAM} (")


def parse_iomem(text: str, source: Source, known: dict[str, IomemEntry | None] | None = None) -> tuple[IomemEntry, ...]:
    """Return the ranges in the order of the file.

    Models: kernel/resource.c:r_show() (v5.2): zeros for whoever may not see addresses.

    Args:
        known: what lines say that were met already; those of this file are added.

    Raises:
        InputError: not an iomem, ranges that end before they start, overlap, or leave their parent.
    """
    entries: list[IomemEntry] = []
    open_ranges: list[IomemEntry] = []  # the last entry of each depth down to here
    known = {} if known is None else known
    hidden = True
    for number, line in enumerate(text.splitlines(), start=1):
        shown = line.rstrip()
        if not shown:
            continue
        if shown not in known:
            known[shown] = _entry(shown)
        entry = known[shown]
        if entry is None:
            raise source.error("a line such as '00100000-3ffdffff : System RAM'", got=repr(line[:80]), line=number)
        hidden = hidden and entry.start == entry.end == 0
        expected = None if hidden else _wrong(entry, open_ranges)
        if expected is not None:
            raise source.error(expected, got=repr(f"{entry.start:08x}-{entry.end:08x} : {entry.name}"), line=number)
        open_ranges[entry.depth :] = [entry]
        entries.append(entry)
    return tuple(entries)


def _entry(line: str) -> IomemEntry | None:
    """Return the range of a line, None of any other."""
    match = _ENTRY.fullmatch(line)
    if match is None or len(match[1]) % 2:
        return None
    indent, start, end, name = match.groups()
    return IomemEntry(start=int(start, 16), end=int(end, 16), name=name, depth=len(indent) // 2)


def is_hidden(entries: Sequence[IomemEntry]) -> bool:
    """Return whether the addresses were withheld: all are zero, as an unprivileged reader sees them."""
    return bool(entries) and all(entry.start == entry.end == 0 for entry in entries)


def system_ram(entries: Sequence[IomemEntry]) -> list[tuple[int, int]]:
    """Return the memory that the kernel uses as RAM: byte ranges, half-open, ascending."""
    return sorted((entry.start, entry.end + 1) for entry in entries if entry.is_ram)


def _wrong(entry: IomemEntry, open_ranges: Sequence[IomemEntry]) -> str | None:
    """Return what an entry should be, None if it is."""
    if entry.end < entry.start:
        return "a range that ends after its start"
    if entry.depth > len(open_ranges):
        return "a range below its parent, two spaces deeper"
    if entry.depth:
        parent = open_ranges[entry.depth - 1]
        if entry.start < parent.start or entry.end > parent.end:
            return f"a range inside that of {parent.name!r}"
    if entry.depth < len(open_ranges) and entry.start <= open_ranges[entry.depth].end:
        return f"a range after that of {open_ranges[entry.depth].name!r}, not overlapping"
    return None
