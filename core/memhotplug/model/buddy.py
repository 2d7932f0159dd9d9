"""The buddy allocator's view of a set of free pages, derived on demand.

In a fully merged buddy allocator the free lists are a function of the set of free pfns: a free,
naturally aligned chunk is on a list unless the chunk twice its size around it is free too (or it
has the top order already). So nothing but the free set is kept.

Models: mm/page_alloc.c:__free_one_page() (merging), rmqueue() (lowest sufficient order first).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memhotplug.model.extents import EMPTY, Array, ExtentSet
from memhotplug.units import div_round_up

__all__ = ["chunk_runs", "first_pages", "free_by_order", "largest_order"]


def _aligned(free: ExtentSet, order: int) -> tuple[Array, Array]:
    """Return the index range of whole order-``order`` chunks inside each run (high may be below low)."""
    return -((-free.starts) >> order), free.ends >> order


def free_by_order(free: ExtentSet, max_order: int) -> list[int]:
    """Return the number of chunks on each free list, indexed by order, ``max_order`` inclusive."""
    inside = []
    for order in range(max_order + 1):
        low, high = _aligned(free, order)
        inside.append(int(np.maximum(high - low, 0).sum()))
    return [count - 2 * larger for count, larger in zip(inside, [*inside[1:], 0], strict=True)]


def chunk_runs(free: ExtentSet, order: int, max_order: int) -> tuple[Array, Array]:
    """Return the chunks on the free list of ``order`` as ascending runs [starts, ends).

    Below the top order each run is one chunk; at the top order neighbours form one run.
    """
    low, high = _aligned(free, order)
    if order == max_order:
        kept = high > low
        return low[kept] << order, high[kept] << order
    # A free chunk below the top order is on its list unless its buddy is free as well, so only
    # an odd first chunk and an even last chunk of each run can be.
    parent_low, parent_high = _aligned(free, order + 1)
    whole = parent_high > parent_low
    has_left = np.where(whole, low < 2 * parent_low, high > low)
    has_right = np.where(whole, high > 2 * parent_high, high - low > 1)
    both = np.column_stack((low, high - 1))  # of each run first and last, so that the list ascends without sorting
    starts = both[np.column_stack((has_left, has_right))] << order
    return starts, starts + (1 << order)


def first_pages(free: ExtentSet, order: int, count: int, max_order: int) -> tuple[Array, Array]:
    """Return the pages that ``count`` allocations of ``order`` get one after the other.

    The smallest sufficient free chunk is split first and the lowest pfn wins among equals, so a
    sequence of equal allocations eats the lists in ascending order, each list ascending.

    Returns:
        Runs in allocation order, not sorted; fewer pages than asked for if the set has no more.
    """
    if free.is_few:
        return _first_of_few(free, order, count, max_order)
    wanted = count << order
    starts: list[Array] = []
    ends: list[Array] = []
    for size in range(order, max_order + 1):
        if wanted <= 0:
            break
        low, high = chunk_runs(free, size, max_order)
        lengths = high - low
        taken = np.minimum(np.maximum(wanted - (np.cumsum(lengths) - lengths), 0), lengths)
        kept = taken > 0
        starts.append(low[kept])
        ends.append(low[kept] + taken[kept])
        wanted -= int(taken.sum())
    if not starts:
        return EMPTY, EMPTY
    return np.concatenate(starts), np.concatenate(ends)


def _first_of_few(free: ExtentSet, order: int, count: int, max_order: int) -> tuple[Array, Array]:
    """Do what :func:`first_pages` does, for a set of few runs without arrays."""
    wanted = count << order
    starts: list[int] = []
    ends: list[int] = []
    for size in range(order, max_order + 1):
        for low, high in _few_chunks(free, size, max_order):
            if wanted <= 0:
                return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)
            taken = min(wanted, high - low)
            starts.append(low)
            ends.append(low + taken)
            wanted -= taken
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def _few_chunks(free: ExtentSet, order: int, max_order: int) -> Iterator[tuple[int, int]]:
    """Yield what :func:`chunk_runs` returns, run by run."""
    size = 1 << order
    for start, end in free:
        low, high = div_round_up(start, 1 << order), end >> order
        if high <= low:
            continue
        if order == max_order:
            yield low << order, high << order
            continue
        parent_low, parent_high = div_round_up(start, 1 << order + 1), end >> order + 1
        whole = parent_high > parent_low
        if low < 2 * parent_low or not whole:
            yield low << order, (low << order) + size
        if (high > 2 * parent_high) if whole else (high - low > 1):
            yield (high - 1) << order, (high - 1 << order) + size


def largest_order(free: ExtentSet, max_order: int) -> int:
    """Return the order of the largest free chunk, -1 if nothing is free."""
    for order in range(max_order, -1, -1):
        low, high = _aligned(free, order)
        if (high > low).any():
            return order
    return -1
