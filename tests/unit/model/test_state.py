"""The whole state: copies that do not follow, and the small questions it answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import PCI_WINDOW, SYSTEM_RAM, Resource
from memhotplug.model.state import Allocation, Device, MachineState, Owner, Use
from memhotplug.model.vm_sysctls import HugePages, VmSysctls
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Node, ZoneKind

Make = Callable[[dict[tuple[int, ZoneKind], tuple[int, int]]], MachineState]
DMA, DMA32, NORMAL, MOVABLE = ZoneKind
BLOCK = 16384


def full(make_state: Make) -> MachineState:
    """Return a state that has some of everything."""
    state = make_state({(0, NORMAL): (0, 2 * BLOCK), (1, MOVABLE): (2 * BLOCK, 4 * BLOCK)})
    state.blocks.insert(0, 4, state=BlockState.ONLINE)
    state.sections.add(0, 4 * BLOCK)
    starts = np.array([0])
    state.vmemmap.insert(MapRuns.make(starts, starts + 4 * BLOCK, starts + 100, 256, Source.BOOT))
    state.resources.request(Resource(start=0, end=(4 * BLOCK << 12) - 1, name=SYSTEM_RAM))
    state.allocations["app"] = Allocation(owner="app", pages=ExtentSet.of((10, 20)))
    state.page_tables["pmd"] = ExtentSet.of((0, 3))
    state.devices.append(Device(name="dimm0", driver="acpi", ranges=((0, 4096), (8192, 4096))))
    return state


def test_nothing_done_to_a_copy_shows_in_the_original(make_state: Make) -> None:
    """Every part that can change is changed in the copy; the original still reads as before."""
    state = full(make_state)
    before = _read(state)
    twin = state.copy()
    assert _read(twin) == before

    twin.nodes[2] = Node(2)
    twin.zone((0, NORMAL)).free.remove(0, 99)
    twin.zone((0, NORMAL)).managed -= 1
    twin.blocks.set(slice(0, 1), state=BlockState.OFFLINE)
    for pages in (twin.sections, twin.early, twin.reserved, twin.holes, twin.withheld, twin.unbacked):
        pages.add(BLOCK, 9 * BLOCK)
    twin.vmemmap.delete(np.array([0]), np.array([BLOCK]))
    twin.resources.release(0, 4096)
    twin.allocations["other"] = Allocation(owner="other")
    twin.page_tables["pmd"] = twin.page_tables["pmd"].union(ExtentSet.of((9, 10)))
    twin.page_tables["pte"] = ExtentSet.of((0, 1))
    twin.put_device(0, closed=True)
    twin.devices.append(Device(name="x", driver="acpi"))
    twin.auto_online = OnlineType.ONLINE
    twin.fail_allocation = 0
    twin.profile.value = 9  # type: ignore[attr-defined]  # the test's own profile memory

    assert _read(state) == before


def _read(state: MachineState) -> list[object]:
    sets = (state.sections, state.early, state.reserved, state.holes, state.withheld, state.unbacked)
    return [
        list(state.nodes),
        [(zone.key, zone.managed, list(zone.free), list(zone.linked)) for zone in state.zones()],
        state.blocks.state.tolist(),
        [list(pages) for pages in sets],
        state.vmemmap.runs.start.tolist(),
        list(state.vmemmap.mapped),
        list(state.resources),
        {name: list(held.pages) for name, held in state.allocations.items()},
        {kind: list(windows) for kind, windows in state.page_tables.items()},
        list(state.devices),
        (state.auto_online, state.fail_allocation, state.profile.value),  # type: ignore[attr-defined]
    ]


def test_a_copy_has_every_attribute_and_shares_nothing_that_changes(make_state: Make) -> None:
    """Copies are spelled out attribute by attribute; none may be forgotten. Sets that are only replaced are shared."""
    state = full(make_state)
    state.block_objects, state.boot_pages, state.fail_allocation, state.failed_devices_stay = 3, 5, 7, True
    state.huge_pages, state.movable_shares_marks, state.auto_online = HugePages.NEVER, True, OnlineType.ONLINE_KERNEL
    state.min_free_kbytes, state.vm = 13, VmSysctls(user_min_free_kbytes=17)
    zone = state.zone((0, NORMAL))
    for number, name in enumerate(("present", "present_early", "cma", "highatomic"), 11):
        setattr(zone, name, number)
    zone.wmark, zone.protection = (1, 2, 3), (4, 5, 6, 7)
    twin = state.copy()

    replaced = ("pcp", "cma_pages", "barred", "_columns", "_known", "_late", "_whole")

    for one, other in ((state, twin), (zone, twin.zone(zone.key)), (state.blocks, twin.blocks)):
        for name in type(one).__slots__:
            mine, copied = getattr(one, name), getattr(other, name)
            if isinstance(mine, (ExtentSet, list, dict)) and name not in replaced:
                assert copied is not mine, name
            plain = (ExtentSet, list, int, tuple, OnlineType, HugePages)
            if isinstance(mine, plain) or name in ("geometry", "allocations"):
                assert copied == mine, name


def test_zone_of_names_the_zone_of_a_struct_page(make_state: Make) -> None:
    """None before the page was ever onlined."""
    state = full(make_state)

    zone = state.zone_of(2 * BLOCK)
    assert zone is not None
    assert zone.key == (1, MOVABLE)
    assert state.zone_of(9 * BLOCK) is None


def test_pages_that_hold_memmap_are_counted_by_block(make_state: Make) -> None:
    """All of the memmap lies in block 0 here: 4 blocks of 256 pages each."""
    state = full(make_state)
    state.withheld.add(BLOCK, BLOCK + 5)

    assert state.vmemmap_pages_by_block().tolist() == [1024, 0, 0, 0]
    assert state.withheld_by_block().tolist() == [0, 5, 0, 0]


def test_device_index_finds_the_youngest_that_has_memory(make_state: Make) -> None:
    """A name may be used again once its first bearer is gone."""
    state = full(make_state)
    state.devices += [Device(name="dimm0", driver="acpi"), Device(name="dimm1", driver="acpi", ranges=((0, 1),))]

    assert state.device_index("dimm0") == 0
    assert state.device_index("dimm1") == 2
    assert state.device_index("dimm2") is None
    assert state.devices[0].size == 8192


def test_first_free_address_is_block_aligned_above_everything(make_state: Make) -> None:
    """Above the last block, above all RAM, and not below the machine's hotplug base."""
    state = full(make_state)
    assert state.first_free_address() == 4 * BLOCK << 12

    state.resources.request(Resource(start=5 * BLOCK << 12, end=(5 * BLOCK << 12) + 100, name=SYSTEM_RAM))
    assert state.first_free_address() == 6 * BLOCK << 12

    state.blocks.insert(9, 1)
    assert state.first_free_address() == 10 * BLOCK << 12


def test_total_managed_and_block_of(make_state: Make) -> None:
    """MemTotal in pages; the block of any pfn, whether it exists or not."""
    state = full(make_state)

    assert state.total_managed() == 4 * BLOCK
    assert state.block_of(7 * BLOCK + 3) == 7


def self_hosting(make_state: Make, reserved: list[int]) -> MachineState:
    """Return a state with one block for each number, from block 2 on, that reserves so many pages for its memmap."""
    state = make_state({(0, NORMAL): (0, 2 * BLOCK)})
    state.blocks.insert(2, len(reserved), state=BlockState.OFFLINE)
    for row, pages in enumerate(reserved):
        state.blocks.set(slice(row, row + 1), altmap_pages=pages)
    return state


@pytest.mark.parametrize(
    "reserved",
    [
        [0], [256], [0, 0, 0], [256, 256, 256], [256, 0, 256], [0, 256], [256, 512], [256] * 70, [256] * 69 + [0],
    ],
)  # fmt: skip
def test_pages_behind_the_memmap_of_each_block(make_state: Make, reserved: list[int]) -> None:
    """Whether few or many blocks have the same number or not; those without are one run."""
    state = self_hosting(make_state, reserved)
    for low, high in ((0, len(reserved)), (1, len(reserved)), (0, 1), (len(reserved) - 1, len(reserved))):
        if low == high:
            continue
        expected = ExtentSet()
        for row in range(low, high):
            expected.add((2 + row) * BLOCK + reserved[row], (3 + row) * BLOCK)
        assert list(state.behind_memmap(slice(low, high))) == list(expected)


def test_bounds_and_spans_of_blocks(make_state: Make) -> None:
    """By row: a column of first and end pfns, or the two of a run of neighbours."""
    state = self_hosting(make_state, [0] * 4)
    starts, ends = state.block_bounds(slice(1, 3))
    assert (starts.tolist(), ends.tolist()) == ([3 * BLOCK, 4 * BLOCK], [4 * BLOCK, 5 * BLOCK])
    assert [state.span_of(slice(low, high)) for low, high in ((0, 1), (0, 4), (2, 4), (3, 4))] == [
        (2 * BLOCK, 3 * BLOCK),
        (2 * BLOCK, 6 * BLOCK),
        (4 * BLOCK, 6 * BLOCK),
        (5 * BLOCK, 6 * BLOCK),
    ]
    assert list(state.pages_of()) == [(2 * BLOCK, 6 * BLOCK)]
    assert list(state.pages_of(np.array([True, False, True, True]))) == [(2 * BLOCK, 3 * BLOCK), (4 * BLOCK, 6 * BLOCK)]


def test_withheld_pages_are_counted_by_block(make_state: Make) -> None:
    """Whatever is withheld elsewhere counts nowhere."""
    state = self_hosting(make_state, [0] * 3)
    state.withheld.add(0, 2 * BLOCK + 5)
    state.withheld.add(4 * BLOCK - 1, 9 * BLOCK)
    assert state.withheld_by_block().tolist() == [5, 1, BLOCK]


@pytest.mark.parametrize(
    ("ranges", "enabled", "waiting", "has_memory", "is_plugged"),
    [
        (((0, 1),), (), (), True, True),
        ((), ((0, 1),), (), False, True),
        ((), (), ((0, 1),), False, True),
        ((), (), (), False, False),
    ],
)
def test_a_device_is_plugged_as_long_as_its_driver_holds_something_of_it(
    make_state: Make,
    ranges: tuple[tuple[int, int], ...],
    enabled: tuple[tuple[int, int], ...],
    waiting: tuple[tuple[int, int], ...],
    has_memory: bool,
    is_plugged: bool,
) -> None:
    """It has memory only with ranges; the youngest of a name is meant, others are passed over."""
    state = make_state({(0, NORMAL): (0, BLOCK)})
    state.devices = [
        Device(name="dimm", driver="acpi"),
        Device(name="dimm", driver="acpi", ranges=ranges, enabled=enabled, waiting=waiting),
        Device(name="dimm", driver="acpi"),
        Device(name="other", driver="acpi", ranges=((0, 1),)),
    ]
    assert state.device_index("dimm") == (1 if has_memory else None)
    assert state.plugged_index("dimm") == (1 if is_plugged else None)
    assert state.youngest("dimm", lambda _device: True) == 2
    assert state.plugged_index("nobody") is None


def test_early_pages_are_those_of_boot_without_holes(make_state: Make) -> None:
    """Holes elsewhere take nothing away."""
    state = make_state({(0, NORMAL): (0, BLOCK)})
    state.early.add(0, 100)
    state.early.add(200, 300)
    state.holes.add(90, 210)
    asked = ((0, 300), (0, 95), (95, 205), (300, 400))
    assert [state.early_pages(*pfns) for pfns in asked] == [180, 90, 0, 0]


def test_the_kernel_is_an_owner_of_its_own(make_state: Make) -> None:
    """A workload may be called what it likes; messages name both."""
    state = make_state({(0, NORMAL): (0, BLOCK)})
    owners: list[str | Owner] = ["slab", Owner(Use.SLAB), Owner(Use.PAGE_TABLES, "pmd")]
    held = [Allocation(owner=owner, pages=ExtentSet.of((0, 1))) for owner in owners]
    assert [one.kernel for one in held] == [False, True, True]
    assert [[one.is_for(use) for use in (Use.SLAB, Use.PAGE_TABLES)] for one in held] == [
        [False, False],
        [True, False],
        [False, True],
    ]
    assert [one.name for one in held] == ["slab", "slab", "page tables pmd"]
    assert (state.boot_pages, state.fail_allocation, state.failed_devices_stay, state.block_objects) == (
        0,
        None,
        False,
        0,
    )


def claim(start: int, end: int) -> Resource:
    """Return a range that others may put memory into, its end inclusive."""
    return Resource(start=start, end=end, name="dax0.0")


def reserved_above(make_state: Make) -> MachineState:
    """Return a state with RAM up to 4 blocks, a device's region of one block at 5, and a reservation in block 8."""
    state = make_state({(0, NORMAL): (0, 4 * BLOCK)})
    size = BLOCK << 12
    state.blocks.insert(0, 4, state=BlockState.ONLINE)
    state.resources.request(Resource(start=0, end=4 * size - 1, name=SYSTEM_RAM))
    state.resources.request(Resource(start=8 * size + 4096, end=8 * size + 8191, name="Reserved"))
    state.claims = {("dax", "dax0.0"): (claim(5 * size, 6 * size - 1),)}
    return state


@pytest.mark.parametrize(
    ("blocks", "align", "besides", "address"),
    [
        (0, 1, None, 4), (1, 1, None, 4), (2, 1, None, 6), (3, 1, None, 9), (1, 2, None, 4), (2, 4, None, 12),
        (1, 8, None, 16), (3, 1, ("dax", "dax0.0"), 4), (5, 1, ("dax", "dax0.0"), 9), (2, 1, ("dax", "other"), 6),
        (2, 1, ("hmem", "dax0.0"), 6),
    ],
)  # fmt: skip
def test_the_first_free_address_has_room_and_passes_over_what_is_somebodys(
    make_state: Make, blocks: int, align: int, besides: tuple[str, str] | None, address: int
) -> None:
    """In blocks: behind a claim or a reservation, aligned; one's own claim is none when a device is made anew."""
    state = reserved_above(make_state)
    size = BLOCK << 12
    assert state.first_free_address(blocks * size, align=align * size, besides=besides) == address * size


def test_one_byte_in_the_way_is_in_the_way(make_state: Make) -> None:
    """At either end of the range."""
    state, size = reserved_above(make_state), BLOCK << 12
    state.claims = {("a", "b"): (claim(5 * size - 1, 5 * size - 1),)}
    assert state.first_free_address(size) == 5 * size
    state.claims = {("a", "b"): (claim(4 * size, 4 * size),)}
    assert state.first_free_address(size) == 5 * size
    state.claims = {("a", "b"): (claim(5 * size, 5 * size),)}
    assert state.first_free_address(size) == 4 * size


def test_a_window_of_devices_is_where_memory_ends(make_state: Make) -> None:
    """The address before it is the answer, although the range does not fit: the add is refused there."""
    state, size = reserved_above(make_state), BLOCK << 12
    state.resources.request(Resource(start=6 * size, end=7 * size - 1, name=PCI_WINDOW))
    assert state.first_free_address(size) == 4 * size
    assert state.first_free_address(2 * size) == 6 * size
    state.claims = {}
    assert state.first_free_address(4 * size) == 4 * size


@pytest.mark.parametrize(("nid", "order"), [(0, [0, 2, 5]), (2, [2, 5, 0]), (5, [5, 0, 2]), (3, [5, 0, 2])])
def test_nodes_are_tried_from_the_nearest_up_and_around(make_state: Make, nid: int, order: list[int]) -> None:
    """Of each node the highest zone first; a node that there is not has the next higher one as its nearest."""
    zones: dict[tuple[int, ZoneKind], tuple[int, int]] = {}
    for place, node in enumerate((5, 0, 2)):
        zones[node, NORMAL] = (2 * place * BLOCK, (2 * place + 1) * BLOCK)
        zones[node, MOVABLE] = ((2 * place + 1) * BLOCK, (2 * place + 2) * BLOCK)
    state = make_state(zones)
    assert [zone.key for zone in state.zonelist(nid, MOVABLE)] == [
        (node, kind) for node in order for kind in (MOVABLE, NORMAL)
    ]
    assert [zone.key for zone in state.zonelist(nid, NORMAL)] == [(node, NORMAL) for node in order]


def test_the_only_node_is_the_nearest(make_state: Make) -> None:
    """Whichever is asked for."""
    state = make_state({(0, DMA32): (0, BLOCK), (0, NORMAL): (BLOCK, 2 * BLOCK)})
    for nid in (0, 7):
        assert [zone.kind for zone in state.zonelist(nid, MOVABLE)] == [NORMAL, DMA32]
