"""The workflow for GitHub in docs/live.md: its steps are run, one after the other, in a clean clone.

What stands in for the runner: ``sudo`` installs nothing and sets nothing, and ``pip`` installs the wheel of the clone.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.packaging.conftest import ROOT, Installed, environment

from memhotplug.live.requirements import missing

_SUDO = """#!/bin/sh
case "$1 $2" in
  'apt-get install'|'sysctl -w') exit 0;;
esac
echo "sudo: not in this workflow: $*" >&2
exit 1
"""
_PIP = """#!/bin/sh
test "$*" = 'install memhotplug[live]'
"""


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    """Return the steps of the only job."""
    text = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (workflow,) = [yaml.safe_load(block) for block in blocks if "\njobs:" in block]
    (job,) = workflow["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clean clone of this project, as actions/checkout makes one."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone of the project")
    done = subprocess.run(
        ["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no clone: {done.stderr.strip()}")
    return tmp_path / "clone"


def programs(folder: Path) -> Path:
    """Return a folder with what stands in for the runner's sudo and pip."""
    folder.mkdir()
    for name, text in (("sudo", _SUDO), ("pip", _PIP)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_the_workflow_begins_with_a_checkout(steps: list[dict[str, Any]]) -> None:
    """And everything else is a command."""
    assert [sorted(step) for step in steps] == [["uses"], *[["run"]] * (len(steps) - 1)]


def test_packages_of_the_workflow_are_those_of_the_distribution(steps: list[dict[str, Any]]) -> None:
    """Each that it installs is known to apt, where there is apt."""
    (line,) = [step["run"] for step in steps if "apt-get" in step.get("run", "")]
    names = [word for word in shlex.split(line)[3:] if not word.startswith("-")]
    assert "fuse3" in names
    if shutil.which("dpkg-query") is not None and shutil.which("fusermount3") is not None:
        assert subprocess.run(["dpkg-query", "-s", *names], capture_output=True, check=False).returncode == 0


def test_the_workflow_runs_in_a_clean_clone(
    steps: list[dict[str, Any]], clone: Path, installed: Installed, tmp_path: Path
) -> None:
    """Every step, in its own shell, as the runner does; the last one repeats what the tool did."""
    lacking = missing() or (None if shutil.which("chmem") else "not installed: chmem")
    if lacking:
        pytest.skip(lacking)
    path = os.pathsep.join([str(programs(tmp_path / "runner")), str(installed.bin), environment()["PATH"]])
    printed = ""
    for step in steps:
        if "run" not in step:
            continue
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            command, cwd=clone, env={**environment(), "PATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode == 125:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, step["run"] + "\n" + done.stdout + done.stderr
        printed = done.stdout
    assert [line.split()[:3] for line in printed.splitlines() if line.startswith("write ")] == [
        ["write", f"/sys/devices/system/memory/memory{block}/state", "offline"] for block in (31, 30, 29, 28)
    ]
