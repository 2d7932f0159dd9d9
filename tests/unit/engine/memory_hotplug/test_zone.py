"""Which zone a block goes to: the contig rule, and what valid_zones says of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.memory_hotplug.zone import zone_for_run
from memhotplug.model.blocks import OnlineType
from memhotplug.model.zones import ZoneKind

Boot = Callable[..., Machine]
BLOCK = 32768


def plugged(boot: Boot, **keywords: object) -> Machine:
    """Return a machine with eight offline blocks, 32-39."""
    machine = boot(**keywords)
    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags="memblock")
    return machine


def zones(machine: Machine, block: int) -> str:
    """Return what valid_zones of a block reads."""
    return machine.read(f"memory/memory{block}/valid_zones").removesuffix("\n")


@pytest.mark.parametrize(("cmdline", "default"), [("", "Normal Movable"), ("movable_node", "Movable Normal")])
def test_a_block_in_no_span_follows_movable_node(boot: Boot, cmdline: str, default: str) -> None:
    """Neither zone touches it: the kernel zone, or Movable on a movable_node machine."""
    machine = plugged(boot, cmdline=cmdline)

    assert [zones(machine, block) for block in (32, 39)] == [default, default]
    machine.online("block 36")
    assert zones(machine, 36) == default.split()[0]


def test_a_block_in_one_span_stays_with_that_zone(boot: Boot) -> None:
    """A block between two Movable blocks is Movable by default, one between kernel blocks Normal."""
    machine = plugged(boot)
    machine.online("block 32", zone="kernel")
    machine.online("block 34", zone="kernel")
    machine.online("block 36", zone="movable")
    machine.online("block 38", zone="movable")

    assert [zones(machine, block) for block in (33, 35, 37, 39)] == [
        "Normal Movable",
        "Normal Movable",
        "Movable Normal",
        "Normal Movable",
    ]


@pytest.mark.parametrize(("cmdline", "default"), [("", "Normal Movable"), ("movable_node", "Movable Normal")])
def test_a_block_in_both_spans_follows_movable_node(boot: Boot, cmdline: str, default: str) -> None:
    """Normal spans 32-36, Movable 34-38: block 35 lies in both."""
    machine = plugged(boot, cmdline=cmdline)
    for block, zone in ((32, "kernel"), (34, "movable"), (36, "kernel"), (38, "movable")):
        machine.online(f"block {block}", zone=zone)

    assert zones(machine, 35) == default
    assert zones(machine, 33) == "Normal Movable"
    assert zones(machine, 37) == "Movable Normal"


def test_an_explicit_zone_is_always_taken(boot: Boot) -> None:
    """Movable in the middle of Normal, and the other way round."""
    machine = plugged(boot)
    machine.online("block 32", zone="kernel")
    machine.online("block 34", zone="kernel")

    machine.online("block 33", zone="movable")

    assert zones(machine, 33) == "Movable"


def test_kernel_zones_below_normal_are_found_by_span(boot: Boot) -> None:
    """A boot block below 4 GiB goes back to DMA32, whose span it lies in; an add next to it does not."""
    machine = boot(memory="2G")
    machine.offline("block 5")
    machine.add_memory(driver="acpi", size="128M", address="2G")

    assert zones(machine, 5) == "DMA32 Movable"
    assert zones(machine, 16) == "Normal Movable"


def test_a_block_in_several_zones_reads_none(boot: Boot) -> None:
    """Block 0 holds DMA and DMA32."""
    assert zones(boot(), 0) == "none"


def test_spans_of_another_node_do_not_count(boot: Boot) -> None:
    """Zones are those of the block's own node."""
    machine = boot()
    machine.add_memory(driver="acpi", size="128M", node=0)
    machine.add_memory(driver="acpi", size="128M", node=1)
    machine.add_memory(driver="acpi", size="128M", node=0)
    machine.online("block 32", zone="movable")
    machine.online("block 34", zone="movable")

    assert zones(machine, 33) == "Normal Movable"


@pytest.mark.parametrize("movable_node", [False, True])
@pytest.mark.parametrize("online_type", [OnlineType.ONLINE, OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE])
@pytest.mark.parametrize("seed", range(12))
def test_a_run_is_chosen_as_its_blocks_one_after_the_other(
    boot: Boot, seed: int, online_type: OnlineType, movable_node: bool
) -> None:
    """Spans grow while the run goes online; the answer for the run must foresee that."""
    machine = plugged(boot)
    state = machine.kernel.state
    spans = [(seed % 7, 1 + seed % 3), (5 - seed % 5, 1 + seed % 4)]
    for kind, (first, count) in zip((ZoneKind.NORMAL, ZoneKind.MOVABLE), spans, strict=True):
        if seed % 4 != int(kind) - 1:
            state.zone((0, kind)).set_span((32 + first) * BLOCK, (32 + first + count) * BLOCK)
    rows = slice(32, 40)
    expected = []
    single = state.copy()
    for row in range(rows.start, rows.stop):
        zone, count = zone_for_run(single, slice(row, row + 1), online_type, movable_node=movable_node)
        assert count == 1
        zone.grow_span(row * BLOCK, (row + 1) * BLOCK)
        expected.append(zone.kind)

    found = []
    while rows.start < rows.stop:
        zone, count = zone_for_run(state, rows, online_type, movable_node=movable_node)
        zone.grow_span(rows.start * BLOCK, (rows.start + count) * BLOCK)
        found += [zone.kind] * count
        rows = slice(rows.start + count, rows.stop)

    assert found == expected
