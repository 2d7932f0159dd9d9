"""The Xen balloon: sections, what stays in the balloon, memmap on memory that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError

View: TypeAlias = Callable[[Machine], object]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]


def test_target_is_rounded_up_to_sections_and_the_rest_stays_in_the_balloon(
    machine: Machine, brief: View, iomem: View, zone_of: Callable[..., dict[str, Any]]
) -> None:
    """200 MiB: two sections in one resource, 56 MiB of them ballooned."""
    xen = machine.add_memory(driver="xen", name="xen", size="200M")
    machine.online("xen")

    assert (xen.blocks, xen.driver_result) == ((32, 33), "56M stay in the balloon, which adds whole sections")
    assert iomem(machine) == [(4096, 256, "System RAM")]
    assert brief(machine) == [(32, "online", 32768, 0), (33, "online", 18432, 0)]
    normal = zone_of(machine, "Normal")
    assert (normal["present"], normal["managed"]) == (65536, 51200)
    assert machine.violations() == []


def test_next_target_uses_the_balloon_first(machine: Machine, brief: View) -> None:
    """Expect 56 of 100 MiB from the first range and one more section for 44 MiB."""
    machine.add_memory(driver="xen", name="first", size="200M")
    machine.online("first")
    second = machine.add_memory(driver="xen", name="second", size="100M")

    assert second.driver_result == (
        "56M come from what the balloon had already; 84M stay in the balloon, which adds whole sections"
    )
    # 512 pages of block 32 hold the memmap of block 34.
    assert brief(machine) == [(32, "online", 32256, 512), (33, "online", 32768, 0), (34, "offline", 11264, 0)]
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("size", "blocks", "result"),
    [
        ("56M", (), "56M come from what the balloon had already"),
        (57344 * 1024 - 4096, (), "56M come from what the balloon had already"),
        (
            57344 * 1024 + 1,
            (34,),
            "56M come from what the balloon had already; 128M stay in the balloon, which adds whole sections",
        ),
    ],
)
def test_the_credit_is_exact(machine: Machine, size: str | int, blocks: tuple[int, ...], result: str) -> None:
    """The balloon has 56 MiB: what asks for no more adds nothing, one byte more is a page, and that a section."""
    machine.add_memory(driver="xen", name="first", size="200M")
    machine.online("first")
    second = machine.add_memory(driver="xen", name="second", size=size)
    state = machine.kernel.state
    left = 56 * 256 + 32768 * len(blocks) - -(-int(size if isinstance(size, int) else 56 << 20) // 4096)

    assert (second.blocks, second.driver_result) == (blocks, result)
    assert state.withheld.total == left


@pytest.mark.parametrize(("size", "result"), [(4096, "4K"), (4097, "8K"), (8191, "8K"), (1, "4K")])
def test_a_part_of_a_page_takes_a_whole_one_out_of_the_balloon(machine: Machine, size: int, result: str) -> None:
    """The target is in pages."""
    machine.add_memory(driver="xen", name="first", size="200M")
    second = machine.add_memory(driver="xen", name="second", size=size)
    assert second.driver_result == f"{result} come from what the balloon had already"


def test_pages_in_offline_blocks_wait_for_their_block(machine: Machine, zone_of: Callable[..., dict[str, Any]]) -> None:
    """Populated pages of an offline block reach the allocator when it goes online."""
    machine.add_memory(driver="xen", name="first", size="200M")
    machine.add_memory(driver="xen", size="100M")
    machine.online("first")
    assert zone_of(machine, "Normal")["managed"] == 65536


@pytest.mark.parametrize("flag", ["device", "memblock"])
def test_self_hosted_memmap_lies_on_memory_that_is_not_there(machine: Machine, flag: str) -> None:
    """The hypervisor backs pages only after they went through the balloon, so memmap never is."""
    machine.add_memory(driver="xen", size="256M", mhp_flags=flag)
    blocks = {"device": "32", "memblock": "32-33"}[flag]
    assert machine.violations() == [f"memmap on unbacked memory: 1024 pages in blocks {blocks}"]


def test_blocks_larger_than_a_section_cancel_the_operation(boot: Boot, refused: Refused, state_of: View) -> None:
    """The driver rounds to sections, add_memory_resource() wants blocks."""
    machine = boot(memory="8G", memory_block_size="2G")
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="xen", size="256M")

    assert problem.name == "EINVAL"
    assert problem.reason == "Block size [0x80000000] unaligned hotplug range: start 0x200000000, size 0x10000000"
    assert problem.driver_result == (
        "balloon operation cancelled (BP_ECANCELED): EINVAL, since the driver rounds up to sections of 128M "
        "and not to memory blocks of 2G"
    )
    assert state_of(machine) == before


def test_whole_large_blocks_are_fine(boot: Boot) -> None:
    """2000 MiB happen to round up to a block of 2 GiB."""
    machine = boot(memory="8G", memory_block_size="2G")
    xen = machine.add_memory(driver="xen", size="2000M")
    assert (xen.size, xen.driver_result) == (2 << 30, "48M stay in the balloon, which adds whole sections")


def test_failure_leaves_nothing_withheld(machine: Machine, refused: Refused, state_of: View) -> None:
    """A taken address gives all back."""
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="xen", size="100M", address=0)
    assert (problem.name, problem.driver_result) == ("EEXIST", "balloon operation cancelled (BP_ECANCELED): EEXIST")
    assert state_of(machine) == before
    assert not machine.kernel.state.withheld.total
    assert not machine.kernel.state.unbacked.total


def test_block_with_ballooned_pages_stays_online(machine: Machine, refused: Refused) -> None:
    """Pages that were never given to the allocator cannot be isolated."""
    machine.add_memory(driver="xen", name="xen", size="200M")
    machine.online("xen", zone="movable")
    assert machine.offline("block 32") == [32]
    problem = refused(machine.offline, "block 33")
    assert str(problem) == "EBUSY: failure to isolate range: 14336 of 32768 pages are unmovable"


def test_there_is_no_eject(machine: Machine, refused: Refused) -> None:
    """Ballooning out gives pages back, never blocks."""
    machine.add_memory(driver="xen", name="xen", size="128M")
    assert str(refused(machine.eject, "xen")) == "EOPNOTSUPP: the Xen balloon never hot-removes memory"


def test_copies_have_their_own_balloon(machine: Machine, brief: View) -> None:
    """What a copy takes out of the balloon is still there in the original."""
    machine.add_memory(driver="xen", size="100M")
    twin = machine.copy()
    twin.add_memory(driver="xen", size="128M")
    assert brief(machine) == [(32, "offline", 25600, 0)]
    assert brief(twin) == [(32, "offline", 32768, 0), (33, "offline", 25600, 0)]


def test_resources_merge_in_mainline(boot: Boot, iomem: View) -> None:
    """MHP_MERGE_RESOURCE since 5.10."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="xen", size="128M")
    machine.add_memory(driver="xen", size="128M")
    assert iomem(machine) == [(4096, 256, "System RAM")]
