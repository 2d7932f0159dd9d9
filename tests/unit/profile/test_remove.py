"""Removal under the series: deferral, spans, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.profile.readings import BASE, BLOCK, heads, mapped, memmap

from memhotplug import InputError, Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
WithDimm = Callable[..., Machine]
ZoneOf = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("flag", ["none", "memblock", "device"])
def test_removing_what_was_added_leaves_nothing(boot: Boot, flag: str) -> None:
    """Blocks, resource, memmap, marks and pages are as before; only page tables may stay."""
    machine = boot()
    before = machine.to_dict()
    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags=flag)

    machine.remove("dimm0")

    assert machine.to_dict() == before
    assert mapped(machine) == []


@pytest.mark.parametrize("flag", ["none", "memblock"])
def test_removal_block_by_block_is_fine_without_device(with_dimm: WithDimm, flag: str) -> None:
    """In any order; after each the others still have their memmap."""
    machine = with_dimm(flag)
    machine.online("dimm0", zone="movable")

    for block in (34, 32, 39, 33, 38, 35, 36, 37):
        machine.offline(f"block {block}")
        machine.remove(f"block {block}")
        assert machine.violations() == []

    assert mapped(machine) == []
    assert heads(machine) == []


def test_memblock_frees_only_the_block_s_own_head(with_dimm: WithDimm) -> None:
    """Each block serves itself."""
    machine = with_dimm("memblock")

    machine.remove("block 33")

    assert [start // BLOCK for start, _, _ in heads(machine)] == [0, 2, 3, 4, 5, 6, 7]


def test_an_online_block_is_ebusy_and_nothing_changes(with_dimm: WithDimm, refused: Refused) -> None:
    """One online block in the range is enough."""
    machine = with_dimm()
    machine.online("block 34-35")
    before = machine.to_dict()

    assert str(refused(machine.remove, "dimm0")) == "EBUSY: memory blocks 34-35 are not offline"
    assert str(refused(machine.remove, "block 35")) == "EBUSY: memory block 35 is not offline"

    assert machine.to_dict() == before


def test_several_ranges_are_checked_before_the_first_is_removed(boot: Boot, refused: Refused) -> None:
    """A device of two resources whose second is online stays whole."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", resources=["256M", "256M"], mhp_flags="device")
    machine.online("block 35")
    before = machine.to_dict()

    refused(machine.remove, "dimm0")

    assert machine.to_dict() == before


@pytest.mark.parametrize("where", ["0x100001000+128M", "0x100000000+64M", "0x100000000+100M"])
def test_a_misaligned_range_is_einval_where_the_kernel_would_bug(
    with_dimm: WithDimm, refused: Refused, where: str
) -> None:
    """Before it looks at the blocks: the first block is online."""
    machine = with_dimm()
    machine.online("block 32")
    before = machine.to_dict()

    problem = refused(machine.remove, where)

    assert problem.name == "EINVAL"
    assert problem.reason.endswith("is not made of whole memory blocks of 0x8000000 bytes; the kernel would BUG")
    assert machine.to_dict() == before


def test_nothing_there_is_einval_and_an_unknown_name_an_input_error(with_dimm: WithDimm, refused: Refused) -> None:
    """A typo in a name is the user's mistake, not the kernel's refusal."""
    machine = with_dimm()

    problem = refused(machine.remove, "block 50")
    assert str(problem) == ("EINVAL: there is no memory block in 0x0000000190000000-0x0000000197ffffff")
    with pytest.raises(InputError) as caught:
        machine.remove("dimm1")
    assert str(caught.value) == ("got dimm1, expected the name of memory that was added (dimm0); did you mean 'dimm0'?")


def test_the_resource_is_trimmed_and_split(with_dimm: WithDimm) -> None:
    """What is removed from the middle leaves two resources."""
    machine = with_dimm("none")

    machine.remove("block 34-35")

    iomem: Any = machine.to_dict()["iomem"]
    assert [(entry["start"] >> 27, (entry["end"] + 1) >> 27) for entry in iomem] == [(0, 32), (32, 34), (36, 40)]
    assert machine.violations() == []


# ---- spans ----


def test_the_span_shrinks_from_the_edges_on_removal(with_dimm: WithDimm, zone_of: ZoneOf) -> None:
    """Offline leaves it; removal moves an edge to the next section that is still there.

    ::

        block   32 33 34 35 36 37 38 39
        removed  2  1     3           4     Expect the start to jump over the hole at 33.
    """
    machine = with_dimm("none")
    machine.online("dimm0", zone="movable")
    machine.offline("dimm0")
    spans = [zone_of(machine, "Movable")]

    for block in (33, 32, 35, 39):
        machine.remove(f"block {block}")
        spans.append(zone_of(machine, "Movable"))

    assert [((zone["start_pfn"] - BASE) // BLOCK, zone["spanned"] // BLOCK) for zone in spans] == [
        (0, 8),
        (0, 8),
        (2, 6),
        (2, 6),
        (2, 5),
    ]
    machine.remove("block 34-38")
    assert zone_of(machine, "Movable")["spanned"] == 0


def test_blocks_that_were_never_online_shrink_nothing(with_dimm: WithDimm, zone_of: ZoneOf) -> None:
    """They belong to no zone."""
    machine = with_dimm("none")
    machine.online("block 33", zone="movable")

    machine.remove("block 32")
    machine.remove("block 34-39")

    assert (zone_of(machine, "Movable")["start_pfn"], zone_of(machine, "Movable")["spanned"]) == (BASE + BLOCK, BLOCK)


def test_a_block_that_changed_zones_shrinks_the_one_it_is_in(with_dimm: WithDimm, zone_of: ZoneOf) -> None:
    """The struct pages name the zone of the last online; the old span stays, as in this era."""
    machine = with_dimm("none")
    machine.online("dimm0", zone="movable")
    machine.offline("block 38-39")
    machine.online("block 38", zone="kernel")  # the slab that the kernel takes from an empty zone is here, not in 39
    machine.online("block 39", zone="kernel")
    assert zone_of(machine, "Normal")["spanned"] == 2 * BLOCK
    machine.offline("block 39")

    machine.remove("block 39")

    assert zone_of(machine, "Normal")["spanned"] == BLOCK
    assert zone_of(machine, "Movable")["spanned"] == 8 * BLOCK


@pytest.mark.parametrize("block_size", ["1G", "2G"])
def test_memblock_with_blocks_of_many_sections_defers_within_the_block(boot: Boot, block_size: str) -> None:
    """The head counts the sections of its block, so block by block is fine."""
    machine = boot(memory_block_size=block_size)
    machine.add_memory(driver="acpi", name="dimm0", size="4G", mhp_flags="memblock")
    blocks = machine.kernel.state.blocks

    for block in blocks.id[~blocks.early].tolist()[::-1]:
        machine.remove(f"block {block}")
        assert machine.violations() == []

    assert mapped(machine) == []


def test_a_range_that_is_added_again_uses_the_memmap_that_was_left(with_dimm: WithDimm) -> None:
    """Block 32's memmap was deferred, so it is mapped still: the new add populates nothing and marks nothing."""
    machine = with_dimm("device")
    machine.remove("block 32")

    machine.add_memory(driver="acpi", name="again", size="128M", address="4G", mhp_flags="memblock")

    assert heads(machine) == [(0, 7, 4096)]
    assert memmap(machine, "self_hosted_pages") == 4096


def test_removed_boot_memory_gives_its_memmap_to_the_allocator(boot: Boot, zone_of: ZoneOf) -> None:
    """Boot memmap was reserved; 512 pages become managed and free."""
    machine = boot()
    machine.offline("block 5")
    before = zone_of(machine, "DMA32")

    machine.remove("block 5")

    after = zone_of(machine, "DMA32")
    assert (after["managed"] - before["managed"], after["free"] - before["free"]) == (512, 512)
    assert after["present"] == before["present"]
    assert machine.violations() == []


def test_a_node_goes_with_its_last_block(boot: Boot) -> None:
    """A node without blocks and without a CPU is offline."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="256M", node=3, mhp_flags="device")
    machine.online("dimm0")
    machine.offline("dimm0")
    assert machine.read("node/online") == "0,3\n"
    machine.remove("block 32")
    assert machine.read("node/online") == "0,3\n"

    machine.remove("block 33")

    assert machine.read("node/online") == "0\n"


def test_eject_offlines_and_removes(with_dimm: WithDimm) -> None:
    """What acpi does when its device is taken out."""
    machine = with_dimm("device")
    machine.online("dimm0", zone="movable")

    machine.eject("dimm0")

    assert len(machine.kernel.state.blocks) == 32
    assert machine.violations() == []


def test_a_failed_eject_brings_back_what_it_had_offlined(with_dimm: WithDimm, refused: Refused) -> None:
    """By a plain online, so the zone is the default one."""
    machine = with_dimm("memblock")
    machine.online("block 32-35", zone="movable")
    machine.allocate("rdma", "1M", pinned=True)

    problem = refused(machine.eject, "dimm0")

    assert problem.name == "EBUSY"
    blocks: Any = machine.to_dict()["blocks"]
    assert [block["state"] for block in blocks[32:]] == ["online"] * 4 + ["offline"] * 4
    assert machine.violations() == []
