"""What a set of page frames covers: how much of a range, of many ranges, of another set.

Nothing here makes a set; a set that can be changed is :class:`memhotplug.model.extents.ExtentSet`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from memhotplug.lazy import np
from memhotplug.model.runs import Array, Runs, few_overlaps

__all__ = ["Coverage"]


class Coverage(Runs):
    """Runs that can be asked for what lies in them."""

    __slots__ = ()

    def _overlapped(self, start: int, end: int) -> tuple[int, int]:
        """Return which runs overlap [start, end), as the range of their places."""
        if self._few is not None:
            return bisect_right(self._few[1], start), bisect_left(self._few[0], end)
        starts, ends = self._as_arrays()
        return int(ends.searchsorted(start, side="right")), int(starts.searchsorted(end, side="left"))

    def _ends_of(self, first: int, last: int) -> tuple[int, int, int]:
        """Return first pfn, end and total of the runs from place ``first`` to ``last``."""
        if self._few is not None:
            lows, highs = self._few
            if last - first == 1:
                return lows[first], highs[first], highs[first] - lows[first]
            return lows[first], highs[last - 1], sum(highs[first:last]) - sum(lows[first:last])
        starts, ends = self._as_arrays()
        return int(starts[first]), int(ends[last - 1]), int((ends[first:last] - starts[first:last]).sum())

    @property
    def longest(self) -> int:
        """The pfns of the longest run, 0 of an empty set."""
        if self._few is not None:
            return max([high - low for low, high in zip(*self._few, strict=True)], default=0)
        return int((self.ends - self.starts).max(initial=0))

    def covered(self, start: int, end: int) -> int:
        """Return how many pfns of [start, end) are in the set."""
        if end <= start or not self.total:
            return 0
        first, last = self._overlapped(start, end)
        if first >= last:
            return 0
        low, high, held = self._ends_of(first, last)
        return held - max(int(start) - low, 0) - max(high - int(end), 0)

    def coverage(self, points: Array) -> Array:
        """Return how many pfns of the set lie below each point, none of them negative; int64, shape of ``points``."""
        if not self.total:
            return np.zeros(len(points), dtype=np.int64)
        starts, ends = self._as_arrays()
        index = starts.searchsorted(points)
        reached, before = np.zeros(len(starts) + 1, dtype=np.int64), np.zeros(len(starts) + 1, dtype=np.int64)
        reached[1:] = ends
        np.cumsum(ends - starts, out=before[1:])
        over: Array = np.maximum(reached[index] - points, 0)
        return before[index] - over

    def covered_many(self, starts: Array, ends: Array) -> Array:
        """Return how many pfns of each run are in the set; int64, shape (n,)."""
        if self._few is not None and len(self._few[0]) < 2:
            if not self.total:
                return np.zeros(len(starts), dtype=np.int64)
            low, high = self._few[0][0], self._few[1][0]
            inside: Array = np.minimum(ends, high) - np.maximum(starts, low)
            return inside * (inside > 0)
        below = self.coverage(np.concatenate((starts, ends)))
        return below[len(starts) :] - below[: len(starts)]

    def covered_by(self, other: Coverage) -> int:
        """Return how many pfns of the set are in another one too."""
        if not self.total or not other.total:
            return 0
        for one, many in ((other, self), (self, other)):
            if one._few is not None and len(one._few[0]) == 1:
                return many.covered(one._few[0][0], one._few[1][0])
        if self._few is None or other._few is None:
            return int(self.covered_many(*other.arrays).sum())
        starts, ends = few_overlaps(*self._few, *other._few)
        return sum(ends) - sum(starts)

    def contains(self, start: int, end: int) -> bool:
        """Return whether all of [start, end) is in the set."""
        if end <= start:
            return True
        if self._few is not None:
            at = bisect_right(self._few[0], start) - 1
            return at >= 0 and end <= self._few[1][at]
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
        if self._few is not None:
            lows, highs = self._few
            at = bisect_right(highs, pfn)
            return max(lows[at], int(pfn)) if at < len(lows) else None
        first, _ = self._overlapped(pfn, pfn)
        return max(self._ends_of(first, first + 1)[0], int(pfn)) if first < len(self) else None

    def last_below(self, pfn: int) -> int | None:
        """Return the highest pfn of the set that is below ``pfn``, or None."""
        _, last = self._overlapped(pfn, pfn)
        return min(self._ends_of(last - 1, last)[1], int(pfn)) - 1 if last > 0 else None
