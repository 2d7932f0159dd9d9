"""What an offline moves, where to, and what it leaves behind when it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.page_isolation import drain_per_cpu_lists, unmovable_pages
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.model.zones import ZoneKind

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
PAGES = 32768


def crowded(boot: Boot) -> Machine:
    """A machine of 1 GiB with a Movable DIMM of 512 MiB; all of DMA32 but 100 MiB is held by processes."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="acpi", name="dimm", size="512M")
    machine.online("dimm", zone="movable")
    zone = machine.kernel.state.zone((0, ZoneKind.DMA32))
    taken = zone.free.copy()
    low = 5 * PAGES
    taken.remove(low, low + 25600 // 2)
    taken.remove(2 * PAGES, 2 * PAGES + 25600 // 2)
    zone.free.remove_many(taken.starts, taken.ends)
    machine.kernel.state.allocations["hog"] = Allocation(owner="hog", movable=True, pages=taken)
    return machine


def test_pages_of_a_kernel_zone_never_go_to_movable(boot: Boot, refused: Refused) -> None:
    """512 MiB are free in Movable; 78 MiB of the block find 50 MiB elsewhere in DMA32, and no more."""
    machine = crowded(boot)
    movable = machine.kernel.state.zone((0, ZoneKind.MOVABLE))
    before = movable.nr_free

    problem = refused(machine.offline, "block 5")

    assert problem.name == "EINTR"
    assert problem.reason.startswith("no memory to move ")
    assert movable.nr_free == before
    assert machine.violations() == []


def test_pages_of_a_movable_zone_go_anywhere(boot: Boot) -> None:
    """The other way round is allowed: what lay in Movable lies in DMA32 afterwards."""
    machine = boot(kernel="linux-6.12", memory="1G")
    machine.add_memory(driver="acpi", name="dimm", size="128M")
    machine.online("dimm", zone="movable")
    movable = machine.kernel.state.zone((0, ZoneKind.MOVABLE))
    pages = ExtentSet.of((32 * PAGES + 64, 32 * PAGES + 1064))
    movable.free.remove_many(pages.starts, pages.ends)
    machine.kernel.state.allocations["hog"] = Allocation(owner="hog", movable=True, pages=pages)

    machine.offline("dimm")

    held = machine.kernel.state.allocations["hog"].pages
    assert held.total == 1000
    assert int(held.ends[-1]) <= 1 << 18
    assert machine.violations() == []


def test_pages_on_per_cpu_lists_are_not_unmovable(boot: Boot) -> None:
    """They are free, whether or not somebody has drained the lists before he asks."""
    machine = boot(kernel="linux-6.12", memory="1G")
    zone = machine.kernel.state.zone((0, ZoneKind.DMA32))
    waiting = (3 * PAGES, 3 * PAGES + 512)
    zone.free.remove(3 * PAGES, 3 * PAGES + 513)
    zone.pcp = ExtentSet.of(waiting)

    assert unmovable_pages(machine.kernel, zone, ExtentSet.of((3 * PAGES, 4 * PAGES))) == 1


@pytest.mark.parametrize("pinned", [True, False])
def test_an_offline_drains_the_lists_of_its_zone_whatever_comes_of_it(
    boot: Boot, refused: Refused, pinned: bool
) -> None:
    """512 pages wait on per-cpu lists elsewhere in the zone; afterwards they are in the buddy lists."""
    machine = boot(kernel="linux-6.12", memory="1G")
    zone = machine.kernel.state.zone((0, ZoneKind.DMA32))
    waiting = (3 * PAGES, 3 * PAGES + 512)
    zone.free.remove(*waiting)
    zone.pcp = ExtentSet.of(waiting)
    if pinned:
        zone.free.remove(5 * PAGES, 5 * PAGES + 1)
        machine.kernel.state.allocations["x"] = Allocation(owner="x", pages=ExtentSet.of((5 * PAGES, 5 * PAGES + 1)))
    if pinned:
        assert refused(machine.offline, "block 5").name == "EBUSY"
    else:
        machine.offline("block 5")

    assert not zone.pcp.total
    assert zone.free.contains(*waiting)
    drain_per_cpu_lists(zone)
    assert machine.violations() == []


def test_a_block_with_a_part_of_a_cma_area_stays(boot: Boot, refused: Refused) -> None:
    """Free or in use, a page of the area is unmovable for an offline; the block beside it goes."""
    machine = boot(kernel="linux-6.12", memory="1G")
    zone = machine.kernel.state.zone((0, ZoneKind.DMA32))
    low = 5 * PAGES
    zone.cma_pages = ExtentSet.of((low - 512, low))
    zone.free.remove(low - 512, low - 256)
    owner = "user of the area"
    machine.kernel.state.allocations[owner] = Allocation(
        owner=owner, movable=True, pages=ExtentSet.of((low - 512, low - 256))
    )

    problem = refused(machine.offline, "block 4")
    machine.offline("block 5")

    assert str(problem) == f"EBUSY: failure to isolate range: 512 of {PAGES} pages are unmovable"
    assert zone.free.covered(low - PAGES, low) == PAGES - 256
    assert machine.violations() == []
