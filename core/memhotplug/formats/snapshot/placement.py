"""Choosing where a recorded zone's free pages lie, so that its buddy lists come out as they were counted.

/proc/buddyinfo tells how many free chunks of each order a zone has, not where. ``place_free`` picks
positions; ``count_by_order`` is its inverse: the fully merged buddy decomposition of a set of pages.

Why taking the lowest place each time is enough: let an order-k place be an aligned run of 2**k
usable pages. Working downwards, each order-k chunk takes one order-k place whatever place it is,
and needs a pair of places (an aligned run of 2**(k+1)) in which no other order-k chunk lies, or the
two would merge. How many pairs hold a place does not depend on the choices made for larger orders,
so a count fits if and only if the lowest places suffice for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memhotplug.errors import InputError
from memhotplug.formats.snapshot.extents import merge
from memhotplug.units import div_round_up, round_down, round_up

__all__ = ["Columns", "Extent", "Pfns", "count_by_order", "pages_in", "place_free"]

Pfns = NDArray[np.int64]
#: Half-open, sorted, disjoint ranges of pfns: starts and ends, int64, shape (n,).
Extent = tuple[Pfns, Pfns]
Columns: TypeAlias = tuple[Pfns | list[int], Pfns | list[int]]
"""Ranges of pfns in any order: starts and ends, few as plain integers."""

_FEW = 128  # runs and chunks up to which plain integers are faster than arrays

#: 256 TiB in chunks of order 10; more is no machine, and would not fit into ours.
_MAX_CHUNKS = 1 << 26

_NONE: Extent = (np.empty(0, np.int64), np.empty(0, np.int64))


def place_free(
    spans: Columns, counts: Sequence[int], max_order: int, *, avoid: Columns | None = None, place: str = "the zone"
) -> Columns:
    """Return extents of free pages whose buddy decomposition is exactly ``counts``.

    Args:
        spans: the zone's present pfns.
        counts: free chunks by order, ``max_order + 1`` numbers.
        max_order: the largest order that the buddy allocator keeps.
        avoid: pfns to keep in use (kernel image, memmap) as far as the counts allow; ``pages_in``
            tells how many had to be taken all the same.
        place: what to call the zone in an error.

    Returns:
        (starts, ends), sorted, disjoint and merged, as lists if there are few; deterministic, as low as possible for
        each order.

    Raises:
        InputError: the counts do not fit into ``spans``; says which order, how many, and how many would.

    A chunk of 4 pages, the largest order here, and two single pages in a zone of 16: the chunk first, each as low as it
    can be, and the single pages apart, since two that are buddies would be a chunk of 2:

    >>> place_free(([0], [16]), [2, 0, 1], 2)
    ([0, 6], [5, 7])
    """
    if len(counts) != max_order + 1 or min(counts, default=0) < 0:
        raise InputError(f"{max_order + 1} numbers of free chunks, none negative, for {place}", got=list(counts))
    if sum(counts) > _MAX_CHUNKS:
        raise InputError(f"at most {_MAX_CHUNKS} free chunks in {place}", got=sum(counts))
    if len(spans[0]) <= _FEW and sum(counts[:-1]) <= _FEW:
        return _place_few(_listed(spans), counts, None if avoid is None else _listed(avoid), place)
    usable = _merged(*spans)
    clean = usable if avoid is None else _difference(usable, _merged(*avoid))
    free = _NONE
    for order in range(max_order, -1, -1):
        if not counts[order]:
            continue
        taken = _take(usable, clean, counts[order], order, top=order == max_order)
        if len(taken) < counts[order]:
            raise _too_many(len(taken), order, place, _held(_listed(spans)), counts[order])
        chunks = _merged(taken << order, (taken + 1) << order)
        free = _merged(np.concatenate((free[0], chunks[0])), np.concatenate((free[1], chunks[1])))
        usable = _difference(usable, chunks)
        clean = usable if avoid is None else _difference(clean, chunks)
    return free


def _too_many(room: int, order: int, place: str, pages: int, count: int) -> InputError:
    expected = f"at most {room} free chunks of order {order} in {place}, which has {pages} pages"
    return InputError(expected, got=count)


def count_by_order(starts: Pfns | list[int], ends: Pfns | list[int], max_order: int) -> NDArray[np.int64]:
    """Return the free chunks by order of a set of pages, shape (max_order + 1,), everything merged that can be.

    Args:
        starts, ends: pfn extents of one zone, half-open, disjoint and merged (no extent touches another).
        max_order: chunks are never larger.

    Models: mm/page_alloc.c:__free_one_page() (v5.2), after any sequence of frees.
    """
    starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    runs = np.zeros(max_order + 2, np.int64)
    for order in range(max_order + 1):
        first = (starts + ((1 << order) - 1)) >> order
        runs[order] = np.maximum((ends >> order) - first, 0).sum()
    return runs[:-1] - 2 * runs[1:]


def pages_in(free: Columns, extents: Columns) -> int:
    """Return how many pages lie both in ``free`` (sorted, disjoint) and in ``extents`` (any order)."""
    held = _merged(*free)
    return _pages(held) - _pages(_difference(held, _merged(*extents)))


def _take(usable: Extent, clean: Extent, count: int, order: int, *, top: bool) -> Pfns:
    """Return up to ``count`` chunk numbers (pfn >> order), clean ones first, no two of which could merge."""
    taken = _lowest(clean, count, order, top=top)
    if len(taken) == count or clean is usable:
        return taken
    # Places that are not clean: whatever is left after the chunks and, below the top, their buddies.
    width = 0 if top else 1
    pairs = taken >> width
    rest = _difference(usable, _merged(pairs << (order + width), (pairs + 1) << (order + width)))
    more = _lowest(rest, count - len(taken), order, top=top)
    return np.sort(np.concatenate((taken, more)))


def _lowest(extents: Extent, count: int, order: int, *, top: bool) -> Pfns:
    """Return the lowest ``count`` places of this order, below the top at most one in each pair."""
    starts, ends = extents
    first = (starts + ((1 << order) - 1)) >> order
    last = ends >> order  # exclusive
    fits = last > first
    first, last = first[fits], last[fits]
    if top:
        return _first_integers(first, last, count)
    # Extents do not touch, so both places of a pair lie in the same extent.
    pairs = _first_integers(first >> 1, ((last - 1) >> 1) + 1, count)
    owner = np.searchsorted(first >> 1, pairs, side="right") - 1
    return np.maximum(pairs << 1, first[owner]) if len(pairs) else pairs


def _first_integers(starts: Pfns, ends: Pfns, count: int) -> Pfns:
    """Return the lowest ``count`` integers in sorted, disjoint ranges."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    used = int(np.searchsorted(before, count, side="left"))
    starts, lengths, before = starts[:used], lengths[:used].copy(), before[:used]
    if used:
        lengths[-1] = min(int(lengths[-1]), count - int(before[-1]))
    total = int(lengths.sum())
    return np.repeat(starts - before, lengths) + np.arange(total, dtype=np.int64)


def _merged(starts: Pfns | list[int], ends: Pfns | list[int]) -> Extent:
    """Return the union of ranges in any order, as sorted extents that do not touch."""
    starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    filled = ends > starts
    starts, ends = starts[filled], ends[filled]
    if not len(starts):
        return _NONE
    by_start = np.argsort(starts, kind="stable")
    starts, ends = starts[by_start], np.maximum.accumulate(ends[by_start])
    opens = np.concatenate(([True], starts[1:] > ends[:-1]))
    return starts[opens], ends[np.concatenate((opens[1:], [True]))]


def _difference(left: Extent, right: Extent) -> Extent:
    """Return what lies in ``left`` but not in ``right``; both sorted and disjoint, as is the result."""
    if not len(left[0]) or not len(right[0]):
        return left
    # Sweep over all borders: inside the left while its depth is one, outside the right while its is zero.
    borders = np.concatenate((left[0], left[1], right[0], right[1]))
    steps = np.repeat(np.array([1, -1, -2, 2], np.int64), [len(left[0])] * 2 + [len(right[0])] * 2)
    order = np.argsort(borders, kind="stable")
    borders, depth = borders[order], np.cumsum(steps[order])
    inside = (depth[:-1] == 1) & (borders[1:] > borders[:-1])
    return _merged(borders[:-1][inside], borders[1:][inside])


def _pages(extents: Extent) -> int:
    return int((extents[1] - extents[0]).sum())


# ---- few runs and few chunks, without arrays ----

_Chunks = list[tuple[int, int]]
"""Runs of pfns, ascending, disjoint: single chunks, at the top order neighbours as one run."""


def _place_few(spans: _Chunks, counts: Sequence[int], avoid: _Chunks | None, place: str) -> tuple[list[int], list[int]]:
    """Return what :func:`place_free` returns, from the same choices, run by run."""
    clean = spans if avoid is None else _without(spans, avoid)
    free: _Chunks = []
    for order in range(len(counts) - 1, -1, -1):
        count, top = counts[order], order == len(counts) - 1
        if not count:
            continue
        taken, left, short = _lowest_few(clean, count, order, top=top)
        if short and avoid is not None:
            pair = 1 << order + (not top)  # below the top, a chunk's buddy is out as well
            whole = [(round_down(start, pair), round_up(end, pair)) for start, end in taken]
            more, _, short = _lowest_few(_without(_without(spans, sorted(free)), whole), short, order, top=top)
            left = _without(left, more)
            taken += more
        if short:
            raise _too_many(count - short, order, place, _held(spans), count)
        free += taken
        clean = left
    runs = merge(free)
    return [start for start, _ in runs], [end for _, end in runs]


def _lowest_few(runs: _Chunks, count: int, order: int, *, top: bool) -> tuple[_Chunks, _Chunks, int]:
    """Return the lowest ``count`` places of this order, below the top at most one in each pair.

    Beside them, what is left, and how many places there are too few.
    """
    found: _Chunks = []
    left: _Chunks = []
    for at, (start, end) in enumerate(runs):
        if count <= 0:
            left += runs[at:]
            break
        place, last = div_round_up(start, 1 << order), end >> order
        while place < last and count > 0:
            high = min(place + count, last) if top else place + 1
            count -= high - place
            low = place << order
            if start < low:
                left.append((start, low))
            start = high << order
            found.append((low, start))
            place = high + 1 & ~1  # the first of the next pair
        if start < end:
            left.append((start, end))
    return found, left, count


def _without(runs: _Chunks, others: _Chunks) -> _Chunks:
    """Return what lies in runs but in none of the others; both ascending and disjoint."""
    found: _Chunks = []
    at, count = 0, len(others)
    for start, end in runs:
        while at < count and others[at][1] <= start:
            at += 1
        here = at
        while here < count and others[here][0] < end:
            low, high = others[here]
            if start < low:
                found.append((start, low))
            start = max(start, high)
            here += 1
        if start < end:
            found.append((start, end))
    return found


def _listed(extents: Columns) -> _Chunks:
    starts, ends = (column if isinstance(column, list) else column.tolist() for column in extents)
    return list(merge(zip(starts, ends, strict=True)))


def _held(runs: _Chunks) -> int:
    return sum(end - start for start, end in runs)
