"""``mhp export``: writes a modelled machine's /sys and /proc as plain files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from memhotplug.cli.exits import ExitCode
from memhotplug.cli.livesource import source_of, source_options
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options

if TYPE_CHECKING:
    from memhotplug.documents.small import ExportDocument

__all__ = ["command"]

_HELP: Final = """Write the /sys and /proc of a modelled machine as plain files below DIR, which must be empty.

Programs that take a root folder read it (lsmem --sysroot DIR), and so do plan, exec and scenarios (--from DIR).

\b
  mhp export --boot 24G -o tree && lsmem --sysroot tree
  mhp export dimm.yaml -o tree

\b
Exit status:
  0  the files are written
  2  wrong usage, a machine that cannot be, or a folder that is not empty or
     cannot be written
"""


@click.command(cls=Once, help=_HELP, short_help="Write a machine as plain files.")
@source_options
@plugin_options
@click.option("-o", "--output", type=Target(), metavar="DIR", required=True, help="Where to: a new or empty folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object about the files.")
@click.argument("scenario", required=False)
def command(scenario: str | None, output: str, as_json: bool, **options: Any) -> int:
    """Write the files and return the exit status."""
    source = source_of(options, scenario)
    from memhotplug.live.export import export

    files = export(source.machine.kernel, output)
    if as_json:
        from memhotplug.output.jsontext import render_line

        document: ExportDocument = {"schema": 1, "ok": True, "output": output, "files": files}
        sys.stdout.write(render_line(document))
    return ExitCode.OK
