"""Where a recorded machine's numbers contradict each other: which of it no moment explains, and which is a note."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memhotplug.formats.snapshot.disagree import contradictions, disagreements
from memhotplug.formats.snapshot.iomem import IomemEntry
from memhotplug.formats.snapshot.records import RecordedBlock, RecordedMachine, RecordedNode, RecordedZone
from memhotplug.formats.snapshot.zoneinfo import Pageset

_BLOCK = 32768


def zone(name: str = "Normal", *, node: int = 0, start: int = 0, pages: int = 2 * _BLOCK, **more: Any) -> RecordedZone:
    """Return a zone of two blocks that agrees with itself: a quarter of it is free, 96 pages on per-cpu lists."""
    free = pages // 4
    values = {
        "free": free, "free_by_order": (free,), "boost": 0, "min": 1, "low": 2, "high": 3, "promo": 0,
        "spanned": pages, "present": pages, "managed": pages, "cma": 0, "protection": (0, 0, 0, 0),
        "start_pfn": start, "free_cma": 0, "extents": ((start, start + pages),),
        "pagesets": (Pageset(cpu=0, count=96, high=0, batch=0),),
    }  # fmt: skip
    return RecordedZone(node=node, name=name, **{**values, **more})


def block(number: int, *, node: int | None = 0, state: str = "online", **more: Any) -> RecordedBlock:
    """Return a block of Normal memory."""
    values = {"zone": "Normal", "valid_zones": ("Normal",), "removable": None, "phys_index": number, "phys_device": 0}
    return RecordedBlock(id=number, state=state, node=node, **{**values, **more})


def machine(zones: tuple[RecordedZone, ...] | None = None, **more: Any) -> RecordedMachine:
    """Return a machine of one node with one zone of two blocks, unless said otherwise; everything agrees."""
    found = (zone(),) if zones is None else zones
    managed = sum(one.managed for one in found) * 4096
    values: dict[str, Any] = {
        "arch": "x86_64", "kernel_release": "6.12", "cmdline": None, "section_size": None, "block_size": _BLOCK * 4096,
        "boot_memory": None, "max_order": 10, "pageblock_order": 9, "blocks": (block(0), block(1)),
        "nodes": (
            RecordedNode(id=0, online=True, has_memory=True, has_normal_memory=True, mem_total=managed, mem_free=None),
        ),
        "possible_nodes": (0,), "iomem": (IomemEntry(start=0, end=2 * _BLOCK * 4096 - 1, name="System RAM", depth=0),),
        "parameters": {}, "auto_online_blocks": None, "mem_total": managed, "mem_free": None, "notes": (),
    }  # fmt: skip
    return RecordedMachine(file="m", step=None, page_size=4096, zones=found, **{**values, **more})


def notes(recorded: RecordedMachine) -> list[str]:
    """Return what is noted, all of it as an inconsistency."""
    found = disagreements(recorded)
    assert {note.kind for note in found} <= {"inconsistent"}
    return [note.text for note in found]


def test_a_machine_that_agrees_has_no_notes() -> None:
    """With blocks and without, with addresses and without."""
    for recorded in (machine(), machine(iomem=()), machine(blocks=(), block_size=None), machine(mem_total=None)):
        assert notes(recorded) == []
        assert contradictions(recorded) == ()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("difference", "wrong"), [(0, False), (4096, False), (4097, True)])
def test_free_pages_may_differ_by_a_sixteenth(sign: int, difference: int, wrong: bool) -> None:
    """Of 65536 pages; two files are read one after the other. More is no moment's."""
    free = 16384 + sign * difference
    recorded = machine((zone(free_by_order=(free,)),))
    text = f"node 0 zone Normal: zoneinfo shows 16384 free pages, buddyinfo {free} (difference {-sign * difference:+d})"
    assert notes(recorded) == ([text] if difference else [])
    assert contradictions(recorded) == ((text,) if wrong else ())


@pytest.mark.parametrize(("difference", "wrong"), [(1024, False), (1025, True)])
def test_of_a_small_zone_free_pages_may_differ_by_1024(difference: int, wrong: bool) -> None:
    """Whatever part of it that is."""
    small = zone(pages=4096, free=1024, free_by_order=(1024 + difference,))
    assert (contradictions(machine((small,))) != ()) is wrong


def test_chunks_count_by_their_order() -> None:
    """One of order 3 is eight pages."""
    recorded = machine((zone(free=8 + 2 * 4 + 5, free_by_order=(5, 0, 2, 1)),))
    assert notes(recorded) == []


@pytest.mark.parametrize(
    ("free", "noted", "wrong"), [(65440, False, False), (65441, True, False), (69536, True, False), (69537, True, True)]
)
def test_no_more_pages_are_free_than_are_managed(free: int, noted: bool, wrong: bool) -> None:
    """Per-cpu lists included; up to a sixteenth more is a note, beyond that no machine."""
    recorded = machine((zone(free=free, free_by_order=(free,)),))
    text = f"node 0 zone Normal: {free + 96} free pages (per-cpu lists included) are more than the 65536 managed"
    assert notes(recorded) == ([text] if noted else [])
    assert contradictions(recorded) == ((text,) if wrong else ())


def test_the_larger_of_both_files_counts_as_free() -> None:
    """Whichever says so."""
    for free, chunks in ((65440, 65441), (65441, 65440)):
        assert "65537 free pages (per-cpu lists included) are more than the 65536 managed" in "".join(
            notes(machine((zone(free=free, free_by_order=(chunks,)),)))
        )


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"managed": 65537}, "node 0 zone Normal: 65537 managed pages are more than the 65536 present"),
        ({"spanned": 65535}, "node 0 zone Normal: 65536 present pages are more than the 65535 spanned"),
    ],
)
def test_bounds_are_no_matter_of_time(numbers: dict[str, Any], text: str) -> None:
    """One page too many is a contradiction, and a note as well."""
    recorded = machine((zone(**numbers),))
    assert contradictions(recorded) == (text,)
    assert text in notes(recorded)


@pytest.mark.parametrize(("iomem", "what"), [(None, "System RAM in its online blocks"), ((), "its online blocks")])
def test_present_pages_are_those_of_the_blocks(iomem: tuple[IomemEntry, ...] | None, what: str) -> None:
    """With what tells where they lie, and the difference."""
    more = {} if iomem is None else {"iomem": iomem}
    recorded = machine((zone(extents=((0, 65530),)),), **more)
    assert notes(recorded) == [f"node 0 zone Normal: 65536 present pages, {what} holds 65530 (difference +6)"]


def test_the_total_is_that_of_the_managed_pages() -> None:
    """In KiB; nothing is said where it was not recorded."""
    recorded = machine(mem_total=65536 * 4096 + 8192)
    assert notes(recorded) == ["meminfo shows MemTotal 262152 kB, the managed pages are 262144 kB (difference +8 kB)"]
    assert notes(replace(recorded, mem_total=None)) == []


def test_blocks_are_named_by_their_numbers_and_lie_where_memory_is() -> None:
    """Offline ones may lie anywhere; a block that a zone or System RAM touches is inside."""
    wrong = (block(0, phys_index=1), block(1), block(2), block(5, state="offline"), block(7, phys_index=None))
    assert notes(machine(blocks=wrong)) == [
        "memory blocks 0: phys_index is not the block's number",
        "memory blocks 2,7 are online, but outside every zone's span",
        "memory blocks 2,7 are online, but hold no System RAM",
    ]
    ram = (IomemEntry(start=0, end=_BLOCK * 4096, name="System RAM", depth=0),)
    assert notes(machine(iomem=ram)) == ["memory blocks 1 are online, but hold no System RAM"]
    ram = (IomemEntry(start=0, end=(_BLOCK + 1) * 4096 - 1, name="System RAM", depth=0),)
    assert notes(machine(iomem=ram)) == []


def test_nodes_have_what_their_zones_have() -> None:
    """Memory, and as much of it as their own meminfo says."""
    node = machine().nodes[0]
    assert notes(machine(nodes=(replace(node, online=False),))) == [
        "node 0 has a zone with memory, but is not online",
        "node 0 has memory blocks, but is not online",
    ]
    assert notes(machine(nodes=(replace(node, has_memory=False),))) == [
        "node 0 is not in has_memory, but its zones hold 65536 pages"
    ]
    empty = RecordedNode(id=1, online=True, has_memory=True, has_normal_memory=False, mem_total=4096, mem_free=None)
    assert notes(machine(nodes=(node, empty))) == [
        "node 1 is in has_memory, but its zones hold 0 pages",
        "node 1: its meminfo shows MemTotal 4 kB, its managed pages are 0 kB",
    ]
    quiet = replace(empty, has_memory=False, mem_total=None)
    assert notes(machine(nodes=(node, quiet))) == []


def test_a_zone_without_memory_needs_no_node() -> None:
    """And a block without a node none either."""
    empty = zone("Movable", node=3, pages=0, start_pfn=None, extents=(), pagesets=())
    assert notes(machine((zone(), empty), blocks=(block(0), block(1, node=None)))) == []


def test_notes_come_in_a_fixed_order() -> None:
    """Free pages, sizes, present pages, the total, blocks, nodes; zones as the file has them."""
    zones = (
        zone(free_by_order=(16385,), extents=((0, 1),)),
        zone("Movable", start=65536, managed=65537, extents=((0, 1),)),
    )
    recorded = machine(zones, mem_total=0, blocks=(block(9),), nodes=())
    kinds = [text.split(": ")[-1].split(" ", 1)[-1][:20] for text in notes(recorded)]
    assert len(kinds) == 9
    assert [text.partition(":")[0] for text in notes(recorded)][:4] == [
        "node 0 zone Normal",
        "node 0 zone Movable",
        "node 0 zone Normal",
        "node 0 zone Movable",
    ]
    assert notes(recorded)[4].startswith("meminfo shows MemTotal 0 kB")
