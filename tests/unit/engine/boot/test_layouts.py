"""Where the memmap of hot-added memory lies, page for page: the layouts that must come out exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from memhotplug import Machine
from memhotplug.contracts import PageFlag

Boot = Callable[..., Machine]
BASE = 1 << 20  # pfn of the first hot-added page, 4 GiB
BLOCK = 32768
VMEMMAP_PAGE = 0xFFFF_FFFF_FFFF_FFFC

LAYOUTS = [
    ("1G", "device", None, [(0, 4096)], 8),
    ("1G", "memblock", None, [(block * BLOCK, 512) for block in range(8)], 1),
    ("384M", "device", None, [(0, 1536)], 3),
    ("384M", "memblock", None, [(0, 512), (32768, 512), (65536, 512)], 1),
    ("8G", "device", None, [(0, 32768)], 64),
    ("16G", "device", None, [(0, 65536)], 128),
    ("1G", "memblock", "1G", [(0, 4096)], 8),
    ("4G", "memblock", "2G", [(0, 8192), (524288, 8192)], 16),
    ("1G", "device", "1G", [(0, 4096)], 8),
    ("4G", "device", "2G", [(0, 16384)], 32),
]


@pytest.fixture(params=LAYOUTS, ids=lambda row: f"{row[0]}-{row[1]}-{row[2] or '128M'}")
def layout(request: pytest.FixtureRequest, boot: Boot) -> tuple[Machine, list[tuple[int, int]], int, int]:
    """Return a machine with one added range, the expected runs of vmemmap pages, refcount, and pages added."""
    size, flag, block_size, runs, refcount = request.param
    machine = boot(memory="4G", **({"memory_block_size": block_size} if block_size else {}))
    added = machine.add_memory(driver="acpi", name="dimm0", size=size, mhp_flags=flag)
    assert added.start == BASE << 12
    return machine, runs, refcount, added.size >> 12


Layout = tuple[Machine, list[tuple[int, int]], int, int]


def test_heads_are_exactly_where_they_must_be(layout: Layout) -> None:
    """One head a run, with the sections served and the pages of the run."""
    machine, runs, refcount, pages = layout
    served = pages // len(runs)

    assert machine.to_dict()["vmemmap"] == [
        {
            "start_pfn": BASE + start,
            "nr_pages": count,
            "refcount": refcount,
            "private": count,
            "serves": [BASE + index * served, BASE + (index + 1) * served],
            "device": "dimm0",
        }
        for index, (start, count) in enumerate(runs)
    ]
    assert machine.violations() == []


def test_struct_pages_carry_the_marks(layout: Layout) -> None:
    """Reserved, VMEMMAP_PAGE, refcount 1 and the head on every page; refcount and private on the head only."""
    machine, runs, refcount, pages = layout
    wanted = {name: np.zeros(pages, dtype=np.int64) for name in ("marked", "refcount", "private")}
    wanted["head"] = np.full(pages, -1)
    for start, count in runs:
        part = slice(start, start + count)
        wanted["marked"][part] = wanted["refcount"][part] = 1
        wanted["head"][part] = BASE + start
        wanted["refcount"][start], wanted["private"][start] = refcount, count

    got = machine.memmap("dimm0")

    marked = wanted["marked"] == 1
    assert ((got["flags"] == PageFlag.VMEMMAP | PageFlag.RESERVED) == marked).all()
    assert ((got["mapping"] == VMEMMAP_PAGE) == marked).all()
    for name in ("refcount", "private", "head"):
        assert (got[name] == wanted[name]).all(), name


def test_each_struct_page_lies_in_the_memmap_of_its_section(layout: Layout) -> None:
    """512 pages a section, section after section, from the start of the run on."""
    machine, runs, _, pages = layout
    served = pages // len(runs)
    backing = np.concatenate([BASE + start + np.arange(served) // 64 for start, _ in runs])

    assert (machine.memmap("dimm0")["backing"] == backing).all()


def test_the_memmap_costs_no_page_of_the_allocator(layout: Layout) -> None:
    """All of it is self-hosted, one page in 64; only page tables come from elsewhere."""
    machine, _, _, pages = layout

    assert machine.to_dict()["memmap"] == {
        "self_hosted_pages": pages // 64,
        "allocated_pages": 0,
        "page_table_pages": int(pages % (1 << 18) > 0),  # the direct map of a GiB that is not whole
        "by_node": {"0": pages // 64},
    }


def test_online_hands_out_everything_else(layout: Layout, zone_of: Callable[..., dict[str, Any]]) -> None:
    """present counts the vmemmap pages, managed and free do not."""
    machine, runs, _, pages = layout

    machine.online("dimm0", zone="movable")

    zone = zone_of(machine, "Movable")
    assert (zone["start_pfn"], zone["spanned"], zone["present"]) == (BASE, pages, pages)
    assert zone["managed"] == zone["free"] == pages - sum(count for _, count in runs)
    assert machine.violations() == []


def test_round_trip_ends_where_it_began(layout: Layout) -> None:
    """Online, offline, remove: everything is as before the add."""
    machine, _, _, _ = layout
    fresh = machine.copy()
    fresh.remove("dimm0")
    assert fresh.to_dict()["vmemmap"] == []

    machine.online("dimm0", zone="movable")
    machine.offline("dimm0")
    machine.remove("dimm0")

    assert machine.violations() == []
    assert machine.to_dict() == {**fresh.to_dict(), "warnings": machine.to_dict()["warnings"]}


def test_usable_pages_of_each_block(boot: Boot, block_of: Callable[..., dict[str, Any]]) -> None:
    """DEVICE: 4096 pages less in the first block; MEMBLOCK: 512 less in each."""
    device, memblock = boot(), boot()
    device.add_memory(driver="acpi", size="1G", mhp_flags="device")
    memblock.add_memory(driver="acpi", size="1G", mhp_flags="memblock")

    assert [block_of(device, block)["usable_pages"] for block in range(32, 40)] == [28672] + [32768] * 7
    assert [block_of(memblock, block)["usable_pages"] for block in range(32, 40)] == [32256] * 8


def test_8g_device_leaves_the_first_block_without_a_usable_page(
    boot: Boot, block_of: Callable[..., dict[str, Any]], zone_of: Callable[..., dict[str, Any]]
) -> None:
    """The block goes online all the same; nothing of it reaches the page allocator."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="8G", mhp_flags="device")

    assert machine.online("block 32", zone="movable") == [32]

    block, zone = block_of(machine, 32), zone_of(machine, "Movable")
    assert (block["state"], block["zone"]) == ("online", "Movable")
    assert (block["vmemmap_pages"], block["usable_pages"]) == (32768, 0)
    assert (zone["spanned"], zone["present"], zone["managed"], zone["free"]) == (32768, 32768, 0, 0)
    assert machine.violations() == []


def test_offline_of_an_all_vmemmap_block_reports_the_uninitialised_count(
    boot: Boot, zone_of: Callable[..., dict[str, Any]]
) -> None:
    """Isolation and migration are skipped; the count that is subtracted afterwards was never set."""
    machine = boot()
    machine.add_memory(driver="acpi", size="16G", mhp_flags="device")
    machine.online("block 32-34", zone="movable")

    machine.offline("block 32-34")

    assert machine.to_dict()["warnings"] == [
        f"block {block} is all vmemmap: zone.nr_isolate_pageblock loses an uninitialised count (taken as 0)"
        for block in (32, 33)
    ]
    zone = zone_of(machine, "Movable")
    assert (zone["present"], zone["managed"], zone["free"]) == (0, 0, 0)


def test_16g_device_is_one_run_over_two_blocks(boot: Boot, block_of: Callable[..., dict[str, Any]]) -> None:
    """The run is never split at the border between the blocks; the second block's first page is a tail."""
    machine = boot()
    machine.add_memory(driver="acpi", size="16G", mhp_flags="device")

    assert [block_of(machine, block)["usable_pages"] for block in (32, 33, 34)] == [0, 0, 32768]
    tail = machine.page(BASE + BLOCK)
    assert (tail.head, tail.refcount, tail.private) == (BASE, 1, 0)


def test_without_a_flag_the_page_allocator_pays(boot: Boot, zone_of: Callable[..., dict[str, Any]]) -> None:
    """512 pages a section from the zones that are there, at add time, before anything is online."""
    machine = boot()
    before = zone_of(machine, "DMA32")["free"]

    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags="none")

    objects = 12  # of 8 blocks, 6 KiB each
    assert before - zone_of(machine, "DMA32")["free"] == 4096 + objects
    state = machine.to_dict()
    assert state["vmemmap"] == []
    assert state["memmap"] == {
        "self_hosted_pages": 0,
        "allocated_pages": 4096,
        "page_table_pages": 0,
        "by_node": {"0": 4096},
    }
    machine.online("dimm0", zone="movable")
    assert zone_of(machine, "Movable")["managed"] == 262144
    page = machine.page(BASE)
    assert page.head is None
    assert page.backing is not None
    assert page.backing < BASE
    machine.offline("dimm0")
    machine.remove("dimm0")
    assert zone_of(machine, "DMA32")["free"] == before
    assert machine.violations() == []


def test_without_order_9_the_memmap_falls_back_to_base_pages(boot: Boot) -> None:
    """Every second 2 MiB chunk is taken, so no order-9 chunk is left: base pages and a PTE table a section."""
    machine = boot(memory="1G")
    machine.allocate("wedge", "475M", zone="kernel", order=8, scatter=True)
    free = {zone.key: zone.nr_free for zone in machine.kernel.state.zones()}

    machine.add_memory(driver="acpi", name="dimm0", size="256M", mhp_flags="none")

    runs = machine.kernel.state.vmemmap.clip(BASE, BASE + 2 * BLOCK)
    assert set(runs.leaf.tolist()) <= {1, 512}
    memmap = machine.to_dict()["memmap"]
    assert isinstance(memmap, dict)
    base_sections = int((runs.end - runs.start)[runs.leaf == 1].sum()) // BLOCK
    assert base_sections == 2
    assert (memmap["allocated_pages"], memmap["page_table_pages"]) == (1024, base_sections + 1)
    machine.remove("dimm0")
    assert {zone.key: zone.nr_free for zone in machine.kernel.state.zones()} == free
    assert machine.violations() == []
    assert machine.to_dict()["memmap"] == {
        "self_hosted_pages": 0,
        "allocated_pages": 0,
        "page_table_pages": 0,
        "by_node": {},
    }


def test_a_flagged_add_needs_no_free_memory(boot: Boot) -> None:
    """Not a page more is free than the objects of 8 blocks take: none fails, memblock and device succeed."""
    machine = boot(memory="1G")
    machine.kernel.state.fail_allocation = 12

    for flag, ok in (("memblock", True), ("device", True), ("none", False)):
        twin = machine.copy()
        if ok:
            twin.add_memory(driver="acpi", size="1G", mhp_flags=flag)
            assert twin.violations() == []
        else:
            with pytest.raises(OSError, match="ENOMEM"):
                twin.add_memory(driver="acpi", size="1G", mhp_flags=flag)
