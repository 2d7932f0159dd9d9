"""What the pages of a piece of memory are used for, by whoever holds them; the cost grows with extents, not pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memhotplug.contracts import PageFlag
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.views.struct_page import project_pages
from memhotplug.memory_map.runs import MapRun
from memhotplug.model.extents import ExtentSet
from memhotplug.model.vmemmap import Source

__all__ = ["FlagCache", "Holding", "holdings"]

_MOST_OWNERS: Final = 24
"""Owners of allocations that are told apart; the smaller ones of more are one."""
_MEMMAP: Final = {
    Source.BOOT: "memmap since boot",
    Source.ALTMAP: "memmap, self-hosted",
    Source.ALLOCATOR: "memmap, from the page allocator",
}
_OFFLINE: Final = "nobody: offline"
_REST: Final = "the rest"

FlagCache = dict[tuple[str, str], tuple[str, ...]]
"""Flags by owner and kind of run: all pages of a kind that one owner holds have the same."""

_Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Holding:
    """What one owner holds of a piece of memory.

    Attributes:
        owner: a workload, a part of the kernel, or the lists of free pages.
        pages: how many pages.
        runs: in how many runs of neighbours; 0 where they are not told apart.
        first, last: the first and the last page frame of them.
        flags: what their struct pages say, as tools/mm/page-types calls it, in capitals.
    """

    owner: str
    pages: int
    runs: int
    first: int
    last: int
    flags: tuple[str, ...]


def holdings(
    kernel: Kernel, runs: Sequence[MapRun], most: int = 8, known: FlagCache | None = None
) -> list[tuple[Holding, ...]]:
    """Return for each run of memory blocks who holds its pages, the largest first.

    Args:
        most: owners of one run that are told apart; the smaller ones of more are ``the rest``.
        known: flags that were looked up before, which this adds to; of the same profile.
    """
    flags = {} if known is None else known
    size = kernel.geometry.page_size
    starts = np.array([run.start // size for run in runs], dtype=np.int64)
    ends = np.array([run.end // size for run in runs], dtype=np.int64)
    left = _pages_of(kernel, runs)
    found: list[list[Holding]] = [[] for _ in runs]
    for owner, pages in _owners(kernel):
        for index, row in _held(pages, starts, ends):
            left[index] -= row[0]
            found[index].append(Holding(owner, *row, _flags(kernel, flags, owner, runs[index].kind, row[2])))
    left -= kernel.state.holes.covered_many(starts, ends)
    for index, (run, rest) in enumerate(zip(runs, left.tolist(), strict=True)):
        if rest > 0:
            owner = _OFFLINE if run.kind == "offline" else _REST
            last = int(ends[index]) - 1
            said = _flags(kernel, flags, owner, run.kind, last)
            found[index].append(Holding(owner, rest, 0, int(starts[index]), last, said))
    return [_folded(sorted(parts, key=lambda part: (-part.pages, part.first)), most) for parts in found]


def _pages_of(kernel: Kernel, runs: Sequence[MapRun]) -> _Array:
    """Return the pages of each run; where unlike blocks were folded there may be holes between them."""
    ids = kernel.state.blocks.id
    first, last = (np.array([run.blocks[end] for run in runs], dtype=np.int64) for end in (0, 1))
    blocks = np.searchsorted(ids, last, side="right") - np.searchsorted(ids, first, side="left")
    return np.asarray(blocks * kernel.geometry.pages_per_block, dtype=np.int64)


def _owners(kernel: Kernel) -> Iterator[tuple[str, ExtentSet]]:
    """Yield everybody who holds pages, and which."""
    state = kernel.state
    for zone in state.zones():
        yield f"free in {zone.kind.label}", zone.free
        yield f"free in {zone.kind.label}, on lists of CPUs", zone.pcp
    for source, name in _MEMMAP.items():
        yield name, state.vmemmap.backing_from(source)
    yield "reserved at boot", state.reserved
    yield "withheld by the driver", state.withheld
    yield "poisoned", state.poisoned
    held = sorted(state.allocations.values(), key=lambda one: (-one.pages.total, one.name))
    for one in held[:_MOST_OWNERS]:
        yield f"kernel: {one.name}" if one.kernel else one.name, one.pages
    others = held[_MOST_OWNERS:]
    if others:
        low = np.concatenate([one.pages.starts for one in others])
        high = np.concatenate([one.pages.ends for one in others])
        order = np.argsort(low)
        yield f"{len(others)} smaller owners", ExtentSet(low[order], high[order])


def _held(pages: ExtentSet, starts: _Array, ends: _Array) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """Yield the index of each piece that has some of the pages, with how many, in how many runs, first and last."""
    if not pages.total or not len(starts):
        return
    counts = pages.covered_many(starts, ends)
    lows, highs = pages.starts, pages.ends
    for index in np.flatnonzero(counts).tolist():
        begin, end = int(starts[index]), int(ends[index])
        low = int(np.searchsorted(highs, begin, side="right"))
        high = int(np.searchsorted(lows, end, side="left"))
        first, last = max(int(lows[low]), begin), min(int(highs[high - 1]), end) - 1
        yield index, (int(counts[index]), high - low, first, last)


def _flags(kernel: Kernel, known: FlagCache, owner: str, kind: str, pfn: int) -> tuple[str, ...]:
    key = owner, kind
    if key not in known:
        said = PageFlag(int(project_pages(kernel, pfn, 1)["flags"][0]))
        known[key] = tuple(str(flag.name) for flag in PageFlag if flag in said)
    return known[key]


def _folded(parts: Sequence[Holding], most: int) -> tuple[Holding, ...]:
    if len(parts) <= most:
        return tuple(parts)
    kept, others = parts[: most - 1], parts[most - 1 :]  # the rest takes a row, too
    first, last = min(part.first for part in others), max(part.last for part in others)
    rest = Holding(f"{len(others)} smaller owners", sum(part.pages for part in others), 0, first, last, ())
    return (*kept, rest)
