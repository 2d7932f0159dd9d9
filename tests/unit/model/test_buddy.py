"""The derived free lists, compared with a buddy allocator that keeps real lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.few import few_is

from memhotplug.model.buddy import chunk_runs, chunks_of, first_pages, free_by_order, largest_order
from memhotplug.model.extents import ExtentSet

TOP = 70
pairs_of_pfns = st.tuples(st.integers(0, TOP), st.integers(0, TOP))
runs = st.lists(pairs_of_pfns.map(lambda pair: (min(pair), max(pair))), max_size=6)
top_orders = st.integers(0, 4)


@pytest.fixture(scope="module", autouse=True, params=(0, 32), ids=("arrays", "integers"))
def _few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Arrays and plain integers give the same pages in the same order."""
    with few_is(request.param):
        yield


class Buddy:
    """A buddy allocator with one free list an order, fed page by page."""

    def __init__(self, pfns: set[int], max_order: int) -> None:
        self.max_order = max_order
        self.lists: list[set[int]] = [set() for _ in range(max_order + 1)]
        for pfn in sorted(pfns):
            self.free(pfn)

    def free(self, pfn: int) -> None:
        """Free one page, and merge it with its buddy as long as that is free too."""
        order = 0
        while order < self.max_order and pfn ^ (1 << order) in self.lists[order]:
            self.lists[order].remove(pfn ^ (1 << order))
            pfn &= ~(1 << order)
            order += 1
        self.lists[order].add(pfn)

    def alloc(self, order: int) -> int | None:
        """Take the lowest chunk of the lowest sufficient order; give back what is split off."""
        for have in range(order, self.max_order + 1):
            if not self.lists[have]:
                continue
            pfn = min(self.lists[have])
            self.lists[have].remove(pfn)
            for lower in range(order, have):
                self.lists[lower].add(pfn + (1 << lower))
            return pfn
        return None


def pfns_of(found: ExtentSet) -> set[int]:
    """Return the pfns of a set."""
    return {pfn for low, high in found for pfn in range(low, high)}


@given(runs, top_orders)
def test_free_lists_are_those_of_a_real_buddy_allocator(pairs: list[tuple[int, int]], max_order: int) -> None:
    """The number and the place of the chunks of each order follow from the set of free pages."""
    free = ExtentSet.of(*pairs)
    buddy = Buddy(pfns_of(free), max_order)

    assert free_by_order(free, max_order) == [len(chunks) for chunks in buddy.lists]
    for order in range(max_order + 1):
        starts, ends = chunk_runs(free, order, max_order)
        pieces = [
            pfn
            for low, high in zip(starts.tolist(), ends.tolist(), strict=True)
            for pfn in range(low, high, 1 << order)
        ]
        assert pieces == sorted(buddy.lists[order])
        assert chunks_of(free, order, max_order) == ExtentSet(starts, ends)


@given(runs, top_orders, st.data())
def test_first_pages_is_the_sequence_of_single_allocations(
    pairs: list[tuple[int, int]], max_order: int, data: st.DataObject
) -> None:
    """Many chunks at once are exactly those that one allocation after the other would get."""
    order = data.draw(st.integers(0, max_order))
    count = data.draw(st.integers(0, 24))
    free = ExtentSet.of(*pairs)
    buddy = Buddy(pfns_of(free), max_order)
    one_by_one = [pfn for pfn in (buddy.alloc(order) for _ in range(count)) if pfn is not None]

    pages = first_pages(free, order, count, max_order)

    at_once = [pfn for low, high in pages for pfn in range(low, high, 1 << order)]
    assert at_once == one_by_one
    free.difference_update(pages)
    assert free_by_order(free, max_order) == [len(chunks) for chunks in buddy.lists]


@given(runs, top_orders)
def test_largest_order_is_the_highest_list_that_is_not_empty(pairs: list[tuple[int, int]], max_order: int) -> None:
    """-1 stands for nothing free."""
    free = ExtentSet.of(*pairs)
    buddy = Buddy(pfns_of(free), max_order)

    assert largest_order(free, max_order) == max(
        (order for order, chunks in enumerate(buddy.lists) if chunks), default=-1
    )


def test_an_allocation_takes_the_lower_half_of_the_smallest_sufficient_chunk() -> None:
    """One order-3 and one order-2 chunk are free: the order-2 chunk is split.

    ::

        pfn  0       8   12
             [ free ]    [free]      Expect pages 12 and 13 for one allocation of order 1.
    """
    assert list(first_pages(ExtentSet.of((0, 8), (12, 16)), 1, 1, 3)) == [(12, 14)]
