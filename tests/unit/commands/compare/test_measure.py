"""What is read off a machine for a comparison, counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.commands.compare.measure import Measures, ZoneMeasure, measure
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKind

_GIB = 1 << 18  # pages
_BLOCK = 32768
_FIRST = 32 * _BLOCK


@pytest.fixture
def machine(boot: Callable[..., Machine]) -> Machine:
    """4 GiB, and 2 GiB in Movable whose memmap comes from boot memory."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="d", size="2G", mhp_flags="none")
    machine.online("d", zone="movable")
    return machine


def movable(machine: Machine) -> ZoneMeasure:
    """Return what is measured of the Movable zone."""
    return next(zone for zone in measure(machine).zones if zone.zone == "Movable")


def test_zones_that_span_nothing_are_left_out(machine: Machine) -> None:
    """The others come by node and type."""
    assert [(zone.node, zone.zone) for zone in measure(machine).zones] == [(0, "DMA"), (0, "DMA32"), (0, "Movable")]


def test_memmap_and_page_tables_make_memory_unusable_where_they_lie(machine: Machine) -> None:
    """8192 pages of memmap came from DMA32; the zone that they describe loses nothing."""
    found = measure(machine)
    assert (found.allocated, found.self_hosted, dict(found.by_node)) == (8192, 0, {"0": 8192})
    by_zone = {zone.zone: zone for zone in found.zones}
    lost = {name: zone.managed - zone.usable for name, zone in by_zone.items()}
    assert lost == {"DMA": 0, "DMA32": 8192 + found.page_tables, "Movable": 0}
    assert by_zone["Movable"].usable == 2 * _GIB


def test_a_workloads_pages_stay_usable(machine: Machine) -> None:
    """They are not free, and that is all."""
    machine.allocate("app", "256M", zone="movable")
    zone = movable(machine)
    assert (zone.managed, zone.usable, zone.free) == (2 * _GIB, 2 * _GIB, 2 * _GIB - 65536)


@pytest.mark.parametrize(
    ("busy", "run", "pages"),
    [
        ([], 2 * _GIB, 2),
        ([(0, 1)], 2 * _GIB - 1, 1),
        ([(_GIB - 1, _GIB)], _GIB, 1),
        ([(_GIB, _GIB + 1)], _GIB, 1),
        ([(_GIB // 2, _GIB // 2 + 1), (_GIB + 5, _GIB + 6)], _GIB - 6, 0),
        ([(0, 2 * _GIB)], 0, 0),
    ],
)
def test_huge_pages_are_whole_aligned_gib(machine: Machine, busy: list[tuple[int, int]], run: int, pages: int) -> None:
    """One busy page costs one; the longest run is measured where it lies."""
    zone = machine.kernel.state.zone((0, ZoneKind.MOVABLE))
    for low, high in busy:
        zone.free.remove(_FIRST + low, _FIRST + high)
    found = movable(machine)
    assert (found.largest_free_run, found.huge_pages) == (run, pages)


@pytest.mark.parametrize(("pinned", "pages"), [(False, 2), (True, 1)])
def test_what_can_migrate_is_no_obstacle(machine: Machine, pinned: bool, pages: int) -> None:
    """Pinned pages are one, whatever zone they lie in."""
    machine.allocate("app", "4K", zone="movable", pinned=pinned)
    assert movable(machine).huge_pages == pages


def test_pages_on_per_cpu_lists_are_free_but_in_no_run(machine: Machine) -> None:
    """They can be part of a huge page."""
    zone = machine.kernel.state.zone((0, ZoneKind.MOVABLE))
    zone.free.remove(_FIRST + 10, _FIRST + 20)
    zone.pcp = ExtentSet.of((_FIRST + 10, _FIRST + 20))
    found = movable(machine)
    assert (found.free, found.largest_free_run, found.huge_pages) == (2 * _GIB, 2 * _GIB - 20, 2)


def test_a_machine_is_the_sum_and_the_best_of_its_zones() -> None:
    """Without zones both are nothing."""
    common = {"page_size": 4096, "memory_block_size": 1, "self_hosted": 0, "allocated": 0, "page_tables": 0}
    zones = [
        ZoneMeasure(node=0, zone=name, managed=9, usable=8, free=7, largest_free_run=run, huge_pages=pages)
        for name, run, pages in (("DMA", 3, 1), ("Normal", 9, 0), ("Movable", 4, 5))
    ]
    full = Measures(**common, by_node={}, zones=tuple(zones))
    assert (full.largest_free_run, full.huge_pages) == (9, 6)
    empty = Measures(**common, by_node={}, zones=())
    assert (empty.largest_free_run, empty.huge_pages) == (0, 0)


def test_self_hosted_memmap_is_counted_apart(boot: Callable[..., Machine]) -> None:
    """It lies in the added memory, and is never managed."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="acpi", name="d", size="1G")
    machine.online("d", zone="movable")
    found = measure(machine)
    assert (found.self_hosted, found.allocated) == (4096, 0)
    zone = movable(machine)
    assert (zone.managed, zone.usable, zone.huge_pages) == (_GIB - 4096, _GIB - 4096, 0)
