"""Parsing /proc/buddyinfo and /proc/pagetypeinfo."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from memhotplug.formats.snapshot.source import Source

__all__ = ["FreeCounts", "PageTypes", "parse_buddyinfo", "parse_pagetypeinfo"]

_BUDDY = re.compile(r"Node\s+(\d+), zone\s+(\S+)((?:\s++\d{1,15}+)++)")
_BLOCK_ORDER = re.compile(r"Page block order:\s*(\d{1,2})")
_FREE = re.compile(r"Node\s+(\d+), zone\s+([^\s,]+), type\s+(\S+)((?:\s++>?+\d{1,15}+)++)")
_MAX_COLUMNS = 24


class FreeCounts(NamedTuple):
    """Free chunks of one zone; ``by_order[k]`` chunks of 2**k pages.

    Models: mm/vmstat.c:frag_show_print() (v5.2)
    """

    node: int
    zone: str
    by_order: tuple[int, ...]

    @property
    def pages(self) -> int:
        """Free pages in the buddy lists."""
        return sum(count << order for order, count in enumerate(self.by_order))


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTypes:
    """What /proc/pagetypeinfo shows.

    Attributes:
        pageblock_order: pages per pageblock, as a power of two.
        free: (node, zone, migrate type) -> free chunks by order; where the kernel stopped counting
            (``>100000``) the number is its lower bound.
        blocks: (node, zone, migrate type) -> pageblocks.
    """

    pageblock_order: int
    free: dict[tuple[int, str, str], tuple[int, ...]]
    blocks: dict[tuple[int, str, str], int]


def parse_buddyinfo(
    text: str, source: Source, known: dict[str, FreeCounts | None] | None = None
) -> tuple[FreeCounts, ...]:
    """Return the zones in the order of the file, all with the same number of orders.

    Args:
        known: what lines say that were met already; those of this file are added.

    Raises:
        InputError: not a buddyinfo, cut off, or a zone twice.
    """
    zones: dict[tuple[int, str], FreeCounts] = {}
    columns = 0
    known = {} if known is None else known
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if not words:
            continue
        if words not in known:
            known[words] = _counts(words)
        zone = known[words]
        if zone is None:
            raise source.error("'Node N, zone NAME' and free chunks by order", got=repr(line[:80]), line=number)
        columns = columns or min(len(zone.by_order), _MAX_COLUMNS)
        if len(zone.by_order) != columns:
            raise source.error(f"{columns} orders", got=len(zone.by_order), line=number)
        if (zone.node, zone.zone) in zones:
            raise source.error("each zone once", got=f"node {zone.node} zone {zone.zone} again", line=number)
        zones[zone.node, zone.zone] = zone
    if not zones:
        raise source.error("free chunks by order, one line a zone", got="none")
    return tuple(zones.values())


def _counts(line: str) -> FreeCounts | None:
    """Return what a line of buddyinfo says, None of any other."""
    match = _BUDDY.fullmatch(line)
    if match is None:
        return None
    return FreeCounts(node=int(match[1]), zone=match[2], by_order=tuple(map(int, match[3].split())))


def parse_pagetypeinfo(text: str, source: Source) -> PageTypes:
    """Return the pageblock order and, where they are shown, the counts by migrate type.

    Models: mm/vmstat.c:pagetypeinfo_show() (v5.2)

    Raises:
        InputError: no pageblock order, or a table whose rows do not fit its heading.
    """
    order = _BLOCK_ORDER.search(text)
    if order is None:
        raise source.error("a line such as 'Page block order: 9'", got="none")
    free: dict[tuple[int, str, str], tuple[int, ...]] = {}
    blocks: dict[tuple[int, str, str], int] = {}
    types: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        row = _FREE.fullmatch(line.strip())
        if row:
            free[int(row[1]), row[2], row[3]] = tuple(map(int, row[4].replace(">", "").split()))
        elif line.startswith("Number of blocks type"):
            types = line.split()[4:]
        elif types and (match := _BUDDY.fullmatch(line.strip())):
            counts = [int(word) for word in match[3].split()]
            if len(counts) != len(types):
                raise source.error(f"{len(types)} numbers of pageblocks", got=len(counts), line=number)
            blocks |= {(int(match[1]), match[2], name): count for name, count in zip(types, counts, strict=True)}
    return PageTypes(pageblock_order=int(order[1]), free=free, blocks=blocks)
