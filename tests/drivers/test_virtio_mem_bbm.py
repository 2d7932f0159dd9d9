"""virtio-mem in big block mode: sizes, order of unplug, roll-back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation

View: TypeAlias = Callable[[Machine], object]
Events: TypeAlias = Callable[[Machine, str], list[dict[str, object]]]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]
ZoneOf: TypeAlias = Callable[..., dict[str, Any]]

_BLOCK = 32768


@pytest.fixture
def guest(boot: Boot) -> Machine:
    """x86_64 under 6.12 with a device of big blocks of 256 MiB, 1 GiB of 4 GiB plugged: blocks 32 to 39."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(
        driver="virtio_mem", name="vm0", size="1G", device_size="4G", force_bbm=True, bbm_block_size="256M"
    )
    return machine


def _resize(machine: Machine, size: str, **keys: object) -> str | None:
    return machine.add_memory(driver="virtio_mem", resize="vm0", size=size, **keys).driver_result


def _pin(machine: Machine, pfn: int, **keys: bool) -> None:
    state = machine.kernel.state
    zone = state.zone_of(pfn)
    assert zone is not None
    zone.free.remove(pfn, pfn + 1)
    state.allocations["user"] = Allocation(owner="user", pages=ExtentSet.of((pfn, pfn + 1)), **keys)


def _removed(machine: Machine, events: Events) -> list[int]:
    return [int(str(event["start"])) // (128 << 20) for event in events(machine, "removed")]


def test_big_blocks_are_added_whole(guest: Machine, events: Events, iomem: View) -> None:
    """Four adds of 256 MiB, one merged resource, one group in units of a big block."""
    assert [event["size"] for event in events(guest, "added")] == [256 << 20] * 4
    assert iomem(guest) == [(4096, 1024, "System RAM (virtio_mem)")]
    state: Any = guest.kernel.state.profile
    assert [group.unit_pages for group in state.groups] == [2 * _BLOCK]


def test_what_is_less_than_a_big_block_is_not_plugged(guest: Machine) -> None:
    """The device would take 300 MiB more, the driver takes 256."""
    guest.online("vm0")
    assert _resize(guest, "1324M") == (
        "requested 1.3G, plugged 1.3G (requested size: 0x52c00000, plugged size: 0x50000000)"
    )


def test_threshold_holds_two_big_blocks(boot: Boot, refused: Refused) -> None:
    """Big blocks of 1 GiB: two may wait for online."""
    machine = boot(kernel="linux-6.12")
    keys = {"force_bbm": True, "bbm_block_size": "1G"}
    problem = refused(machine.add_memory, driver="virtio_mem", name="vm0", size="4G", **keys)
    assert str(problem) == "ENOSPC: vm0: 2G are added and not online, no more than 2G may be"
    assert machine.memory("vm0").blocks == tuple(range(32, 48))


@pytest.mark.parametrize(("size", "text"), [("64M", "too small"), ("384M", "not a power of 2")])
def test_a_big_block_size_that_does_not_fit_is_ignored(boot: Boot, size: str, text: str) -> None:
    """The kernel warns and takes memory blocks."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="virtio_mem", name="vm0", size="256M", force_bbm=True, bbm_block_size=size)
    assert machine.kernel.journal.warnings == [f"vm0: bbm_block_size is {text}"]
    assert [event["size"] for event in machine.kernel.journal.events if event["event"] == "added"] == [128 << 20] * 2


def test_offline_then_movable_then_kernel_big_blocks_leave(guest: Machine, events: Events) -> None:
    """32-33 movable, 34-35 kernel, 36-37 movable and offline, 38-39 offline.

    Expect: 38, then 36 and 32 (movable or offline), then 34. The kernel's first slab is elsewhere in Normal.
    """
    guest.add_memory(driver="acpi", name="dimm", size="128M", address="64G")
    guest.online("dimm", zone="kernel")
    guest.online("block 34-35", zone="kernel")
    guest.online("block 32-33", zone="movable")
    guest.online("block 36", zone="movable")
    assert guest.eject("vm0") == "requested 0B, plugged 0B"
    assert _removed(guest, events) == [38, 36, 32, 34]
    assert guest.violations() == []


def test_shrinking_takes_the_highest_first(guest: Machine, zone_of: ZoneOf) -> None:
    """512 MiB less of online memory: the blocks 36 to 39."""
    guest.online("vm0", zone="movable")
    assert _resize(guest, "512M") == "requested 512M, plugged 512M"
    assert guest.memory("vm0").blocks == (32, 33, 34, 35)
    zone = zone_of(guest, "Movable")
    assert [zone[key] for key in ("spanned", "present", "managed", "free")] == [4 * _BLOCK] * 4
    assert guest.violations() == []


@pytest.mark.parametrize(("zone", "keys"), [("kernel", {}), ("movable", {"movable": True, "pinned": True})])
def test_a_busy_big_block_is_rolled_back_and_skipped(
    guest: Machine, refused: Refused, zone_of: ZoneOf, zone: str, keys: dict[str, bool]
) -> None:
    """A page of block 39 cannot go: 38 is given back, 36-37 leave instead."""
    guest.online("vm0", zone=zone)
    _pin(guest, 39 * _BLOCK + 5, **keys)
    assert _resize(guest, "768M") == "requested 768M, plugged 768M"
    assert guest.memory("vm0").blocks == (32, 33, 34, 35, 38, 39)
    shown = zone_of(guest, zone.capitalize() if zone == "movable" else "Normal")
    assert (shown["present"], shown["managed"]) == (6 * _BLOCK, 6 * _BLOCK)
    assert list(guest.kernel.state.withheld) == []
    assert guest.violations() == []


def test_leftovers_are_reported(guest: Machine, refused: Refused) -> None:
    """Eject leaves the big block that holds a kernel page."""
    guest.online("vm0", zone="kernel")
    _pin(guest, 33 * _BLOCK)
    problem = refused(guest.eject, "vm0")
    assert str(problem) == "EBUSY: vm0: 256M are busy and stay plugged"
    assert problem.blocks_done == (34, 35, 36, 37, 38, 39)
    assert problem.driver_result == "requested 0B, plugged 256M (requested size: 0x0, plugged size: 0x10000000)"
    assert guest.violations() == []


def test_a_veto_brings_everything_back(guest: Machine, refused: Refused, state_of: View) -> None:
    """Offlining is refused: every page is free again and every block online in its zone."""
    guest.online("vm0", zone="movable")
    before = state_of(guest)
    veto = {"event": "MEM_GOING_OFFLINE", "errno": "ENOMEM"}
    assert refused(guest.eject, "vm0", veto=veto).name == "EBUSY"
    assert state_of(guest) == before


def test_online_big_blocks_stay_without_unplug_online(guest: Machine) -> None:
    """Wholly offline big blocks leave, the others stay and that is no error."""
    guest.online("block 39", zone="movable")
    assert _resize(guest, "256M", unplug_online=False) == "requested 256M, plugged 256M"
    assert guest.memory("vm0").blocks == (38, 39)


def test_a_block_that_hosts_its_memmap_may_go_online(boot: Boot, zone_of: ZoneOf) -> None:
    """Its range lies in one big block, which is all that this mode asks."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="virtio_mem", name="vm0", size="128M", force_bbm=True, mhp_flags="on_memory")
    machine.online("vm0", zone="movable")
    assert zone_of(machine, "Movable")["managed"] == _BLOCK - 512
    assert machine.violations() == []


def test_pageblocks_as_large_as_memory_blocks_mean_big_blocks(boot: Boot) -> None:
    """arm64 with 64K pages: memory blocks of 512 MiB, each one pageblock."""
    machine = boot(arch="arm64", kernel="linux-6.12", page_size="64K")
    memory = machine.add_memory(driver="virtio_mem", name="vm0", size="1G", block_size="64K")
    assert len(memory.blocks) == 2
    machine.online("vm0", zone="movable")
    assert machine.eject("vm0") == "requested 0B, plugged 0B"
    assert machine.violations() == []


def test_memory_of_two_devices_stays_apart(guest: Machine) -> None:
    """It merges within a device's region, which it lies in; another's region begins where this one ends."""
    for name in ("one", "two"):
        guest.add_memory(driver="virtio_mem", name=name, size="512M")
    shown = [line.partition(" : ") for line in guest.read("/proc/iomem").splitlines()[-4:]]
    assert [name for _, _, name in shown] == [
        "virtio1",
        "System RAM (virtio_mem)",
        "virtio2",
        "System RAM (virtio_mem)",
    ]
    first, second = shown[0][0], shown[2][0]
    assert int(first.partition("-")[2], 16) + 1 == int(second.partition("-")[0], 16)
    assert [where for where, _, _ in shown] == [first, f"  {first}", second, f"  {second}"]
