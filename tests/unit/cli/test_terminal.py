"""What a terminal shows: nothing beyond its edge, nothing cut off, and the same answer as in a pipe."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.unit.cli.conftest import HEAD

from memhotplug.cli import main
from memhotplug.cli.group import COMMANDS

STEPS: Final = """\
  - add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}
  - online: {range: dimm0, zone: movable}
  - remove: {range: dimm0, fails: EBUSY}
  - offline: {range: block 39}
"""
RECORDING: Final = Path(__file__).parents[2] / "data/recordings/arm64-6.1-boot-blocks.json.xz"
CASES: Final = {
    "plan": "plan --boot 256M --add 12G",
    "plan that does not fit": "plan --boot 256M --add 64G --online movable",
    "plan of two nodes": "plan --boot 1G",
    "explain": "explain",
    "explain a driver": "explain --driver dax",
    "compare": "compare s.yaml --vary drivers.acpi.mhp_flags=none,device,memblock,default --vary machine.memory=2G,4G",
    "align": "align --range 0x1e0a00000+502M --driver dax",
    "page": "page s.yaml dimm0",
    "page --diff": "page s.yaml dimm0 --diff --step 1",
    "run": "run s.yaml",
    "run --map": "run s.yaml --map",
    "check": "check s.yaml --depth 1",
    "conform": "conform r.json.xz",
    "sweep --show": "sweep --show r.sqlite",
    "plugins": "plugins --no-load",
    "plugins NAME": "plugins virtio_mem",
    "examples": "examples",
    "schema --list": "schema --list",
}


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scenario and the results of a sweep."""
    path = tmp_path_factory.mktemp("terminal")
    (path / "s.yaml").write_text(HEAD + STEPS, encoding="utf-8")
    shutil.copy(RECORDING, path / "r.json.xz")
    axes = ["--vary", "steps.0.add.size=1G,2G,1000G", "--vary", "machine.cmdline=,memhp_default_state=online_movable"]
    assert main(["sweep", str(path / "s.yaml"), *axes, "-o", str(path / "r.sqlite"), "--jobs", "1"]) == 0
    return path


def shown(command: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """Return exit status and lines of a command in a terminal of some width."""
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", stream)
    status = int(main(command.split()))
    return status, stream.getvalue().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_everything_fits_80_columns(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables, sentences and maps."""
    monkeypatch.chdir(folder)
    _, lines = shown(CASES[case], 80, monkeypatch)
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("case", [case for case in CASES if case != "run --map"])
def test_the_words_are_those_of_a_pipe(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wide terminal gets the same text; the map alone is drawn for the width, and reasons are folded in a pipe."""
    monkeypatch.chdir(folder)
    status = int(main(CASES[case].split()))
    piped = capsys.readouterr().out
    wide = shown(CASES[case], 400, monkeypatch)
    if not case.startswith("explain"):
        assert wide == (status, piped.splitlines())
        return
    assert wide[0] == status
    assert sorted(" ".join(wide[1]).split()) == sorted(piped.split())


@pytest.mark.parametrize("columns", [20, 1])
@pytest.mark.parametrize("case", CASES)
def test_very_narrow_terminals_are_no_error(
    case: str, columns: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables become lists; the exit status is the same as in a wide one."""
    monkeypatch.chdir(folder)
    status, lines = shown(CASES[case], columns, monkeypatch)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    wide, _ = shown(CASES[case], 200, monkeypatch)
    assert status == wide
    assert lines


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples too, which are not folded."""
    status, lines = shown(f"{command} --help", 80, monkeypatch)
    assert status == 0
    assert [line for line in lines if len(line) > 80] == []


def test_a_real_terminal(folder: Path) -> None:
    """Its own width counts, not that of the environment; colour comes with it."""
    import fcntl
    import termios

    main_end, other_end = os.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-m", "memhotplug", "run", "s.yaml"]
    process = subprocess.Popen(command, stdout=other_end, stdin=other_end, cwd=folder, env={**env, "TERM": "xterm"})
    os.close(other_end)
    written = b""
    try:
        while chunk := os.read(main_end, 65536):
            written += chunk
    except OSError:  # the other end is closed
        pass
    os.close(main_end)
    assert process.wait() == 0
    text = written.decode()
    assert "\x1b[32mok\x1b[0m" in text
    lines = [
        line.replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")
        for line in text.splitlines()
    ]
    assert max(map(len, lines)) <= 60
