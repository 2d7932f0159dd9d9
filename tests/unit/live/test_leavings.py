"""What is left is a scenario that ends in the same state."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from memhotplug import InputError, MemoryHotplugError
from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import load_scenario
from memhotplug.live.faults import parse_fault
from memhotplug.live.leavings import leave
from memhotplug.live.machine import LiveMachine
from memhotplug.live.source import from_boot, from_scenario, from_snapshot

_RECORDING = Path(__file__).resolve().parents[2] / "data" / "recordings" / "x86_64-6.12-mom-1-a.json.xz"
_MEMORY = "sys/devices/system/memory"
_SCENARIO = """\
schema: 1
machine: {arch: x86_64, kernel: linux-6.12, memory: 2G, cmdline: memory_hotplug.memmap_on_memory=1}
steps:
  - add: {driver: acpi, name: dimm0, size: 512M}
"""


def test_what_programs_did_is_repeated_without_them(tmp_path: Path) -> None:
    """Writes that worked, writes that did not, faults, and what came over the control socket."""
    scenario = tmp_path / "dimm.yaml"
    scenario.write_text(_SCENARIO)
    source = from_scenario(scenario.read_text(), str(scenario))
    live = LiveMachine(source.machine, [parse_fault("online:33=ENOMEM*1")])
    attempts = [
        (f"{_MEMORY}/memory32/state", b"online_movable\n"),
        (f"{_MEMORY}/memory33/state", b"online"),
        (f"{_MEMORY}/memory33/state", b"online"),
        (f"{_MEMORY}/memory0/state", b"offline"),
        (f"{_MEMORY}/auto_online_blocks", b"online_movable"),
        (f"{_MEMORY}/memory33/state", b"\x80\x01 \xff: {[\n\n"),
        ("sys/module/memory_hotplug/parameters/online_policy", b"auto-movable\n"),
    ]
    for path, data in attempts:
        with contextlib.suppress(MemoryHotplugError):
            live.write(path, data)
    live.perform("add", {"driver": "acpi", "name": "dimm1", "size": "256M"})
    leave(tmp_path, source.document, live)

    again = run_scenario(load_scenario(str(tmp_path / "steps.yaml"), Installed()))
    assert again.failure is None
    left = json.loads((tmp_path / "result.json").read_text())
    state = ("blocks", "zones", "vmemmap", "memmap", "iomem", "violations")
    end: Mapping[str, object] = live.end().to_dict()
    others: tuple[Mapping[str, object], ...] = (again.to_dict(), left)
    for other in others:
        assert {key: other[key] for key in state} == {key: end[key] for key in state}
    assert len(left["steps"]) == 9


def test_a_recorded_machine_is_named_by_where_it_lies(tmp_path: Path) -> None:
    """So that the scenario can be run from anywhere."""
    source = from_snapshot(str(_RECORDING), step=0, arch=None, kernel=None, cmdline=None)
    live = LiveMachine(source.machine)
    live.write(f"{_MEMORY}/memory5/state", b"offline")
    leave(tmp_path, source.document, live)
    again = run_scenario(load_scenario(str(tmp_path / "steps.yaml"), Installed()))
    assert again.failure is None
    assert again.machine.read("memory/memory5/state") == "offline\n"
    assert source.document["machine"]["snapshot"] == {"path": str(_RECORDING), "step": 0}


def test_a_snapshot_with_a_relative_path_is_found_from_elsewhere(tmp_path: Path) -> None:
    """The scenario's own paths are relative to it."""
    (tmp_path / "rec.json.xz").write_bytes(_RECORDING.read_bytes())
    scenario = tmp_path / "rec.yaml"
    scenario.write_text("schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, snapshot: rec.json.xz}\nsteps: []\n")
    source = from_scenario(scenario.read_text(), str(scenario))
    assert source.document["machine"]["snapshot"] == {"path": str(tmp_path / "rec.json.xz")}


def test_a_scenario_that_fails_is_no_machine(tmp_path: Path) -> None:
    """Its own words say where."""
    scenario = tmp_path / "bad.yaml"
    scenario.write_text(_SCENARIO + "  - remove: {range: dimm0, fails: EBUSY}\n")
    with pytest.raises(InputError, match="expected a scenario whose steps do what it says"):
        from_scenario(scenario.read_text(), str(scenario))


def test_a_fresh_guest_is_a_scenario_of_its_own() -> None:
    """With what was asked for and nothing else."""
    source = from_boot(1 << 30, arch="s390", kernel="6.12", cmdline="", block_size=None, page_size=None)
    assert source.document == {
        "schema": 1,
        "machine": {"arch": "s390", "kernel": "6.12", "memory": 1 << 30},
        "steps": [],
    }
