"""A command starts no threads to multiply matrices with, and hands its environment on as it got it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memhotplug.live.requirements import missing

NAME = "OPENBLAS_NUM_THREADS"
NAMES = (NAME, "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
WATCH = f"""
import os
import sys
from memhotplug.cli import main

sys.argv = ["mhp", "plan", "--boot", "256M", "--add", "1G"]
main()
print(os.environ.get("{NAME}"), "numpy" in sys.modules, len(os.listdir("/proc/self/task")), file=sys.stderr)
"""


def _environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in NAMES} | more


def _watched(**more: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WATCH], env=_environment(**more), capture_output=True, text=True, check=True, timeout=120
    )
    return done.stderr.split()[-3:]


def test_a_command_that_computes_has_one_thread() -> None:
    """However many cores there are."""
    assert _watched() == ["1", "True", "1"]


@pytest.mark.parametrize("name", NAMES)
def test_whoever_says_how_many_gets_them(name: str) -> None:
    """The environment decides, where it says something, in whichever of the words that the library knows."""
    assert _watched(**{name: "2"})[:2] == ["2" if name == NAME else "None", "True"]


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("more", [{}, {NAME: "3"}])
def test_a_program_gets_the_environment_that_mhp_got(more: dict[str, str]) -> None:
    """A variable that only mhp needs is not in it."""
    script = f"import os; print(os.environ.get('{NAME}'))"
    words = ["exec", "--boot", "1G", "--", sys.executable, "-c", script]
    done = subprocess.run(
        [sys.executable, "-m", "memhotplug", *words],
        env=_environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.split()[-1:] == [more.get(NAME, "None")], done.stderr
