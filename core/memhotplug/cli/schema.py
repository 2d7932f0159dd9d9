"""``mhp schema``: prints the JSON Schema of the scenario format, and those of what commands print."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import Once
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.documents import OUTPUTS

if TYPE_CHECKING:
    from memhotplug.formats.scenario import Catalog

__all__ = ["command"]

_HELP: Final = """Print a JSON Schema (2020-12): of the scenario format, or with --output of what a command prints.

That of scenarios knows the installed plugins and their keys. Editors with a YAML language server complete and check
scenarios with it:

\b
  mhp schema > scenario.schema.json
  # yaml-language-server: $schema=scenario.schema.json   (its first line)
  mhp schema --output plan > plan.schema.json
  mhp schema --list

An output has every key of its schema and no other; the schema says what each key means. What ends with exit status
2 prints error instead.

\b
Exit status:
  0  printed
  2  wrong usage

A driver that cannot be loaded is left out of the schema of scenarios, with a line on stderr.
"""


@click.command(cls=Once, help=_HELP, short_help="Print the JSON Schema of scenarios, or of what commands print.")
@click.argument("kind", type=click.Choice(["scenario"]), default="scenario")
@click.option("--output", "of_output", metavar="NAME", help="The schema of an output instead.")
@click.option("--list", "listed", is_flag=True, help="List the outputs that have a schema.")
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Accepted everywhere; a schema is JSON anyway.")
def command(kind: str, of_output: str | None, listed: bool, as_json: bool) -> int:
    """Print a schema and return the exit status."""
    del kind
    if listed:
        return _list(as_json=as_json)
    if of_output is not None:
        schema = _schema_of(of_output)
    else:
        from memhotplug.formats.scenario.schema import scenario_schema

        schema = scenario_schema(_catalog())
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return ExitCode.OK


def _schema_of(output: str) -> dict[str, Any]:
    from memhotplug.documents.schema import output_schema
    from memhotplug.errors import InputError, nearest

    if output not in OUTPUTS:
        expected = "an output that has a schema, see 'mhp schema --list'"
        raise InputError(expected, got=output, path="--output", nearest=nearest(output, OUTPUTS))
    return output_schema(output)


def _list(*, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps(OUTPUTS, indent=2) + "\n")
        return ExitCode.OK
    from memhotplug.cli.terminal import paint_for, width_of
    from memhotplug.output.tables import table

    header = ("NAME", "WHAT PRINTS IT")
    rows = [[name, printed] for name, printed in OUTPUTS.items()]
    print(*table(header, rows, header, paint_for(sys.stdout), width=width_of(sys.stdout)), sep="\n")
    return ExitCode.OK


def _catalog() -> Catalog:
    """Return the installed plugins without the drivers and architectures that do not work."""
    from memhotplug.catalog import Installed
    from memhotplug.errors import PluginError
    from memhotplug.output.watchdog import guard, limit

    installed = Installed()
    working: dict[str, list[str]] = {"drivers": [], "arch": []}
    for kind, ask in (("drivers", installed.driver_keys), ("arch", installed.machine_keys)):
        for name in installed.names(kind):
            try:
                with guard(limit()):
                    ask(name)
            except PluginError as problem:
                say(f"left out: {problem}")
            else:
                working[kind].append(name)

    class Working(Installed):
        def names(self, kind: str) -> list[str]:
            return working[kind] if kind in working else super().names(kind)

    return Working()
