"""Struct pages folded into runs: neighbours that say the same of themselves are one record.

The order of a free chunk stands in its first page alone; it does not part a run, whose ``private`` is then the
largest order in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from memhotplug.contracts import PageFlag
from memhotplug.engine.views.struct_page import PageArray, project_pages
from memhotplug.machine import Machine
from memhotplug.model.zones import ZoneKind

__all__ = ["Change", "Run", "changes", "runs"]

_CHUNK: Final = 1 << 20
"""Pages that are projected at once: 48 MiB of struct pages as this program keeps them."""
_SAME: Final = ("flags", "refcount", "head", "mapping", "node", "zone")


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring pages that are alike.

    Attributes:
        pfn, pages: the first page and how many there are.
        flags: names of what the pages say of themselves, as tools/mm/page-types calls them, in capitals.
        refcount: the reference count of each.
        private: ``private`` of each; of free pages the largest order of a chunk.
        head: pfn of the head of the vmemmap run they belong to, None for other pages.
        mapping: the raw field where it is no real mapping, else 0.
        zone, node: where they belong; None before they were first onlined.
        backing, backing_end: half-open pfns of the pages that hold these struct pages; None without a memmap.
    """

    pfn: int
    pages: int
    flags: tuple[str, ...]
    refcount: int
    private: int
    head: int | None
    mapping: int
    zone: str | None
    node: int | None
    backing: int | None
    backing_end: int | None

    @property
    def end(self) -> int:
        """The pfn behind the last page."""
        return self.pfn + self.pages

    def says(self) -> tuple[object, ...]:
        """Return what each page says, for comparing runs."""
        private = None if "BUDDY" in self.flags else self.private
        return self.flags, self.refcount, private, self.head, self.mapping, self.zone, self.node

    def goes_on(self, other: Run) -> bool:
        """Whether the next run, whose projection merely began there, is more of this one."""
        if self.says() != other.says() or self.end != other.pfn or (self.backing is None) != (other.backing is None):
            return False
        return self.backing_end is None or other.backing in (self.backing_end - 1, self.backing_end)

    def joined(self, other: Run) -> Run:
        """Return this run and the next as one."""
        private = max(self.private, other.private)
        return replace(self, pages=self.pages + other.pages, private=private, backing_end=other.backing_end)


@dataclass(frozen=True, slots=True)
class Change:
    """Pages that were alike before and are alike after; equal where nothing changed."""

    before: Run
    after: Run

    @property
    def is_one(self) -> bool:
        """Whether anything but the order of free chunks changed."""
        one, other = self.before, self.after
        return one.says() != other.says() or one.backing != other.backing

    def joined(self, other: Change) -> Change:
        """Return this change and the next as one."""
        return Change(self.before.joined(other.before), self.after.joined(other.after))


def runs(machine: Machine, pages: Sequence[tuple[int, int]]) -> Iterator[Run]:
    """Yield the runs of half-open ranges of pfns, ascending; never two that could be one."""
    for start, end in pages:
        last: Run | None = None
        for low in range(start, end, _CHUNK):
            array = project_pages(machine.kernel, low, min(_CHUNK, end - low))
            bounds = [0, *_cuts(array).tolist(), len(array)]
            for first, behind in pairwise(bounds):
                run = _run(array, low, first, behind)
                if last is None:
                    last = run
                elif last.goes_on(run):
                    last = last.joined(run)
                else:
                    yield last
                    last = run
        if last is not None:
            yield last


def changes(before: Machine, after: Machine, pages: Sequence[tuple[int, int]]) -> Iterator[Change]:
    """Yield what became of half-open ranges of pfns, unchanged runs too, ascending."""
    for start, end in pages:
        last: Change | None = None
        for low in range(start, end, _CHUNK):
            count = min(_CHUNK, end - low)
            old, new = project_pages(before.kernel, low, count), project_pages(after.kernel, low, count)
            bounds = [0, *np.union1d(_cuts(old), _cuts(new)).tolist(), count]
            for first, behind in pairwise(bounds):
                change = Change(_run(old, low, first, behind), _run(new, low, first, behind))
                if last is not None and last.before.goes_on(change.before) and last.after.goes_on(change.after):
                    last = last.joined(change)
                    continue
                if last is not None:
                    yield last
                last = change
        if last is not None:
            yield last


def _cuts(pages: PageArray) -> npt.NDArray[np.int64]:
    """Return where a page is not like the one before it."""
    apart: npt.NDArray[np.bool_] = np.zeros(max(len(pages) - 1, 0), dtype=bool)
    for name in _SAME:
        apart |= pages[name][1:] != pages[name][:-1]
    free = (pages["flags"] & np.uint64(PageFlag.BUDDY)) != 0
    private = np.where(free, np.uint64(0), pages["private"])
    apart |= private[1:] != private[:-1]
    stride = np.diff(pages["backing"])
    apart |= (stride != 0) & ((stride != 1) | (pages["backing"][:-1] < 0))
    return np.flatnonzero(apart) + 1


def _run(pages: PageArray, start_pfn: int, first: int, behind: int) -> Run:
    row, flags = pages[first], PageFlag(int(pages[first]["flags"]))
    backing, zone, head = int(row["backing"]), int(row["zone"]), int(row["head"])
    return Run(
        pfn=start_pfn + first,
        pages=behind - first,
        flags=tuple(str(flag.name) for flag in PageFlag if flag in flags),
        refcount=int(row["refcount"]),
        private=int(pages["private"][first:behind].max()),
        head=head if head >= 0 else None,
        mapping=int(row["mapping"]),
        zone=ZoneKind(zone).label if zone >= 0 else None,
        node=int(row["node"]) if zone >= 0 else None,
        backing=backing if backing >= 0 else None,
        backing_end=int(pages[behind - 1]["backing"]) + 1 if backing >= 0 else None,
    )
