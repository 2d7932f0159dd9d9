"""What several commands' options have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from memhotplug.cli.group import COMMANDS
from memhotplug.cli.group import mhp as group
from memhotplug.cli.options import Target

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Mhp

WRITTEN = ("-o", "--export", "--new")
"""Options that name what is written, wherever a command has them."""


def targets() -> Iterator[tuple[str, click.Option]]:
    """Yield each command's name with each of its options that name a file or folder to write."""
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        for option in command.params:
            types = option.type.types if isinstance(option.type, click.Tuple) else (option.type,)
            if isinstance(option, click.Option) and any(isinstance(one, Target) for one in types):
                yield name, option


def test_what_is_written_is_a_target_everywhere() -> None:
    """The same letter, and the same rule."""
    found = {(name, word) for name, option in targets() for word in option.opts}
    assert {("run", "--csv"), ("plan", "--scenario"), ("sweep", "--export"), ("plugins", "--new")} <= found
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        words = {word for option in command.params for word in option.opts if word in WRITTEN}
        assert {(name, word) for word in words} <= found


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, option in targets()], ids=lambda one: getattr(one, "name", one)
)
def test_a_dash_is_no_file(
    name: str, option: click.Option, mhp: Mhp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands for standard input where commands read; no file of that name comes to be."""
    monkeypatch.chdir(tmp_path)
    words = ["driver", "-"] if option.nargs == 2 else ["-"]

    done = mhp(name, option.opts[0], *words)

    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "got '-', expected a path (standard output is /dev/stdout)" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_called_dash_can_be_written(mhp: Mhp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a path that says so."""
    monkeypatch.chdir(tmp_path)

    done = mhp("plan", "--boot", "1G", "--add", "256M", "--brief", "--scenario", "./-")

    assert done.status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["-"]


def unnamed(command: click.Command) -> Iterator[str]:
    """Yield each option of a command, or of those below it, whose value has no name in its help."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from unnamed(below)
    for option in command.params:
        if isinstance(option, click.Option) and option.type is click.STRING and option.metavar is None:
            yield f"{command.name} {option.opts[0]}"


def test_a_word_that_is_asked_for_says_what_it_is() -> None:
    """ARCH, KERNEL, DRIVER in every command, not TEXT in some."""
    commands = [group.get_command(click.Context(group), name) for name in COMMANDS]
    assert [option for command in commands if command is not None for option in unnamed(command)] == []
