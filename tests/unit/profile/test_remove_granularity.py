"""Removal at another granularity than was added under DEVICE: what the series gets wrong, and what that breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.profile.readings import BASE, BLOCK, heads, mapped, memmap

from memhotplug import Machine

Boot = Callable[..., Machine]
WithDimm = Callable[..., Machine]
ZoneOf = Callable[..., dict[str, Any]]


def test_removing_the_first_block_of_a_device_range_frees_nothing(with_dimm: WithDimm) -> None:
    """The refcount drops from 8 to 7, and the deferred free is under way for good."""
    machine = with_dimm("device")

    machine.remove("block 32")

    assert heads(machine) == [(0, 7, 4096)]
    assert mapped(machine) == [(0, 8)]
    assert machine.violations() == [
        "I11: the memmap of blocks 33-39 lies in removed memory (4096 pages)",
        "deferred free under way between operations: the memmap of 32768 pages waits for 7 more sections "
        "(head pfn 0x100000)",
    ]
    assert machine.page(BASE).refcount == 7


def test_the_leaked_deferral_swallows_the_next_removal(with_dimm: WithDimm) -> None:
    """An unrelated range loses its blocks, but its memmap stays allocated."""
    machine = with_dimm("device")
    machine.add_memory(driver="acpi", name="dimm1", size="256M", mhp_flags="none")
    assert memmap(machine, "allocated_pages") == 1024

    machine.remove("block 32")
    machine.remove("dimm1")

    assert heads(machine) == [(0, 5, 4096)]
    assert memmap(machine, "allocated_pages") == 1024
    assert mapped(machine) == [(0, 10)]


def test_the_deferral_ends_with_the_last_section_it_counts(with_dimm: WithDimm) -> None:
    """Seven swallowed sections later the memmap is freed backwards down to the head, and the eighth's at once.

    ::

        block    32 33 ... 39 40 ... 46 47    Expect all memmap from 46 back to 32 to be gone,
        removed   1            2 ...  8  9    that of 33-39 too, which are still there.
    """
    machine = with_dimm("device")
    machine.add_memory(driver="acpi", name="dimm1", size="1G", mhp_flags="none")
    machine.remove("block 32")
    for block in range(40, 46):
        machine.remove(f"block {block}")
        assert memmap(machine, "allocated_pages") == 4096

    machine.remove("block 46")
    assert memmap(machine, "allocated_pages") == 512
    assert mapped(machine) == [(15, 16)]
    machine.remove("block 47")

    assert memmap(machine, "allocated_pages") == 0
    assert machine.violations() == ["I11: 229376 pages of present sections have no memmap (first pfn 0x108000)"]


def test_a_deferral_that_ends_below_its_head_frees_nothing(boot: Boot) -> None:
    """The loop from the last section down to the head does not even begin; what was deferred is lost."""
    machine = boot()
    machine.add_memory(driver="acpi", name="low", size="1G", mhp_flags="none")
    machine.add_memory(driver="acpi", name="high", size="1G", mhp_flags="device")
    machine.remove("block 40")

    machine.remove("block 32-38")

    assert heads(machine) == [(8 * BLOCK, 0, 4096)]
    assert memmap(machine, "allocated_pages") == 4096
    assert mapped(machine) == [(0, 16)]
    assert not any(text.startswith("deferred") for text in machine.violations())
    machine.remove("block 39")
    assert memmap(machine, "allocated_pages") == 3584


def test_a_count_that_has_passed_0_never_comes_back(boot: Boot) -> None:
    """arm64 frees no memmap, so a range that is added again has its old head, whose sections are all gone."""
    machine = boot(arch="arm64")
    for _ in range(2):
        machine.add_memory(driver="acpi", name="dimm0", size="2G", mhp_flags="device")
        machine.remove("dimm0")

    found: Any = machine.to_dict()["vmemmap"]
    assert [(head["start_pfn"], head["refcount"]) for head in found] == [(0x140000, -2)]
    assert machine.violations() == [
        "deferred free under way between operations: the memmap of 524288 pages waits for a count that has passed 0 "
        "(head pfn 0x140000)"
    ]


def test_marks_go_with_the_struct_pages_that_carry_them(with_dimm: WithDimm) -> None:
    """Once block 32's memmap is freed, the block can come back plain: all of it reaches the allocator."""
    machine = with_dimm("device")
    machine.add_memory(driver="acpi", name="dimm1", size="1G", mhp_flags="none")
    machine.remove("block 32")
    machine.remove("block 40-46")
    assert heads(machine) == []

    machine.add_memory(driver="acpi", name="dimm2", size="128M", address="4G", mhp_flags="none")
    machine.online("dimm2", zone="movable")

    assert machine.page(BASE + 600).head is None
    assert any(text.startswith("I11") for text in machine.violations())


def test_the_rest_of_the_range_ends_the_deferral_as_well(with_dimm: WithDimm) -> None:
    """Block by block in ascending order frees everything with the eighth."""
    machine = with_dimm("device")

    for block in range(32, 39):
        machine.remove(f"block {block}")
        assert heads(machine) == [(0, 39 - block, 4096)]
    machine.remove("block 39")

    assert heads(machine) == []
    assert mapped(machine) == []
    assert machine.violations() == []


def test_removing_a_middle_block_strips_marks_of_the_head_area(with_dimm: WithDimm, zone_of: ZoneOf) -> None:
    """Block 35 is unmapped at once; its 512 pages of memmap in block 32 no longer look self-hosted.

    ::

        block 32   0 ... 1536 ... 2048 ... 4096     Expect no marks from 1536 to 2047,
                   [marks][stripped][marks  ]       and nothing deferred.
    """
    machine = with_dimm("device")

    machine.remove("block 35")

    assert mapped(machine) == [(0, 3), (4, 8)]
    assert heads(machine) == [(0, 8, 4096)]
    head = [machine.page(BASE + page).head for page in (0, 1535, 1536, 2047, 2048, 4095)]
    assert head == [BASE, BASE, None, None, BASE, BASE]
    assert not any(text.startswith("deferred") for text in machine.violations())
    machine.online("block 32", zone="movable")
    assert zone_of(machine, "Movable")["managed"] == 28672


def test_after_a_middle_block_the_rest_never_finishes(with_dimm: WithDimm) -> None:
    """The head still counts 8, but only 7 sections are left to remove."""
    machine = with_dimm("device")
    machine.remove("block 35")

    machine.remove("block 32-34")
    machine.remove("block 36-39")

    assert heads(machine) == [(0, 1, 4096)]
    assert mapped(machine) == [(0, 3), (4, 8)]
    assert any(text.startswith("deferred free under way") for text in machine.violations())


def test_a_tail_that_begins_a_section_counts_one(boot: Boot) -> None:
    """16 GiB DEVICE: block 33 begins with a tail, whose refcount 1 drops to 0: it is freed at once."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="16G", mhp_flags="device")

    machine.remove("block 33")

    assert mapped(machine) == [(0, 1), (2, 128)]
    assert heads(machine) == [(0, 128, 65536)]
    assert not any(text.startswith("deferred") for text in machine.violations())


def test_stripped_pages_that_begin_a_block_reach_the_allocator(boot: Boot) -> None:
    """16 GiB DEVICE: block 96's memmap is the first part of block 33. Without its marks block 33 is handed out
    whole, in use as it is.
    """
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="16G", mhp_flags="device")
    machine.remove("block 96")

    machine.online("block 33", zone="movable")

    assert any(
        text == "I11: node 0 zone Movable: 32256 free pages hold memmap that is in use" for text in machine.violations()
    )
