"""Sets of page frames as sorted runs: the truth from which free lists and projections derive.

The arrays of an :class:`ExtentSet` are read-only. A copy shares them, which makes a
what-if copy of a whole machine cost a few dozen small objects, whatever the machine's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["EMPTY", "Array", "ExtentSet", "distinct", "intersect", "merge"]

Array: TypeAlias = npt.NDArray[np.int64]

EMPTY: Array = np.empty(0, dtype=np.int64)
EMPTY.setflags(write=False)
_LOWEST = np.array([np.iinfo(np.int64).min], dtype=np.int64)
_HIGHEST = np.array([np.iinfo(np.int64).max], dtype=np.int64)


def merge(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Return the union of runs in any order as sorted, disjoint, non-touching runs.

    Args:
        starts, ends: int64, shape (n,), half-open runs; empty ones are dropped.
    """
    kept = ends > starts
    if not kept.all():
        starts, ends = starts[kept], ends[kept]
    if len(starts) < 2:
        return starts, ends
    if not (starts[1:] >= starts[:-1]).all():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    reach = np.maximum.accumulate(ends)
    first = np.empty(len(starts), dtype=bool)
    first[0] = True
    np.greater(starts[1:], reach[:-1], out=first[1:])
    heads = np.flatnonzero(first)
    last = np.append(heads[1:], len(starts)) - 1
    return starts[heads], reach[last]


def distinct(values: Array) -> Array:
    """Return the different values, ascending; as np.unique(), which imports numpy.ma for it."""
    ordered = np.sort(values)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def intersect(a_starts: Array, a_ends: Array, b_starts: Array, b_ends: Array) -> tuple[Array, Array, Array, Array]:
    """Return every overlap of two sorted, disjoint lists of runs, ascending.

    Returns:
        starts, ends of the overlaps, and the index of the run of ``a`` and of ``b`` each lies in.
    """
    low = np.searchsorted(b_ends, a_starts, side="right")
    high = np.searchsorted(b_starts, a_ends, side="left")
    counts = np.maximum(high - low, 0)
    total = int(counts.sum())
    if not total:
        return EMPTY, EMPTY, EMPTY, EMPTY
    in_a = np.repeat(np.arange(len(a_starts)), counts)
    before = np.cumsum(counts) - counts
    in_b = np.arange(total) - before[in_a] + low[in_a]
    return np.maximum(a_starts[in_a], b_starts[in_b]), np.minimum(a_ends[in_a], b_ends[in_b]), in_a, in_b


class ExtentSet:
    """A set of pfns, kept as runs.

    Invariants: ``starts`` and ``ends`` are int64, shape (n,), ascending, half-open, disjoint and
    not touching; ``total`` is the number of pfns.
    """

    __slots__ = ("ends", "starts", "total")

    def __init__(self, starts: Array = EMPTY, ends: Array = EMPTY) -> None:
        starts, ends = merge(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64))
        self._keep(starts.view(), ends.view())  # the caller may go on with his own

    def _keep(self, starts: Array, ends: Array) -> None:
        """Take over runs, and nobody writes into them any more: copies share them."""
        starts.setflags(write=False)
        ends.setflags(write=False)
        self.starts, self.ends = starts, ends
        self.total = int((ends - starts).sum())

    @classmethod
    def of(cls, *runs: tuple[int, int]) -> ExtentSet:
        """Return the set of some half-open pfn runs."""
        pairs = np.array(runs, dtype=np.int64).reshape(-1, 2)
        return cls(pairs[:, 0], pairs[:, 1])

    def copy(self) -> ExtentSet:
        """Return an independent set that shares the (read-only) arrays."""
        twin = ExtentSet.__new__(ExtentSet)
        twin.starts, twin.ends, twin.total = self.starts, self.ends, self.total
        return twin

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts.tolist(), self.ends.tolist(), strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtentSet):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        shown = ", ".join(f"{a:#x}-{b:#x}" for a, b in list(self)[:6])
        return f"ExtentSet({shown}{', …' if len(self) > 6 else ''})"

    def _splice(self, first: int, last: int, starts: list[int], ends: list[int], total: int) -> None:
        self.starts = np.concatenate((self.starts[:first], np.array(starts, dtype=np.int64), self.starts[last:]))
        self.ends = np.concatenate((self.ends[:first], np.array(ends, dtype=np.int64), self.ends[last:]))
        self.starts.setflags(write=False)
        self.ends.setflags(write=False)
        self.total += total

    def add(self, start: int, end: int) -> None:
        """Add [start, end), which may overlap what is there."""
        if end <= start:
            return
        first = int(np.searchsorted(self.ends, start, side="left"))
        last = int(np.searchsorted(self.starts, end, side="right"))
        if first >= last:
            self._splice(first, first, [start], [end], end - start)
            return
        low, high = min(start, int(self.starts[first])), max(end, int(self.ends[last - 1]))
        old = int((self.ends[first:last] - self.starts[first:last]).sum())
        self._splice(first, last, [low], [high], high - low - old)

    def add_many(self, starts: Array, ends: Array) -> None:
        """Add runs in any order, which may overlap."""
        if len(starts) == 1:
            self.add(int(starts[0]), int(ends[0]))
            return
        self._keep(*merge(np.concatenate((self.starts, starts)), np.concatenate((self.ends, ends))))

    def remove(self, start: int, end: int) -> None:
        """Take out whatever of [start, end) is in the set."""
        if end <= start:
            return
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left"))
        if first >= last:
            return
        starts: list[int] = []
        ends: list[int] = []
        low, high = int(self.starts[first]), int(self.ends[last - 1])
        if low < start:
            starts.append(low)
            ends.append(start)
        if high > end:
            starts.append(end)
            ends.append(high)
        old = int((self.ends[first:last] - self.starts[first:last]).sum())
        self._splice(first, last, starts, ends, sum(ends) - sum(starts) - old)

    def remove_many(self, starts: Array, ends: Array) -> None:
        """Take out whatever of the runs, in any order, is in the set."""
        if len(starts) == 1:
            self.remove(int(starts[0]), int(ends[0]))
            return
        starts, ends = merge(starts, ends)
        gap_starts, gap_ends = np.concatenate((_LOWEST, ends)), np.concatenate((starts, _HIGHEST))
        lows, highs, _, _ = intersect(self.starts, self.ends, gap_starts, gap_ends)
        self._keep(lows, highs)

    def clip(self, start: int, end: int) -> tuple[Array, Array]:
        """Return the parts of the set inside [start, end) as runs."""
        if end <= start:
            return EMPTY, EMPTY
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left"))
        if first >= last:
            return EMPTY, EMPTY
        return np.maximum(self.starts[first:last], start), np.minimum(self.ends[first:last], end)

    def clip_many(self, starts: Array, ends: Array) -> tuple[Array, Array]:
        """Return the parts of the set inside ascending, disjoint runs."""
        lows, highs, _, _ = intersect(self.starts, self.ends, starts, ends)
        return lows, highs

    def gaps(self, start: int, end: int) -> tuple[Array, Array]:
        """Return the runs of [start, end) that are not in the set."""
        lows, highs = self.clip(start, end)
        starts, ends = np.append(highs, 0), np.append(lows, end)
        starts = np.concatenate(([start], starts[:-1])).astype(np.int64)
        kept = ends > starts
        return starts[kept], ends[kept]

    def covered(self, start: int, end: int) -> int:
        """Return how many pfns of [start, end) are in the set."""
        starts, ends = self.clip(start, end)
        return int((ends - starts).sum())

    def coverage(self, points: Array) -> Array:
        """Return how many pfns of the set lie below each point; int64, shape of ``points``."""
        index = np.searchsorted(self.starts, points, side="left")
        before = np.concatenate(([0], np.cumsum(self.ends - self.starts)))
        last = np.maximum(index - 1, 0)
        if not len(self.starts):
            return np.zeros(len(points), dtype=np.int64)
        over = np.maximum(self.ends[last] - points, 0)
        return np.where(index > 0, before[index] - over, 0).astype(np.int64)

    def covered_many(self, starts: Array, ends: Array) -> Array:
        """Return how many pfns of each run are in the set; int64, shape (n,)."""
        return self.coverage(ends) - self.coverage(starts)

    def covered_by(self, other: ExtentSet) -> int:
        """Return how many pfns of the set are in another one too."""
        if not other.total or not self.total:
            return 0
        return int(self.covered_many(other.starts, other.ends).sum())

    def contains(self, start: int, end: int) -> bool:
        """Return whether all of [start, end) is in the set."""
        index = int(np.searchsorted(self.starts, start, side="right")) - 1
        return end <= start or (index >= 0 and int(self.ends[index]) >= end)

    def intersects(self, start: int, end: int) -> bool:
        """Return whether any of [start, end) is in the set."""
        index = int(np.searchsorted(self.ends, start, side="right"))
        return index < len(self.starts) and int(self.starts[index]) < end and start < end

    def first_from(self, pfn: int) -> int | None:
        """Return the lowest pfn of the set that is not below ``pfn``, or None."""
        index = int(np.searchsorted(self.ends, pfn, side="right"))
        return max(int(self.starts[index]), pfn) if index < len(self.starts) else None

    def last_below(self, pfn: int) -> int | None:
        """Return the highest pfn of the set that is below ``pfn``, or None."""
        index = int(np.searchsorted(self.starts, pfn, side="left")) - 1
        return min(int(self.ends[index]), pfn) - 1 if index >= 0 else None
