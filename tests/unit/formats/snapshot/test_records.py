"""What follows from the values of a recorded machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from memhotplug.formats.snapshot import SnapshotFiles
from memhotplug.formats.snapshot.iomem import IomemEntry
from memhotplug.formats.snapshot.records import RecordedMachine, RecordedZone, ram_pfns
from memhotplug.formats.snapshot.zoneinfo import Pageset, ZoneInfo
from memhotplug.naming import read_machine

Make = Callable[..., SnapshotFiles]


def zone(**more: Any) -> RecordedZone:
    """Return a zone of 100 pages from pfn 1000 on."""
    values = {
        "node": 1, "name": "Movable", "free": 9, "boost": 0, "min": 0, "low": 0, "high": 0, "promo": 0, "spanned": 100,
        "present": 100, "managed": 100, "cma": 0, "protection": (), "start_pfn": 1000, "pagesets": (),
        "free_cma": 0, "free_by_order": (1, 0, 2), "extents": ((1000, 1100),),
    }  # fmt: skip
    return RecordedZone(**{**values, **more})


def test_a_zone_knows_its_end_its_chunks_and_its_name() -> None:
    """One of order 0 and two of order 2; pages on per-cpu lists of all CPUs."""
    lists = (Pageset(cpu=0, count=5, high=0, batch=0), Pageset(cpu=3, count=7, high=0, batch=0))
    shown = zone(pagesets=lists)
    assert (shown.end_pfn, shown.buddy_pages, shown.pcp_pages, shown.title) == (1100, 9, 12, "node 1 zone Movable")


def test_a_recorded_zone_begins_with_what_zoneinfo_shows() -> None:
    """Field by field in one order: one is made of the other, and numbers in each other's place would show nowhere."""
    shown = ZoneInfo._fields
    assert RecordedZone._fields[: len(shown)] == shown
    assert get_type_hints(ZoneInfo).items() <= get_type_hints(RecordedZone).items()


def test_a_zone_that_spans_nothing_has_no_end() -> None:
    """Nor any page."""
    shown = zone(start_pfn=None, spanned=0, free_by_order=())
    assert (shown.end_pfn, shown.buddy_pages, shown.pcp_pages) == (None, 0, 0)


def entry(start: int, end: int, name: str = "System RAM") -> IomemEntry:
    """Return a range, its end exclusive here."""
    return IomemEntry(start=start, end=end - 1, name=name, depth=0)


@pytest.mark.parametrize(
    ("entries", "pfns"),
    [
        ([entry(0, 8192)], [(0, 2)]),
        ([entry(1, 8192)], [(1, 2)]),
        ([entry(0, 8191)], [(0, 1)]),
        ([entry(4095, 8193)], [(1, 2)]),
        ([entry(1, 4097)], []),
        ([entry(0, 4096), entry(4096, 8192)], [(0, 2)]),
        ([entry(0, 4096), entry(8192, 12288, "System RAM (kmem)")], [(0, 1), (2, 3)]),
        ([entry(0, 4096, "Reserved"), entry(4096, 8192, "Kernel code")], []),
        ([], []),
    ],
)
def test_ram_is_whole_pages_only(entries: list[IomemEntry], pfns: list[tuple[int, int]]) -> None:
    """As walk_system_ram_range() counts: begun ones are none at either end."""
    assert list(ram_pfns(tuple(entries), 4096)) == pfns


def test_the_kernel_image_is_every_page_that_it_touches(texts: dict[str, str], snapshot: Make) -> None:
    """Code, data and bss, whatever lies between; a begun page is the kernel's."""
    machine: RecordedMachine = read_machine(snapshot(texts))
    names = {"Kernel code", "Kernel rodata", "Kernel data", "Kernel bss"}
    expected = [(part.start // 4096, part.end // 4096 + 1) for part in machine.iomem if part.name in names]
    assert expected
    for low, high in expected:
        assert any(start <= low and high <= end for start, end in machine.kernel_image)
    assert sum(high - low for low, high in machine.kernel_image) <= sum(high - low for low, high in expected)


def test_a_zone_is_found_by_node_and_name(texts: dict[str, str], snapshot: Make) -> None:
    """Neither alone is enough."""
    machine = read_machine(snapshot(texts))
    found = machine.zone(0, "DMA32")
    assert found is not None
    assert (found.node, found.name) == (0, "DMA32")
    assert (machine.zone(1, "DMA32"), machine.zone(0, "dma32"), machine.zone(0, "HighMem")) == (None, None, None)


def test_system_ram_is_what_iomem_says(recordings: list[Path], texts: dict[str, str], snapshot: Make) -> None:
    """In pages of the machine's own size, and none where addresses were withheld."""
    machine = read_machine(snapshot(texts))
    assert recordings
    assert machine.ram == ram_pfns(machine.iomem, machine.page_size)
    assert sum(high - low for low, high in machine.ram) >= sum(one.present for one in machine.zones)
