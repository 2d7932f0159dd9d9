"""Which physical pages back which part of the memmap.

Under SPARSEMEM_VMEMMAP the memmap is a virtually contiguous array that is mapped leaf by leaf. A
row of the table is a run of leaves of one size and one source whose backing is contiguous.

Models: mm/sparse-vmemmap.c, and the vmemmap page tables of each architecture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from memhotplug.model.extents import EMPTY, Array, ExtentSet, intersect

__all__ = ["MapRuns", "Source", "VmemmapTable"]


class Source(IntEnum):
    """Where the pages that back a part of the memmap came from."""

    BOOT = 0
    ALLOCATOR = 1
    ALTMAP = 2


@dataclass(frozen=True, slots=True)
class MapRuns:
    """Runs of vmemmap mappings; all arrays have shape (n,).

    Attributes:
        start, end: described pfns, half-open, int64.
        backing: pfn of the first page that backs the run, int64.
        leaf: pages that one leaf maps, int32.
        source: a Source, int8.
    """

    start: Array
    end: Array
    backing: Array
    leaf: npt.NDArray[np.int32]
    source: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: slice | Array | npt.NDArray[np.bool_]) -> MapRuns:
        return MapRuns(self.start[index], self.end[index], self.backing[index], self.leaf[index], self.source[index])

    @classmethod
    def make(cls, start: Array, end: Array, backing: Array, leaf: int, source: Source) -> MapRuns:
        """Return runs that share one leaf size and source."""
        count = len(start)
        return cls(start, end, backing, np.full(count, leaf, dtype=np.int32), np.full(count, source, dtype=np.int8))

    @classmethod
    def join(cls, parts: list[MapRuns]) -> MapRuns:
        """Return the runs of all parts, one part after the other."""
        columns = ("start", "end", "backing", "leaf", "source")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def freeze(self) -> MapRuns:
        """Return these runs; nobody writes into them any more."""
        for column in (self.start, self.end, self.backing, self.leaf, self.source):
            column.setflags(write=False)
        return self


_NOTHING = MapRuns.make(EMPTY, EMPTY, EMPTY, 0, Source.BOOT)


class VmemmapTable:
    """All mappings of the memmap, ascending by the pfns that they describe.

    Invariants: rows are disjoint in what they describe and in what backs them. The number of
    pages that back a row is (end - start) / described_per_page.

    Args:
        described_per_page: pages whose struct pages fill one page of memmap.
    """

    __slots__ = ("described_per_page", "mapped", "runs")

    def __init__(self, described_per_page: int) -> None:
        self.described_per_page = described_per_page
        self.runs = _NOTHING
        self.mapped = ExtentSet()

    def copy(self) -> VmemmapTable:
        """Return an independent table that shares the arrays."""
        twin = VmemmapTable.__new__(VmemmapTable)
        twin.described_per_page, twin.runs, twin.mapped = self.described_per_page, self.runs, self.mapped.copy()
        return twin

    def insert(self, runs: MapRuns) -> None:
        """Add mappings of pfns that are not mapped yet, in any order; neighbours are joined."""
        self._insert(runs)
        self.mapped.add_many(runs.start, runs.end)

    def _insert(self, runs: MapRuns) -> None:
        if len(runs) == 1 and self._grow(runs):
            return
        joined = MapRuns.join([self.runs, runs])
        joined = joined[np.argsort(joined.start, kind="stable")]
        self.runs = self._coalesce(joined).freeze()

    def _grow(self, run: MapRuns) -> bool:
        """Let a run that goes on where a row ends, and joins no other row, make that row longer; else return False."""
        old, start, end = self.runs, int(run.start[0]), int(run.end[0])
        at = int(old.start.searchsorted(start)) - 1
        if at < 0 or old.end[at] != start or (at + 1 < len(old) and old.start[at + 1] == end):
            return False
        behind = int(old.backing[at]) + (start - int(old.start[at])) // self.described_per_page
        if behind != run.backing[0] or old.leaf[at] != run.leaf[0] or old.source[at] != run.source[0]:
            return False
        ends = old.end.copy()
        ends[at] = end
        self.runs = replace(old, end=ends).freeze()
        return True

    def _coalesce(self, runs: MapRuns) -> MapRuns:
        if len(runs) < 2:
            return runs
        pages = (runs.end - runs.start) // self.described_per_page
        same = (
            (runs.start[1:] == runs.end[:-1])
            & (runs.backing[1:] == (runs.backing + pages)[:-1])
            & (runs.leaf[1:] == runs.leaf[:-1])
            & (runs.source[1:] == runs.source[:-1])
        )
        heads = np.flatnonzero(np.concatenate(([True], ~same)))
        last = np.append(heads[1:], len(runs)) - 1
        return MapRuns(runs.start[heads], runs.end[last], runs.backing[heads], runs.leaf[heads], runs.source[heads])

    def clip(self, start: int, end: int) -> MapRuns:
        """Return the mappings of [start, end), cut at its borders."""
        first = int(np.searchsorted(self.runs.end, start, side="right"))
        last = int(np.searchsorted(self.runs.start, end, side="left"))
        found = self.runs[first : max(first, last)]
        low = np.maximum(found.start, start)
        shift = (low - found.start) // self.described_per_page
        return MapRuns(low, np.minimum(found.end, end), found.backing + shift, found.leaf, found.source)

    def delete(self, starts: Array, ends: Array) -> MapRuns:
        """Take out the mappings of some ascending, disjoint pfn runs and return them."""
        if not len(starts):
            return _NOTHING
        low, high = int(starts[0]), int(ends[-1])
        inside = self.clip(low, high)
        gone, kept = self._split(inside, ExtentSet(starts, ends))
        below, above = self.clip(0, low), self.clip(high, np.iinfo(np.int64).max)
        self.runs = MapRuns.join([below, kept, above]).freeze()
        self.mapped.remove_many(starts, ends)
        return gone

    def _split(self, runs: MapRuns, chosen: ExtentSet) -> tuple[MapRuns, MapRuns]:
        """Return the parts of ``runs`` inside and outside of ``chosen``."""
        low = int(runs.start[0]) if len(runs) else 0
        high = int(runs.end[-1]) if len(runs) else 0
        return self._pick(runs, *chosen.clip(low, high)), self._pick(runs, *chosen.gaps(low, high))

    def _pick(self, runs: MapRuns, starts: Array, ends: Array) -> MapRuns:
        low, high, index, _ = intersect(runs.start, runs.end, starts, ends)
        shift = (low - runs.start[index]) // self.described_per_page
        return MapRuns(low, high, runs.backing[index] + shift, runs.leaf[index], runs.source[index])

    def backing_of(self, pfn: int) -> int | None:
        """Return the pfn of the page that holds the struct page of ``pfn``, None if there is none."""
        found = self.clip(pfn, pfn + 1)
        if not len(found):
            return None
        row = int(np.searchsorted(self.runs.end, pfn, side="right"))
        return int(self.runs.backing[row]) + (pfn - int(self.runs.start[row])) // self.described_per_page

    def backing(self, runs: MapRuns | None = None) -> ExtentSet:
        """Return the pages that back some runs, or the whole memmap."""
        runs = self.runs if runs is None else runs
        return ExtentSet(runs.backing, runs.backing + (runs.end - runs.start) // self.described_per_page)

    def backing_from(self, source: Source) -> ExtentSet:
        """Return the pages from one source that back any part of the memmap."""
        return self.backing(self.runs[self.runs.source == source])
