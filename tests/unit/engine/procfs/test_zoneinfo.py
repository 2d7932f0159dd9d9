"""/proc/zoneinfo, buddyinfo and pagetypeinfo of machines that were made up; recorded ones are compared elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.procfs.zoneinfo import buddyinfo, pagetypeinfo, zoneinfo
from memhotplug.formats.snapshot.source import Source
from memhotplug.formats.snapshot.zoneinfo import parse_zoneinfo

Boot = Callable[..., Machine]


def _zones(text: str) -> dict[tuple[int, str], str]:
    """Return the lines of each zone."""
    parts = re.split(r"^Node (\d+), zone +(\w+)\n", text, flags=re.MULTILINE)[1:]
    return {(int(parts[at]), parts[at + 1]): parts[at + 2] for at in range(0, len(parts), 3)}


def _value(lines: str, name: str) -> int:
    match = re.search(rf"^ +(?:pages )?{name} +(\d+)$", lines, re.MULTILINE)
    assert match is not None, name
    return int(match[1])


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with memory in Normal and in Movable."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="1G")
    machine.online("block 32-35", zone="kernel")
    machine.online("block 36-39", zone="movable")
    return machine


def test_every_zone_is_printed_and_the_counts_are_the_machines(machine: Machine) -> None:
    """Device too, which is empty; a zone without pages has no counters."""
    found = _zones(zoneinfo(machine.kernel))
    assert list(found) == [(0, name) for name in ("DMA", "DMA32", "Normal", "Movable", "Device")]
    for zone in machine.kernel.state.zones():
        lines = found[zone.nid, zone.kind.label]
        for name in ("spanned", "present", "managed"):
            assert _value(lines, name) == getattr(zone, name)
        assert _value(lines, "free") == zone.free.total
        assert ("start_pfn" in lines) == bool(zone.present)
    assert _value(found[0, "Device"], "managed") == 0
    assert "pagesets" not in found[0, "Device"]


def test_stats_of_the_node_stand_in_its_first_zone_with_pages(machine: Machine) -> None:
    """Once for each node."""
    assert zoneinfo(machine.kernel).count("per-node stats") == 1
    machine.add_memory(driver="acpi", name="far", size="128M", node=1)
    machine.online("far", zone="movable")
    text = zoneinfo(machine.kernel)
    assert text.count("per-node stats") == 2
    assert "per-node stats" in _zones(text)[1, "Movable"]
    assert "per-node stats" not in _zones(text)[1, "Normal"]


def test_a_node_that_is_gone_is_not_printed(machine: Machine) -> None:
    """It has no zones any more."""
    machine.add_memory(driver="acpi", name="far", size="128M", node=1)
    machine.remove("far")
    assert {node for node, _ in _zones(zoneinfo(machine.kernel))} == {0}


def test_what_is_printed_can_be_read_back(machine: Machine) -> None:
    """By the reader of snapshots, value by value."""
    parsed = {(zone.node, zone.name): zone for zone in parse_zoneinfo(zoneinfo(machine.kernel), Source(file="here"))}
    for zone in machine.kernel.state.zones():
        read = parsed[zone.nid, zone.kind.label]
        assert (read.spanned, read.present, read.managed, read.free) == (
            zone.spanned,
            zone.present,
            zone.managed,
            zone.free.total,
        )
        assert (read.min, read.low, read.high) == zone.wmark


@pytest.mark.parametrize(("kernel", "promo"), [("linux-6.1", False), ("linux-6.12", False), ("linux-7.2", True)])
def test_the_watermark_of_promotion_came_with_a_release(kernel: str, promo: bool, boot: Boot) -> None:
    """As the kernel's own table of features says."""
    machine = boot(kernel=kernel)
    assert ("        promo " in zoneinfo(machine.kernel)) is machine.kernel.has("promo_watermark")
    if promo:
        assert machine.kernel.has("promo_watermark")


def test_buddyinfo_adds_up_to_what_is_free(machine: Machine) -> None:
    """A row for each zone with pages, a column for each order."""
    rows = {}
    for line in buddyinfo(machine.kernel).splitlines():
        match = re.fullmatch(r"Node (\d+), zone +(\w+) +([\d ]+?) *", line)
        assert match is not None, line
        rows[int(match[1]), match[2]] = [int(count) for count in match[3].split()]
    for zone in machine.kernel.state.zones():
        if zone.present:
            counts = rows[zone.nid, zone.kind.label]
            assert len(counts) == machine.kernel.geometry.max_order + 1
            assert sum(count << order for order, count in enumerate(counts)) == zone.free.total


def test_pagetypeinfo_has_the_same_pages(machine: Machine) -> None:
    """All of them on the lists of Movable; the blocks of each type are counted below."""
    text = pagetypeinfo(machine.kernel)
    assert text.startswith("Page block order: 9\nPages per block:  512\n")
    head, _, blocks = text.partition("Number of blocks type")
    totals: dict[str, int] = {}
    for zone, kind, counts in re.findall(r"zone +(\w+), type +(\w+) ([\d ]+)", head):
        pages = sum(int(count) << order for order, count in enumerate(counts.split()))
        totals[zone] = totals.get(zone, 0) + pages
        assert kind == "Movable" or pages == 0
    for zone in machine.kernel.state.zones():
        if zone.present:
            assert totals[zone.kind.label] == zone.free.total
    assert re.findall(r"Node 0, zone +(\w+)", blocks) == ["DMA", "DMA32", "Normal", "Movable"]
