"""The page of the commands, from their own help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import click
from tools.reference.markdown import code, fence, made_by, prose, table

from memhotplug.cli.group import COMMANDS, mhp

__all__ = ["page"]

_TOP: Final = "\b\n"
_EXTRA: Final = re.compile(r"\[([^\[\]]*)\]$")
"""What click puts behind a help text: defaults and bounds."""


def page() -> str:
    """Return it."""
    context = click.Context(mhp, info_name="mhp", **mhp.context_settings)
    lines = [
        made_by("commands"),
        "# Commands",
        "",
        "What `mhp COMMAND --help` says. Answers go to stdout, everything else to stderr.",
        "",
        *table(("command", ""), ((f"[`mhp {name}`](#mhp-{name})", prose(said)) for name, said in COMMANDS.items())),
        "",
        "Options before the command:",
        "",
        *_options(mhp, context),
    ]
    for name in COMMANDS:
        command = mhp.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        usage = " ".join(["mhp", name, *command.collect_usage_pieces(below)])
        lines += ["", f"## `mhp {name}`", "", fence(usage), "", *_help(command.help or ""), *_options(command, below)]
    return "\n".join(lines) + "\n"


def _help(text: str) -> Iterator[str]:
    """Yield the paragraphs; those that begin with click's mark keep their lines."""
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith(_TOP):
            yield fence(paragraph.removeprefix(_TOP))
        else:
            yield prose(" ".join(paragraph.split()))
        yield ""


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    rows = ((code(record[0]), prose(_EXTRA.sub(r"(\1)", record[1]))) for record in records if record is not None)
    yield from table(("option", ""), rows)
