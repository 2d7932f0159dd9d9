"""Numbers that the kernel's own arithmetic fixes: what one block costs, gives and looks like to the buddy allocator.

Each row is one memory block, added and onlined into an empty zone; counts are in base pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from memhotplug import Machine

ON = "memory_hotplug.memmap_on_memory=1"
FORCE = "memory_hotplug.memmap_on_memory=force"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One block of one machine.

    Attributes:
        boot: keywords of Machine.boot(). driver, size: what adds it.
        present, managed: what the zone gains.
        reserved: pages at the start of the block that hold its memmap, padding included.
        chunks: free chunks by order, all orders that have some.
    """

    name: str
    boot: dict[str, Any]
    size: str
    driver: str = "acpi"
    present: int
    managed: int
    reserved: int = 0
    chunks: dict[int, int]


def _boot(arch: str, cmdline: str = "", **keywords: Any) -> dict[str, Any]:
    return {"arch": arch, "kernel": "linux-6.12", "memory": "4G", "cmdline": cmdline, **keywords}


ROWS = [
    Row(
        name="x86_64 128M plain",
        boot=_boot("x86_64"),
        size="128M",
        present=32768,
        managed=32768,
        chunks={10: 32},
    ),
    Row(
        name="x86_64 128M self-hosted",
        boot=_boot("x86_64", ON),
        size="128M",
        present=32768,
        managed=32256,
        reserved=512,
        chunks={9: 1, 10: 31},
    ),
    Row(
        name="x86_64 force is Y where nothing needs padding",
        boot=_boot("x86_64", FORCE),
        size="128M",
        present=32768,
        managed=32256,
        reserved=512,
        chunks={9: 1, 10: 31},
    ),
    Row(
        name="x86_64 2G self-hosted",
        boot=_boot("x86_64", ON, memory_block_size="2G"),
        size="2G",
        present=524288,
        managed=516096,
        reserved=8192,
        chunks={10: 504},
    ),
    Row(
        name="arm64 4K 128M self-hosted",
        boot=_boot("arm64", ON),
        size="128M",
        present=32768,
        managed=32256,
        reserved=512,
        chunks={9: 1, 10: 31},
    ),
    Row(
        name="arm64 16K never hosts itself",
        boot=_boot("arm64", FORCE, page_size="16K"),
        size="128M",
        present=8192,
        managed=8192,
        chunks={11: 4},
    ),
    Row(
        name="arm64 64K never hosts itself",
        boot=_boot("arm64", FORCE, page_size="64K"),
        size="512M",
        present=8192,
        managed=8192,
        chunks={13: 1},
    ),
    Row(
        name="s390 256M self-hosted",
        boot=_boot("s390", ON),
        size="256M",
        driver="sclp",
        present=65536,
        managed=64512,
        reserved=1024,
        chunks={10: 63},
    ),
    Row(
        name="s390 128M self-hosted, since 6.14",
        boot={**_boot("s390", ON), "kernel": "linux-6.14"},
        size="128M",
        driver="sclp",
        present=32768,
        managed=32256,
        reserved=512,
        chunks={9: 1, 10: 31},
    ),
    Row(
        name="powerpc radix 4K 256M self-hosted",
        boot=_boot("powerpc", ON, page_size="4K", memory_block_size="256M"),
        size="256M",
        driver="pseries",
        present=65536,
        managed=64512,
        reserved=1024,
        chunks={10: 1, 11: 1, 12: 15},
    ),
    Row(
        name="powerpc radix 64K 256M, Y refuses",
        boot=_boot("powerpc", ON, page_size="64K", memory_block_size="256M"),
        size="256M",
        driver="pseries",
        present=4096,
        managed=4096,
        chunks={8: 16},
    ),
    Row(
        name="powerpc radix 64K 256M, force pads",
        boot=_boot("powerpc", FORCE, page_size="64K", memory_block_size="256M"),
        size="256M",
        driver="pseries",
        present=4096,
        managed=4064,
        reserved=32,
        chunks={5: 1, 6: 1, 7: 1, 8: 15},
    ),
    Row(
        name="powerpc hash never hosts itself",
        boot=_boot("powerpc", f"disable_radix {FORCE}", page_size="64K", memory_block_size="256M"),
        size="256M",
        driver="pseries",
        present=4096,
        managed=4096,
        chunks={8: 16},
    ),
]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def _zone(machine: Machine) -> dict[str, Any]:
    """Return the highest zone that has pages: the new block's."""
    zones: Any = machine.to_dict()["zones"]
    found: dict[str, Any] = zones[-1]
    return found


def _added(row: Row) -> tuple[Machine, dict[str, Any]]:
    """Return a machine with the block online in Movable, and the block."""
    machine = Machine.boot(**row.boot)
    dimm = machine.add_memory(driver=row.driver, name="d", size=row.size)
    if row.driver == "pseries":  # which has onlined it, into a kernel zone
        machine.offline(dimm)
    machine.online(dimm, zone="movable")
    blocks: Any = machine.to_dict()["blocks"]
    return machine, blocks[-1]


@each_row
def test_what_a_block_gives(row: Row) -> None:
    """present counts all of it, managed what is not reserved, and all of that is free."""
    machine, _ = _added(row)
    zone = _zone(machine)

    assert (zone["zone"], zone["spanned"]) == ("Movable", row.present)
    assert (zone["present"], zone["managed"], zone["free"]) == (row.present, row.managed, row.managed)
    assert machine.violations() == []


@each_row
def test_how_the_buddy_allocator_sees_it(row: Row) -> None:
    """The largest aligned chunks behind the reserved pages."""
    machine, _ = _added(row)

    orders = _zone(machine)["free_by_order"]
    assert {order: count for order, count in enumerate(orders) if count} == row.chunks
    assert sum(count << order for order, count in row.chunks.items()) == row.managed


@each_row
def test_where_its_memmap_lies(row: Row) -> None:
    """In the block from its first page on, or in memory that was there before: never in both."""
    machine, block = _added(row)
    memmap: Any = machine.to_dict()["memmap"]
    page, pages = machine.kernel.geometry.page_size, row.present
    needed = -(-pages * 64 // page)
    first = block["start"] // page

    assert (memmap["self_hosted_pages"] > 0) == (row.reserved > 0)
    assert block["usable_pages"] == row.managed
    if row.reserved:
        assert (memmap["self_hosted_pages"], memmap["allocated_pages"]) == (needed, 0)
        assert machine.page(first).backing == first
        assert machine.page(first + pages - 1).backing == first + needed - 1
    else:
        shared = "disable_radix" in row.boot["cmdline"]  # one page of memmap for 16 GiB, boot memory's included
        assert (memmap["allocated_pages"] >= needed) is not shared
        backing = machine.page(first).backing
        assert backing is not None
        assert backing < first


@each_row
def test_offline_and_removal_give_all_of_it_back(row: Row) -> None:
    """The zone is empty again, and no page but page tables and section roots stays away."""
    machine = Machine.boot(**row.boot)
    before = sum(zone.nr_free for zone in machine.kernel.state.zones())
    machine.add_memory(driver=row.driver, name="d", size=row.size)
    if row.driver == "pseries":
        machine.offline("d")
    machine.online("d", zone="movable")

    machine.offline("d")
    offline = machine.kernel.state.zones()
    assert sum(zone.present for zone in offline if zone.kind.label == "Movable") == 0
    machine.remove("d")

    kept = before - sum(zone.nr_free for zone in machine.kernel.state.zones())
    memmap: Any = machine.to_dict()["memmap"]
    assert (memmap["self_hosted_pages"], memmap["allocated_pages"], memmap["by_node"]) == (0, 0, {})
    assert memmap["page_table_pages"] <= kept <= memmap["page_table_pages"] + 1  # a section root


@pytest.mark.parametrize(
    ("size", "flag", "heads"),
    [
        ("1G", "device", [(0, 4096, 8)]),
        ("1G", "memblock", [(32768 * block, 512, 1) for block in range(8)]),
        ("384M", "device", [(0, 1536, 3)]),
        ("384M", "memblock", [(0, 512, 1), (32768, 512, 1), (65536, 512, 1)]),
        ("8G", "device", [(0, 32768, 64)]),
        ("16G", "device", [(0, 65536, 128)]),
        ("1G", "none", []),
    ],
)
def test_heads_of_the_series(size: str, flag: str, heads: list[tuple[int, int, int]]) -> None:
    """First page of each head relative to the range, its pages, and the sections that it serves."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    machine.add_memory(driver="acpi", name="d", size=size, mhp_flags=flag)
    found: Any = machine.to_dict()["vmemmap"]

    assert [(head["start_pfn"] - (1 << 20), head["nr_pages"], head["refcount"]) for head in found] == heads
    assert all(head["private"] == head["nr_pages"] for head in found)
    assert all(head["serves"][1] - head["serves"][0] == head["refcount"] * 32768 for head in found)
