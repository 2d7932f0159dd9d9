"""Runs of alike blocks."""

from __future__ import annotations

from itertools import pairwise

from memhotplug import Machine
from memhotplug.memory_map.runs import map_runs

GIB = 1 << 30


def test_many_unlike_blocks_are_folded() -> None:
    """Every other block online: 512 blocks in at most 64 runs and those of boot, none lost, none twice."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="acpi", name="d", size="64G")
    for block in range(32, 544, 2):
        machine.online(f"block {block}")
    runs = [run for run in map_runs(machine.kernel, 64) if run.device == "d"]
    assert len(runs) <= 66
    assert {run.kind for run in runs} <= {"unlike", "kernel", "offline"}
    assert sum(run.end - run.start for run in runs) == 64 * GIB
    assert all(one.end == other.start for one, other in pairwise(runs))


def test_very_many_devices_are_folded_too() -> None:
    """100 of one block each, in as many holes: at most 40 runs, each of which says that it is not one thing."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    for number in range(100):
        machine.add_memory(driver="acpi", size="128M", address=(4 << 30) + (number << 28))
    runs = map_runs(machine.kernel, 40)
    assert len(runs) <= 41
    assert (runs[-1].kind, runs[-1].device) == ("unlike", "several devices")
    assert runs[-1].end == (4 << 30) + (99 << 28) + (128 << 20)


def test_zones_are_told_apart() -> None:
    """
    boot: DMA and DMA32 in block 0, DMA32, Normal above 4 GiB

    Expect a run for each, although the last two are both kernel zones.
    """
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="acpi", name="d", size="256M")
    machine.online("d", zone="kernel")
    found = [(run.kind, run.zone, run.device) for run in map_runs(machine.kernel)]
    assert found[0] == ("several", None, None)
    assert ("kernel", "DMA32", None) in found
    assert found[-1] == ("kernel", "Normal", "d")


def test_no_memory_is_no_run() -> None:
    """Where a kernel shows no blocks."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.kernel.state.blocks = type(machine.kernel.state.blocks)()
    assert map_runs(machine.kernel) == []
