"""The buddy allocator's view of a set of free pages, derived on demand.

In a fully merged buddy allocator the free lists are a function of the set of free pfns: a free,
naturally aligned chunk is on a list unless the chunk twice its size around it is free too (or it
has the top order already). So nothing but the free set is kept.

Models: mm/page_alloc.c:__free_one_page() (merging), rmqueue() (lowest sufficient order first).
"""

from __future__ import annotations

from memhotplug.lazy import np
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.runs import Runs

__all__ = ["chunk_runs", "chunks_of", "first_pages", "free_by_order", "largest_order"]


def _aligned(starts: Array, ends: Array, order: int) -> tuple[Array, Array]:
    """Return the index range of whole order-``order`` chunks inside each run (high may be below low)."""
    return -((-starts) >> order), ends >> order


def _long_runs(free: ExtentSet, order: int) -> tuple[Array, Array]:
    """Return starts and ends of the runs that may hold a chunk of an order: of a fragmented machine, few."""
    starts, ends = free.starts, free.ends
    if not order:
        return starts, ends
    long = np.flatnonzero(ends - starts >= 1 << order)
    return starts[long], ends[long]


def free_by_order(free: ExtentSet, max_order: int) -> list[int]:
    """Return the number of chunks on each free list, indexed by order, ``max_order`` inclusive."""
    if free.few is not None:
        return _few_by_order(free, max_order)
    inside = []
    for order in range(max_order + 1):
        low, high = _aligned(*_long_runs(free, order), order)
        inside.append(int(np.maximum(high - low, 0).sum()))
    return [count - 2 * larger for count, larger in zip(inside, [*inside[1:], 0], strict=True)]


def chunk_runs(free: ExtentSet, order: int, max_order: int) -> tuple[Array, Array]:
    """Return the chunks on the free list of ``order`` as ascending runs [starts, ends).

    Below the top order each run is one chunk; at the top order neighbours form one run.
    """
    runs = _long_runs(free, order)
    low, high = _aligned(*runs, order)
    if order == max_order:
        kept = high > low
        return low[kept] << order, high[kept] << order
    # A free chunk below the top order is on its list unless its buddy is free as well, so only
    # an odd first chunk and an even last chunk of each run can be.
    parent_low, parent_high = _aligned(*runs, order + 1)
    whole = parent_high > parent_low
    has_left = np.where(whole, low < 2 * parent_low, high > low)
    has_right = np.where(whole, high > 2 * parent_high, high - low > 1)
    both = np.column_stack((low, high - 1))  # of each run first and last, so that the list ascends without sorting
    starts = both[np.column_stack((has_left, has_right))] << order
    return starts, starts + (1 << order)


def chunks_of(free: ExtentSet, order: int, max_order: int) -> ExtentSet:
    """Return the pages of the chunks on the free list of ``order``."""
    if free.few is not None:
        return ExtentSet.of(*_few_chunks(_halves(free), order, max_order))
    return ExtentSet(*chunk_runs(free, order, max_order))


def first_pages(free: ExtentSet, order: int, count: int, max_order: int) -> Runs:
    """Return the pages that ``count`` allocations of ``order`` get one after the other.

    The smallest sufficient free chunk is split first and the lowest pfn wins among equals, so a
    sequence of equal allocations eats the lists in ascending order, each list ascending.

    Returns:
        Runs in allocation order, not sorted; fewer pages than asked for if the set has no more.
    """
    wanted = count << order
    if not free.total or wanted <= 0:
        return Runs()
    if free.few is not None:
        return _first_of_few(free, order, wanted, max_order)
    parts = _parts(free)
    held = int(np.bitwise_or.reduce(parts[1] | parts[2]))  # a bit for each order that some run has a chunk of
    if (low := _first_chunk(*parts, held, order, wanted, max_order)) is not None:
        return Runs.of_few([low], [low + wanted])
    starts: list[Array] = []
    ends: list[Array] = []
    for size in range(order, max_order + 1):
        if wanted <= 0:
            break
        if not (held >> size if size == max_order else held >> size & 1):
            continue
        lows, highs = chunk_runs(free, size, max_order)
        lengths = highs - lows
        taken = np.minimum(np.maximum(wanted - (np.cumsum(lengths) - lengths), 0), lengths)
        kept = taken > 0
        starts.append(lows[kept])
        ends.append(lows[kept] + taken[kept])
        wanted -= int(taken.sum())
    return Runs.of_arrays(np.concatenate(starts), np.concatenate(ends)) if starts else Runs()


def _parts(free: ExtentSet) -> tuple[Array, Array, Array]:
    """Return of each run where it splits, and the pages before and behind; as :func:`_halves`."""
    starts, ends = free.arrays
    shift = np.frexp((starts ^ ends).astype(np.float64))[1].astype(np.int64) - 1  # exact: a pfn has at most 52 bits
    middle = ends >> shift << shift
    return middle, middle - starts, ends - middle


def _first_chunk(
    middle: Array, left: Array, right: Array, held: int, order: int, wanted: int, max_order: int
) -> int | None:
    """Return what :func:`_lowest_chunk` returns, of runs by their parts and the orders that they hold."""
    there = held >> order << order
    size = min((there & -there).bit_length() - 1, max_order)
    if not there or wanted > 1 << size:
        return None
    chunks = (left | right) >> size
    at = int(np.flatnonzero(chunks if size == max_order else chunks & 1)[0])
    return _place(int(middle[at]), int(left[at]), int(right[at]), size, max_order)


def _place(middle: int, left: int, right: int, size: int, max_order: int) -> int:
    """Return where the first chunk of an order begins that a run has, by its parts."""
    if size == max_order or left >> size & 1:
        return middle - (left >> size << size)
    return middle + (right >> size + 1 << size + 1)


def largest_order(free: ExtentSet, max_order: int) -> int:
    """Return the order of the largest free chunk, -1 if nothing is free."""
    if free.few is not None:
        orders = (max(left, right).bit_length() - 1 for _, left, right in _halves(free))
        return min(max(orders, default=-1), max_order)
    for order in range(max_order, -1, -1):
        low, high = _aligned(*_long_runs(free, order), order)
        if (high > low).any():
            return order
    return -1


# ---- sets of few runs, without arrays ----


def _halves(free: ExtentSet) -> list[tuple[int, int, int]]:
    """Return of each run where it splits into chunks that grow and chunks that shrink, and the pages before and behind.

    The pages before, written in binary, are the chunks there, the smallest first: each 1 is a chunk of that order.
    Those behind are too, the largest first. Of the run [5, 14) these are 8 with 0b011 (5, then 6 and 7) and
    0b110 (8 to 11, then 12 and 13).
    """
    found = []
    for start, end in free:
        shift = (start ^ end).bit_length() - 1
        middle = end >> shift << shift
        found.append((middle, middle - start, end - middle))
    return found


def _few_by_order(free: ExtentSet, max_order: int) -> list[int]:
    found = [0] * (max_order + 1)
    for _, *parts in _halves(free):
        for pages in parts:
            found[max_order] += pages >> max_order
            rest = pages & ((1 << max_order) - 1)
            while rest:  # a chunk for each 1
                order = rest.bit_length() - 1
                found[order] += 1
                rest ^= 1 << order
    return found


def _first_of_few(free: ExtentSet, order: int, wanted: int, max_order: int) -> Runs:
    if 0 < wanted <= 1 << max_order:
        low = _lowest_chunk(free, order, wanted, max_order)
        if low is not None:
            return Runs.of_few([low], [low + wanted])
    halves = _halves(free)
    orders = 0  # a bit for each order that some run has a chunk of
    for _, left, right in halves:
        orders |= left | right
    starts: list[int] = []
    ends: list[int] = []
    for size in range(order, max_order + 1):
        if not orders >> size & (1 if size < max_order else -1):
            continue
        for low, high in _few_chunks(halves, size, max_order):
            if wanted <= 0:
                return Runs.of_few(starts, ends)
            starts.append(low)
            ends.append(min(high, low + wanted))
            wanted -= high - low
    return Runs.of_few(starts, ends)


def _lowest_chunk(free: ExtentSet, order: int, wanted: int, max_order: int) -> int | None:
    """Return where the first chunk of the lowest order from ``order`` on begins, None if that is not enough."""
    best, found, below = max_order + 1, 0, -1
    for start, end in free:
        if not (start | end) & below:
            continue  # the smallest chunks of a run lie at its ends, where it is aligned to no less than the best
        shift = (start ^ end).bit_length() - 1
        middle = end >> shift << shift
        left, right = middle - start, end - middle
        there = (left | right) >> order << order
        size = min((there & -there).bit_length() - 1, max_order) if there else best
        if size >= best:
            continue
        best, below = size, (1 << size) - 1
        found = _place(middle, left, right, size, max_order)
        if size == order:  # there is no lower one
            break
    return found if best <= max_order and wanted <= 1 << best else None


def _few_chunks(halves: list[tuple[int, int, int]], order: int, max_order: int) -> list[tuple[int, int]]:
    """Return what :func:`chunk_runs` returns, run by run."""
    size = 1 << order
    found = []
    if order == max_order:
        for middle, left, right in halves:
            if left >= size or right >= size:
                found.append((middle - (left >> order << order), middle + (right >> order << order)))
        return found
    for middle, left, right in halves:
        if left & size:
            low = middle - (left >> order << order)
            found.append((low, low + size))
        if right & size:
            high = middle + (right >> order << order)
            found.append((high - size, high))
    return found
