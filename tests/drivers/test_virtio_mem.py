"""virtio-mem in subblock mode: zones, withheld pages, order of plug and unplug, thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import PageFlag
from memhotplug.testing import DriverContract
from memhotplug_drivers._virtio_mem_device import region_of

View: TypeAlias = Callable[[Machine], object]
Events: TypeAlias = Callable[[Machine, str], list[dict[str, object]]]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]
ZoneOf: TypeAlias = Callable[..., dict[str, Any]]
_MIB = 1 << 20
_BASE = 4 << 30
_FIRST = _BASE >> 12  # pfn of block 32
_BLOCK, _SUB = 32768, 512  # pages


class TestContract(DriverContract):
    """The driver keeps the contract of a driver plugin, in both modes."""

    name = "virtio_mem"
    kernel = "linux-6.12"
    machines = ({"arch": "x86_64", "memory": "2G"}, {"arch": "x86_64", "memory": "512M"})
    requests = ({"size": "384M"}, {"size": "200M", "device_size": "1G"}, {"size": "512M", "force_bbm": True})


@pytest.fixture
def guest(boot: Boot) -> Machine:
    """x86_64 under 6.12 with 4 GiB: 128 MiB blocks of 64 subblocks, the first hot-added block is 32."""
    return boot(kernel="linux-6.12")


def add_device(machine: Machine, size: str, **keys: object) -> Any:
    return machine.add_memory(driver="virtio_mem", name="vm0", size=size, device_size="4G", **keys)


def resize_to(machine: Machine, size: str, **keys: object) -> str | None:
    return machine.add_memory(driver="virtio_mem", resize="vm0", size=size, **keys).driver_result


def _log(machine: Machine, events: Events, kind: str) -> list[tuple[int, int]]:
    """Return MiB above 4 GiB and MiB of each request to the hypervisor."""
    found: list[dict[str, Any]] = events(machine, f"virtio_mem_{kind}")
    return [((event["start"] - _BASE) // _MIB, event["size_bytes"] // _MIB) for event in found]


# ---- the device ----


def test_a_device_plugs_its_requested_size_block_by_block(
    guest: Machine, events: Events, iomem: View, brief: View
) -> None:
    """300 MiB: two whole blocks, and 22 of the third one's 64 subblocks; one merged resource."""
    memory = add_device(guest, "300M")

    assert (memory.blocks, memory.driver_result) == ((32, 33, 34), "requested 300M, plugged 300M")
    assert brief(guest) == [(32, "offline", _BLOCK, 0), (33, "offline", _BLOCK, 0), (34, "offline", 22 * _SUB, 0)]
    assert iomem(guest) == [(4096, 384, "System RAM (virtio_mem)")]
    assert _log(guest, events, "plugged") == [(0, 128), (128, 128), (256, 44)]
    assert {event["flags"] for event in events(guest, "added")} == {"MHP_MERGE_RESOURCE|MHP_NID_IS_MGID"}
    assert guest.violations() == []


def test_sizes_are_logged_in_the_kernels_words(guest: Machine, events: Events) -> None:
    """plugged and requested size at the beginning of a run, bytes with every request."""
    add_device(guest, "256M")
    assert [event["text"] for event in events(guest, "virtio_mem_config")] == [
        ["plugged size: 0x0", "requested size: 0x10000000"]
    ]
    assert events(guest, "virtio_mem_plugged")[-1] == {
        "event": "virtio_mem_plugged",
        "device": "vm0",
        "start": _BASE + 128 * _MIB,
        "size_bytes": 128 * _MIB,
        "plugged_size_bytes": 256 * _MIB,
        "requested_size_bytes": 256 * _MIB,
    }


def test_unplugged_subblocks_of_an_online_block_are_present_and_not_managed(guest: Machine, zone_of: ZoneOf) -> None:
    """44 of 128 MiB are plugged: present 32768, managed 11264, the rest PageOffline."""
    add_device(guest, "44M")
    guest.online("vm0", zone="movable")

    zone = zone_of(guest, "Movable")
    assert [zone[key] for key in ("start_pfn", "spanned", "present", "managed", "free")] == [
        _FIRST,
        _BLOCK,
        _BLOCK,
        22 * _SUB,
        22 * _SUB,
    ]
    assert list(guest.kernel.state.withheld) == [(_FIRST + 22 * _SUB, _FIRST + _BLOCK)]
    assert guest.page(_FIRST + 22 * _SUB).flags & PageFlag.OFFLINE
    assert not guest.page(_FIRST + 22 * _SUB - 1).flags & PageFlag.OFFLINE
    assert guest.violations() == []


@pytest.mark.parametrize(
    ("machine_keys", "keys", "unit_mib", "step_mib"),
    [
        ({}, {}, 128, 2),
        ({}, {"block_size": "1M"}, 128, 2),
        ({}, {"block_size": "16M"}, 128, 16),
        ({}, {"block_size": "128M"}, 128, 128),
        ({}, {"block_size": "256M"}, 256, 256),
        ({}, {"force_bbm": True}, 128, 128),
        ({}, {"force_bbm": True, "bbm_block_size": "512M"}, 512, 512),
        ({}, {"force_bbm": True, "bbm_block_size": "64M"}, 128, 128),
        ({"kernel": "linux-5.13"}, {}, 128, 4),
        ({"memory_block_size": "2G"}, {}, 2048, 2),
        ({"arch": "arm64", "page_size": "4K"}, {}, 128, 2),
        ({"arch": "arm64", "page_size": "16K"}, {}, 128, 32),
        ({"arch": "arm64", "page_size": "64K"}, {}, 512, 512),
        ({"arch": "s390", "kernel": "linux-7.2"}, {}, 128, 2),
    ],
)
def test_granularity(
    boot: Boot, machine_keys: dict[str, Any], keys: dict[str, Any], unit_mib: int, step_mib: int
) -> None:
    """A subblock is the larger of device block and pageblock; a whole memory block or more means big blocks."""
    machine = boot(**{"kernel": "linux-6.12", **machine_keys})
    machine.add_memory(driver="virtio_mem", name="vm0", size=f"{unit_mib}M", **keys)
    sizes = region_of(machine.kernel, "vm0").sizes  # type: ignore[union-attr]  # there is one
    assert (sizes.unit, sizes.step, sizes.in_sbm) == (unit_mib * _MIB, step_mib * _MIB, step_mib < unit_mib)
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("machine_keys", "message"),
    [
        ({"kernel": "v2-2019"}, "ENODEV: there is no virtio_mem on x86_64: it came with Linux 5.8, this kernel is 5.2"),
        (
            {"arch": "arm64", "kernel": "linux-5.13"},
            "ENODEV: there is no virtio_mem on arm64: it came with Linux 5.18, this kernel is 5.13",
        ),
        ({"arch": "s390"}, "ENODEV: there is no virtio_mem on s390: it came with Linux 6.14, this kernel is 6.12"),
        ({"arch": "powerpc"}, "ENODEV: there is no virtio_mem on powerpc: VIRTIO_MEM cannot be configured there"),
    ],
)
def test_kernels_without_virtio_mem(boot: Boot, refused: Refused, machine_keys: dict[str, Any], message: str) -> None:
    """The reason names the version from which on there is one."""
    machine = boot(**{"kernel": "linux-6.12", **machine_keys})
    assert str(refused(machine.add_memory, driver="virtio_mem", size="128M")) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"size": "3M"}, "EINVAL: requested size 0x300000 is not a multiple of the device block size 0x200000"),
        ({"size": "2G", "device_size": "1G"}, "EINVAL: requested size 0x80000000 exceeds the device size 0x40000000"),
        ({"size": "2M", "block_size": "3M"}, "EINVAL: block_size 0x300000 is not a power of two of at least 0x1000"),
        (
            {"size": "2M", "address": 0x100001000},
            "EINVAL: the region 0x100001000+0x7fff000 is not made of device blocks of 0x200000 bytes",
        ),
        (
            {"size": "128M", "address": 0x80000000},
            "EBUSY: vm0: could not reserve device region 0x0000000080000000-0x0000000087ffffff",
        ),
    ],
)
def test_what_the_hypervisor_refuses(
    guest: Machine, refused: Refused, state_of: View, keys: dict[str, Any], message: str
) -> None:
    """Sizes that are not the device's, a region that is not free; nothing happens."""
    before = state_of(guest)
    assert str(refused(guest.add_memory, driver="virtio_mem", name="vm0", **keys)) == message
    assert state_of(guest) == before


def test_regions_of_two_devices_lie_apart(guest: Machine) -> None:
    """The second device begins behind the whole region of the first, plugged or not."""
    add_device(guest, "128M")
    second = guest.add_memory(driver="virtio_mem", name="vm1", size="128M")
    assert (second.start, second.blocks) == (_BASE + (4 << 30), (64,))


def test_a_bad_alignment_makes_memory_unusable(guest: Machine, refused: Refused) -> None:
    """From 64 MiB into block 32 to 64 MiB into block 34 there is one whole block.

    |32  xxxx|33xxxxxxx|34xxxx   |      Expect: block 33 only, then ENOSPC
    """
    problem = refused(
        guest.add_memory, driver="virtio_mem", name="vm0", size="256M", address=_BASE + 64 * _MIB, device_size="256M"
    )
    assert str(problem) == "ENOSPC: vm0: the device's region has no whole block left for 128M"
    assert problem.driver_result == (
        "requested 256M, plugged 128M (requested size: 0x10000000, plugged size: 0x8000000)"
    )
    assert guest.memory("vm0").blocks == (33,)
    assert guest.kernel.journal.warnings == [
        "vm0: The alignment of the physical start address can make some memory unusable.",
        "vm0: The alignment of the physical end address can make some memory unusable.",
    ]


# ---- growing ----


def test_growth_fills_kernel_then_movable_then_offline_blocks_then_adds(guest: Machine, events: Events) -> None:
    """Three partly plugged blocks: 34 kernel, 33 movable, 32 offline.

    Each lacks 64 MiB; Expect: 34, 33, 32, and then block 35.
    """
    add_device(guest, "384M")
    guest.online("block 34", zone="kernel")
    guest.online("block 33", zone="movable")
    for block in (32, 33, 34):
        start = block * _BLOCK
        guest.kernel.state.withheld.add(start + _BLOCK // 2, start + _BLOCK)
    for block in (33, 34):
        zone = guest.kernel.state.zone_of(block * _BLOCK)
        assert zone is not None
        zone.free.remove(block * _BLOCK + _BLOCK // 2, (block + 1) * _BLOCK)
        zone.managed -= _BLOCK // 2
    assert guest.violations() == []
    seen = len(_log(guest, events, "plugged"))

    assert resize_to(guest, "512M") == "requested 512M, plugged 512M"

    assert _log(guest, events, "plugged")[seen:] == [(320, 64), (192, 64), (64, 64), (384, 128)]
    assert guest.violations() == []


def test_growth_of_an_online_block_reaches_the_allocator_at_once(guest: Machine, zone_of: ZoneOf) -> None:
    """8 MiB more: four subblocks, managed grows by 2048, present does not change."""
    add_device(guest, "44M")
    guest.online("vm0", zone="movable")
    resize_to(guest, "52M")
    zone = zone_of(guest, "Movable")
    assert (zone["present"], zone["managed"], zone["free"]) == (_BLOCK, 26 * _SUB, 26 * _SUB)
    assert guest.violations() == []


def test_growth_of_an_offline_block_waits_for_its_online(guest: Machine, zone_of: ZoneOf) -> None:
    """Subblocks of an offline block are managed when it goes online."""
    add_device(guest, "44M")
    resize_to(guest, "52M")
    assert zone_of(guest, "Normal")["managed"] == 0
    guest.online("vm0", zone="movable")
    assert zone_of(guest, "Movable")["managed"] == 26 * _SUB


def test_what_is_less_than_a_subblock_is_not_plugged(guest: Machine) -> None:
    """Device blocks of 1 MiB, subblocks of 2 MiB: of 3 MiB one stays."""
    memory = add_device(guest, "3M", block_size="1M")
    assert memory.driver_result == "requested 3M, plugged 2M (requested size: 0x300000, plugged size: 0x200000)"


def test_only_a_gibibyte_may_wait_for_online(guest: Machine, refused: Refused) -> None:
    """offline_threshold: eight blocks of 128 MiB, then ENOSPC; after onlining the rest comes."""
    problem = refused(add_device, guest, "2G")
    assert str(problem) == "ENOSPC: vm0: 1G are added and not online, no more than 1G may be"
    assert problem.driver_result == ("requested 2G, plugged 1G (requested size: 0x80000000, plugged size: 0x40000000)")
    assert guest.memory("vm0").blocks == tuple(range(32, 40))

    guest.online("vm0")
    assert resize_to(guest, "2G") == "requested 2G, plugged 2G"
    assert guest.memory("vm0").blocks == tuple(range(32, 48))
    assert guest.violations() == []


def test_threshold_is_two_blocks_where_these_are_large(boot: Boot, refused: Refused) -> None:
    """With blocks of 2 GiB, 4 GiB may wait."""
    machine = boot(kernel="linux-6.12", memory_block_size="2G")
    problem = refused(machine.add_memory, driver="virtio_mem", name="vm0", size="6G")
    assert str(problem) == "ENOSPC: vm0: 4G are added and not online, no more than 4G may be"


@pytest.mark.parametrize(("policy", "zone"), [("online", "Normal"), ("online_movable", "Movable")])
def test_auto_online_lets_it_grow_beyond_the_threshold(boot: Boot, zone_of: ZoneOf, policy: str, zone: str) -> None:
    """Each block is online before the next is added."""
    machine = boot(kernel="linux-6.12", cmdline=f"memhp_default_state={policy}")
    before = zone_of(machine, zone)
    memory = add_device(machine, "2100M")
    after = zone_of(machine, zone)
    assert len(memory.blocks) == 17
    assert after["present"] - before["present"] == 17 * _BLOCK
    assert after["managed"] - before["managed"] == 2100 * 256
    assert machine.violations() == []


def test_auto_movable_goes_by_the_device_group(boot: Boot, zone_of: ZoneOf) -> None:
    """A dynamic group: kernel memory of its own device raises what may be movable.

    25 % of 32 early blocks allow 8 movable ones, and every 4 blocks of its own in Normal one more.
    """
    cmdline = (
        "memhp_default_state=online memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio=25"
    )
    machine = boot(kernel="linux-6.12", cmdline=cmdline)
    add_device(machine, "2G")
    state: Any = machine.kernel.state.profile
    group = state.groups[0]
    assert (len(state.groups), group.unit_pages, group.max_pages) == (1, _BLOCK, 0)
    assert (group.present_movable, group.present_kernel) == (9 * _BLOCK, 7 * _BLOCK)
    assert zone_of(machine, "Movable")["present"] == group.present_movable
    assert machine.violations() == []


def test_no_group_before_5_15(boot: Boot, events: Events) -> None:
    """5.13 merges resources and knows no groups."""
    machine = boot(kernel="linux-5.13")
    add_device(machine, "128M")
    assert [event["flags"] for event in events(machine, "added")] == ["MHP_MERGE_RESOURCE"]
    assert machine.kernel.state.devices[-1].group == -1


@pytest.mark.parametrize(("asked", "got"), [(None, 0), (1, 1), (2, 2)])
def test_node_is_that_of_the_device(boot: Boot, asked: int | None, got: int) -> None:
    """The device's proximity domain, else the node of its address."""
    machine = boot(kernel="linux-6.12", memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    add_device(machine, "128M", node=asked)
    row = machine.kernel.state.blocks.row(32)
    assert machine.kernel.state.blocks.nid[row] == got


def test_running_out_of_memory_is_tried_again(guest: Machine, refused: Refused) -> None:
    """ENOMEM for the second block stops the run with the first one there; the next run goes on."""
    trial = guest.copy()
    trial.kernel.state.fail_allocation = 1_000_000
    add_device(trial, "128M")
    for_one_block = 1_000_000 - (trial.kernel.state.fail_allocation or 0)
    guest.kernel.state.fail_allocation = for_one_block

    problem = refused(add_device, guest, "512M")

    assert problem.name == "ENOMEM"
    assert problem.driver_result == (
        "requested 512M, plugged 128M (requested size: 0x20000000, plugged size: 0x8000000)"
    )
    guest.kernel.state.fail_allocation = None
    assert resize_to(guest, "512M") == "requested 512M, plugged 512M"
    assert guest.violations() == []


def test_an_unknown_error_breaks_the_device(guest: Machine, refused: Refused) -> None:
    """Somebody has a block in the region: EEXIST, and the driver gives up for good."""
    add_device(guest, "128M")
    guest.add_memory(driver="acpi", name="dimm", size="128M", address=_BASE + 128 * _MIB)
    problem = refused(resize_to, guest, "256M")
    assert problem.name == "EEXIST"
    assert problem.driver_result == (
        "requested 256M, plugged 128M (requested size: 0x10000000, plugged size: 0x8000000); "
        "unknown error, marking device broken: -17"
    )
    assert str(refused(resize_to, guest, "128M")) == "EIO: vm0: an unknown error has marked the device broken"


def test_copies_are_independent(guest: Machine, state_of: View) -> None:
    """What a copy plugs and unplugs is its own."""
    add_device(guest, "200M")
    guest.online("vm0", zone="movable")
    before, copy = state_of(guest), guest.copy()
    resize_to(copy, "384M")
    copy.eject("vm0")
    assert state_of(guest) == before
    assert resize_to(guest, "202M") == "requested 202M, plugged 202M"
