"""virtio-mem gives memory back: order of unplug, leftovers, and what its notifier refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import PageFlag
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation

View: TypeAlias = Callable[[Machine], object]
Events: TypeAlias = Callable[[Machine, str], list[dict[str, object]]]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]
ZoneOf: TypeAlias = Callable[..., dict[str, Any]]

_MIB = 1 << 20
_BASE = 4 << 30
_FIRST = _BASE >> 12  # pfn of block 32
_BLOCK, _SUB = 32768, 512  # pages


@pytest.fixture
def guest(boot: Boot) -> Machine:
    """x86_64 under 6.12 with 4 GiB: 128 MiB blocks of 64 subblocks, the first hot-added block is 32."""
    return boot(kernel="linux-6.12")


def _add(machine: Machine, size: str, **keys: object) -> Any:
    return machine.add_memory(driver="virtio_mem", name="vm0", size=size, device_size="4G", **keys)


def _resize(machine: Machine, size: str, **keys: object) -> str | None:
    return machine.add_memory(driver="virtio_mem", resize="vm0", size=size, **keys).driver_result


def _use(machine: Machine, pfn: int, *, movable: bool = False, pinned: bool = False) -> None:
    """Let somebody have one page of online memory."""
    state = machine.kernel.state
    zone = state.zone_of(pfn)
    assert zone is not None
    zone.free.remove(pfn, pfn + 1)
    held = Allocation(owner="user", movable=movable, pinned=pinned, pages=ExtentSet.of((pfn, pfn + 1)))
    state.allocations["user"] = held


def _log(machine: Machine, events: Events, kind: str) -> list[tuple[int, int]]:
    """Return MiB above 4 GiB and MiB of each request to the hypervisor."""
    found: list[dict[str, Any]] = events(machine, f"virtio_mem_{kind}")
    return [((event["start"] - _BASE) // _MIB, event["size_bytes"] // _MIB) for event in found]


# ---- shrinking ----


def test_shrinking_goes_through_the_states_in_order(guest: Machine, events: Events) -> None:
    """Blocks 32 kernel, 33 movable, 34 kernel-partial, 35 movable-partial, 36 offline, 37 offline-partial.

    The partial ones have 64 MiB each. Expect: 37, 36, 35, 34, 33, 32. The kernel's first slab is elsewhere in Normal.
    """
    _add(guest, "640M")
    guest.add_memory(driver="acpi", name="dimm", size="128M", address="64G")
    guest.online("dimm", zone="kernel")
    for blocks, zone in (
        ("block 32", "kernel"),
        ("block 34", "kernel"),
        ("block 33", "movable"),
        ("block 35", "movable"),
    ):
        guest.online(blocks, zone=zone)
    for block in (34, 35):
        zone_ = guest.kernel.state.zone_of(block * _BLOCK)
        assert zone_ is not None
        zone_.free.remove(block * _BLOCK + _BLOCK // 2, (block + 1) * _BLOCK)
        zone_.managed -= _BLOCK // 2
        guest.kernel.state.withheld.add(block * _BLOCK + _BLOCK // 2, (block + 1) * _BLOCK)
    _resize_to_partial(guest)
    assert guest.violations() == []

    guest.eject("vm0")

    removed = [int(str(event["start"])) // (128 * _MIB) for event in events(guest, "removed")]
    assert removed == [37, 36, 35, 34, 33, 32]
    assert guest.violations() == []


def _resize_to_partial(guest: Machine) -> None:
    """Add block 37 half plugged without filling the partial blocks, as if these had shrunk later."""
    state = guest.kernel.state
    held = ExtentSet(state.withheld.starts, state.withheld.ends)
    state.withheld.remove_many(held.starts, held.ends)
    _resize(guest, "704M")
    state.withheld.add_many(held.starts, held.ends)


def test_subblocks_leave_an_offline_block_from_its_end(guest: Machine, events: Events) -> None:
    """300 to 210 MiB: block 34 goes with its 44 MiB, then 46 MiB from the end of block 33."""
    _add(guest, "300M")
    assert _resize(guest, "210M") == "requested 210M, plugged 210M"
    assert _log(guest, events, "unplugged") == [(256, 44), (210, 46)]
    assert guest.memory("vm0").blocks == (32, 33)
    assert list(guest.kernel.state.withheld) == [(_FIRST + 210 * 256, _FIRST + 2 * _BLOCK)]
    assert guest.violations() == []


def test_subblocks_leave_an_online_block_one_by_one(guest: Machine, events: Events, zone_of: ZoneOf) -> None:
    """6 MiB less: three subblocks, highest first, present but no longer managed."""
    _add(guest, "128M")
    guest.online("vm0", zone="movable")
    _resize(guest, "122M")
    assert _log(guest, events, "unplugged") == [(126, 2), (124, 2), (122, 2)]
    zone = zone_of(guest, "Movable")
    assert (zone["present"], zone["managed"], zone["free"]) == (_BLOCK, _BLOCK - 3 * _SUB, _BLOCK - 3 * _SUB)
    assert guest.page(_FIRST + _BLOCK - 1).flags & PageFlag.OFFLINE
    assert guest.violations() == []


def test_a_whole_online_block_leaves_in_one_go(guest: Machine, events: Events, zone_of: ZoneOf) -> None:
    """Unplugged at once, offlined and removed."""
    _add(guest, "256M")
    guest.online("vm0", zone="movable")
    _resize(guest, "128M")
    assert _log(guest, events, "unplugged") == [(128, 128)]
    assert guest.memory("vm0").blocks == (32,)
    zone = zone_of(guest, "Movable")
    assert (zone["spanned"], zone["present"], zone["managed"]) == (_BLOCK, _BLOCK, _BLOCK)
    assert guest.violations() == []


def test_movable_pages_are_migrated_away(guest: Machine, zone_of: ZoneOf) -> None:
    """A movable page in the last subblock ends up elsewhere."""
    _add(guest, "128M")
    guest.online("vm0", zone="movable")
    _use(guest, _FIRST + _BLOCK - 7, movable=True)
    _resize(guest, "126M")
    assert zone_of(guest, "Movable")["managed"] == _BLOCK - _SUB
    assert not guest.kernel.state.allocations["user"].pages.intersects(_FIRST + _BLOCK - _SUB, _FIRST + _BLOCK)
    assert guest.violations() == []


@pytest.mark.parametrize("pinned", [False, True])
def test_busy_subblocks_are_skipped(guest: Machine, events: Events, zone_of: ZoneOf, pinned: bool) -> None:
    """A page in the last subblock is unmovable or pinned: 62 MiB go from in front of it.

    |  64M stay  | 62M go | 2M busy |      Expect: no error, requested is reached
    """
    zone = "movable" if pinned else "kernel"
    _add(guest, "128M")
    guest.online("vm0", zone=zone)
    _use(guest, _FIRST + _BLOCK - 7, movable=pinned, pinned=pinned)
    present, managed = [zone_of(guest, "Movable" if pinned else "Normal")[key] for key in ("present", "managed")]

    assert _resize(guest, "66M") == "requested 66M, plugged 66M"

    assert _log(guest, events, "unplugged") == [(at, 2) for at in range(124, 63, -2)]
    after = zone_of(guest, "Movable" if pinned else "Normal")
    assert (after["present"], after["managed"]) == (present, managed - 31 * _SUB)
    assert guest.violations() == []


def test_leftovers_are_reported(guest: Machine, refused: Refused, events: Events) -> None:
    """Eject with a kernel page in the last subblock: 2 MiB stay plugged, the block online."""
    _add(guest, "128M")
    guest.add_memory(driver="acpi", name="dimm", size="128M", address="64G")
    guest.online("dimm", zone="kernel")
    guest.online("vm0", zone="kernel")
    _use(guest, _FIRST + _BLOCK - 7)
    problem = refused(guest.eject, "vm0")
    assert str(problem) == "EBUSY: vm0: 2M are busy and stay plugged"
    assert problem.driver_result == "requested 0B, plugged 2M (requested size: 0x0, plugged size: 0x200000)"
    assert problem.blocks_done == ()
    assert _log(guest, events, "unplugged") == [(at, 2) for at in range(124, -1, -2)]
    assert guest.violations() == []

    guest.kernel.state.allocations.pop("user")
    zone = guest.kernel.state.zone_of(_FIRST)
    assert zone is not None
    zone.free.add(_FIRST + _BLOCK - 7, _FIRST + _BLOCK - 6)
    assert guest.eject("vm0") == "requested 0B, plugged 0B"
    assert guest.violations() == []


def test_online_memory_stays_without_unplug_online(guest: Machine, refused: Refused) -> None:
    """Only the offline states give way; an eject says that something stayed."""
    _add(guest, "256M", unplug_online=False)
    guest.online("block 33", zone="movable")
    assert _resize(guest, "64M") == ("requested 64M, plugged 128M (requested size: 0x4000000, plugged size: 0x8000000)")
    assert guest.memory("vm0").blocks == (33,)
    assert str(refused(guest.eject, "vm0")) == "EBUSY: vm0: 128M are online and stay plugged"
    assert _resize(guest, "64M", unplug_online=True) == "requested 64M, plugged 64M"
    assert guest.violations() == []


def test_an_unplugged_block_whose_offlining_is_vetoed_is_removed_later(
    guest: Machine, refused: Refused, zone_of: ZoneOf
) -> None:
    """It stays online without a managed page; the next run takes it."""
    _add(guest, "256M")
    guest.online("vm0", zone="movable")
    problem = refused(_resize, guest, "128M", veto={"event": "MEM_GOING_OFFLINE", "errno": "ENOMEM"})
    assert str(problem) == "EBUSY: vm0: a block without plugged memory stays online"
    assert problem.driver_result == "requested 128M, plugged 128M"
    zone = zone_of(guest, "Movable")
    assert (zone["present"], zone["managed"], zone["free"]) == (2 * _BLOCK, _BLOCK, _BLOCK)
    assert guest.violations() == []

    assert _resize(guest, "128M") == "requested 128M, plugged 128M"
    assert guest.memory("vm0").blocks == (32,)
    assert guest.violations() == []


def test_pageoffline_pages_do_not_keep_a_block_online(guest: Machine, zone_of: ZoneOf) -> None:
    """GOING_OFFLINE drops the references; unplugged subblocks are withheld again afterwards."""
    _add(guest, "44M")
    guest.online("vm0", zone="movable")
    before = list(guest.kernel.state.withheld)
    guest.offline("vm0")
    assert list(guest.kernel.state.withheld) == before
    assert zone_of(guest, "Movable")["managed"] == 0
    guest.online("vm0", zone="movable")
    assert zone_of(guest, "Movable")["managed"] == 22 * _SUB
    assert guest.violations() == []


# ---- the notifier ----


def test_a_block_of_which_nothing_is_withheld_leaves_nothing_to_remember(guest: Machine) -> None:
    """Its going offline lets go of no page, so that the machine is the same as if it had never been online."""
    _add(guest, "128M")
    before = {driver: dict(notes) for driver, notes in guest.kernel.state.driver_state.items()}

    guest.online("vm0", zone="movable")
    guest.offline("vm0")

    assert {driver: dict(notes) for driver, notes in guest.kernel.state.driver_state.items()} == before


def test_a_run_of_whole_blocks_counts_as_several(guest: Machine) -> None:
    """Seven blocks onlined and offlined as one range are seven notifications for the driver."""
    _add(guest, "896M")
    assert guest.online("vm0", zone="movable") == list(range(32, 39))
    assert guest.offline("vm0") == list(range(32, 39))
    assert guest.violations() == []


def test_a_block_that_hosts_its_memmap_can_never_be_onlined(boot: Boot, refused: Refused, state_of: View) -> None:
    """Its range begins behind the memmap, so it is not a memory block: EPERM."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    _add(machine, "128M", mhp_flags="on_memory")
    before = state_of(machine)
    problem = refused(machine.online, "vm0", zone="movable")
    assert str(problem) == "EPERM: vm0: the range is not exactly one memory block of 0x8000 pages"
    assert state_of(machine) == before


def test_the_driver_never_asks_for_self_hosting(boot: Boot, brief: View) -> None:
    """memmap_on_memory does not change what its policy is."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    _add(machine, "128M")
    assert brief(machine) == [(32, "offline", _BLOCK, 0)]


def test_foreign_blocks_in_the_region_stay_offline(guest: Machine, refused: Refused) -> None:
    """Another driver's block is unknown to the device."""
    _add(guest, "128M")
    guest.add_memory(driver="acpi", name="dimm", size="128M", address=_BASE + 128 * _MIB)
    assert str(refused(guest.online, "dimm")) == "EPERM: vm0: memory block onlining denied"
    guest.online("vm0")
    assert guest.violations() == []


def test_a_broken_page_keeps_its_subblock_plugged(boot: Callable[..., Machine]) -> None:
    """alloc_contig_range() does not pass over it; the rest of its block leaves."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="virtio_mem", name="v", size="128M")
    machine.online("v", zone="movable")
    machine.write("memory/hard_offline_page", "0x100300000")
    with pytest.raises(MemoryHotplugError) as caught:
        machine.eject("v")

    assert str(caught.value) == "EBUSY: v: 2M are busy and stay plugged"
    assert machine.violations() == []
