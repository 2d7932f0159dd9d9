"""What a shell offers: asked as the shells themselves ask, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.unit.cli.conftest import Mhp

Offered: TypeAlias = Callable[..., list[str]]

SCENARIO = """\
schema: 1
machine: {arch: x86_64, kernel: v2-2019, memory: 4G}
steps:
  - add: {driver: acpi, name: d, size: 1G}
"""


@pytest.fixture
def offered(process: Mhp, tmp_path: Path) -> Offered:
    """Return a function that returns what bash is offered for the last of some words."""
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")

    def call(*words: str) -> list[str]:
        done = process(_MHP_COMPLETE="bash_complete", COMP_WORDS=" ".join(["mhp", *words]), COMP_CWORD=str(len(words)))
        assert done.err == ""
        return [line.partition(",")[2] if line.startswith("plain") else line for line in done.out.splitlines()]

    return call


def test_commands(offered: Offered) -> None:
    """By their first letters."""
    assert offered("pl") == ["plan", "plugins"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("explain", "--driver", "a"), ["acpi"]),
        (
            ("explain", "--kernel", "linux-6.1"),
            ["linux-6.1", "linux-6.10", "linux-6.11", "linux-6.12", "linux-6.14", "linux-6.15", "linux-6.19"],
        ),
        (("explain", "--arch", "p"), ["powerpc"]),
        (("plan", "--arch", "s"), ["s390"]),
    ],
)
def test_names_of_plugins(offered: Offered, words: tuple[str, ...], expected: list[str]) -> None:
    """Those that are installed."""
    assert sorted(offered(*words)) == expected


@pytest.mark.parametrize("words", [("run", "s"), ("page", "s"), ("explain", "--plugin", "x")])
def test_files(offered: Offered, words: tuple[str, ...]) -> None:
    """Are left to the shell, which knows them."""
    assert offered(*words) == [f"file,{words[-1]}"]


def test_keys_of_the_scenario(offered: Offered) -> None:
    """For --vary of the file on the line."""
    assert offered("compare", "s.yaml", "--vary", "steps.0") == [
        "steps.0.add.driver=",
        "steps.0.add.name=",
        "steps.0.add.size=",
    ]
    assert offered("compare", "s.yaml", "--vary", "machine.m") == [
        "machine.memory=",
        "machine.memory_block_size=",
    ]


def test_keys_without_a_file_are_the_usual_ones(offered: Offered) -> None:
    """A file that is none is no error."""
    assert offered("compare", "none.yaml", "--vary", "machine.k") == ["machine.kernel="]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(process: Mhp, shell: str, tmp_path: Path) -> None:
    """Which the shell itself can read, where it is installed."""
    done = process(_MHP_COMPLETE=f"{shell}_source")
    if shell == "bash" and "Shell completion is not supported" in done.err:
        pytest.skip("bash is older than 4.4")
    assert "_MHP_COMPLETE=" in done.out
    (tmp_path / "script").write_text(done.out, encoding="utf-8")
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
