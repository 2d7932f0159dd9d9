"""Pages of the model's own leave a block that a recording shows to be clean, and no count changes."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.commands.conform.vacate import vacate
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone, ZoneKind

BLOCK = 32768


@pytest.fixture
def machine() -> Machine:
    """Return a machine with a DIMM whose memmap came from the page allocator."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="acpi", name="dimm0", size="4G", address="64G")
    return machine


def _zone(machine: Machine) -> Zone:
    return machine.kernel.state.zone((0, ZoneKind.DMA32))


def _block_with_memmap(machine: Machine) -> tuple[int, int]:
    """Return the pfns of the highest block that holds memmap of the DIMM."""
    block = int(machine.kernel.state.vmemmap.backing_from(Source.ALLOCATOR).starts[-1]) // BLOCK
    return block * BLOCK, (block + 1) * BLOCK


def _put_page_table(machine: Machine, low: int, high: int) -> None:
    """Make two free pages of a range page tables."""
    pfn = int(_zone(machine).free.clip(low, high)[0][0])
    _zone(machine).free.remove(pfn, pfn + 2)
    pages = ExtentSet.of((pfn, pfn + 2))
    owner = Owner(Use.PAGE_TABLES, "test")
    machine.kernel.state.allocations[owner] = Allocation(owner=owner, pages=pages)


def _books(machine: Machine) -> list[tuple[object, ...]]:
    """Return what must not change: counts of each zone, pages of each owner, memmap by source."""
    state = machine.kernel.state
    zones = [(zone.key, zone.present, zone.managed, zone.nr_free) for zone in state.zones()]
    owners = sorted((held.name, held.pages.total) for held in state.allocations.values())
    return [*zones, *owners, (state.vmemmap.backing_from(Source.ALLOCATOR).total, state.vmemmap.mapped.total)]


def _inside(machine: Machine, low: int, high: int) -> tuple[int, int]:
    """Return the pages of memmap, and of the kernel's other objects, in a range."""
    state = machine.kernel.state
    held = sum(owner.pages.covered(low, high) for owner in state.allocations.values() if owner.kernel)
    return state.vmemmap.backing_from(Source.ALLOCATOR).covered(low, high), held


def test_memmap_and_page_tables_leave_the_block(machine: Machine) -> None:
    """Afterwards the block holds none of them, and they are elsewhere in the zone."""
    low, high = _block_with_memmap(machine)
    _put_page_table(machine, low, high)
    before = _books(machine)
    assert min(_inside(machine, low, high)) > 0

    vacate(machine.kernel, _zone(machine), low, high)

    assert _inside(machine, low, high) == (0, 0)
    assert _books(machine) == before
    assert machine.violations() == []


def test_struct_pages_are_still_where_the_table_says(machine: Machine) -> None:
    """The memmap that moved is backed by other pages, each by one, and by none in the block."""
    low, high = _block_with_memmap(machine)

    vacate(machine.kernel, _zone(machine), low, high)

    backings = [machine.page(pfn).backing for pfn in range(16 << 20, (16 << 20) + 64 * BLOCK // 8, 64)]
    assert all(backing is not None and not low <= backing < high for backing in backings)
    assert len(set(backings)) == len(backings)


def test_a_block_without_pages_of_the_model_stays_as_it_is(machine: Machine) -> None:
    """Nothing to move, nothing done."""
    before = machine.kernel.copy()

    vacate(machine.kernel, _zone(machine), 20 * BLOCK, 21 * BLOCK)

    assert _zone(machine).free == before.state.zone((0, ZoneKind.DMA32)).free


def test_where_there_is_no_room_pages_stay(machine: Machine) -> None:
    """A zone whose only free pages are in the block itself: half of the move would be worse than none."""
    low, high = _block_with_memmap(machine)
    _put_page_table(machine, low, high)
    zone = _zone(machine)
    inside = ExtentSet(*zone.free.clip(low, high))
    elsewhere = zone.free.copy()
    elsewhere.remove(low, high)
    zone.free = inside
    machine.kernel.state.allocations["guest"] = Allocation(owner="guest", pages=elsewhere)
    before = _books(machine)
    held = _inside(machine, low, high)

    vacate(machine.kernel, zone, low, high)

    assert _inside(machine, low, high) == held
    assert _books(machine) == before


def test_what_boot_kept_leaves_a_boot_block_too(machine: Machine) -> None:
    """Memmap of boot memory and reserved pages were placed by inference: elsewhere they are as good."""
    zone, reserved = _zone(machine), machine.kernel.state.reserved
    backing = machine.kernel.state.vmemmap.backing_from(Source.BOOT)
    block = int(backing.starts[-1]) // BLOCK
    low, high = block * BLOCK, (block + 1) * BLOCK
    pfn = int(zone.free.clip(low, high)[0][0])
    zone.free.remove(pfn, pfn + 3)
    reserved.add(pfn, pfn + 3)
    before = (backing.total, reserved.total, zone.nr_free, zone.managed)
    assert backing.covered(low, high) > 0

    vacate(machine.kernel, zone, low, high)

    after = machine.kernel.state.vmemmap.backing_from(Source.BOOT)
    assert (after.total, reserved.total, zone.nr_free, zone.managed) == before
    assert (after.covered(low, high), reserved.covered(low, high)) == (0, 0)
    assert zone.free.covered(low, high) == BLOCK


def test_a_cma_area_that_was_inferred_is_not_in_a_clean_block(machine: Machine) -> None:
    """A block with a part of one could not go, so that it must lie elsewhere."""
    zone = _zone(machine)
    zone.cma_pages = ExtentSet.of((10 * BLOCK - 1024, 10 * BLOCK + 512))

    vacate(machine.kernel, zone, 9 * BLOCK, 10 * BLOCK)

    assert list(zone.cma_pages) == [(10 * BLOCK, 10 * BLOCK + 512)]
