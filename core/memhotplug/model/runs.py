"""Half-open runs of page frames: a few as plain integers, many as arrays, behind one class.

Python handles a few integers faster than NumPy does an array of them: each call of NumPy costs a microsecond
or more, however little there is to do. Which of the two it is shows nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, ForwardRef, Self, TypeAlias

from memhotplug.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.int64]
else:
    Array = ForwardRef("npt.NDArray[np.int64]")  # may stand in other aliases, and needs no numpy to be there

__all__ = [
    "FEW",
    "NO_RUNS",
    "Array",
    "Few",
    "Runs",
    "distinct",
    "empty",
    "few_joined",
    "few_merged",
    "few_minus",
    "few_overlaps",
    "frozen",
    "intersect",
    "merge",
]

Few: TypeAlias = tuple[list[int], list[int]]
"""Starts and ends of a few runs."""


FEW = 64
"""Runs up to which plain integers are kept."""

NO_RUNS: Few = ([], [])


@cache
def empty() -> Array:
    """Return the array of no pfns; nobody can write into it."""
    none = np.empty(0, dtype=np.int64)
    none.setflags(write=False)
    return none


class Runs:
    """Runs in some order, such as the one in which pages were allocated; they may touch.

    Attributes:
        total: the number of pfns.
    """

    # At least one of the two is there. Neither is ever changed in place: copies share them.
    __slots__ = ("_arrays", "_few", "total")

    def __init__(self) -> None:
        self._arrays: tuple[Array, Array] | None = None
        self._few: Few | None = NO_RUNS
        self.total = 0

    @classmethod
    def of_few(cls, starts: list[int], ends: list[int]) -> Self:
        """Return runs of which there are few as a rule; the lists are kept."""
        if len(starts) > FEW:
            return cls.of_arrays(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))
        found = cls.__new__(cls)
        found._few, found._arrays = (starts, ends), None
        found.total = ends[0] - starts[0] if len(ends) == 1 else sum(ends) - sum(starts)
        return found

    @classmethod
    def of_arrays(cls, starts: Array, ends: Array) -> Self:
        """Return runs of which there may be many; the arrays are kept, and nobody writes into them any more."""
        found = cls.__new__(cls)
        found._take_arrays(starts, ends)
        return found

    @staticmethod
    def join(parts: list[Runs]) -> Runs:
        """Return the runs of all parts, one part after the other."""
        held = [part for part in parts if part.total]
        if len(held) < 2:
            return held[0] if held else Runs()
        few = [part._few for part in held if part._few is not None]
        if len(few) == len(held) and sum([len(starts) for starts, _ in few]) <= FEW:
            return Runs.of_few([low for starts, _ in few for low in starts], [high for _, ends in few for high in ends])
        return Runs.of_arrays(*(np.concatenate(column) for column in zip(*[part.arrays for part in held], strict=True)))

    @property
    def few(self) -> Few | None:
        """Starts and ends as plain integers where there are few; read them, they are shared."""
        return self._few

    @property
    def is_few(self) -> bool:
        """Whether going through the runs one by one is faster than arrays of them."""
        return self._few is not None

    @property
    def arrays(self) -> tuple[Array, Array]:
        """Starts and ends; int64, shape (n,), read-only."""
        return self._arrays or self._as_arrays()

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
            starts, ends = (np.array(column, dtype=np.int64) for column in self._few or NO_RUNS)
            self._arrays = frozen(starts, ends)
        return self._arrays

    def _slice(self, first: int, last: int) -> Few:
        """Return the runs from place ``first`` to ``last`` of many."""
        starts, ends = self._as_arrays()
        return starts[first:last].tolist(), ends[first:last].tolist()

    def _take_arrays(self, starts: Array, ends: Array) -> None:
        self._arrays = frozen(starts, ends)
        self._few = (starts.tolist(), ends.tolist()) if len(starts) <= FEW else None
        self.total = int((ends - starts).sum())

    def __len__(self) -> int:
        return len((self._few or self._as_arrays())[0])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        starts, ends = self._few or (self.starts.tolist(), self.ends.tolist())
        return zip(starts, ends, strict=True)

    def __repr__(self) -> str:
        shown = ", ".join(f"{a:#x}-{b:#x}" for a, b in list(self)[:6])
        return f"{type(self).__name__}({shown}{', …' if len(self) > 6 else ''})"


def frozen(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Return two columns; nobody writes into them any more."""
    starts.setflags(write=False)
    ends.setflags(write=False)
    return starts, ends


# ---- many ----


def merge(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Return the union of runs in any order as sorted, disjoint, non-touching runs.

    Args:
        starts, ends: int64, shape (n,), half-open runs; empty ones are dropped.
    """
    kept = ends > starts
    if not kept.all():
        starts, ends = starts[kept], ends[kept]
    if len(starts) < 2 or (starts[1:] > ends[:-1]).all():
        return starts, ends  # as it is already
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
    if len(a_starts) > len(b_starts):
        lows, highs, in_b, in_a = intersect(b_starts, b_ends, a_starts, a_ends)
        return lows, highs, in_a, in_b
    low = b_ends.searchsorted(a_starts, side="right")
    high = b_starts.searchsorted(a_ends, side="left")
    counts = np.maximum(high - low, 0)
    total = int(counts.sum())
    if not total:
        none = empty()
        return none, none, none, none
    in_a = np.repeat(np.arange(len(a_starts)), counts)
    before = np.cumsum(counts) - counts
    in_b = np.arange(total) - before[in_a] + low[in_a]
    return np.maximum(a_starts[in_a], b_starts[in_b]), np.minimum(a_ends[in_a], b_ends[in_b]), in_a, in_b


# ---- few ----


def few_merged(starts: list[int], ends: list[int]) -> Few:
    """Return the union of a few runs in any order as sorted, disjoint, non-touching runs; as :func:`merge`."""
    if len(starts) == 1:
        return (starts.copy(), ends.copy()) if ends[0] > starts[0] else NO_RUNS
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


def few_joined(a_starts: list[int], a_ends: list[int], b_starts: list[int], b_ends: list[int]) -> Few:
    """Return a few runs in any order and some others as one union, as :func:`few_merged` does."""
    return few_merged(a_starts + b_starts, a_ends + b_ends)


def few_overlaps(a_starts: list[int], a_ends: list[int], b_starts: list[int], b_ends: list[int]) -> Few:
    """Return every overlap of two sorted, disjoint lists of a few runs, ascending; as :func:`intersect`."""
    lows: list[int] = []
    highs: list[int] = []
    i = j = 0
    while i < len(a_starts) and j < len(b_starts):
        a_high, b_high = a_ends[i], b_ends[j]
        low = a_starts[i] if a_starts[i] > b_starts[j] else b_starts[j]
        if low < a_high and low < b_high:
            lows.append(low)
            highs.append(a_high if a_high < b_high else b_high)
        if a_high < b_high:
            i += 1
        else:
            j += 1
    return lows, highs


def few_minus(a_starts: list[int], a_ends: list[int], b_starts: list[int], b_ends: list[int]) -> Few:
    """Return what of a few sorted, disjoint runs is in none of some others, sorted and disjoint too."""
    lows: list[int] = []
    highs: list[int] = []
    j = 0
    for low, high in zip(a_starts, a_ends, strict=True):
        while j < len(b_starts) and b_ends[j] <= low:
            j += 1
        k, rest = j, low
        while k < len(b_starts) and b_starts[k] < high:
            if b_starts[k] > rest:
                lows.append(rest)
                highs.append(b_starts[k])
            rest = b_ends[k]
            k += 1
        if rest < high:
            lows.append(rest)
            highs.append(high)
    return lows, highs
