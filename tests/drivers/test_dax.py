"""dax/kmem: trimming to whole blocks, what is stranded, the reservation, unbinding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import InputError, Machine, MemoryHotplugError

View: TypeAlias = Callable[[Machine], object]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]
_BLOCK = 128 << 20


def test_range_is_trimmed_inward_and_says_what_is_stranded(machine: Machine, brief: View, iomem: View) -> None:
    """0x1e0a00000 lies 118 MiB in front of block 61; 502 MiB end with block 63.

    ....[  61 ][  62 ][  63 ]
      ^ start              ^ end
    """
    dax = machine.add_memory(driver="dax", name="dax0.0", address=0x1E0A00000, size="502M")

    assert (dax.start, dax.size, dax.blocks) == (0x1E8000000, 3 * _BLOCK, (61, 62, 63))
    assert dax.driver_result == "blocks 61-63 (384M) of 502M; 118M stranded outside whole blocks of 128M"
    assert brief(machine) == [(block, "offline", 32768, 0) for block in (61, 62, 63)]
    assert iomem(machine) == [(0x1E80, 384, "System RAM")]


def test_resource_is_driver_managed_since_5_8(boot: Boot, iomem: View) -> None:
    """add_memory_driver_managed() names the driver."""
    machine = boot(kernel="linux-6.1")
    machine.add_memory(driver="dax", size="256M")
    assert iomem(machine) == [(4096, 256, "System RAM (kmem)")]


def test_without_address_it_begins_above_all_memory(machine: Machine) -> None:
    """An aligned range loses nothing, and there is nothing to say."""
    dax = machine.add_memory(driver="dax", size="256M")
    assert (dax.start, dax.blocks, dax.driver_result) == (4 << 30, (32, 33), None)


def test_range_without_a_whole_block_is_refused(machine: Machine, refused: Refused, state_of: View) -> None:
    """255 MiB that begin in the middle of a block can miss every whole one."""
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="dax", size="127M")

    assert (problem.name, problem.reason) == ("EINVAL", "no range holds a whole memory block of 128M")
    assert problem.driver_result == "no block of 127M; 127M stranded outside whole blocks of 128M"
    assert state_of(machine) == before


@given(address=st.integers(4 << 10, 16 << 10), pages=st.integers(1, 1 << 10))
def test_trimming_never_leaves_the_range_and_loses_less_than_two_blocks(boot: Boot, address: int, pages: int) -> None:
    """Whatever the range, its blocks lie inside and all whole ones are used."""
    start, size = address << 20, pages << 20
    machine = boot()
    low, high = -(-start // _BLOCK), (start + size) // _BLOCK
    if low >= high:
        with pytest.raises(MemoryHotplugError):
            machine.add_memory(driver="dax", address=start, size=size)
        return
    dax = machine.add_memory(driver="dax", address=start, size=size)
    assert dax.blocks == tuple(range(low, high))
    assert size - dax.size < 2 * _BLOCK
    assert machine.violations() == []


def test_ranges_are_trimmed_one_by_one(machine: Machine, brief: View) -> None:
    """100M + 300M + 128M: the first has no whole block, the second one, the third none but its own part.

    |--100--|-------300-------|--128--|
    [  32  ][  33  ][  34  ][  35  ][  36
    """
    dax = machine.add_memory(driver="dax", ranges=["100M", "300M", "128M"])
    assert dax.blocks == (33, 34)
    assert dax.driver_result == "blocks 33-34 (256M) of 528M; 272M stranded outside whole blocks of 128M"


def test_busy_first_range_fails_the_probe(machine: Machine, refused: Refused, state_of: View) -> None:
    """The driver's own reservation fails before add_memory() is called."""
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="dax", size="256M", address=(4 << 30) - _BLOCK)

    where = "0x00000000f8000000-0x0000000107ffffff"
    assert problem.name == "EBUSY"
    assert problem.reason == f"could not reserve region {where}: System RAM has part of it"
    assert problem.driver_result == f"probe failed: EBUSY for {where}"
    assert state_of(machine) == before


def test_busy_later_range_is_skipped_and_the_probe_succeeds(machine: Machine) -> None:
    """One mapped range is enough."""
    machine.add_memory(driver="acpi", size="128M", address=(4 << 30) + 2 * _BLOCK)
    dax = machine.add_memory(driver="dax", ranges=["256M", "128M", "128M"], address=4 << 30)

    assert dax.blocks == (32, 33, 35)
    assert dax.driver_result == "0x0000000110000000-0x0000000117ffffff skipped (EBUSY), and the probe succeeds"


def test_policy_is_no_flag_and_the_step_may_set_one(machine: Machine, brief: View) -> None:
    """The series lets dax pass 0."""
    machine.add_memory(driver="dax", size="256M", mhp_flags="device")
    machine.add_memory(driver="dax", size="128M")
    assert brief(machine) == [(32, "offline", 31744, 1024), (33, "offline", 32768, 0), (34, "offline", 32768, 0)]


def test_target_node_is_the_one_asked_for(machine: Machine) -> None:
    """A new node comes to be with its first memory."""
    machine.add_memory(driver="dax", size="128M", node=2)
    blocks: Any = machine.to_dict()["blocks"]
    assert blocks[-1]["node"] == 2


def test_negative_node_never_reaches_the_driver(machine: Machine) -> None:
    """The scenario format has no such node."""
    with pytest.raises(InputError):
        machine.add_memory(driver="dax", size="128M", node=-1)


def test_attribute_memmap_on_memory_comes_with_6_8(boot: Boot, refused: Refused, brief: View) -> None:
    """ENOENT before, EOPNOTSUPP where a block cannot host its memmap, and off by default."""
    old = refused(boot(kernel="linux-6.1").add_memory, driver="dax", size="128M", memmap_on_memory=True)
    off = refused(boot(kernel="linux-6.12").add_memory, driver="dax", size="128M", memmap_on_memory=True)
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="dax", size="256M", memmap_on_memory=True)
    machine.add_memory(driver="dax", size="128M")

    assert str(old) == "ENOENT: a dax device has no attribute memmap_on_memory before Linux 6.8"
    assert str(off) == "EOPNOTSUPP: memmap_on_memory: memory_hotplug.memmap_on_memory is off"
    assert brief(machine) == [(32, "offline", 32256, 512), (33, "offline", 32256, 512), (34, "offline", 32768, 0)]


def test_unbinding_removes_what_is_offline(machine: Machine, state_of: View) -> None:
    """The driver offlines nothing, and needs not to here."""
    before = state_of(machine)
    machine.add_memory(driver="dax", name="pmem", size="256M")
    assert machine.eject("pmem") is None
    assert state_of(machine) == before


def test_unbinding_with_an_online_block_is_final(machine: Machine, refused: Refused) -> None:
    """There is one shot; then the memory stays until reboot, unless somebody removes it by other means."""
    machine.add_memory(driver="dax", name="pmem", size="256M")
    machine.online("block 33", zone="movable")
    twin = machine.copy()

    first = refused(machine.eject, "pmem")
    machine.offline("block 33")
    second = refused(machine.eject, "pmem")

    assert (first.name, first.reason) == ("EBUSY", "memory block 33 is not offline")
    assert first.driver_result == (
        "unbound, but 256M cannot be hot-removed until the next reboot; "
        "the driver offlines nothing, so take all blocks offline first"
    )
    assert str(second) == "ENODEV: 'pmem' is unbound; what could not be removed stays until reboot"
    twin.offline("block 33")
    assert twin.eject("pmem") is None


def test_a_new_device_of_an_unbound_ones_name_is_bound(machine: Machine, refused: Refused) -> None:
    """What a name did before does not stick to it."""
    machine.add_memory(driver="dax", name="pmem", size="128M")
    machine.online("pmem", zone="movable")
    refused(machine.eject, "pmem")
    machine.offline("pmem")
    machine.remove("pmem")
    machine.add_memory(driver="dax", name="pmem", size="128M")
    assert machine.eject("pmem") is None


@pytest.mark.parametrize(
    ("kernel", "keys", "hosting"),
    [
        ("linux-6.12", {"region": "cxl"}, 512),
        ("linux-6.12", {"region": "cxl", "memmap_on_memory": False}, 0),
        ("linux-6.12", {"region": "hmem"}, 0),
        ("linux-6.12", {"region": "pmem", "memmap_on_memory": True}, 512),
        ("linux-6.12", {}, 0),
        ("linux-6.6", {"region": "cxl"}, 0),
    ],
)
def test_a_cxl_region_hosts_its_memmap_unless_told_otherwise(
    boot: Boot, kernel: str, keys: dict[str, object], hosting: int
) -> None:
    """The attribute of other regions is off to begin with; before 6.8 there is none."""
    machine = boot(kernel=kernel, cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="dax", size="256M", **keys)

    assert machine.kernel.state.blocks.altmap_pages[-2:].tolist() == [hosting, hosting]


def test_a_cxl_region_is_added_plainly_where_nothing_can_self_host(boot: Boot) -> None:
    """Nobody wrote the attribute, so nobody was refused."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", size="256M", region="cxl")

    assert machine.kernel.state.blocks.altmap_pages[-2:].tolist() == [0, 0]
