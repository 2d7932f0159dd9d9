"""A scenario from standard input: ``-``, for every command that takes one."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from memhotplug.cli import main

SCENARIO = """\
schema: 1
machine: {arch: x86_64, kernel: linux-6.12, memory: 256M}
steps:
  - add: {driver: acpi, name: dimm0, size: 256M}
"""


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to work in, with the scenario on stdin."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SCENARIO.encode()), encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "-"],
        ["check", "-", "--depth", "1"],
        ["compare", "-", "--vary", "drivers.acpi.policy=default"],
        ["page", "-", "0x1000"],
        ["report", "-", "-o", "report.html"],
        ["export", "-", "-o", "machine"],
        ["sweep", "-", "--vary", "machine.memory=256M,512M", "-o", "found.sqlite", "--jobs", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.usefixtures("piped")
def test_commands_read_a_scenario_from_stdin(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each as if it had been a file."""
    assert main(arguments) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_an_exported_machine_is_the_one_at_the_end_of_the_scenario(piped: Path) -> None:
    """The DIMM is there."""
    assert main(["export", "-", "-o", "machine"]) == 0
    assert (piped / "machine/sys/devices/system/memory/memory33/state").read_text() == "offline\n"


@pytest.mark.parametrize(
    "command", [["export", "-", "-o", "machine"], ["sweep", "-", "--vary", "a=1", "-o", "r.sqlite"]]
)
def test_what_is_wrong_with_it_is_said_with_its_place(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Line and column of stdin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"schema: 1\n\t- x\n"), encoding="utf-8"))
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("mhp: <stdin>:2:1: ")


def test_a_live_machine_is_of_the_kernel_that_plan_assumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody says which, all commands that ask about one machine mean the same."""
    from memhotplug.live.source import from_boot

    source = from_boot(1 << 30, arch=None, kernel=None, cmdline="", block_size=None, page_size=None)
    main(["plan", "--boot", "1G", "--add", "1G", "--json"])
    planned = json.loads(capsys.readouterr().out)["machine"]
    assert (source.machine.kernel.profile.name, source.machine.kernel.arch) == (planned["kernel"], planned["arch"])
