"""Writes the man page mhp(1) from the commands' own help: ``python tools/manpage.py [-o FILE]``, ``--check FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from memhotplug import __version__
from memhotplug.cli.group import COMMANDS, mhp

DEFAULT = Path(__file__).resolve().parents[1] / "docs" / "man" / "mhp.1"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check say whether a file is what would be written."""
    parser = argparse.ArgumentParser(description="Write the man page mhp(1).")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT)
    parser.add_argument("--check", action="store_true", help="only compare; 1 if the file is not up to date")
    given = parser.parse_args(arguments)
    page = render()
    if given.check:
        current = given.output.read_text(encoding="utf-8") if given.output.exists() else ""
        if current != page:
            print(f"{given.output} is not up to date: run python tools/manpage.py", file=sys.stderr)
        return int(current != page)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(page, encoding="utf-8")
    return 0


def render() -> str:
    """Return the whole page in man(7)."""
    context = click.Context(mhp, info_name="mhp", **mhp.context_settings)
    lines = [
        f'.TH MHP 1 "" "memhotplug {__version__}" "User Commands"',
        ".SH NAME",
        "mhp \\- model of Linux physical memory hotplug",
        ".SH SYNOPSIS",
        ".B mhp",
        "[OPTIONS] COMMAND [ARGS]...",
        ".SH DESCRIPTION",
        *_prose(mhp.help or ""),
        ".SH OPTIONS",
        *_options(mhp, context),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        command = mhp.get_command(context, name)
        assert command is not None
        lines += _command(name, command, context)
    lines += [".SH SEE ALSO", ".BR lsmem (1),", ".BR chmem (8),", ".BR daxctl (1)"]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f'.SS "{_escaped(f"mhp {name} {usage}")}"'
    yield from _prose(command.help or "")
    yield from _options(command, context)


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs; those that begin with click's mark keep their lines."""
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield ".nf"
            yield from (_escaped(line) for line in paragraph.splitlines()[1:])
            yield ".fi"
        else:
            yield from (_escaped(line.strip()) for line in paragraph.splitlines())


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield ".TP"
            yield f".B {_escaped(record[0])}"
            yield _escaped(record[1])


def _escaped(text: str) -> str:
    """Return text in which nothing is a request or an escape; hyphens stay hyphens for who copies them."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.exit(main())
