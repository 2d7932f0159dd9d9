"""The Hyper-V balloon: chunks, backed pages, the wait for online, and the guest that runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import AddRequest
from memhotplug.engine.mhp_flags import parse_flags
from memhotplug_drivers.hv_balloon import _post_status

View: TypeAlias = Callable[[Machine], object]
Events: TypeAlias = Callable[[Machine, str], list[dict[str, object]]]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]
Zone: TypeAlias = Callable[..., dict[str, Any]]
_BASE = 4 << 30


def test_request_is_added_in_chunks_and_only_backed_pages_are_used(
    machine: Machine, brief: View, iomem: View, zone_of: Zone
) -> None:
    """200 MiB: two chunks of 128 MiB, the last 56 MiB PG_offline."""
    memory = machine.add_memory(driver="hv_balloon", name="hv", size="200M")
    machine.online("hv")

    assert memory.driver_result == "the host is told 51200 pages; 56M of the chunks are not backed and stay PG_offline"
    assert iomem(machine) == [(4096, 128, "System RAM"), (4224, 128, "System RAM")]
    assert brief(machine) == [(32, "online", 32768, 0), (33, "online", 18432, 0)]
    normal = zone_of(machine, "Normal")
    assert (normal["present"], normal["managed"]) == (65536, 51200)
    assert machine.violations() == []


def test_whole_chunks_leave_nothing_to_say(machine: Machine) -> None:
    """The default is that the host backs what it announces."""
    assert machine.add_memory(driver="hv_balloon", size="256M").driver_result is None


def test_next_request_first_backs_the_rest_of_the_last_chunk(machine: Machine, brief: View, zone_of: Zone) -> None:
    """The host goes on where it stopped: 56 of 100 MiB are there, 44 need a chunk."""
    machine.add_memory(driver="hv_balloon", name="hv", size="200M")
    machine.online("hv")
    more = machine.add_memory(driver="hv_balloon", size="100M", address=_BASE + (200 << 20))

    assert more.blocks == (34,)
    assert more.driver_result == (
        "the host is told 25600 pages; 56M are backed in chunks that were added before; "
        "84M of the chunks are not backed and stay PG_offline"
    )
    assert zone_of(machine, "Normal")["managed"] == 65536
    assert brief(machine) == [(32, "online", 32256, 512), (33, "online", 32768, 0), (34, "offline", 11264, 0)]
    assert machine.violations() == []


def test_unaligned_request_is_only_partly_coverable(machine: Machine, brief: View) -> None:
    """The region's start is rounded down and its size by itself, so the second half is lost.

    [ 32: not backed | backed ] beyond
    """
    memory = machine.add_memory(driver="hv_balloon", size="128M", address=_BASE + (64 << 20))
    assert brief(machine) == [(32, "offline", 16384, 0)]
    assert memory.driver_result == (
        "the host is told 16384 pages; 64M of the chunks are not backed and stay PG_offline; "
        "64M of the request lie beyond its region and are not added"
    )
    machine.online("block 32")
    assert machine.violations() == []


def test_waits_for_each_chunk_and_posts_pressure(machine: Machine, events: Events) -> None:
    """Nobody onlines: every wait times out, and the request goes on."""
    machine.add_memory(driver="hv_balloon", size="256M")
    seen = [(event["event"], event.get("blocks")) for event in events(machine, "hv_")]
    assert seen == [
        ("hv_wait_timeout", "32"),
        ("hv_post_status", None),
        ("hv_wait_timeout", "33"),
        ("hv_post_status", None),
    ]


def test_auto_online_needs_no_wait_and_raises_what_is_available(boot: Boot, events: Events) -> None:
    """Two chunks bring 65536 pages less the memmap that the second one takes."""
    machine = boot(cmdline="memhp_default_state=online")
    machine.add_memory(driver="hv_balloon", size="256M")
    posted = events(machine, "hv_")
    assert [event["event"] for event in posted] == ["hv_post_status"] * 2
    assert posted[1]["available_pages"] > posted[0]["available_pages"]  # type: ignore[operator]  # both int


def test_pages_of_earlier_requests_that_are_offline_count_as_committed(boot: Boot, events: Events) -> None:
    """The host must not balloon out what is not online."""
    machine = boot()
    machine.add_memory(driver="hv_balloon", size="256M")
    machine.allocate("app", "1M")
    machine.add_memory(driver="hv_balloon", size="128M")
    first, *_, last = (event["committed_pages"] for event in events(machine, "hv_post_status"))
    assert last - first == 65536 + 256  # type: ignore[operator]  # both int


def test_large_blocks_defeat_the_fixed_chunk(boot: Boot, refused: Refused, state_of: View) -> None:
    """128 MiB are no whole block of 2 GiB, and every request fails."""
    machine = boot(memory="8G", memory_block_size="2G")
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="hv_balloon", size="4G")

    assert problem.name == "EINVAL"
    assert problem.driver_result == (
        "0 of 32 chunks added, then EINVAL, since a chunk of 128M is not made of whole memory blocks of 2G; "
        "the host is told 0 pages (result 0) and may try again"
    )
    assert state_of(machine) == before


def test_chunk_is_a_block_since_6_10(boot: Boot, iomem: View) -> None:
    """What the fixed chunk could not do."""
    machine = boot(kernel="linux-6.12", memory="8G", memory_block_size="2G")
    memory = machine.add_memory(driver="hv_balloon", size="3G")
    assert memory.blocks == (4, 5)
    assert memory.driver_result == "the host is told 786432 pages; 1G of the chunks are not backed and stay PG_offline"
    assert iomem(machine) == [(8192, 4096, "System RAM")]


def test_eexist_switches_hot_add_off_for_good(machine: Machine, refused: Refused, state_of: View) -> None:
    """A collision is taken for a property of the address map; copies made before are not concerned."""
    before, twin = state_of(machine), machine.copy()
    first = refused(machine.add_memory, driver="hv_balloon", size="128M", address=3 << 30)
    second = refused(machine.add_memory, driver="hv_balloon", size="128M")

    assert first.name == "EEXIST"
    assert first.driver_result == (
        "0 of 1 chunks added, then EEXIST, which switches hot-add off for good; the host is told 0 pages (result 1)"
    )
    assert str(second) == "EOPNOTSUPP: hot-add is switched off for good since an earlier EEXIST"
    assert second.driver_result == "0 pages added; the host is told success (result 1), so that it never asks again"
    assert state_of(machine) == before
    assert twin.add_memory(driver="hv_balloon", size="128M").blocks == (32,)


def test_collision_in_the_middle_keeps_the_chunks_before(machine: Machine, refused: Refused, brief: View) -> None:
    """Only the failed chunk is taken off the region's end."""
    machine.add_memory(driver="acpi", size="128M", address=_BASE + (256 << 20), mhp_flags="none")
    problem = refused(machine.add_memory, driver="hv_balloon", size="512M", address=_BASE)
    assert problem.driver_result == (
        "2 of 4 chunks added, then EEXIST, which switches hot-add off for good; the host is told 65536 pages (result 1)"
    )
    assert [row[0] for row in brief(machine)] == [32, 33, 34]  # type: ignore[attr-defined]  # a list of rows
    assert not machine.kernel.state.withheld.total


@pytest.fixture
def tight(boot: Boot) -> Machine:
    """A guest of 512 MiB that has some 3 MiB left, none of it for a second chunk's memmap."""
    machine = boot(memory="512M")
    state = machine.kernel.state
    spare = sum(max(zone.nr_free - zone.wmark[0] - max(zone.protection), 0) for zone in state.zones())
    machine.allocate("app", (spare - 768) * 4096, zone="kernel")
    return machine


def test_guest_that_is_short_cannot_grow_when_memmap_comes_first(tight: Machine, refused: Refused) -> None:
    """Every chunk needs 2 MiB from the memory that is missing, before any of it can be used."""
    problem = refused(tight.add_memory, driver="hv_balloon", size="1G")
    assert problem.name == "ENOMEM"
    assert problem.driver_result == (
        "1 of 8 chunks added, then ENOMEM; the request stops, and the host is told 32768 pages (result 1)"
    )


def test_guest_that_is_short_grows_when_chunks_host_their_memmap(tight: Machine, brief: View) -> None:
    """The same request under MHP_MEMMAP_MEMBLOCK takes next to nothing."""
    memory = tight.add_memory(driver="hv_balloon", name="hv", size="1G", mhp_flags="memblock")
    assert memory.driver_result is None
    assert brief(tight) == [(block, "offline", 32256, 512) for block in range(32, 40)]
    assert tight.online("hv") == list(range(32, 40))
    assert tight.violations() == []


def test_memmap_within_the_backed_part_is_sound(machine: Machine, brief: View) -> None:
    """2 MiB of memmap, 72 MiB backed in the last chunk."""
    machine.add_memory(driver="hv_balloon", name="hv", size="200M", mhp_flags="memblock")
    machine.online("hv")
    assert brief(machine) == [(32, "online", 32256, 512), (33, "online", 17920, 512)]
    assert machine.violations() == []


def test_memmap_beyond_the_backed_part_is_not(machine: Machine, brief: View) -> None:
    """1 MiB is backed, so half of the memmap lies on nothing; its pages are not counted as withheld."""
    machine.add_memory(driver="hv_balloon", name="hv", size="128M", backed="1M", mhp_flags="memblock")
    machine.online("hv")
    assert brief(machine) == [(32, "online", 0, 512)]
    assert machine.violations() == ["memmap on unbacked memory: 256 pages in blocks 32"]


def test_nothing_backed_onlines_nothing(machine: Machine, zone_of: Zone) -> None:
    """Present, but not managed."""
    memory = machine.add_memory(driver="hv_balloon", name="hv", size="128M", backed=0)
    machine.online("hv")
    normal = zone_of(machine, "Normal")
    assert (normal["present"], normal["managed"]) == (32768, 0)
    assert memory.driver_result == "the host is told 0 pages; 128M of the chunks are not backed and stay PG_offline"


@pytest.mark.parametrize("keys", [{"size": 5000}, {"size": "128M", "address": _BASE + 1}])
def test_host_counts_in_pages(machine: Machine, refused: Refused, keys: dict[str, object]) -> None:
    """Bytes are no unit of the host's."""
    problem = refused(machine.add_memory, driver="hv_balloon", **keys)
    value = keys.get("address", keys["size"])
    assert str(problem) == f"EINVAL: the host counts in whole pages of 4K, {value} is none"


def test_pages_of_other_sizes_are_refused(boot: Boot, refused: Refused) -> None:
    """Asked on an architecture with pages of 64 KiB: none that has the driver offers them."""
    kernel = boot(arch="powerpc").kernel
    key, request = kernel.plugins.driver("hv_balloon"), AddRequest(driver="hv_balloon", name="hv", size=1 << 30)
    problem = refused(kernel.plugins.call, key, "driver_ranges", kernel=kernel, request=request)
    assert str(problem) == "ENODEV: Hyper-V counts in pages of 4K, and this kernel has pages of 64K"


def test_partly_backed_chunk_stays_online(machine: Machine, refused: Refused) -> None:
    """Pages that the host never gave cannot be isolated."""
    machine.add_memory(driver="hv_balloon", name="hv", size="200M")
    machine.online("hv", zone="movable")
    assert refused(machine.offline, "block 33").name == "EBUSY"
    assert machine.offline("block 32") == [32]


def test_there_is_no_eject(machine: Machine, refused: Refused) -> None:
    """The host balloons pages out instead."""
    machine.add_memory(driver="hv_balloon", name="hv", size="128M")
    assert str(refused(machine.eject, "hv")) == "EOPNOTSUPP: the Hyper-V balloon never hot-removes memory"


@given(
    size=st.integers(1, 1 << 17),
    backed=st.integers(0, 1 << 17),
    online=st.booleans(),
    flag=st.sampled_from(["none", "device", "memblock"]),
)
def test_usable_and_memmap_and_withheld_pages_make_up_the_chunks(
    boot: Boot, zone_of: Zone, size: int, backed: int, online: bool, flag: str
) -> None:
    """Whatever the host backs, every page is accounted for once."""
    machine = boot(cmdline="memhp_default_state=online" if online else "")
    machine.add_memory(driver="hv_balloon", size=size * 4096, backed=backed * 4096, mhp_flags=flag)
    blocks: Any = machine.to_dict()["blocks"]
    chunks = -(-size // 32768)
    added = blocks[32:]
    assert len(added) == chunks
    withheld = machine.kernel.state.withheld.total
    assert sum(b["usable_pages"] + b["vmemmap_pages"] for b in added) + withheld == chunks * 32768
    assert sum(b["usable_pages"] for b in added) <= min(size, backed)
    assert [text for text in machine.violations() if not text.startswith("memmap on unbacked memory")] == []
    if online and flag == "none":
        assert zone_of(machine, "Normal")["managed"] == min(size, backed)


def test_policy_of_the_scenario_replaces_the_drivers(machine: Machine, brief: View) -> None:
    """What ``drivers: {hv_balloon: {mhp_flags: memblock}}`` sets holds for every step without flags of its own."""
    machine.kernel.flag_override["hv_balloon"] = parse_flags(machine.kernel, ("memblock",))
    machine.add_memory(driver="hv_balloon", size="128M")
    machine.add_memory(driver="hv_balloon", size="128M", mhp_flags="none")
    assert brief(machine) == [(32, "offline", 32256, 512), (33, "offline", 32768, 0)]


@pytest.mark.parametrize(("size", "error"), [("8P", "E2BIG"), ("1P", "ENOMEM")])
def test_a_request_of_petabytes_is_refused_at_once(size: str, error: str) -> None:
    """Eight million chunks are not made before the first is added."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="hv_balloon", size=size, mhp_flags="none")
    assert caught.value.name == error


def test_a_request_around_backed_pages_backs_both_sides_of_them_once(machine: Machine, zone_of: Zone) -> None:
    """[ not backed | backed | not backed ] in one block that is online: the managed pages are those of the block."""
    machine.add_memory(driver="hv_balloon", size="32M", address=_BASE + (48 << 20))
    machine.online("block 32", zone="movable")
    assert zone_of(machine, "Movable")["managed"] == 8192
    more = machine.add_memory(driver="hv_balloon", size="128M", address=_BASE)
    assert more.driver_result == "the host is told 24576 pages; 96M are backed in chunks that were added before"
    movable = zone_of(machine, "Movable")
    assert (movable["present"], movable["managed"], movable["free"]) == (32768, 32768, 32768)
    assert machine.violations() == []


def floor_of(machine: Machine, events: Events, mib: int) -> int:
    """Return the pages that must be left to a guest of some MiB: a status that nothing is committed of but these."""
    managed = mib << 8
    zone = next(iter(machine.kernel.state.zones()))
    zone.managed += managed - machine.kernel.state.total_managed()
    _post_status(machine.kernel, 0)
    committed = events(machine, "hv_post_status")[-1]["committed_pages"]
    assert isinstance(committed, int)
    return committed


@pytest.mark.parametrize(
    ("mib", "floor_mib"),
    [
        (64, 40), (126, 71), (128, 72), (256, 104), (508, 167), (512, 168), (1024, 232), (2040, 359),
        (2048, 360), (4096, 488), (8176, 743), (8192, 744), (16384, 1000),
    ],
)  # fmt: skip
def test_a_guest_is_left_a_part_of_its_memory(boot: Boot, events: Events, mib: int, floor_mib: int) -> None:
    """8 and a half below 128; 40 and a 4th below 512; 104 and an 8th below 2048; then 232 and a 16th, 488 and a 32th.

    Models: drivers/hv/hv_balloon.c:compute_balloon_floor() (v5.2).
    """
    assert floor_of(boot(), events, mib) == floor_mib << 8
