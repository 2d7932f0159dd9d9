"""Sets of page frames as sorted runs: the truth from which free lists and projections derive.

The runs of an :class:`ExtentSet` are never changed in place. A copy shares them, which makes a
what-if copy of a whole machine cost a few dozen small objects, whatever the machine's size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import lt
from typing import TypeAlias

from memhotplug.lazy import np
from memhotplug.model.coverage import Coverage
from memhotplug.model.runs import (
    FEW,
    NO_RUNS,
    Array,
    Few,
    Runs,
    distinct,
    empty,
    few_joined,
    few_merged,
    few_minus,
    few_overlaps,
    frozen,
    intersect,
    merge,
)
from memhotplug.units import round_down, round_up

__all__ = ["Array", "ExtentSet", "distinct", "empty", "intersect", "merge"]

_Column: TypeAlias = Array | list[int] | tuple[int, ...]
_Change: TypeAlias = Callable[[list[int], list[int], list[int], list[int]], Few]

_FEW_AGAIN = FEW // 4  # runs from which on a set that had many is kept as plain integers again
_ONE_BY_ONE = 4  # runs up to which it is faster to add or remove one after the other
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1  # of an int64


class ExtentSet(Coverage):
    """A set of pfns, kept as runs.

    Few runs are kept as plain integers, which Python handles faster than NumPy does, many as
    arrays; which of the two it is shows nowhere.

    Invariants: the runs are ascending, half-open, disjoint and not touching; ``total`` is the number of pfns.
    """

    __slots__ = ()

    def __init__(self, starts: _Column = (), ends: _Column = ()) -> None:
        self._arrays, self._few, self.total = None, NO_RUNS, 0  # not by super(): sets are made all the time
        count = len(starts)
        if not count:
            return
        if count <= FEW:
            self._keep_few(*few_merged(_listed(starts), _listed(ends)))
        else:
            starts, ends = merge(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64))
            self._take_arrays(starts.view(), ends.view())  # the caller may go on with his own

    def _keep_few(self, starts: list[int], ends: list[int]) -> None:
        if len(starts) > FEW:
            self._take_arrays(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))
            return
        self._few, self._arrays = (starts, ends), None
        self.total = sum(ends) - sum(starts)

    @classmethod
    def of(cls, *runs: tuple[int, int]) -> ExtentSet:
        """Return the set of some half-open pfn runs."""
        if len(runs) == 1 and runs[0][0] < runs[0][1]:
            return cls.of_few([runs[0][0]], [runs[0][1]])
        return cls([low for low, _ in runs], [high for _, high in runs])

    def copy(self) -> ExtentSet:
        """Return an independent set that shares the runs."""
        twin = ExtentSet.__new__(ExtentSet)
        twin._few, twin._arrays, twin.total = self._few, self._arrays, self.total
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtentSet):
            return NotImplemented
        if self.total != other.total or len(self) != len(other):
            return False
        if self._few is not None and other._few is not None:
            return self._few == other._few
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def _touched(self, start: int, end: int) -> tuple[int, int]:
        """Return which runs overlap [start, end) or touch it, as the range of their places."""
        if self._few is not None:
            return bisect_left(self._few[1], start), bisect_right(self._few[0], end)
        starts, ends = self._as_arrays()
        return int(ends.searchsorted(start, side="left")), int(starts.searchsorted(end, side="right"))

    def _splice(self, first: int, last: int, starts: list[int], ends: list[int], total: int) -> None:
        """Put runs in the place of those from ``first`` to ``last``, which makes ``total`` pfns more."""
        self.total += total
        if self._few is not None:
            lows, highs = self._few[0].copy(), self._few[1].copy()
            lows[first:last], highs[first:last] = starts, ends
            if len(lows) <= FEW:
                self._few, self._arrays = (lows, highs), None
                return
        lows_, highs_ = self._as_arrays()
        self._arrays = frozen(
            np.concatenate((lows_[:first], np.array(starts, dtype=np.int64), lows_[last:])),
            np.concatenate((highs_[:first], np.array(ends, dtype=np.int64), highs_[last:])),
        )
        # Not back to integers as soon as it is few again: a set that goes to and fro would be converted each time.
        self._few = (self._arrays[0].tolist(), self._arrays[1].tolist()) if len(self._arrays[0]) <= _FEW_AGAIN else None

    def add(self, start: int, end: int) -> None:
        """Add [start, end), which may overlap what is there."""
        if end <= start:
            return
        start, end = int(start), int(end)
        first, last = self._touched(start, end)
        if first >= last:
            self._splice(first, first, [start], [end], end - start)
        elif self._few is not None and last - first == 1:
            self._stretch(*self._few, first, start, end)
        else:
            low, high, old = self._ends_of(first, last)
            low, high = min(start, low), max(end, high)
            if high - low > old:
                self._splice(first, last, [low], [high], high - low - old)

    def _stretch(self, lows: list[int], highs: list[int], at: int, start: int, end: int) -> None:
        """Let one of a few runs reach as far as [start, end), which touches no other."""
        low, high = lows[at], highs[at]
        if start < low:
            lows = lows.copy()
            lows[at] = start
            self.total += low - start
        if high < end:
            highs = highs.copy()
            highs[at] = end
            self.total += end - high
        self._few, self._arrays = (lows, highs), None

    def add_many(self, starts: Array, ends: Array) -> None:
        """Add runs in any order, which may overlap."""
        if len(starts) <= _ONE_BY_ONE or (self._few is not None and len(starts) <= FEW):
            self._add_few(_listed(starts), _listed(ends))
            return
        self._take_arrays(*merge(np.concatenate((self.starts, starts)), np.concatenate((self.ends, ends))))

    def _add_few(self, starts: list[int], ends: list[int]) -> None:
        if self._few is None and len(starts) > 1 and self._change_near(few_joined, starts, ends):
            return
        if self._few is None or len(starts) <= _ONE_BY_ONE:
            for start, end in zip(starts, ends, strict=True):
                self.add(start, end)
            return
        self._keep_few(*few_joined(*self._few, starts, ends))

    def _change_near(self, change: _Change, starts: list[int], ends: list[int]) -> bool:
        """Add or take out a few runs where few of many are near them; else return False."""
        lows, highs = few_merged(starts, ends)
        if not lows:
            return True
        first, last = self._touched(lows[0], highs[-1])
        if last - first > FEW:
            return False
        old_starts, old_ends = self._slice(first, last)
        starts, ends = change(old_starts, old_ends, lows, highs)
        if (starts, ends) == (old_starts, old_ends):
            return True
        self._splice(first, last, starts, ends, sum(ends) - sum(starts) - sum(old_ends) + sum(old_starts))
        return True

    def update(self, other: Runs) -> None:
        """Add another set, or runs in any order."""
        if not self.total and isinstance(other, ExtentSet):
            self._few, self._arrays, self.total = other._few, other._arrays, other.total
            return
        few = other._few
        if few is None and self._few is not None and isinstance(other, ExtentSet):
            mine = self._few
            self._few, self._arrays, self.total = other._few, other._arrays, other.total
            self._add_few(*mine)
        elif few is None:
            self.add_many(*other.arrays)
        elif len(few[0]) == 1:
            self.add(few[0][0], few[1][0])
        else:
            self._add_few(*few)

    def union(self, other: Runs) -> ExtentSet:
        """Return a set with another set, or runs in any order, added."""
        found = self.copy()
        found.update(other)
        return found

    def difference(self, other: Runs) -> ExtentSet:
        """Return a set with another set, or runs in any order, taken out."""
        found = self.copy()
        found.difference_update(other)
        return found

    def remove(self, start: int, end: int) -> None:
        """Take out whatever of [start, end) is in the set."""
        if end <= start or not self.total:
            return
        first, last = self._overlapped(start, end)
        if first >= last:
            return
        start, end = int(start), int(end)
        if self._few is not None and last - first == 1 and self._trim(*self._few, first, start, end):
            return
        starts, ends = [], []
        low, high, old = self._ends_of(first, last)
        if low < start:
            starts.append(low)
            ends.append(start)
        if high > end:
            starts.append(end)
            ends.append(high)
        self._splice(first, last, starts, ends, sum(ends) - sum(starts) - old)

    def _trim(self, lows: list[int], highs: list[int], at: int, start: int, end: int) -> bool:
        """Cut one of a few runs at one side, if something of it stays at the other; else return False."""
        low, high = lows[at], highs[at]
        if start <= low and end < high:
            lows = lows.copy()
            lows[at] = end
            self.total -= end - low
        elif low < start and high <= end:
            highs = highs.copy()
            highs[at] = start
            self.total -= high - start
        else:
            return False
        self._few, self._arrays = (lows, highs), None
        return True

    def remove_many(self, starts: Array | list[int], ends: Array | list[int]) -> None:
        """Take out whatever of the runs, in any order, is in the set."""
        if not self.total:
            return
        if len(starts) <= _ONE_BY_ONE or (self._few is not None and len(starts) <= FEW):
            self._remove_few(_listed(starts), _listed(ends))
            return
        self._remove_sorted(*merge(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)))

    def _remove_sorted(self, starts: Array, ends: Array) -> None:
        """Take out what a set of runs has: they are ascending, disjoint and not touching."""
        first, last = ends.searchsorted(self.starts[0], side="right"), starts.searchsorted(self.ends[-1], side="left")
        if first >= last or not self.intersects(starts[first], ends[last - 1]):
            return
        starts, ends = starts[first:last], ends[first:last]
        gap_starts, gap_ends = np.append(_LOWEST, ends), np.append(starts, _HIGHEST)
        lows, highs, _, _ = intersect(self.starts, self.ends, gap_starts, gap_ends)
        self._take_arrays(lows, highs)

    def _remove_few(self, starts: list[int], ends: list[int]) -> None:
        if self._few is None and len(starts) > 1 and self._change_near(few_minus, starts, ends):
            return
        if self._few is None or len(starts) <= _ONE_BY_ONE:
            for start, end in zip(starts, ends, strict=True):
                self.remove(start, end)
            return
        self._keep_few(*few_minus(*self._few, *few_merged(starts, ends)))

    def difference_update(self, other: Runs) -> None:
        """Take another set, or runs in any order, out."""
        if not self.total or not other.total:
            return
        few = other._few
        if few is None and isinstance(other, ExtentSet) and len(other) > _ONE_BY_ONE:
            self._remove_sorted(*other.arrays)
        elif few is None:
            self.remove_many(*other.arrays)
        elif len(few[0]) == 1:
            self.remove(few[0][0], few[1][0])
        elif not (isinstance(other, ExtentSet) and self._lies_apart(*few)):
            self._remove_few(*few)

    def _lies_apart(self, starts: list[int], ends: list[int]) -> bool:
        """Return whether all of some ascending runs lie before the set, or behind it."""
        own = self._few or self._as_arrays()
        return bool(ends[-1] <= own[0][0] or own[1][-1] <= starts[0])

    def intersection(self, other: ExtentSet) -> ExtentSet:
        """Return what is in both sets."""
        if not self.total or not other.total:
            return ExtentSet()
        for one, many in ((other, self), (self, other)):
            if one._few is not None and len(one._few[0]) == 1:
                return many.within(one._few[0][0], one._few[1][0])
        few, others = self._near(other), other._near(self)
        if NO_RUNS in (few, others):
            return ExtentSet()
        if few is None or others is None:
            return ExtentSet.of_arrays(*self.clip_many(other.starts, other.ends))
        return ExtentSet.of_few(*few_overlaps(*few, *others))

    def _near(self, other: ExtentSet) -> Few | None:
        """Return those of the runs that lie where another set does, None if there are many."""
        if self._few is not None:
            return self._few
        first, last = self._overlapped(*other._ends_of(0, len(other))[:2])
        return self._slice(first, last) if last - first <= FEW else None

    def within(self, start: int, end: int) -> ExtentSet:
        """Return the parts of the set inside [start, end) as a set."""
        if self._few is None:
            return ExtentSet.of_arrays(*self.clip(start, end))
        first, last = self._overlapped(start, end)
        if end <= start or first >= last:
            return ExtentSet()
        lows, highs = self._few[0][first:last], self._few[1][first:last]
        lows[0], highs[-1] = max(lows[0], int(start)), min(highs[-1], int(end))
        return ExtentSet.of_few(lows, highs)

    def clip(self, start: int, end: int) -> tuple[Array, Array]:
        """Return the parts of the set inside [start, end) as runs."""
        if end <= start:
            return empty(), empty()
        first, last = self._overlapped(start, end)
        if first >= last:
            return empty(), empty()
        starts, ends = self._arrays or self._as_arrays()
        return np.maximum(starts[first:last], start), np.minimum(ends[first:last], end)

    def clip_many(self, starts: Array, ends: Array) -> tuple[Array, Array]:
        """Return the parts of the set inside ascending, disjoint runs."""
        lows, highs, _, _ = intersect(self.starts, self.ends, starts, ends)
        return lows, highs

    def gaps(self, start: int, end: int) -> ExtentSet:
        """Return what of [start, end) is not in the set."""
        if end <= start:
            return ExtentSet()
        first, last = self._overlapped(start, end)
        if first >= last:
            return ExtentSet.of_few([int(start)], [int(end)])
        if self._few is not None:
            starts = [int(start), *self._few[1][first:last]]
            ends = [*self._few[0][first:last], int(end)]
            low, high = starts[0] >= ends[0], len(starts) - (starts[-1] >= ends[-1])
            return ExtentSet.of_few(starts[low:high], ends[low:high])
        lows = np.concatenate(([start], self.ends[first:last])).astype(np.int64)
        highs = np.concatenate((self.starts[first:last], [end])).astype(np.int64)
        kept = highs > lows
        return ExtentSet.of_arrays(lows[kept], highs[kept])

    def times(self, factor: int) -> ExtentSet:
        """Return the set of ``factor`` pfns for each pfn of this one, such as the pages of some blocks."""
        if self._few is not None:
            return ExtentSet.of_few([low * factor for low in self._few[0]], [high * factor for high in self._few[1]])
        return ExtentSet.of_arrays(self.starts * factor, self.ends * factor)

    def whole(self, size: int) -> ExtentSet:
        """Return what of the set are whole, naturally aligned pieces of ``size`` pfns."""
        if self._few is None:
            starts, ends = round_up(self.starts, size), round_down(self.ends, size)
            kept = ends > starts
            return ExtentSet.of_arrays(starts[kept], ends[kept])
        lows = [round_up(start, size) for start in self._few[0]]
        highs = [round_down(end, size) for end in self._few[1]]
        if all(map(lt, lows, highs)):
            return ExtentSet.of_few(lows, highs)
        return ExtentSet.of_few(*few_merged(lows, highs))  # which drops what is empty

    def last(self, count: int) -> ExtentSet:
        """Return the ``count`` highest pfns of the set, all of them if there are not so many."""
        if count <= 0:
            return ExtentSet()
        size, left = len(self), count
        lows, highs = list[int](), list[int]()
        for low, high in zip(*map(reversed, self._few or self._slice(max(size - FEW, 0), size)), strict=True):
            lows.append(max(low, high - left))
            highs.append(high)
            left -= high - low
            if left <= 0:
                break
        if left <= 0 or len(lows) == size:
            return ExtentSet.of_few(lows[::-1], highs[::-1])
        before, rest = np.cumsum(self.ends - self.starts), max(self.total - count, 0)  # pfns up to the end of each run
        at = int(before.searchsorted(rest, side="right"))
        starts = self.starts[at:].copy()
        starts[0] = self.ends[at] - before[at] + rest
        return ExtentSet.of_arrays(starts, self.ends[at:])


def _listed(column: _Column) -> list[int]:
    if isinstance(column, list):
        return column
    return list(column) if isinstance(column, tuple) else column.tolist()
