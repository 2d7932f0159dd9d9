"""Recorded page flags as arrays, and what they say of pages."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from memhotplug.contracts import PageFlag
from memhotplug.formats.snapshot import KPageFlags
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import FEW

__all__ = ["Flags", "Shown"]

_NOPAGE, _SELF, _BUDDY = int(PageFlag.NOPAGE), int(PageFlag.OWNER_PRIVATE), int(PageFlag.BUDDY)


class Shown(IntEnum):
    """What a page's flags show, as far as any class of pages hangs on it."""

    NOPAGE = 0
    SELF_HOSTED = 1
    NOTHING = 2
    BUDDY = 3
    OTHER = 4


class _Kinds(NamedTuple):
    """Runs that show the same, none of which goes on in the next: starts and ends, and what each shows."""

    starts: list[int]
    ends: list[int]
    kinds: list[int]


class Flags:
    """Page flags as arrays.

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
        self._shown: dict[tuple[bool, bool], _Kinds] = {}

    def having(self, mask: int, without: int = 0) -> ExtentSet:
        """Return the pages that have one of the flags of ``mask`` and none of ``without``; read it, it is kept."""
        found = self._having.get((mask, without))
        if found is None:
            found = self._having[mask, without] = self._look(mask, without)
        return found

    def _look(self, mask: int, without: int) -> ExtentSet:
        chosen = (self.values & np.uint64(mask)) != 0
        if without:
            chosen &= (self.values & np.uint64(without)) == 0
        return ExtentSet(self.starts[chosen], self.ends[chosen])

    @cached_property
    def bare(self) -> ExtentSet:
        """The pages without any flag."""
        chosen = self.values == 0
        return ExtentSet(self.starts[chosen], self.ends[chosen])

    def kinds(self, low: int, high: int, *, buddy: bool, nothing: bool) -> Iterator[tuple[int, int, int]]:
        """Yield the runs inside [low, high) that show the same, cut at its borders, each with a Shown.

        Args:
            buddy, nothing: whether pages that show this are told from others.
        """
        runs = self._shown.get((buddy, nothing))
        if runs is None:
            runs = self._shown[buddy, nothing] = self._joined(buddy, nothing)
        starts, ends, kinds = runs
        for at in range(bisect_right(ends, low), bisect_left(starts, high)):
            yield max(starts[at], low), min(ends[at], high), kinds[at]

    def _joined(self, buddy: bool, nothing: bool) -> _Kinds:
        if len(self.values) <= FEW:
            return self._few_joined(buddy, nothing)
        values = self.values
        kinds = np.full(len(values), Shown.OTHER, dtype=np.int8)
        if buddy:
            kinds[(values & np.uint64(_BUDDY)) != 0] = Shown.BUDDY
        if nothing:
            kinds[values == 0] = Shown.NOTHING
        kinds[(values & np.uint64(_SELF)) != 0] = Shown.SELF_HOSTED
        kinds[(values & np.uint64(_NOPAGE)) != 0] = Shown.NOPAGE
        edge = np.flatnonzero((kinds[1:] != kinds[:-1]) | (self.starts[1:] != self.ends[:-1]))
        heads, last = np.concatenate(([0], edge + 1)), np.concatenate((edge, [len(kinds) - 1]))
        return _Kinds(self.starts[heads].tolist(), self.ends[last].tolist(), kinds[heads].tolist())

    def _few_joined(self, buddy: bool, nothing: bool) -> _Kinds:
        starts, ends, kinds = found = _Kinds([], [], [])
        behind, last = -1, -1
        runs = zip(self.starts.tolist(), self.ends.tolist(), self.values.tolist(), strict=True)
        for start, end, value in runs:
            kind = _kind(value, buddy, nothing)
            if kind == last and behind == start:
                ends[-1] = end
            else:
                starts.append(start)
                ends.append(end)
                kinds.append(kind)
            behind, last = end, kind
        return found


def _kind(value: int, buddy: bool, nothing: bool) -> Shown:
    if value & _NOPAGE:
        return Shown.NOPAGE
    if value & _SELF:
        return Shown.SELF_HOSTED
    if not value and nothing:
        return Shown.NOTHING
    return Shown.BUDDY if buddy and value & _BUDDY else Shown.OTHER
