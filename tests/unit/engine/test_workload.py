"""Workloads: pages taken on purpose, and given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import PageFlag
from memhotplug.model.buddy import free_by_order

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
ZoneOf = Callable[..., dict[str, Any]]


def test_pages_are_taken_and_given_back(boot: Boot) -> None:
    """A size is rounded up to whole chunks."""
    machine = boot()
    before = machine.to_dict()

    assert machine.allocate("app", "5000") == 2
    assert machine.allocate("huge", "3M", order=9) == 1024
    machine.release("app")
    machine.release("huge")

    assert machine.to_dict() == before


def test_kernel_pages_never_come_from_movable_zones(boot: Boot, zone_of: ZoneOf) -> None:
    """Movable pages prefer them."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags="memblock")
    machine.online("dimm0", zone="movable")

    machine.allocate("user", "100M")
    assert zone_of(machine, "Movable")["free"] == 258048 - 25600
    machine.allocate("slab", "100M", zone="kernel")

    assert zone_of(machine, "Movable")["free"] == 258048 - 25600
    assert machine.violations() == []


def test_what_does_not_fit_is_enomem_and_takes_nothing(boot: Boot, refused: Refused) -> None:
    """The message says how much there would have been."""
    machine = boot()
    before = machine.to_dict()

    problem = refused(machine.allocate, "big", "8G")

    assert problem.name == "ENOMEM"
    assert problem.reason.startswith("no memory for 'big': 8G asked for, 3.")
    assert problem.reason.endswith(" to be had at order 0")
    assert machine.to_dict() == before


def test_names_nodes_and_orders_are_checked(boot: Boot, refused: Refused) -> None:
    """EEXIST, EINVAL, ENOENT; the kernel's own pages are nobody's workload."""
    machine = boot()
    machine.allocate("app", "4K")

    assert str(refused(machine.allocate, "app", "4K")) == "EEXIST: the name 'app' is in use"
    assert str(refused(machine.allocate, "b", "4K", node=5)) == "EINVAL: there is no node 5"
    assert str(refused(machine.allocate, "b", "4K", order=11)) == "EINVAL: order 11 is above the highest, 10"
    assert str(refused(machine.release, "b")) == "ENOENT: there is no workload 'b'"
    assert str(refused(machine.release, "kernel")) == "ENOENT: there is no workload 'kernel'"


@pytest.mark.parametrize("order", [0, 3, 8])
def test_scatter_leaves_no_higher_order_where_it_passed(boot: Boot, order: int) -> None:
    """Every second chunk is taken, so that free chunks of that order have no free buddy."""
    machine = boot(memory="512M")
    zone = next(zone for zone in machine.kernel.state.zones() if zone.kind == 1)
    whole = zone.free.copy()
    chunks = sum(high // (1 << order) - -(-low // (1 << order)) for low, high in whole)

    taken = machine.allocate("wedge", chunks // 2 << 12 + order, zone="kernel", order=order, scatter=True)

    assert taken >> order == chunks // 2
    assert sum(free_by_order(zone.free, 10)[order + 1 :]) <= 1
    machine.release("wedge")
    assert zone.free == whole


def test_the_node_is_tried_first(boot: Boot, zone_of: ZoneOf) -> None:
    """Then the others."""
    machine = boot(memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    before = zone_of(machine, "DMA32", node=0)["free"]

    machine.allocate("app", "1G", node=1)

    assert zone_of(machine, "DMA32", node=0)["free"] == before
    machine.allocate("more", "1G", node=1)
    assert zone_of(machine, "DMA32", node=0)["free"] < before


@pytest.mark.parametrize("name", ["kernel", "recorded", "slab", "vmemmap-pmd", "mem_section", "early"])
def test_a_workload_may_have_any_name(name: str) -> None:
    """The kernel's own pages are told apart by what they are for, never by a name that a user may choose too."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G")
    machine.add_memory(driver="acpi", size="1G", name="dimm")
    before = machine.to_dict()["memmap"]
    machine.allocate(name, "64M", zone="kernel")

    assert machine.violations() == []
    assert machine.to_dict()["memmap"] == before
    pfn = int(machine.kernel.state.allocations[name].pages.starts[0])
    assert not machine.page(pfn).flags & PageFlag.PGTABLE
    machine.release(name)
    assert machine.violations() == []
    with pytest.raises(MemoryHotplugError) as caught:
        machine.release(name)
    assert str(caught.value) == f"ENOENT: there is no workload {name!r}"


def test_section_roots_are_no_page_tables() -> None:
    """mem_section roots are slab memory (mm/sparse.c:sparse_index_alloc()), and pages say so."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G")
    machine.add_memory(driver="acpi", size="16G", name="dimm", address=str(64 << 30))
    held = {str(held.owner): held for held in machine.kernel.state.allocations.values()}
    roots = machine.page(int(held["section roots"].pages.starts[0]))
    table = machine.page(int(held["page tables vmemmap-pmd"].pages.starts[0]))

    assert not roots.flags & PageFlag.PGTABLE
    assert table.flags & PageFlag.PGTABLE
