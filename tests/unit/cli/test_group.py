"""``mhp`` itself: what it prints without a command, and how little it imports for that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import click
import pytest

import memhotplug
from memhotplug.cli.group import COMMANDS
from memhotplug.cli.group import mhp as group

Mhp = Callable[..., Any]

HEAVY = ("numpy", "pydantic", "yaml", "rich", "pluggy", "structlog")


def _imported(*args: str) -> set[str]:
    """Return which of the heavy modules a run of ``mhp`` imports."""
    code = f"import sys\nfrom memhotplug.cli import main\nmain({list(args)!r})\nprint('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(HEAVY) & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["--version"], ["run", "--help"], ["plugins", "--help"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    """Start-up counts: help must come at once."""
    assert _imported(*args) == set()


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_the_help_is_ready_to_be_printed(word: str, mhp: Mhp, monkeypatch: pytest.MonkeyPatch) -> None:
    """As click writes it for 80 columns, and without click.

    Where it is out of date: COLUMNS=80 python -c "from memhotplug.cli import main; main(['--help'])"
    """
    monkeypatch.setenv("COLUMNS", "80")
    written = mhp(word)
    code = (
        f"import sys\nsys.argv = ['mhp', {word!r}]\nfrom memhotplug.cli import main\n"
        "sys.exit(main() or ('click' in sys.modules) * 9)"
    )
    ready = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (ready.returncode, ready.stderr, ready.stdout) == (0, "", written.out)
    assert resources.files("memhotplug.cli").joinpath("help.txt").read_text(encoding="utf-8") == written.out


def test_a_narrow_terminal_has_narrow_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is wrapped by click."""
    monkeypatch.setenv("COLUMNS", "60")
    done = subprocess.run([sys.executable, "-m", "memhotplug", "-h"], capture_output=True, text=True, check=True)

    assert max(map(len, done.stdout.split("Examples:")[0].splitlines())) <= 60
    assert done.stdout.startswith("Usage: ")


def test_the_help_of_a_full_disk_and_of_poor_encodings() -> None:
    """Neither is silent."""
    command = [sys.executable, "-m", "memhotplug", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    poor = subprocess.run(
        command, env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, text=True, check=True
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "--vary \\u2026" in poor.stdout


def test_a_command_imports_only_what_it_needs() -> None:
    """Nothing is logged and nothing is coloured, so neither structlog nor rich is needed."""
    assert _imported("plugins", "--no-load") & {"numpy", "pydantic", "yaml", "rich", "structlog"} <= {
        "numpy",
        "pydantic",
        "yaml",
    }


def test_the_help_lists_every_command_with_its_summary(mhp: Mhp) -> None:
    """And the exit statuses."""
    done = mhp("--help")

    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: mhp [OPTIONS] COMMAND [ARGS]...\n")
    for name, summary in COMMANDS.items():
        assert any(line.split() == [name, *summary.split()] for line in done.out.splitlines())
    assert "Exit status:" in done.out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(mhp: Mhp, name: str) -> None:
    """Usage and exit statuses."""
    done = mhp(name, "--help")

    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"Usage: mhp {name} ")
    assert "Exit status:" in done.out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_a_module_with_a_command(name: str) -> None:
    """The static list and the modules agree."""
    command = group.get_command(click.Context(group), name)

    assert isinstance(command, click.Command)
    assert command.name in (name, "command")


def test_no_help_line_is_wider_than_a_terminal(mhp: Mhp) -> None:
    """Examples included."""
    for args in ([], *([name] for name in COMMANDS)):
        lines = mhp(*args, "--help").out.splitlines()
        assert [line for line in lines if len(line) > 100] == []


def test_the_version_is_the_packages(mhp: Mhp) -> None:
    """One line."""
    done = mhp("--version")

    assert (done.status, done.out, done.err) == (0, f"mhp {memhotplug.__version__}\n", "")


def test_without_a_command_there_is_help_and_a_usage_error(mhp: Mhp) -> None:
    """Nothing was asked, so nothing is on stdout."""
    done = mhp()

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("Usage: mhp ")


def test_python_m_is_the_same_command(process: Mhp) -> None:
    """For those whose PATH lacks it."""
    assert process("--version").out == f"mhp {memhotplug.__version__}\n"


@pytest.mark.parametrize(
    ("args", "unneeded"),
    [
        (
            ["plan", "--boot", "1G", "--add", "1G"],
            ["memhotplug.formats.snapshot", "memhotplug.formats.scenario.schema", "memhotplug.engine.views.page"],
        ),
        (["explain"], ["memhotplug.machine", "memhotplug.engine.views.page"]),
        (["examples"], ["numpy", "yaml"]),
        (["plugins", "--no-load"], ["memhotplug.machine", "importlib.metadata"]),
        (["plugins"], ["numpy", "yaml", "pydantic", "memhotplug.machine", "importlib.metadata", "pathlib", "textwrap"]),
    ],
)
def test_what_a_command_does_not_need_is_not_imported(args: list[str], unneeded: list[str]) -> None:
    """Each costs milliseconds, each time."""
    code = f"import sys\nfrom memhotplug.cli import main\nmain({args!r})\nprint('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split())

    assert [name for name in unneeded if name in loaded] == []


def _commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that takes options, those of groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", one) for below, one in command.commands.items())


@pytest.mark.parametrize(("name", "command"), list(_commands()))
def test_no_command_drops_an_option_that_is_given_twice(name: str, command: click.Command) -> None:
    """The last one would win in silence; what takes several says so in its help."""
    for option in command.params:
        if not isinstance(option, click.Option) or option.multiple or option.count or option.is_flag:
            continue
        word = max(option.opts, key=len)
        with pytest.raises(click.UsageError) as caught:
            command.make_context(name, [word, *["1"] * option.nargs] * 2)
        assert caught.value.message == f"{option.opts[0]} is given twice; only one would count"
