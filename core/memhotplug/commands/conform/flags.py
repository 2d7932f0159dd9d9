"""Recorded page flags as arrays, and what they say of pages."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from memhotplug.contracts import PageFlag
from memhotplug.formats.snapshot import KPageFlags
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import FEW

__all__ = ["Flags", "Shown"]

_NOPAGE, _SELF, _BUDDY = int(PageFlag.NOPAGE), int(PageFlag.OWNER_PRIVATE), int(PageFlag.BUDDY)

_COMPOUND = int(PageFlag.COMPOUND_HEAD | PageFlag.COMPOUND_TAIL)
_KERNEL = int(PageFlag.SLAB | PageFlag.PGTABLE | PageFlag.RESERVED)
_MOVABLE = int(PageFlag.LRU | PageFlag.MMAP | PageFlag.ANON | PageFlag.HUGE | PageFlag.THP)

_Run: TypeAlias = tuple[int, int, str]


class Shown(IntEnum):
    """What a page's flags show, as far as any class of pages hangs on it."""

    NOPAGE = 0
    SELF_HOSTED = 1
    NOTHING = 2
    BUDDY = 3
    OTHER = 4


class _Kinds(NamedTuple):
    """Runs with what each shows."""

    starts: list[int]
    ends: list[int]
    kinds: list[int]


class Flags:
    """Page flags as arrays; of few runs, most is asked of plain integers.

    Attributes:
        starts, ends: int64, shape (n,), ascending, half-open pfn runs.
        values: uint64, shape (n,), what /proc/kpageflags shows of each page of a run.
        covered: the pfns that were read.
        past_end: those of them that lie behind the end of the file.
    """

    def __init__(self, flags: KPageFlags) -> None:
        self.starts, self.ends, self.values = flags.ranges.starts, flags.ranges.ends, flags.ranges.values
        self.covered = ExtentSet.of(*flags.covered)
        self.past_end = ExtentSet.of(*flags.past_end)
        self._having: dict[tuple[int, int], ExtentSet] = {}
        self._named: dict[tuple[str, ...], _Kinds] = {}

    def having(self, mask: int, without: int = 0) -> ExtentSet:
        """Return the pages that have one of the flags of ``mask`` and none of ``without``; read it, it is kept."""
        found = self._having.get((mask, without))
        if found is None:
            found = self._having[mask, without] = self._look(mask, without)
        return found

    def _look(self, mask: int, without: int) -> ExtentSet:
        if len(self.values) <= FEW:
            starts, ends, values = self._few
            rows = [row for row, value in enumerate(values) if value & mask and not value & without]
            return ExtentSet([starts[row] for row in rows], [ends[row] for row in rows])
        chosen = (self.values & np.uint64(mask)) != 0
        if without:
            chosen &= (self.values & np.uint64(without)) == 0
        return ExtentSet(self.starts[chosen], self.ends[chosen])

    @cached_property
    def _few(self) -> tuple[list[int], list[int], list[int]]:
        """The columns as plain integers."""
        return self.starts.tolist(), self.ends.tolist(), self.values.tolist()

    @cached_property
    def bare(self) -> ExtentSet:
        """The pages without any flag."""
        chosen = self.values == 0
        return ExtentSet(self.starts[chosen], self.ends[chosen])

    @cached_property
    def hard(self) -> ExtentSet:
        """The pages that cannot leave their place: slab, page tables, reserved, and compound ones of no process.

        Models: mm/page_isolation.c:has_unmovable_pages(), page_is_unmovable() (v5.2 to v7.2).
        """
        return self.having(_KERNEL, without=_SELF).union(self.having(_COMPOUND, without=_MOVABLE | _SELF))

    @cached_property
    def movable(self) -> ExtentSet:
        """The pages of processes and pools of huge pages; before 6.2 tails of transparent huge pages are not LRU."""
        return self.having(_MOVABLE)

    @cached_property
    def overlooked(self) -> ExtentSet:
        """Those of them that isolation takes for free where slab pages have no reference: slab pages of order 0."""
        return self.having(int(PageFlag.SLAB), without=_COMPOUND)

    def named(self, low: int, high: int, names: tuple[str, ...]) -> list[_Run]:
        """Return the runs inside [low, high), cut at its borders, ascending; two that touch may have the same name.

        Args:
            names: what a run is called by what its flags show (:class:`Shown`).
        """
        starts, ends, kinds = self._kinds if len(self.values) <= FEW else self._joined(names)
        first, last = bisect_right(ends, low), bisect_left(starts, high)
        if first >= last:
            return []
        lows, highs = starts[first:last], ends[first:last]
        lows[0], highs[-1] = max(lows[0], low), min(highs[-1], high)
        return list(zip(lows, highs, map(names.__getitem__, kinds[first:last]), strict=True))

    @cached_property
    def _kinds(self) -> _Kinds:
        starts, ends, values = self._few
        return _Kinds(starts, ends, list(map(_kind, values)))

    def _joined(self, names: tuple[str, ...]) -> _Kinds:
        """Return many runs, of which none has the name of the one that it touches."""
        found = self._named.get(names)
        if found is None:
            found = self._named[names] = self._join([names.index(name) for name in names])
        return found

    def _join(self, alike: Sequence[int]) -> _Kinds:
        """Join runs whose kinds are alike: have the same number in ``alike``."""
        values = self.values
        kinds = np.full(len(values), alike[Shown.OTHER], dtype=np.int8)
        kinds[(values & np.uint64(_BUDDY)) != 0] = alike[Shown.BUDDY]
        kinds[values == 0] = alike[Shown.NOTHING]
        kinds[(values & np.uint64(_SELF)) != 0] = alike[Shown.SELF_HOSTED]
        kinds[(values & np.uint64(_NOPAGE)) != 0] = alike[Shown.NOPAGE]
        edge = np.flatnonzero((kinds[1:] != kinds[:-1]) | (self.starts[1:] != self.ends[:-1]))
        heads, last = np.concatenate(([0], edge + 1)), np.concatenate((edge, [len(kinds) - 1]))
        return _Kinds(self.starts[heads].tolist(), self.ends[last].tolist(), kinds[heads].tolist())


@lru_cache(maxsize=1 << 10)
def _kind(value: int) -> int:
    """Return the Shown of a page's flags, as a plain number."""
    if value & _NOPAGE:
        return int(Shown.NOPAGE)
    if value & _SELF:
        return int(Shown.SELF_HOSTED)
    if not value:
        return int(Shown.NOTHING)
    return int(Shown.BUDDY if value & _BUDDY else Shown.OTHER)
