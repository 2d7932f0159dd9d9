"""struct page on demand: flags, counts, orders and where each struct page lies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from memhotplug import PAGE_DTYPE, Machine, PageFlag
from memhotplug.engine.views.struct_page import project_pages
from memhotplug.model.buddy import free_by_order

Boot = Callable[..., Machine]
FIRST = 1 << 20  # the first pfn above 4 GiB
BLOCK = 1 << 15


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with blocks 32 and 33 online in Movable, 34 and 35 offline."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="512M")
    machine.online("block 32-33", zone="movable")
    return machine


def test_a_range_is_an_array_of_rows(machine: Machine) -> None:
    """A fresh copy each time."""
    pages = project_pages(machine.kernel, FIRST, 16)
    assert (pages.dtype, pages.shape) == (PAGE_DTYPE, (16,))
    pages["flags"] = 0
    assert (project_pages(machine.kernel, FIRST, 16)["flags"] != 0).any()


def test_memory_that_is_not_there_has_no_struct_page(machine: Machine) -> None:
    """NOPAGE, and nothing else is known of it."""
    rows = project_pages(machine.kernel, FIRST + 8 * BLOCK, 4)
    assert set(rows["flags"].tolist()) == {int(PageFlag.NOPAGE)}
    for name in ("head", "zone", "node", "backing"):
        assert set(rows[name].tolist()) == {-1}


def test_an_offline_block_has_memmap_and_no_zone(machine: Machine) -> None:
    """Its struct pages are there, which nobody may look at."""
    rows = project_pages(machine.kernel, FIRST + 2 * BLOCK, BLOCK)
    assert set(rows["flags"].tolist()) == {int(PageFlag.NOPAGE)}
    assert (rows["backing"] >= 0).all()
    assert set(rows["zone"].tolist()) == {-1}


def test_each_page_is_described_by_the_page_that_backs_it(machine: Machine) -> None:
    """64 struct pages fill one page, in order; what backs boot memory lies in boot memory."""
    rows = project_pages(machine.kernel, FIRST, 256)
    backing = rows["backing"].reshape(4, 64)
    assert (backing == backing[:, :1]).all()
    assert np.diff(backing[:, 0]).tolist() == [1, 1, 1]
    assert (project_pages(machine.kernel, 4096, 64)["backing"] < FIRST).all()


def test_heads_of_free_chunks_have_their_order(machine: Machine) -> None:
    """As many of each order as the free lists have; other pages have none."""
    machine.allocate("app", "3M", zone="movable")
    rows = project_pages(machine.kernel, FIRST, 2 * BLOCK)
    zone = next(zone for zone in machine.kernel.state.zones() if zone.kind.label == "Movable")
    free = rows[rows["flags"] == int(PageFlag.BUDDY)]
    assert len(free) == zone.free.total
    counts = free_by_order(zone.free, machine.kernel.geometry.max_order)
    heads = [order for order, count in enumerate(counts) for _ in range(count) if order]
    assert sorted(value for value in rows["private"].tolist() if value) == heads
    assert set(free["refcount"].tolist()) == {0}


@pytest.mark.parametrize("offset", [0, 1, 5, 511, 513])
def test_a_window_shows_what_the_whole_shows(offset: int, machine: Machine) -> None:
    """Wherever it begins: chunks are aligned by pfn, and not by what is asked for."""
    whole = project_pages(machine.kernel, FIRST, 4096)
    part = project_pages(machine.kernel, FIRST + offset, 1024)
    assert (part == whole[offset : offset + 1024]).all()


def test_pages_in_use_say_by_whom(machine: Machine) -> None:
    """Movable ones are anonymous and on an LRU list; broken and withheld ones say so."""
    machine.allocate("app", "1M", zone="movable")
    rows = project_pages(machine.kernel, FIRST, 2 * BLOCK)
    used = rows[rows["flags"] == int(PageFlag.LRU | PageFlag.ANON)]
    assert len(used) == 256
    assert set(used["refcount"].tolist()) == {1}
    end = FIRST + 2 * BLOCK
    machine.kernel.state.poisoned.add(end - 9, end - 8)
    machine.kernel.state.withheld.add(end - 7, end - 6)
    rows = project_pages(machine.kernel, end - 16, 16)
    assert int(rows["flags"][7]) == int(PageFlag.HWPOISON)
    assert int(rows["flags"][9]) == int(PageFlag.OFFLINE)


def test_boot_memmap_and_page_tables_are_marked(machine: Machine) -> None:
    """Reserved, and PGTABLE."""
    rows = project_pages(machine.kernel, 0, FIRST)
    flags = {int(flag) for flag in np.unique(rows["flags"])}
    assert int(PageFlag.RESERVED) in flags
    machine.add_memory(driver="acpi", name="far", size="128M", address="1T")
    assert int(PageFlag.PGTABLE) in {int(flag) for flag in np.unique(project_pages(machine.kernel, 0, FIRST)["flags"])}


def test_zone_and_node_are_those_that_the_page_is_linked_to(boot: Boot) -> None:
    """They stay when the block goes offline again, as page_to_nid() of a stale struct page does not matter."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="far", size="128M", node=1)
    machine.online("far", zone="movable")
    rows = project_pages(machine.kernel, FIRST, 8)
    assert set(rows["node"].tolist()) == {1}
    assert {machine.page(FIRST).zone, machine.page(FIRST).node} == {"Movable", 1}
    machine.offline("far")
    assert machine.page(FIRST).zone is None
