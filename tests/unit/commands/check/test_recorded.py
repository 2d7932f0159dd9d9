"""Checks that begin from recorded machines: their devices have names, and their zones ragged ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.laws import broken_by, remember
from memhotplug.commands.run.runner import run_scenario
from memhotplug.engine.memory_hotplug.spans import own_span
from memhotplug.formats.scenario import loads_scenario
from memhotplug.model.zones import Zone, ZoneKind

RECORDING = Path(__file__).resolve().parents[3] / "data" / "recordings" / "x86_64-6.12-virtio-mem-tiny-zone.json.xz"
"""Its Movable zone is boot memory that ends 32 pages before the end of a block."""


@pytest.mark.parametrize(
    "steps",
    [
        "[write: {path: memory/auto_online_blocks, value: online_movable}, resize: {range: virtio0, size: 128M}, "
        "offline: {range: block 32}]",
        "[write: {path: memory/auto_online_blocks, value: offline}, resize: {range: virtio0, size: 128M}, "
        "online: {range: virtio0, zone: movable, veto: {event: MEM_GOING_ONLINE, errno: ENOMEM}, fails: ENOMEM}]",
    ],
)
def test_an_edge_that_moves_into_a_hole_breaks_no_law(steps: str) -> None:
    """The kernel looks for it in steps of a subsection, and the struct pages of the hole name the zone."""
    text = f"schema: 1\nmachine: {{snapshot: {RECORDING}}}\nsteps: {steps}\n"
    result = run_scenario(loads_scenario(text, catalog=Installed()), check=True)
    assert result.failure is None
    assert (_movable(result.machine).start_pfn, _movable(result.machine).end_pfn) == (0x68000, 0x80000)
    assert own_span(result.machine.kernel.state, _movable(result.machine)) == (0x68000, 0x7FFE0)


def test_a_way_back_may_end_in_the_hole() -> None:
    """I19: online and offline again, and the zone spans 32 pages more than it did."""
    machine = Machine.boot(snapshot=str(RECORDING))
    machine.write("memory/auto_online_blocks", "offline")
    machine.resize("virtio0", "128M")
    history = remember(machine.kernel, ())
    assert _movable(machine).end_pfn == 0x7FFE0
    machine.online("block 32", zone="movable")
    before = machine.kernel.copy()
    machine.offline("block 32")
    assert _movable(machine).end_pfn == 0x80000
    assert broken_by("offline", None, before, machine.kernel, history) == []


def test_an_edge_outside_of_the_hole_does() -> None:
    """A span that begins or ends in memory of others is none of the zone's own."""
    machine = Machine.boot(snapshot=str(RECORDING))
    _movable(machine).set_span(0x68000, 0x88000)
    assert "I23: node 0 zone Movable: the span 0x68000-0x88000 has an edge that is not its own" in machine.violations()


def _movable(machine: Machine) -> Zone:
    return machine.kernel.state.zone((0, ZoneKind.MOVABLE))
