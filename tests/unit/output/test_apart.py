"""The answer of a command is apart from what else is written to descriptor 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memhotplug.live.requirements import missing
from memhotplug.output.apart import answer_apart, answer_back

LOUD = """
import os
from memhotplug.plugin import hookimpl


@hookimpl
def policy_mhp_flags(kernel, request, phys_range, driver_flags):
    os.write(1, b"past Python\\n")
    print("with print")
    return driver_flags
"""
SCENARIO = (
    "schema: 1\nplugins: ./loud.py\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 4G}\n"
    "drivers: {acpi: {policy: loud}}\nsteps:\n  - add: {driver: acpi, size: 1G}\n"
)


def _mhp(*words: str, cwd: Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memhotplug", *words],
        cwd=cwd,
        text=True,
        check=False,
        timeout=120,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scenario whose policy is loud."""
    (tmp_path / "loud.py").write_text(LOUD, encoding="utf-8")
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path


def test_what_a_plugin_writes_is_no_part_of_the_answer(folder: Path) -> None:
    """Neither by print() nor past it; both are on stderr."""
    done = _mhp("run", "--json", "s.yaml", cwd=folder)

    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True
    assert sorted(done.stderr.splitlines()) == ["past Python", "with print"]


def test_an_answer_to_a_file_is_whole(folder: Path) -> None:
    """What nobody reads meanwhile is written all the same."""
    with (folder / "out.json").open("wb") as out:
        done = _mhp("run", "--json", "s.yaml", cwd=folder, stdout=out)

    assert done.returncode == 0
    assert len(json.loads((folder / "out.json").read_text(encoding="utf-8"))["steps"]) == 1


def test_without_a_stderr_all_stays_as_it_is(folder: Path) -> None:
    """There is nowhere to send anything."""
    script = f"exec {sys.executable} -m memhotplug --version 2>&-"
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stdout[:4]) == (0, "mhp ")


def test_a_stdout_that_is_no_file_is_left_alone(monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    """As under a test runner, or in a program that calls main() with arguments."""
    del capsys
    before = sys.stdout, os.fstat(1).st_ino
    answer_apart()
    answer_back()
    assert (sys.stdout, os.fstat(1).st_ino) == before
    monkeypatch.setattr(sys, "stdout", None)
    answer_apart()
    assert sys.stdout is None


CHILD = """
import os, subprocess, sys
from memhotplug.output.apart import answer_apart, answer_back

answer_apart()
answer_apart()  # again changes nothing
print("answer")
os.write(1, b"aside\\n")
subprocess.run([sys.executable, "-c", "print('child aside')"])
sys.stdout.flush()
answer_back()
os.write(1, b"answer again\\n")
"""


def test_descriptors_go_apart_and_back() -> None:
    """What is started meanwhile writes aside too; afterwards all is as it was."""
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout == "answer\nanswer again\n"
    assert done.stderr == "aside\nchild aside\n"


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_command_on_a_machine_has_the_real_stdout(folder: Path) -> None:
    """It takes the place of the process that had them apart."""
    done = _mhp("exec", "--boot", "1G", "--", "sh", "-c", "echo out; echo err >&2", cwd=folder)

    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")
