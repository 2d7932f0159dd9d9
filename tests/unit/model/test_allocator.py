"""The page allocator: order of zones, watermarks, and bulk requests that equal single ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.model.allocator import alloc_pages, allocatable_chunks, disown, free_pages, give_back, own
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.runs import Runs
from memhotplug.model.state import MachineState, Owner, Use
from memhotplug.model.zones import ZoneKind

Make = Callable[[dict[tuple[int, ZoneKind], tuple[int, int]]], MachineState]
DMA, DMA32, NORMAL, MOVABLE = ZoneKind


def pfns(got: Runs) -> list[int]:
    """Return the pages of an answer in allocation order."""
    return [pfn for low, high in got for pfn in range(low, high)]


def free_of(state: MachineState) -> dict[tuple[int, ZoneKind], int]:
    """Return the free pages of the zones that manage any."""
    return {zone.key: zone.nr_free for zone in state.zones() if zone.managed}


marks = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair), 99))
holes = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 9)), max_size=8)


@given(
    st.lists(marks, min_size=4, max_size=4),
    st.lists(st.integers(0, 20), min_size=4, max_size=4),
    holes,
    st.integers(0, 4),
    st.integers(0, 130),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 140)),
)
def test_bulk_equals_one_by_one(
    make_state: Make,
    wmarks: list[tuple[int, int, int]],
    reserves: list[int],
    taken: list[tuple[int, int]],
    order: int,
    count: int,
    movable: bool,
    budget: int | None,
) -> None:
    """The same pages in the same order, and the same state left behind, watermarks and all."""
    state = make_state({(0, DMA32): (0, 64), (0, NORMAL): (64, 150), (0, MOVABLE): (150, 220), (1, NORMAL): (220, 300)})
    zones = [zone for zone in state.zones() if zone.managed]
    for zone, mark, reserve in zip(zones, wmarks, reserves, strict=True):
        zone.wmark, zone.protection = mark, (0, 0, reserve, reserve)
        for start, size in taken:
            zone.free.remove(start, start + size)
    state.fail_allocation = budget
    single = state.copy()

    bulk_pages = pfns(alloc_pages(state, order, count, nid=0, movable=movable))
    single_pages: list[int] = []
    for _ in range(count):
        got = pfns(alloc_pages(single, order, 1, nid=0, movable=movable))
        if not got:
            break
        single_pages += got

    assert bulk_pages == single_pages
    assert [list(zone.free) for zone in state.zones()] == [list(zone.free) for zone in single.zones()]
    if budget is not None and count < budget:
        assert state.fail_allocation == budget - count or len(bulk_pages) < count << order


def test_low_watermarks_everywhere_come_before_min_watermarks_anywhere(make_state: Make) -> None:
    """Each zone gives down to its low mark first; then, in the same order, down to its min mark."""
    state = make_state({(0, DMA32): (0, 100), (0, NORMAL): (100, 200), (1, NORMAL): (200, 300)})
    for zone in state.zones():
        zone.wmark = (10, 30, 50)

    assert len(pfns(alloc_pages(state, 0, 70, nid=0))) == 70
    assert free_of(state) == {(0, DMA32): 100, (0, NORMAL): 30, (1, NORMAL): 100}
    alloc_pages(state, 0, 140, nid=0)
    assert free_of(state) == {(0, DMA32): 30, (0, NORMAL): 30, (1, NORMAL): 30}
    alloc_pages(state, 0, 21, nid=0)
    assert free_of(state) == {(0, DMA32): 29, (0, NORMAL): 10, (1, NORMAL): 30}
    assert len(pfns(alloc_pages(state, 0, 1000, nid=0))) == 39
    assert free_of(state) == {(0, DMA32): 10, (0, NORMAL): 10, (1, NORMAL): 10}


def test_nodes_follow_by_higher_ids_and_wrap(make_state: Make) -> None:
    """All nodes are equally far: from node 1 the order is 1, 2, 0."""
    state = make_state({(nid, NORMAL): (nid * 10, nid * 10 + 10) for nid in range(3)})

    assert [zone.key for zone in state.zonelist(1, NORMAL)] == [(1, NORMAL), (2, NORMAL), (0, NORMAL)]
    assert [pfn // 10 for pfn in pfns(alloc_pages(state, 0, 25, nid=1))] == [1] * 10 + [2] * 10 + [0] * 5


def test_nodes_without_a_cpu_come_first(make_state: Make) -> None:
    """The kernel spares the memory of other CPUs: from node 1 first its own, then node 2, then node 0 with its CPU."""
    state = make_state({(nid, NORMAL): (nid * 10, nid * 10 + 10) for nid in range(4)})
    for nid, has_cpu in enumerate((True, True, False, True)):
        state.nodes[nid].has_cpu = has_cpu

    orders = {nid: [zone.nid for zone in state.zonelist(nid, NORMAL)] for nid in range(4)}
    assert orders == {0: [0, 2, 1, 3], 1: [1, 2, 3, 0], 2: [2, 3, 0, 1], 3: [3, 2, 0, 1]}


def test_a_zone_without_managed_pages_is_in_no_zonelist(make_state: Make) -> None:
    """A new node's empty zones are skipped, and its memmap lands elsewhere."""
    state = make_state({(0, NORMAL): (0, 10), (1, MOVABLE): (10, 20)})

    assert [zone.key for zone in state.zonelist(1, NORMAL)] == [(0, NORMAL)]
    assert pfns(alloc_pages(state, 0, 2, nid=1)) == [8, 9]


def test_kernel_pages_never_come_from_movable(make_state: Make) -> None:
    """Movable requests try Movable first, then the kernel zones below."""
    zones = {(0, DMA): (0, 4), (0, NORMAL): (10, 14), (0, MOVABLE): (20, 24)}

    assert pfns(alloc_pages(make_state(zones), 0, 99, nid=0)) == [10, 11, 12, 13, 0, 1, 2, 3]
    assert pfns(alloc_pages(make_state(zones), 0, 99, nid=0, movable=True)) == [
        20, 21, 22, 23, 10, 11, 12, 13, 0, 1, 2, 3,
    ]  # fmt: skip


def test_a_node_can_be_avoided(make_state: Make) -> None:
    """Migration away from a node uses the others only."""
    state = make_state({(0, NORMAL): (0, 10), (1, NORMAL): (10, 20)})

    assert pfns(alloc_pages(state, 0, 99, nid=0, avoid=0)) == list(range(10, 20))


def test_lower_zones_keep_their_reserve_from_higher_requests(make_state: Make) -> None:
    """The lowmem reserve is indexed by the type of the highest zone that the request may use."""
    state = make_state({(0, DMA32): (0, 100), (0, NORMAL): (100, 110)})
    state.zone((0, DMA32)).protection = (0, 0, 60, 90)

    assert len(pfns(alloc_pages(state, 0, 99, nid=0))) == 50
    assert len(pfns(alloc_pages(state, 0, 99, nid=0, movable=True))) == 0


def test_the_watermark_must_hold_after_the_allocation(make_state: Make) -> None:
    """free - chunk >= mark + reserve, whatever the order."""
    zone = make_state({(0, NORMAL): (0, 64)}).zone((0, NORMAL))
    zone.wmark, zone.protection = (8, 16, 24), (0, 0, 4, 0)

    assert [allocatable_chunks(zone, order, NORMAL, 0) for order in (0, 3, 5, 6)] == [52, 6, 1, 0]
    assert allocatable_chunks(zone, 2, NORMAL, 1) == 11


def test_fault_injection_lets_so_many_allocations_through(make_state: Make) -> None:
    """After the third nothing succeeds any more; None stands for no limit."""
    state = make_state({(0, NORMAL): (0, 64)})
    state.fail_allocation = 3

    assert len(pfns(alloc_pages(state, 1, 2, nid=0))) == 4
    assert state.fail_allocation == 1
    assert len(pfns(alloc_pages(state, 0, 2, nid=0))) == 1
    assert pfns(alloc_pages(state, 0, 2, nid=0)) == []
    state.fail_allocation = None
    assert len(pfns(alloc_pages(state, 0, 2, nid=0))) == 2


def test_pages_on_per_cpu_lists_are_drained_where_only_pieces_are_free(make_state: Make) -> None:
    """Free pages enough, but no chunk of the order: compaction drains, and then there is one."""
    state = make_state({(0, NORMAL): (0, 4)})
    zone = state.zone((0, NORMAL))
    zone.free, zone.pcp = ExtentSet.of((0, 1), (2, 3)), ExtentSet.of((1, 2), (3, 4))

    assert pfns(alloc_pages(state, 1, 1, nid=0)) == [0, 1]
    assert zone.pcp.total == 0


def test_pages_on_per_cpu_lists_do_not_lift_a_zone_above_its_watermark(make_state: Make) -> None:
    """Single pages neither: of which type those are that wait nobody can tell."""
    state = make_state({(0, NORMAL): (0, 8)})
    zone = state.zone((0, NORMAL))
    zone.free, zone.pcp = ExtentSet.of((0, 4)), ExtentSet.of((4, 8))
    zone.wmark = (3, 3, 3)

    assert [allocatable_chunks(zone, order, NORMAL, 0) for order in (0, 1)] == [1, 0]
    zone.wmark = (4, 4, 4)
    assert [allocatable_chunks(zone, order, NORMAL, 0) for order in (0, 1)] == [0, 0]


def test_an_allocation_that_fails_does_not_drain_the_lists(make_state: Make) -> None:
    """The kernel does that only when reclaim has got something, and here nothing is reclaimed."""
    state = make_state({(0, NORMAL): (0, 64)})
    zone = state.zone((0, NORMAL))
    zone.free, zone.pcp = ExtentSet.of((0, 16)), ExtentSet.of((32, 64))
    zone.wmark = (10, 10, 10)

    assert alloc_pages(state, 0, 40, nid=0).total == 6
    assert alloc_pages(state, 3, 1, nid=0).total == 0
    assert zone.pcp.total == 32


def test_free_pages_go_back_to_the_zones_that_their_struct_pages_name(make_state: Make) -> None:
    """A run may span zones; pages in no zone are lost."""
    state = make_state({(0, DMA32): (0, 10), (0, NORMAL): (10, 20)})
    for zone in state.zones():
        zone.free = ExtentSet()

    assert free_pages(state, *_arrays(5, 25)) == 15
    assert free_of(state) == {(0, DMA32): 5, (0, NORMAL): 10}


def _arrays(start: int, end: int) -> tuple[Array, Array]:
    found = ExtentSet.of((start, end))
    return found.starts, found.ends


def test_what_the_kernel_owns_grows_and_goes_youngest_first(make_state: Make) -> None:
    """The highest pages are freed first; who owns nothing has nothing to free."""
    state, owner = make_state({(0, NORMAL): (0, 1000)}), Owner(Use.BLOCK_DEVICES)
    before = free_of(state)
    disown(state, owner, 5)
    assert free_of(state) == before

    for _ in range(2):
        own(state, owner, alloc_pages(state, 0, 3, nid=0))
    held = list(state.allocations[owner].pages)
    disown(state, owner, 4)

    left = list(state.allocations[owner].pages)
    assert state.allocations[owner].pages.total == 2
    assert (left[0][0], left[-1][1]) == (held[0][0], held[-1][1] - 4)
    assert sum(free_of(state).values()) == sum(before.values()) - 2


def with_cma(make_state: Make) -> MachineState:
    """Return a state with one Normal zone of 64 pages: CMA owns the upper half, and 8 pages below it are barred."""
    state = make_state({(0, NORMAL): (0, 64)})
    zone = state.zone((0, NORMAL))
    zone.cma_pages = ExtentSet.of((32, 64))
    zone.barred = ExtentSet.of((24, 32))
    return state


@pytest.mark.parametrize(("movable", "pages"), [(False, [(0, 24)]), (True, [(0, 24), (32, 64)])])
def test_what_is_not_for_everybody_is_not_given_to_everybody(
    make_state: Make, movable: bool, pages: list[tuple[int, int]]
) -> None:
    """Kernel memory gets neither CMA nor barred pages, movable memory CMA; however much is asked for."""
    state = with_cma(make_state)
    given = alloc_pages(state, 0, 1000, nid=0, movable=movable)
    assert list(ExtentSet(given.starts, given.ends)) == pages
    zone = state.zone((0, NORMAL))
    assert zone.free.total == 64 - given.total


def test_the_watermark_counts_only_what_the_request_could_get(make_state: Make) -> None:
    """64 free pages, of which 8 are barred and 32 are CMA's: a mark of 20 leaves kernel memory four, movable 36."""
    zone = with_cma(make_state).zone((0, NORMAL))
    zone.wmark = (10, 20, 30)
    assert [allocatable_chunks(zone, 0, NORMAL, mark) for mark in (1, 0)] == [4, 14]
    assert [allocatable_chunks(zone, 0, MOVABLE, mark) for mark in (1, 0)] == [36, 46]
    assert [allocatable_chunks(zone, order, NORMAL, 0) for order in (1, 2, 3, 4)] == [7, 3, 1, 0]


def test_the_high_atomic_reserve_keeps_pages_that_are_in_use(make_state: Make) -> None:
    """As large as it was set aside, even where less of it is free."""
    zone = make_state({(0, NORMAL): (0, 64)}).zone((0, NORMAL))
    zone.highatomic = 40
    assert allocatable_chunks(zone, 0, NORMAL, 0) == 24


def test_nothing_is_taken_where_nothing_is_asked_for(make_state: Make) -> None:
    """No zone is looked at, and fault injection counts nothing."""
    state = make_state({(0, NORMAL): (0, 64)})
    state.fail_allocation = 3
    assert alloc_pages(state, 0, 0, nid=0).total == 0
    assert (state.fail_allocation, state.zone((0, NORMAL)).free.total) == (3, 64)


@pytest.mark.parametrize(
    ("order", "count", "drained"), [(0, 3, False), (0, 10, False), (3, 1, False), (3, 2, True), (4, 1, True)]
)
def test_per_cpu_lists_are_drained_only_if_the_chunks_are_not_there(
    make_state: Make, order: int, count: int, drained: bool
) -> None:
    """A run of eight and one page in each of the others is free; the rest waits on the lists."""
    state = make_state({(0, NORMAL): (0, 64)})
    zone = state.zone((0, NORMAL))
    zone.free.remove(8, 64)
    singles = ExtentSet.of(*((low, low + 1) for low in range(8, 64, 2)))
    zone.free.update(singles)
    zone.pcp = ExtentSet.of(*((low, low + 1) for low in range(9, 64, 2)))
    given = alloc_pages(state, order, count, nid=0)
    assert given.total == count << order
    assert (zone.pcp.total == 0) is drained


def test_pages_of_nobody_are_lost(make_state: Make) -> None:
    """No struct page names a zone for them; the others go where they belong."""
    state = make_state({(0, NORMAL): (0, 64), (1, NORMAL): (64, 128)})
    for nid in (0, 1):
        state.zone((nid, NORMAL)).free = ExtentSet()
    assert give_back(state, ExtentSet.of((60, 70), (120, 140))) == 18
    assert [list(state.zone((nid, NORMAL)).free) for nid in (0, 1)] == [[(60, 64)], [(64, 70), (120, 128)]]


def test_the_youngest_pages_of_an_owner_are_its_highest(make_state: Make) -> None:
    """All of them leave an owner with none; one that has none is left alone."""
    state = make_state({(0, NORMAL): (0, 64)})
    slab, zone = Owner(Use.SLAB), state.zone((0, NORMAL))
    disown(state, slab, 5)
    assert state.allocations == {}
    own(state, slab, alloc_pages(state, 0, 10, nid=0), order=0)
    disown(state, slab, 3)
    assert (list(state.allocations[slab].pages), list(zone.free)) == ([(0, 7)], [(7, 64)])
    disown(state, slab, 7)
    assert (state.allocations[slab].pages.total, zone.free.total) == (0, 64)
