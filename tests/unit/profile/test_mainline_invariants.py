"""The invariants of mainline hold through a life, and each is noticed when it is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from memhotplug import Machine
from memhotplug.model.blocks import NO_ZONE, BlockState
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Zone, ZoneKind

BLOCK = 32768
FIRST = 32 * BLOCK


@pytest.fixture
def machine() -> Machine:
    """Return a machine with a self-hosted DIMM of 512M: two blocks in Normal, one in Movable, one offline."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="acpi", name="dimm0", size="512M")
    machine.online("block 32-33", zone="kernel")
    machine.online("block 34", zone="movable")
    return machine


def _zone(machine: Machine, kind: ZoneKind) -> Zone:
    return machine.kernel.state.zone((0, kind))


def _early(machine: Machine) -> None:
    _zone(machine, ZoneKind.DMA32).present_early += 1


def _group(machine: Machine) -> None:
    state = machine.kernel.state.profile
    state.groups = (state.groups[0]._replace(present_movable=1),)  # type: ignore[attr-defined]  # the profile's own


def _reserved(machine: Machine) -> None:
    machine.kernel.state.blocks.set(slice(32, 33), altmap_pages=500)


def _freed(machine: Machine) -> None:
    _zone(machine, ZoneKind.NORMAL).free.add(FIRST, FIRST + 512)


def _foreign_zone(machine: Machine) -> None:
    _zone(machine, ZoneKind.NORMAL).linked.remove(FIRST, FIRST + 512)
    _zone(machine, ZoneKind.MOVABLE).linked.add(FIRST, FIRST + 512)


def _elsewhere(machine: Machine) -> None:
    table = machine.kernel.state.vmemmap
    runs = table.runs
    backing = np.where(runs.source == Source.ALTMAP, runs.backing + BLOCK, runs.backing)
    table.runs = MapRuns.of_columns(runs.start, runs.end, backing, runs.leaf, runs.source)


def _unreserved(machine: Machine) -> None:
    machine.kernel.state.blocks.set(slice(32, 33), altmap_pages=0)


def _moving(machine: Machine) -> None:
    machine.kernel.state.blocks.set(slice(32, 33), state=BlockState.GOING_OFFLINE)


def _no_zone(machine: Machine) -> None:
    machine.kernel.state.blocks.set(slice(32, 33), zone=NO_ZONE)


def _offline_pages(machine: Machine) -> None:
    _zone(machine, ZoneKind.NORMAL).linked.add(FIRST + 3 * BLOCK, FIRST + 4 * BLOCK)


def _node(machine: Machine) -> None:
    machine.kernel.state.nodes[0].online = False


def _no_node(machine: Machine) -> None:
    machine.kernel.state.blocks.set(slice(35, 36), nid=3)


def _span(machine: Machine) -> None:
    _zone(machine, ZoneKind.MOVABLE).spanned += BLOCK


BROKEN: list[tuple[Callable[[Machine], None], str]] = [
    (_early, "I6: node 0 zone DMA32: present_early is 1044481, 1044480 of its pages are boot memory"),
    (
        _group,
        "I7: memory group 0 counts 65536 kernel and 1 movable pages, its online blocks have 65536 and 32768",
    ),
    (_reserved, "I8: blocks 32-34: the reserved pages are not whole pageblocks"),
    (_freed, "I8: node 0 zone Normal: 512 reserved pages of self-hosted blocks are free"),
    (
        _foreign_zone,
        "I8: node 0 zone Normal: reserved pages of self-hosted blocks are in another zone than their block",
    ),
    (_elsewhere, "I10: the memmap of pfn 0x100000 lies outside of its block, at pfn 0x108000"),
    (_unreserved, "I9: 512 pages of memmap from altmaps are in pages that no block reserves"),
    (_reserved, "I9: blocks 32: the altmap does not hold the 512 pages of their memmap"),
    (_moving, "I13: blocks 32 are between online and offline"),
    (_no_zone, "I12: blocks 32: state and zone contradict each other"),
    (_offline_pages, "I12: node 0 zone Normal: holds 32768 pages of offline blocks"),
    (_reserved, "I20: blocks 32: not the 512 pages of their memmap are reserved for it"),
    (_node, "I21: node 0 has memory blocks, spanned pages or a CPU and is offline"),
    (_no_node, "I21: node 3 has memory blocks and does not exist"),
    (_span, "I23: node 0 zone Movable: the span 0x110000-0x120000 has an edge that is not its own"),
]


def test_they_hold_through_a_life(machine: Machine) -> None:
    """Online, offline, remove: nothing breaks on the way."""
    machine.add_memory(driver="acpi", name="dimm1", size="128M")
    assert machine.violations() == []

    machine.offline("block 33-34")
    assert machine.violations() == []

    machine.remove("block 33-34")
    assert machine.violations() == []


@pytest.mark.parametrize(("spoil", "sentence"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_each_is_noticed(spoil: Callable[[Machine], None], sentence: str, machine: Machine) -> None:
    """The books are changed behind the kernel's back; the sentence says which ones."""
    spoil(machine)

    assert sentence in machine.violations()


def test_padding_of_force_is_reserved_too() -> None:
    """ppc64 with 64K pages: 4 pages of memmap, 32 reserved; the law is that they are whole pageblocks."""
    machine = Machine.boot(
        arch="powerpc",
        kernel="linux-6.12",
        memory="4G",
        page_size="64K",
        memory_block_size="256M",
        cmdline="memory_hotplug.memmap_on_memory=force",
    )
    machine.add_memory(driver="pseries", name="lmbs", size="1G")

    assert machine.kernel.state.blocks.altmap_pages[-4:].tolist() == [32] * 4
    assert machine.violations() == []
