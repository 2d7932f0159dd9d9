"""From files to a machine: what is read, what is inferred, what disagrees, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedMachine, SnapshotFiles, open_snapshot, read_recording
from memhotplug.formats.snapshot.extents import size
from memhotplug.naming import read_machine

MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"
Make = Callable[..., SnapshotFiles]


def notes_of(machine: RecordedMachine, kind: str) -> list[str]:
    return [note.text for note in machine.notes if note.kind == kind]


def without(texts: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if not name.startswith(prefixes)}


def message_of(files: SnapshotFiles) -> str:
    with pytest.raises(InputError) as caught:
        read_machine(files)
    return str(caught.value)


def test_every_step_of_every_recording_agrees_with_itself(recordings: list[Path]) -> None:
    """Present pages are the RAM in the zone's online blocks, MemTotal the managed pages; what differs is noted.

    Linux 6.1 on s390x counts 24 kB in MemTotal that no zone manages; three buddyinfos were read a moment too late.
    """
    found = []
    for path in recordings:
        recording = read_recording(path)
        for step in recording.steps:
            machine = read_machine(recording.snapshot(step.index))
            found += [(path.name, step.index, text) for text in notes_of(machine, "inconsistent")]
            settled = all(block.state != "going-offline" for block in machine.blocks)
            assert not settled or all(size(zone.extents) == zone.present for zone in machine.zones)

    memtotal = [text.endswith("(difference +24 kB)") for name, _, text in found if name.startswith("s390x-6.1-")]
    assert memtotal == [True] * 7
    hogged = (
        "s390x-6.1-",
        "ppc64el-6.12-64k-hash",
        "ppc64el-6.12-two-cpu-nodes",
        "x86_64-6.12-memoryless-cpu-node",
        "x86_64-6.12-three-cpu-nodes",
        "x86_64-6.12-virtio-mem-node-1",
        "x86_64-6.12-virtio-mem-tiny-zone",
        "x86_64-6.1-page-of-a-process",
        "x86_64-6.12-hog-",
        "x86_64-6.12-migrate-",
    )  # a guest that is busy, or has several CPUs, changes between two reads
    assert [entry for entry in found if not entry[0].startswith(hogged)] == [
        (
            "s390x-7.2-kernelcore.json.xz",
            0,
            "node 0 zone Movable: zoneinfo shows 244258 free pages, buddyinfo 244259 (difference -1)",
        ),
        (
            "x86_64-6.12-failed-add.json.xz",
            4,
            "node 0 zone DMA32: zoneinfo shows 2335 free pages, buddyinfo 2337 (difference -2)",
        ),
        (
            "x86_64-6.12-numa2-mom-1.json.xz",
            5,
            "node 1 zone DMA32: zoneinfo shows 225814 free pages, buddyinfo 225806 (difference +8)",
        ),
    ]


def test_machine_of_a_complete_snapshot_needs_no_assumption(texts: dict[str, str], snapshot: Make) -> None:
    """A directory with every file infers only what no file holds."""
    machine = read_machine(snapshot(texts))

    assert (machine.arch, machine.kernel_release) == ("x86_64", "6.12.107+deb13-amd64")
    assert machine.cmdline is not None
    assert machine.cmdline.endswith("memory_hotplug.memmap_on_memory=1")
    assert (machine.page_size, machine.block_size, machine.max_order, machine.pageblock_order) == (4096, 1 << 27, 10, 9)
    assert machine.parameters["memmap_on_memory"] == "Y"
    assert machine.auto_online_blocks == "offline"
    assert [(node.id, node.has_memory, node.mem_total) for node in machine.nodes] == [(0, True, machine.mem_total)]
    assert [note.text for note in machine.notes] == [
        "page size 4K, the only one of x86_64",
        "section size (the architecture's own applies) unknown: nothing recorded tells",
    ]


def test_machine_holds_zones_with_their_present_pages(texts: dict[str, str], snapshot: Make) -> None:
    """The DMA zone has the hole below 1 MiB; the hot-added block is all of Normal, its memmap included."""
    machine = read_machine(snapshot(texts))

    dma, normal = machine.zone(0, "DMA"), machine.zone(0, "Normal")
    assert dma is not None
    assert normal is not None
    assert dma.extents == ((1, 0x9F), (0x100, 0x1000))
    assert (dma.start_pfn, dma.end_pfn, dma.present) == (1, 4096, 3998)
    assert normal.extents == ((1 << 20, (1 << 20) + 32768),)
    assert (normal.present, normal.managed, normal.title) == (32768, 32256, "node 0 zone Normal")
    assert normal.pcp_pages == sum(pageset.count for pageset in normal.pagesets)
    assert machine.zone(1, "Normal") is None
    assert machine.ram[0] == (1, 0x9F)


def test_machine_holds_blocks_with_zone_and_node(texts: dict[str, str], snapshot: Make) -> None:
    """A block over two zones shows none; block 32 is the hot-added one."""
    blocks = {block.id: block for block in read_machine(snapshot(texts)).blocks}

    assert sorted(blocks) == [*range(8), 32]
    assert (blocks[0].zone, blocks[0].valid_zones, blocks[0].state) == (None, (), "online")
    assert (blocks[1].zone, blocks[32].zone, blocks[32].node) == ("DMA32", "Normal", 0)
    assert (blocks[32].removable, blocks[32].phys_index) == (True, 32)


def test_offline_block_belongs_to_no_zone(document: dict[str, Any], save: Callable[[object], str]) -> None:
    """valid_zones of an offline block says where it could go."""
    machine = read_machine(open_snapshot(save(document), 1))

    block = machine.blocks[-1]
    assert (block.id, block.state, block.zone, block.valid_zones) == (32, "offline", None, ("Normal", "Movable"))


def test_kernel_image_is_every_page_it_touches(recordings: list[Path]) -> None:
    """What placement keeps in use; arm64 and s390x show no read-only data."""
    path = next(path for path in recordings if path.name.startswith("s390x-6.12"))

    machine = read_machine(open_snapshot(path))

    assert machine.kernel_image == ((0x9F8, 0x1F1A), (0x203D, 0x2100))


def test_machine_without_numa_has_one_node(recordings: list[Path]) -> None:
    """s390x records no node; it is inferred and said so."""
    path = next(path for path in recordings if path.name.startswith("s390x-6.12"))

    machine = read_machine(open_snapshot(path))

    assert [node.id for node in machine.nodes] == [0]
    assert {block.node for block in machine.blocks} == {0}
    assert notes_of(machine, "inferred") == [
        "memory blocks 0-7 on node 0: no node recorded",
        "nodes 0 from the zones: no sys/devices/system/node/online",
    ]


@pytest.mark.parametrize(
    ("missing", "note"),
    [
        ("proc/iomem", "System RAM from zones and memory blocks: no proc/iomem"),
        ("proc/cmdline", "kernel command line unknown: nothing recorded tells"),
        (f"{MEMORY}/block_size_bytes", "memory block size 128M, from the blocks' numbers"),
        (f"{NODE}/online", "nodes 0 from the zones: no sys/devices/system/node/online"),
        (f"{MEMORY}/memory1/state", "memory blocks 1 online: no state recorded"),
        (f"{MEMORY}/memory5/valid_zones", "memory blocks 5 in the zones that span them: no valid_zones"),
        (f"{MEMORY}/memory32/node", "memory blocks 32 on node 0: no node recorded"),
    ],
)
def test_missing_file_is_inferred_and_said_so(texts: dict[str, str], snapshot: Make, missing: str, note: str) -> None:
    """The zones come out the same, but for the hole that only iomem knows."""
    complete = read_machine(snapshot(texts))

    machine = read_machine(snapshot(without(texts, missing)))

    assert note in notes_of(machine, "inferred")
    assert machine.block_size == complete.block_size
    assert [zone.free_by_order for zone in machine.zones] == [zone.free_by_order for zone in complete.zones]
    assert [zone.extents for zone in machine.zones][2:] == [zone.extents for zone in complete.zones][2:]


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_list_of_nodes_is_inferred(texts: dict[str, str], snapshot: Make, text: str) -> None:
    """No kernel is without an online node: a file that was cut off says nothing."""
    complete = read_machine(snapshot(texts))

    machine = read_machine(snapshot(texts | {f"{NODE}/online": text}))

    assert machine.nodes == complete.nodes
    assert "nodes 0 from the zones: empty sys/devices/system/node/online" in notes_of(machine, "inferred")


@pytest.mark.parametrize("missing", ["proc/meminfo", "proc/pagetypeinfo", "sys/module/", f"{NODE}/has_memory"])
def test_missing_totals_are_not_missed(texts: dict[str, str], snapshot: Make, missing: str) -> None:
    """Some files only confirm others."""
    machine = read_machine(snapshot(without(texts, missing)))

    assert notes_of(machine, "inconsistent") == []
    assert len(machine.notes) == 2


def test_hidden_iomem_is_treated_as_missing(texts: dict[str, str], snapshot: Make) -> None:
    """Unprivileged users see zeros."""
    texts["proc/iomem"] = "00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n"

    machine = read_machine(snapshot(texts))

    assert machine.iomem == ()
    assert "System RAM from zones and memory blocks: proc/iomem shows only zeros, it was read without root" in notes_of(
        machine, "inferred"
    )
    assert "node 0 zone DMA: 3998 present pages, its online blocks holds 4095 (difference -97)" in notes_of(
        machine, "inconsistent"
    )


def test_missing_blocks_are_inferred_from_ram(texts: dict[str, str], snapshot: Make) -> None:
    """A snapshot without sysfs memory still knows the block size from a recording's meta."""
    machine = read_machine(snapshot(without(texts, MEMORY), block_size=1 << 27))

    assert [block.id for block in machine.blocks] == [*range(8), 32]
    assert {(block.state, block.zone, block.node) for block in machine.blocks} == {("online", None, 0)}
    assert "memory blocks online wherever there is memory: none recorded" in notes_of(machine, "inferred")
    assert notes_of(machine, "inconsistent") == []


def test_missing_blocks_and_size_leave_both_open(texts: dict[str, str], snapshot: Make) -> None:
    """The architecture plugin knows its own default."""
    machine = read_machine(snapshot(without(texts, MEMORY)))

    assert (machine.block_size, machine.blocks) == (None, ())
    assert "memory block size left to the architecture: no sys/devices/system/memory" in notes_of(machine, "inferred")
    assert all(size(zone.extents) == zone.present for zone in machine.zones)


def test_missing_buddyinfo_is_estimated_from_free_pages(texts: dict[str, str], snapshot: Make) -> None:
    """As many pages as zoneinfo shows, hardly fragmented."""
    machine = read_machine(snapshot(without(texts, "proc/buddyinfo")))

    assert [zone.buddy_pages for zone in machine.zones] == [zone.free for zone in machine.zones]
    assert all(len(zone.free_by_order) == 11 for zone in machine.zones)
    assert "largest order 10 and free pages as little fragmented as can be: no proc/buddyinfo" in notes_of(
        machine, "inferred"
    )


def test_missing_zoneinfo_is_rebuilt_from_blocks_and_ram(recordings: list[Path], snapshot: Make) -> None:
    """Spans and present pages come out as recorded, on every architecture."""
    for path in recordings:
        opened = open_snapshot(path, 1)
        complete = read_machine(opened)
        meta = {"arch": opened.meta.arch, "page_size": opened.meta.page_size, "block_size": opened.meta.block_size}

        machine = read_machine(snapshot(without(opened.files, "proc/zoneinfo"), **meta))

        populated = [zone for zone in complete.zones if zone.present]
        assert [zone.title for zone in machine.zones] == [zone.title for zone in populated], path.name
        if "movablecore" not in path.name:
            assert [zone.extents for zone in machine.zones] == [zone.extents for zone in populated], path.name
        managed = sum(zone.managed for zone in machine.zones) * machine.page_size
        assert abs(managed - (complete.mem_total or 0)) < 1 << 20
        assert (
            "zones' spans from memory blocks and System RAM, managed pages from MemTotal, watermarks 0: "
            "no proc/zoneinfo" in notes_of(machine, "inferred")
        )


def test_page_size_is_what_makes_managed_pages_the_total(texts: dict[str, str], snapshot: Make) -> None:
    """arm64 and powerpc offer several; MemTotal over the managed pages tells which."""
    texts = without(texts, "proc/sys", "sys", "proc/buddyinfo", "proc/iomem")
    managed = sum(zone.managed for zone in read_machine(snapshot(texts)).zones)
    texts["proc/meminfo"] = f"MemTotal: {managed * 64} kB\n"

    machine = read_machine(snapshot(texts, arch="arm64"))

    assert machine.page_size == 65536
    assert "page size 64K, from MemTotal over the managed pages" in notes_of(machine, "inferred")


def test_unknown_page_size_is_4k(texts: dict[str, str], snapshot: Make) -> None:
    """Nothing tells, so the commonest is taken."""
    machine = read_machine(snapshot(without(texts, "proc/meminfo"), arch="arm64"))

    assert (machine.page_size, machine.notes[0].text) == (4096, "page size 4K, as nothing recorded tells")


def test_machine_with_neither_zoneinfo_nor_buddyinfo_is_refused(texts: dict[str, str], snapshot: Make) -> None:
    """Free memory cannot be told from anything else."""
    files = snapshot(without(texts, "proc/zoneinfo", "proc/buddyinfo"))

    assert message_of(files) == "snap: got neither, expected proc/zoneinfo or proc/buddyinfo"


@pytest.mark.parametrize(("text", "shown"), [("6000000\n", "100663296"), ("0\n", "0"), ("800\n", "2048")])
def test_impossible_block_size_is_refused(texts: dict[str, str], snapshot: Make, text: str, shown: str) -> None:
    """Not a power of two, or below a page."""
    texts[f"{MEMORY}/block_size_bytes"] = text

    expected = f"snap: {MEMORY}/block_size_bytes: got {shown} bytes, expected a power of two, at least a page"
    assert message_of(snapshot(texts)) == expected


def test_block_size_that_no_number_fits_is_refused(texts: dict[str, str], snapshot: Make) -> None:
    """Blocks of unknown size have no place."""
    files = without(texts, f"{MEMORY}/block_size_bytes", f"{MEMORY}/memory3/")

    assert message_of(snapshot(files)) == (
        f"snap: {MEMORY}/block_size_bytes: got none recorded, and no size fits the blocks, "
        "expected a memory block size (block_size_bytes)"
    )


def test_error_in_a_recording_names_file_step_and_file_inside(
    document: dict[str, Any], save: Callable[[object], str]
) -> None:
    """One line is enough to find it."""
    document["steps"][4]["files"]["proc/zoneinfo"] = "Node 0, zone   Normal\n  pages free     -3\n"
    path = save(document)

    assert message_of(open_snapshot(path, 4)) == (
        f"{path}: steps[4].files[proc/zoneinfo] line 2: got '-3', expected a number of pages"
    )
