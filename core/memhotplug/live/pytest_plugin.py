"""A pytest fixture that gives a test a machine, and runs a command on it.

    def test_my_tool(modelled_machine):
        done = modelled_machine("--boot", "4G", "--fail", "offline:31=EBUSY").run("chmem", "-d", "128M")
        assert done.returncode == 0

It comes with the package (entry point ``pytest11``) and imports next to nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Done", "ModelledMachine", "modelled_machine"]

_CANNOT_SET_UP = 125


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What became of a command.

    Attributes:
        returncode: its exit status, 128 and the signal if one ended it.
        stdout, stderr: what it wrote.
        steps: the scenario that repeats what it did, a file for ``mhp run``.
        result: the machine afterwards, as ``mhp run --json`` shows it.
    """

    returncode: int
    stdout: str
    stderr: str
    steps: Path
    result: dict[str, Any]


class ModelledMachine:
    """A machine that each command finds as it was at the beginning.

    Args:
        source: what ``mhp exec`` takes before ``--``.
        folder: where results are left.
    """

    def __init__(self, source: tuple[str, ...], folder: Path) -> None:
        self._source = source
        self._folder = folder

    def run(self, *command: str, timeout: float = 60, stdin: str | None = None) -> Done:
        """Run a command on the machine.

        The test is skipped, with the reason, where the system has no namespaces or no FUSE.

        Raises:
            subprocess.TimeoutExpired: it took more seconds than ``timeout``, and is gone.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        mhp = [sys.executable, "-m", "memhotplug", "exec", *self._source, "-o", str(self._folder), "--", *command]
        done = subprocess.run(mhp, capture_output=True, text=True, timeout=timeout, input=stdin, check=False)
        if done.returncode == _CANNOT_SET_UP and done.stderr.startswith("mhp: "):
            pytest.skip(done.stderr.removeprefix("mhp: ").strip())
        left = self._folder / "result.json"
        result = json.loads(left.read_text(encoding="utf-8")) if left.exists() else {}
        return Done(
            returncode=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
            steps=self._folder / "steps.yaml",
            result=result,
        )


@pytest.fixture
def modelled_machine(tmp_path: Path) -> Callable[..., ModelledMachine]:
    """Return a function that makes a machine of what ``mhp exec`` takes: a scenario, or options."""
    made = 0

    def make(*source: str) -> ModelledMachine:
        nonlocal made
        made += 1
        return ModelledMachine(source, tmp_path / f"mhp-{made}")

    return make
