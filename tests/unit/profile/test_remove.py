"""Removal under the series: deferral, backward freeing, spans, and where it falls short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
WithDimm = Callable[..., Machine]
ZoneOf = Callable[..., dict[str, Any]]
BASE, BLOCK = 1 << 20, 32768


def heads(machine: Machine) -> list[tuple[int, int, int]]:
    """Return start, refcount and private of every head, the start relative to the first hot-added page."""
    found: Any = machine.to_dict()["vmemmap"]
    return [(head["start_pfn"] - BASE, head["refcount"], head["private"]) for head in found]


def memmap(machine: Machine, key: str) -> int:
    """Return one of the counts of hot-added memmap."""
    totals: Any = machine.to_dict()["memmap"]
    return int(totals[key])


def mapped(machine: Machine) -> list[tuple[int, int]]:
    """Return the hot-added pfns whose memmap is mapped, in blocks from the first one on."""
    table = machine.kernel.state.vmemmap.mapped
    starts, ends = table.clip(BASE, 1 << 40)
    return [((a - BASE) // BLOCK, (b - BASE) // BLOCK) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


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
        (0, 8), (0, 8), (2, 6), (2, 6), (2, 5),
    ]  # fmt: skip
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
    machine.offline("block 39")
    machine.online("block 39", zone="kernel")
    assert zone_of(machine, "Normal")["spanned"] == BLOCK
    machine.offline("block 39")

    machine.remove("block 39")

    assert zone_of(machine, "Normal")["spanned"] == 0
    assert zone_of(machine, "Movable")["spanned"] == 8 * BLOCK


# ---- removal at another granularity under DEVICE ----


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
