"""Distributions that cannot be read, and names that several have."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memhotplug import Machine, manager
from memhotplug.errors import MemoryHotplugError
from memhotplug.manager.discovery import discovered
from memhotplug.output.hooktrace import trace_line


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of distributions."""
    monkeypatch.syspath_prepend(str(tmp_path))
    discovered.cache_clear()
    yield tmp_path
    discovered.cache_clear()


@pytest.mark.parametrize(
    "content",
    [b"[memhotplug.drivers]\nacpj = \xff\xfe\n", b"[memhotplug.drivers]\nno equals sign here\n[memhotplug."],
    ids=["no UTF-8", "no equals sign"],
)
def test_a_distribution_that_cannot_be_read_is_left_out_and_named(content: bytes, site: Path) -> None:
    """Even a foreign one; everything else is there."""
    info = site / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(content)
    assert "acpi" in manager.names("drivers")
    named = [line for line in manager.left_out() if str(info) in line]
    assert len(named) <= 1
    if b"\xff" in content:
        assert named


def test_default_names_are_those_of_a_scenario() -> None:
    """A name is given once, whatever became of the add that it was given to."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    with pytest.raises(MemoryHotplugError):
        machine.add_memory(driver="acpi", size="1M")
    assert machine.add_memory(driver="acpi", size="128M").name == "acpi1"
    assert machine.copy().add_memory(driver="acpi", size="128M").name == "acpi2"
    assert machine.add_memory(driver="acpi", size="128M").name == "acpi2"


def test_a_traced_call_is_one_line_without_addresses() -> None:
    """Objects lie elsewhere in each process."""
    line = trace_line("p", "h", {"kernel": 1, "a": object(), "b": [1, 2, 3, 4], "c": "x" * 99}, 1 << 20)
    assert line == f"p: h(a=<object object>, b=[1, … 4], c='{'x' * 58}…) -> 0x100000"


def package(site: Path, name: str, entry_points: bytes) -> None:
    """Write what is installed of a distribution."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(entry_points)


SCENARIO = (
    "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 1G}\nsteps: [add: {driver: DRIVER, size: 1G}]\n"
)


def mhp(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with a folder of distributions beside those that are installed."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-m", "memhotplug", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("content", [b"[console_scripts]\nx = \xff\xfe\n", b"[memhotplug.drivers]\nno equals sign\n"])
def test_scenarios_run_beside_a_distribution_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    """In a process of its own: nothing that was imported earlier has looked at the distributions."""
    package(tmp_path, "broken", content)
    scenario = tmp_path / "s.yaml"
    scenario.write_text(SCENARIO.replace("DRIVER", "acpi"))
    done = mhp("run", str(scenario), path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_of_two_packages_with_one_driver_nobody_is_chosen_silently(tmp_path: Path) -> None:
    """Not even the usual driver of an architecture; by the package's name either can be had."""
    package(tmp_path, "twin", b"[memhotplug.drivers]\nacpi = memhotplug_drivers.dax\n")
    done = mhp("plan", "--boot", "1G", "--add", "1G", path=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("mhp: plugin acpi: is provided by more than one package: acpi (memhotplug ")
    assert done.stderr.count("\n") == 1
    assert mhp("plan", "--boot", "1G", "--add", "1G", "--driver", "memhotplug:acpi", path=tmp_path).returncode == 0
    scenario = tmp_path / "s.yaml"
    for driver, status in (("acpi", 2), ("twin:acpi", 0), ("memhotplug:acpi", 0)):
        scenario.write_text(SCENARIO.replace("DRIVER", driver))
        assert mhp("run", str(scenario), path=tmp_path).returncode == status, driver
