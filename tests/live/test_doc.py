"""The snippet for continuous integration in docs/live.md does what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug.testing.live import ModelledMachine

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "live.md").read_text(encoding="utf-8")


def test_the_snippet_for_continuous_integration_runs(modelled_machine: Callable[..., ModelledMachine]) -> None:
    """Its last step, with the machine and the command that stand there."""
    (line,) = re.findall(r"^  - run: mhp exec (.+)$", _TEXT, re.MULTILINE)
    source, command = line.split(" -- ")
    if shutil.which(shlex.split(command)[0]) is None:
        pytest.skip(f"not installed: {shlex.split(command)[0]}")
    done = modelled_machine(*shlex.split(source)).run(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    offline = [block["id"] for block in done.result["blocks"] if block["state"] == "offline"]
    assert len(offline) == 2
    assert 30 not in offline
