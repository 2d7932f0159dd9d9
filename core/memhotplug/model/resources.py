"""Physical address space as /proc/iomem shows it: who claimed which range.

Models: kernel/resource.c (request_resource(), release_mem_region_adjustable()).
"""

from __future__ import annotations

import errno
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from memhotplug.errors import MemoryHotplugError
from memhotplug.units import format_range

__all__ = ["PCI_WINDOW", "PLATFORM", "SYSTEM_RAM", "Resource", "ResourceTable"]

SYSTEM_RAM = "System RAM"
PCI_WINDOW = "PCI Bus"
PLATFORM = ("", "")
"""Owner of the ranges that firmware describes: no driver's and no device's."""


class Resource(NamedTuple):
    """One claimed range.

    Attributes:
        start, end: bytes, ``end`` inclusive as in /proc/iomem.
        name: ``System RAM``, ``Reserved`` …
        hotplugged: whether it was claimed by a hot-add.
        mergeable: whether it may merge with a neighbour of its kind (MHP_MERGE_RESOURCE).
        children: resources inside this one, ascending.
    """

    start: int
    end: int
    name: str
    hotplugged: bool = False
    mergeable: bool = False
    children: tuple[Resource, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in the range."""
        return self.end - self.start + 1

    @property
    def is_ram(self) -> bool:
        """Whether it is System RAM, a driver's own kind included.

        Models: mm/memory_hotplug.c:add_memory_driver_managed() (v5.8), which refuses other names.
        """
        return self.name == SYSTEM_RAM or self.name.startswith(SYSTEM_RAM + " (")


class ResourceTable:
    """The top level of the resource tree, ascending and without overlap."""

    __slots__ = ("_entries", "_ram", "_starts")

    def __init__(self, entries: list[Resource] | None = None) -> None:
        self._entries = sorted(entries or [], key=lambda entry: entry.start)
        self._starts = [entry.start for entry in self._entries]
        self._ram: list[Resource] | None = None

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._entries)

    def copy(self) -> ResourceTable:
        """Return an independent table of the same (immutable) entries."""
        twin = ResourceTable.__new__(ResourceTable)
        twin._entries, twin._starts, twin._ram = self._entries.copy(), self._starts.copy(), self._ram
        return twin

    @property
    def ram(self) -> list[Resource]:
        """System RAM at whatever depth, ascending; read it, it is kept until the table changes."""
        if self._ram is None:
            self._ram = _ram_in(self._entries)
        return self._ram

    def overlapping(self, start: int, size: int) -> list[Resource]:
        """Return the entries that overlap a range of ``size`` bytes."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._entries[first].end < start:
            first += 1
        return self._entries[first : bisect_left(self._starts, start + size)]

    def request(self, entry: Resource) -> None:
        """Claim a range.

        Raises:
            MemoryHotplugError: EEXIST, somebody has part of it.
        """
        taken = self.overlapping(entry.start, entry.size)
        if taken:
            raise MemoryHotplugError(
                errno.EEXIST,
                f"{format_range(entry.start, entry.size)} overlaps {taken[0].name} at "
                f"{format_range(taken[0].start, taken[0].size)}",
            )
        at = bisect_left(self._starts, entry.start)
        self._entries.insert(at, entry)
        self._starts.insert(at, entry.start)
        self._ram = None

    def release(self, start: int, size: int) -> None:
        """Give back a range of ``size`` bytes, trimming or splitting the entries that hold it.

        Models: kernel/resource.c:release_mem_region_adjustable() (v5.2).
        """
        end, self._ram = start + size - 1, None
        for entry in self.overlapping(start, size):
            at = bisect_left(self._starts, entry.start)
            parts = [(entry.start, start - 1), (end + 1, entry.end)]
            kept = [self._part(entry, low, high) for low, high in parts if low <= high]
            self._entries[at : at + 1] = kept
            self._starts[at : at + 1] = [part.start for part in kept]

    def merge(self, start: int, borders: Collection[int] = ()) -> None:
        """Let the entry that begins at ``start`` merge with its neighbours, where both may.

        Models: kernel/resource.c:merge_system_ram_resource() (v5.10), which looks at siblings only.

        Args:
            borders: addresses at which the region of a device begins, or the first behind one: entries that meet there
                are not in the same.
        """
        at = bisect_left(self._starts, start)
        entry = self._entries[at]
        low, high = entry.start not in borders, entry.end + 1 not in borders
        first = at - (low and at > 0 and self._may_merge(entry, self._entries[at - 1]))
        last = at + (high and at + 1 < len(self._entries) and self._may_merge(entry, self._entries[at + 1]))
        kept, end = self._entries[first], self._entries[last].end
        self._entries[first : last + 1] = [
            Resource(
                start=kept.start,
                end=end,
                name=kept.name,
                hotplugged=kept.hotplugged,
                mergeable=True,
                children=kept.children,
            )
        ]
        self._starts[first : last + 1] = [kept.start]
        self._ram = None

    @staticmethod
    def _may_merge(entry: Resource, other: Resource) -> bool:
        alike = other.mergeable and entry.name == other.name and not entry.children and not other.children
        return alike and (entry.end + 1 == other.start or other.end + 1 == entry.start)

    @staticmethod
    def _part(entry: Resource, start: int, end: int) -> Resource:
        children = tuple(child for child in entry.children if start <= child.start and child.end <= end)
        return entry._replace(start=start, end=end, children=children)

    def ram_bytes(self, start: int, size: int) -> int:
        """Return the bytes of a range that are System RAM."""
        found = (entry for entry in self.overlapping(start, size) if entry.is_ram)
        return sum(min(entry.end, start + size - 1) - max(entry.start, start) + 1 for entry in found)

    def end(self) -> int:
        """Return the first byte behind the last System RAM and whatever else was hot-added, 0 if there is none."""
        return next((entry.end + 1 for entry in reversed(self._entries) if entry.hotplugged or entry.is_ram), 0)


def _ram_in(entries: Iterable[Resource]) -> list[Resource]:
    """Return System RAM among some entries and whatever lies in them."""
    found: list[Resource] = []
    for entry in entries:
        if entry.is_ram:
            found.append(entry)
        if entry.children:
            found += _ram_in(entry.children)
    return found
