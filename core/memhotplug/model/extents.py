"""Sets of page frames as sorted runs: the truth from which free lists and projections derive.

The runs of an :class:`ExtentSet` are never changed in place. A copy shares them, which makes a
what-if copy of a whole machine cost a few dozen small objects, whatever the machine's size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["EMPTY", "Array", "ExtentSet", "distinct", "intersect", "merge"]

Array: TypeAlias = npt.NDArray[np.int64]

EMPTY: Array = np.empty(0, dtype=np.int64)
EMPTY.setflags(write=False)

_FEW = 32  # runs up to which a set keeps plain integers
_ONE_BY_ONE = 4  # runs up to which it is faster to add or remove one after the other
_NO_RUNS: tuple[list[int], list[int]] = ([], [])
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

    Few runs are kept as plain integers, which Python handles faster than NumPy does, many as
    arrays; which of the two it is shows nowhere.

    Invariants: the runs are ascending, half-open, disjoint and not touching; ``total`` is the number of pfns.
    """

    # At least one of the two is there. Neither is ever changed in place: copies share them.
    __slots__ = ("_arrays", "_few", "total")

    def __init__(self, starts: Array = EMPTY, ends: Array = EMPTY) -> None:
        self._arrays: tuple[Array, Array] | None = None
        self._few: tuple[list[int], list[int]] | None = _NO_RUNS
        self.total = 0
        if 0 < len(starts) <= _FEW:
            self._keep_few(*_merged(_listed(starts), _listed(ends)))
        elif len(starts):
            starts, ends = merge(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64))
            self._keep(starts.view(), ends.view())  # the caller may go on with his own

    @property
    def is_few(self) -> bool:
        """Whether going through the runs one by one is faster than arrays of them."""
        return self._few is not None

    @property
    def starts(self) -> Array:
        """First pfns; int64, shape (n,), read-only."""
        return (self._arrays or self._as_arrays())[0]

    @property
    def ends(self) -> Array:
        """First pfns behind; int64, shape (n,), read-only."""
        return (self._arrays or self._as_arrays())[1]

    def _as_arrays(self) -> tuple[Array, Array]:
        if self._arrays is None:
            starts, ends = (np.array(column, dtype=np.int64) for column in self._few or _NO_RUNS)
            self._arrays = _frozen(starts, ends)
        return self._arrays

    def _keep(self, starts: Array, ends: Array) -> None:
        """Take over runs, and nobody writes into them any more: copies share them."""
        self._arrays = _frozen(starts, ends)
        self._few = (starts.tolist(), ends.tolist()) if len(starts) <= _FEW else None
        self.total = int((ends - starts).sum())

    def _keep_few(self, starts: list[int], ends: list[int]) -> None:
        self._few, self._arrays = (starts, ends), None
        self.total = sum(ends) - sum(starts)

    @classmethod
    def of(cls, *runs: tuple[int, int]) -> ExtentSet:
        """Return the set of some half-open pfn runs."""
        return cls([low for low, _ in runs], [high for _, high in runs])  # type: ignore[arg-type]  # lists do as well

    def copy(self) -> ExtentSet:
        """Return an independent set that shares the runs."""
        twin = ExtentSet.__new__(ExtentSet)
        twin._few, twin._arrays, twin.total = self._few, self._arrays, self.total
        return twin

    def __len__(self) -> int:
        return len((self._few or self._as_arrays())[0])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        starts, ends = self._few or (self.starts.tolist(), self.ends.tolist())
        return zip(starts, ends, strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtentSet):
            return NotImplemented
        if self.total != other.total or len(self) != len(other):
            return False
        if self._few is not None and other._few is not None:
            return self._few == other._few
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        shown = ", ".join(f"{a:#x}-{b:#x}" for a, b in list(self)[:6])
        return f"ExtentSet({shown}{', …' if len(self) > 6 else ''})"

    def _touched(self, start: int, end: int) -> tuple[int, int]:
        """Return which runs overlap [start, end) or touch it, as the range of their places."""
        if self._few is not None:
            return bisect_left(self._few[1], start), bisect_right(self._few[0], end)
        starts, ends = self._as_arrays()
        return int(ends.searchsorted(start, side="left")), int(starts.searchsorted(end, side="right"))

    def _overlapped(self, start: int, end: int) -> tuple[int, int]:
        """Return which runs overlap [start, end), as the range of their places."""
        if self._few is not None:
            return bisect_right(self._few[1], start), bisect_left(self._few[0], end)
        starts, ends = self._as_arrays()
        return int(ends.searchsorted(start, side="right")), int(starts.searchsorted(end, side="left"))

    def _splice(self, first: int, last: int, starts: list[int], ends: list[int], total: int) -> None:
        """Put runs in the place of those from ``first`` to ``last``, which makes ``total`` pfns more."""
        if self._few is not None and len(self._few[0]) + len(starts) - (last - first) <= _FEW:
            lows, highs = self._few
            self._few = [*lows[:first], *starts, *lows[last:]], [*highs[:first], *ends, *highs[last:]]
            self._arrays = None
            self.total += total
            return
        lows_, highs_ = self._as_arrays()
        self._arrays = _frozen(
            np.concatenate((lows_[:first], np.array(starts, dtype=np.int64), lows_[last:])),
            np.concatenate((highs_[:first], np.array(ends, dtype=np.int64), highs_[last:])),
        )
        # Not back to integers as soon as it is few again: a set that goes to and fro would be converted each time.
        self._few = None
        self.total += total

    def _ends_of(self, first: int, last: int) -> tuple[int, int, int]:
        """Return first pfn, end and total of the runs from place ``first`` to ``last``."""
        if self._few is not None:
            lows, highs = self._few
            if last - first == 1:
                return lows[first], highs[first], highs[first] - lows[first]
            return lows[first], highs[last - 1], sum(highs[first:last]) - sum(lows[first:last])
        starts, ends = self._as_arrays()
        return int(starts[first]), int(ends[last - 1]), int((ends[first:last] - starts[first:last]).sum())

    def add(self, start: int, end: int) -> None:
        """Add [start, end), which may overlap what is there."""
        if end <= start:
            return
        start, end = int(start), int(end)
        first, last = self._touched(start, end)
        if first >= last:
            self._splice(first, first, [start], [end], end - start)
            return
        low, high, old = self._ends_of(first, last)
        if low <= start and end <= high and last - first == 1:
            return
        low, high = min(start, low), max(end, high)
        self._splice(first, last, [low], [high], high - low - old)

    def add_many(self, starts: Array, ends: Array) -> None:
        """Add runs in any order, which may overlap."""
        if len(starts) <= _ONE_BY_ONE:
            for start, end in zip(_listed(starts), _listed(ends), strict=True):
                self.add(start, end)
            return
        self._keep(*merge(np.concatenate((self.starts, starts)), np.concatenate((self.ends, ends))))

    def update(self, other: ExtentSet) -> None:
        """Add another set."""
        if not self.total:
            self._few, self._arrays, self.total = other._few, other._arrays, other.total
        elif other._few is not None:
            self.add_many(*other._few)  # type: ignore[arg-type]  # lists do as well
        else:
            self.add_many(other.starts, other.ends)

    def remove(self, start: int, end: int) -> None:
        """Take out whatever of [start, end) is in the set."""
        if end <= start or not self.total:
            return
        first, last = self._overlapped(start, end)
        if first >= last:
            return
        start, end = int(start), int(end)
        starts: list[int] = []
        ends: list[int] = []
        low, high, old = self._ends_of(first, last)
        if low < start:
            starts.append(low)
            ends.append(start)
        if high > end:
            starts.append(end)
            ends.append(high)
        self._splice(first, last, starts, ends, sum(ends) - sum(starts) - old)

    def remove_many(self, starts: Array, ends: Array) -> None:
        """Take out whatever of the runs, in any order, is in the set."""
        if not self.total:
            return
        if len(starts) <= _ONE_BY_ONE:
            for start, end in zip(_listed(starts), _listed(ends), strict=True):
                self.remove(start, end)
            return
        starts, ends = merge(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64))
        gap_starts, gap_ends = np.concatenate((_LOWEST, ends)), np.concatenate((starts, _HIGHEST))
        lows, highs, _, _ = intersect(self.starts, self.ends, gap_starts, gap_ends)
        self._keep(lows, highs)

    def difference_update(self, other: ExtentSet) -> None:
        """Take another set out."""
        if other._few is not None:
            self.remove_many(*other._few)  # type: ignore[arg-type]  # lists do as well
        else:
            self.remove_many(other.starts, other.ends)

    def intersection(self, other: ExtentSet) -> ExtentSet:
        """Return what is in both sets."""
        if self._few is None or other._few is None:
            return ExtentSet(*self.clip_many(other.starts, other.ends))
        found = ExtentSet()
        if self.total and other.total:
            found._keep_few(*_overlaps(*self._few, *other._few))
        return found

    def within(self, start: int, end: int) -> ExtentSet:
        """Return the parts of the set inside [start, end) as a set."""
        found = ExtentSet()
        if self._few is None:
            found._keep(*self.clip(start, end))
        elif end > start:
            found._keep_few(*_overlaps(*self._few, [int(start)], [int(end)]))
        return found

    def clip(self, start: int, end: int) -> tuple[Array, Array]:
        """Return the parts of the set inside [start, end) as runs."""
        if end <= start:
            return EMPTY, EMPTY
        first, last = self._overlapped(start, end)
        if first >= last:
            return EMPTY, EMPTY
        starts, ends = self._arrays or self._as_arrays()
        return np.maximum(starts[first:last], start), np.minimum(ends[first:last], end)

    def clip_many(self, starts: Array, ends: Array) -> tuple[Array, Array]:
        """Return the parts of the set inside ascending, disjoint runs."""
        lows, highs, _, _ = intersect(self.starts, self.ends, starts, ends)
        return lows, highs

    def gaps(self, start: int, end: int) -> tuple[Array, Array]:
        """Return the runs of [start, end) that are not in the set."""
        if end <= start:
            return EMPTY, EMPTY
        first, last = self._overlapped(start, end)
        if first >= last:
            return np.array([start], dtype=np.int64), np.array([end], dtype=np.int64)
        if last - first == 1:
            low, high, _ = self._ends_of(first, last)
            missing = [run for run in ((start, low), (high, end)) if run[0] < run[1]]
            pairs = np.array(missing, dtype=np.int64).reshape(-1, 2)
            return pairs[:, 0], pairs[:, 1]
        lows, highs = self.clip(start, end)
        starts, ends = np.append(highs, 0), np.append(lows, end)
        starts = np.concatenate(([start], starts[:-1])).astype(np.int64)
        kept = ends > starts
        return starts[kept], ends[kept]

    def covered(self, start: int, end: int) -> int:
        """Return how many pfns of [start, end) are in the set."""
        if end <= start:
            return 0
        first, last = self._overlapped(start, end)
        if first >= last:
            return 0
        low, high, held = self._ends_of(first, last)
        return held - max(int(start) - low, 0) - max(high - int(end), 0)

    def coverage(self, points: Array) -> Array:
        """Return how many pfns of the set lie below each point; int64, shape of ``points``."""
        if not self.total:
            return np.zeros(len(points), dtype=np.int64)
        starts, ends = self._as_arrays()
        index = np.searchsorted(starts, points, side="left")
        before = np.concatenate(([0], np.cumsum(ends - starts)))
        last = np.maximum(index - 1, 0)
        over = np.maximum(ends[last] - points, 0)
        return np.where(index > 0, before[index] - over, 0).astype(np.int64)

    def covered_many(self, starts: Array, ends: Array) -> Array:
        """Return how many pfns of each run are in the set; int64, shape (n,)."""
        if self._few is not None and len(self._few[0]) < 2:
            if not self.total:
                return np.zeros(len(starts), dtype=np.int64)
            low, high = self._few[0][0], self._few[1][0]
            inside: Array = np.minimum(ends, high) - np.maximum(starts, low)
            return inside * (inside > 0)
        return self.coverage(ends) - self.coverage(starts)

    def covered_by(self, other: ExtentSet) -> int:
        """Return how many pfns of the set are in another one too."""
        return self.intersection(other).total if self.total and other.total else 0

    def contains(self, start: int, end: int) -> bool:
        """Return whether all of [start, end) is in the set."""
        if end <= start:
            return True
        first, last = self._overlapped(start, end)
        if last - first != 1:
            return False
        low, high, _ = self._ends_of(first, last)
        return low <= start and end <= high

    def intersects(self, start: int, end: int) -> bool:
        """Return whether any of [start, end) is in the set."""
        if end <= start or not self.total:
            return False
        first, last = self._overlapped(start, end)
        return first < last

    def first_from(self, pfn: int) -> int | None:
        """Return the lowest pfn of the set that is not below ``pfn``, or None."""
        first, _ = self._overlapped(pfn, pfn)
        return max(self._ends_of(first, first + 1)[0], int(pfn)) if first < len(self) else None

    def last_below(self, pfn: int) -> int | None:
        """Return the highest pfn of the set that is below ``pfn``, or None."""
        _, last = self._overlapped(pfn, pfn)
        return min(self._ends_of(last - 1, last)[1], int(pfn)) - 1 if last > 0 else None


def _frozen(starts: Array, ends: Array) -> tuple[Array, Array]:
    starts.setflags(write=False)
    ends.setflags(write=False)
    return starts, ends


def _listed(column: Array | list[int]) -> list[int]:
    return column if isinstance(column, list) else column.tolist()


def _merged(starts: list[int], ends: list[int]) -> tuple[list[int], list[int]]:
    """Return the union of a few runs in any order as sorted, disjoint, non-touching runs; as :func:`merge`."""
    lows: list[int] = []
    highs: list[int] = []
    for low, high in sorted(zip(starts, ends, strict=True)):
        if high <= low:
            continue
        if not highs or low > highs[-1]:
            lows.append(low)
            highs.append(high)
        elif high > highs[-1]:
            highs[-1] = high
    return lows, highs


def _overlaps(
    a_starts: list[int], a_ends: list[int], b_starts: list[int], b_ends: list[int]
) -> tuple[list[int], list[int]]:
    """Return every overlap of two sorted, disjoint lists of a few runs, ascending; as :func:`intersect`."""
    lows: list[int] = []
    highs: list[int] = []
    i = j = 0
    while i < len(a_starts) and j < len(b_starts):
        low, high = max(a_starts[i], b_starts[j]), min(a_ends[i], b_ends[j])
        if low < high:
            lows.append(low)
            highs.append(high)
        if a_ends[i] < b_ends[j]:
            i += 1
        else:
            j += 1
    return lows, highs
