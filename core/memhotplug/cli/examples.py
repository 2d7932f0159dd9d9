"""``mhp examples``: the scenarios that come with the program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode
from memhotplug.cli.options import Once, Target

if TYPE_CHECKING:
    from memhotplug.documents.small import CopiedDocument, ExampleDocument, ListedDocument

__all__ = ["command"]

_HELP: Final = """List the scenarios that come with mhp, print the one called NAME, or copy them into a folder.

-o copies NAME, or all without it, and the plugins and recordings that they use; no file is ever replaced.

\b
  mhp examples
  mhp examples cover-letter-device
  mhp examples cover-letter-device | mhp run -
  mhp examples policy-by-size -o try
  mhp run try/scenarios/policy-by-size.yaml

\b
Exit status:
  0  done
  2  no example of that name, or a folder that cannot be written
"""


@click.command(cls=Once, help=_HELP, short_help="List, print or copy the scenarios that come with mhp.")
@click.argument("name", required=False)
@click.option(
    "-o", "--output", type=Target(), metavar="DIR", help="Copy into this folder, which is made if it is not there."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(name: str | None, output: str | None, as_json: bool) -> int:
    """List, print or copy, and return the exit status."""
    from memhotplug.commands import examples
    from memhotplug.output.files import make_folder
    from memhotplug.output.jsontext import render

    chosen = None if name is None else [examples.find(name)]
    if output is not None:
        written = examples.write(make_folder(output), chosen)
        if as_json:
            copied: CopiedDocument = {"schema": 1, "ok": True, "folder": output, "files": written}
            sys.stdout.write(render(copied))
        else:
            print(*(str(Path(output, file)) for file in written), sep="\n")
        return ExitCode.OK
    listed = examples.examples() if chosen is None else chosen
    if as_json:
        entries: list[ExampleDocument] = [
            {"name": entry.name, "question": entry.question, "file": str(entry.path)} for entry in listed
        ]
        document: ListedDocument = {"schema": 1, "ok": True, "examples": entries}
        sys.stdout.write(render(document))
    elif chosen is None:
        from memhotplug.cli.terminal import width_of
        from memhotplug.output.tables import table

        rows = [[entry.name, entry.question] for entry in listed]
        print(*table(["NAME", "QUESTION"], rows, ["NAME", "QUESTION"], width=width_of(sys.stdout)), sep="\n")
    else:
        sys.stdout.write(chosen[0].path.read_text(encoding="utf-8"))
    return ExitCode.OK
