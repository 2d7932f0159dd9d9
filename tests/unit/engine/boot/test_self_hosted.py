"""Machines in mid-life: blocks that host their own memmap are recognised, and go as they do in the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.engine.boot.recorded import kernel_from_machine
from memhotplug.formats.snapshot import read_recording
from memhotplug.naming import choose_profile, read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"


def at_step(name: str, step: int) -> Machine:
    """Return a machine as a step of a recording shows it."""
    machine = read_machine(read_recording(RECORDINGS / f"{name}.json.xz").snapshot(step))
    assert machine.arch is not None
    profile = choose_profile(machine.kernel_release)
    return Machine(kernel_from_machine(machine, machine.arch, profile, machine.cmdline or ""))


@pytest.mark.parametrize(
    ("name", "step", "hosting"),
    [
        ("x86_64-6.12-mom-1-a", 9, list(range(32, 40))),
        ("x86_64-6.12-mom-0-a", 9, []),
        ("x86_64-6.12-mom-1-a", 1, list(range(32, 40))),
        ("x86_64-6.12-mom-1-a", 0, []),
    ],
)
def test_blocks_that_host_their_memmap_are_told_by_what_their_zone_lacks(
    name: str, step: int, hosting: list[int]
) -> None:
    """Eight Movable blocks, 262144 pages present and 258048 managed: 512 a block."""
    machine = at_step(name, step)
    blocks = machine.kernel.state.blocks

    assert blocks.id[blocks.altmap_pages > 0].tolist() == hosting
    assert any("host their own memmap" in line for line in machine.kernel.journal.warnings) is bool(hosting)
    assert machine.violations() == []


def test_such_a_block_goes_offline_and_takes_its_memmap_along() -> None:
    """The recorded kernel did so in the next step."""
    machine = at_step("x86_64-6.12-mom-1-a", 9)

    assert machine.offline("block 39") == [39]

    (zone,) = (zone for zone in machine.kernel.state.zones() if zone.kind.label == "Movable" and zone.present)
    assert (zone.present, zone.managed, zone.nr_free) == (229376, 225792, 225792)
    assert machine.violations() == []
