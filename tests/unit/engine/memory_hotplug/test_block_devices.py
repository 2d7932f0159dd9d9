"""The kernel's objects for memory blocks: taken at the add, given back at the removal, and when there is no page."""

from __future__ import annotations

import errno

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.memory_hotplug.block_devices import BLOCK_DEVICES, NoPageLeftError
from memhotplug.machine import Memory

KERNELS = ("v2-2019", "linux-6.1", "linux-6.12")


def held(machine: Machine) -> int:
    """Return the pages that hold objects of blocks."""
    found = machine.kernel.state.allocations.get(BLOCK_DEVICES)
    return 0 if found is None else found.pages.total


def free(machine: Machine) -> int:
    """Return all free pages."""
    return sum(zone.nr_free for zone in machine.kernel.state.zones())


def add(machine: Machine, name: str, size: str = "1G") -> Memory:
    """Add a DIMM whose memmap comes from the page allocator."""
    return machine.add_memory(driver="acpi", name=name, size=size)


@pytest.mark.parametrize("kernel", KERNELS)
def test_eight_blocks_take_twelve_pages_and_give_them_back(kernel: str) -> None:
    """6 KiB each, in pages of 4 KiB, under every kernel."""
    machine = Machine.boot(arch="x86_64", kernel=kernel, memory="4G", drivers={"acpi": {"mhp_flags": "none"}})
    add(machine, "warm")  # page tables and section roots are there from now on
    machine.remove("warm")
    before = free(machine)

    add(machine, "dimm0")
    assert (held(machine), before - free(machine)) == (12, 4096 + 12)

    machine.remove("dimm0")
    assert (held(machine), free(machine), machine.violations()) == (0, before, [])


def test_a_large_page_serves_many_blocks() -> None:
    """10 blocks fit a page of 64 KiB; the eleventh takes another, and goes with it."""
    machine = Machine.boot(arch="powerpc", kernel="linux-6.12", memory="4G", page_size="64K", memory_block_size="256M")
    counts = []
    for number in range(12):
        machine.add_memory(driver="pseries", name=f"lmb{number}", size="256M")
        counts.append(held(machine))
    assert counts == [1] * 10 + [2] * 2

    machine.eject("lmb3")
    assert held(machine) == 2
    machine.eject("lmb5")
    assert held(machine) == 1
    assert machine.violations() == []


def test_boot_blocks_cost_nothing_and_give_nothing() -> None:
    """What boot memory has was allocated before the page allocator's books began."""
    machine = Machine.boot(arch="powerpc", kernel="linux-6.12", memory="4G", memory_block_size="256M")
    assert held(machine) == 0

    machine.offline("block 14")
    machine.remove("block 14")
    assert held(machine) == 0


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("node", [None, 1])
def test_without_a_page_for_them_nothing_is_added(kernel: str, node: int | None) -> None:
    """The memmap found room: it, the sections and a new node go again."""
    machine = Machine.boot(arch="x86_64", kernel=kernel, memory="4G")
    machine.kernel.flag_override["acpi"] = 0
    blocks, nodes, before = len(machine.kernel.state.blocks), list(machine.kernel.state.nodes), free(machine)

    with pytest.raises(NoPageLeftError) as caught:
        # 8 leaves of memmap, then 5 of the 12 pages
        machine.add_memory(driver="acpi", size="1G", fail_allocation=13, **({} if node is None else {"node": node}))

    assert caught.value.errno == errno.ENOMEM
    assert caught.value.reason == "7 of the 12 pages for the sysfs objects of 8 memory blocks are missing"
    assert (len(machine.kernel.state.blocks), list(machine.kernel.state.nodes)) == (blocks, nodes)
    assert (held(machine), free(machine), machine.violations()) == (0, before, [])


def test_what_hosts_its_memmap_needs_them_too() -> None:
    """A guest without a free page takes nothing, however its memmap is hosted."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline="memory_hotplug.memmap_on_memory=1")
    add(machine, "dimm0")
    assert machine.to_dict()["memmap"]["self_hosted_pages"] == 4096
    assert held(machine) == 12

    with pytest.raises(MemoryHotplugError, match="ENOMEM"):
        machine.add_memory(driver="acpi", size="1G", fail_allocation=0)


def test_auto_onlined_blocks_have_theirs_before_they_are_online() -> None:
    """They come from the memory that is there already, not from what is about to come."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline="memhp_default_state=online_kernel")
    start = add(machine, "dimm0").start

    pages = machine.kernel.state.allocations[BLOCK_DEVICES].pages
    assert int(pages.ends[-1]) <= start >> 12


def test_a_recorded_machine_keeps_what_it_had() -> None:
    """Blocks of a recorded machine are in its numbers already: their removal gives no page back."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    add(machine, "dimm0")
    machine.kernel.state.block_objects = 0
    machine.kernel.state.blocks.set(slice(32, 40), early=1)

    before = held(machine)
    machine.remove("dimm0")

    assert held(machine) == before
