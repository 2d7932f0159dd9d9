"""``mhp schema``: prints the JSON Schema of the scenario format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.pluginfiles import plugin_option

if TYPE_CHECKING:
    from memhotplug.formats.scenario import Catalog

__all__ = ["command"]

_HELP: Final = """Print the JSON Schema (2020-12) of a file format; scenario is the only one so far.

It knows the installed plugins and their keys. Editors with a YAML language server complete and check scenarios
with it:

\b
  mhp schema > scenario.schema.json
  # yaml-language-server: $schema=scenario.schema.json     (first line of a scenario)

\b
Exit status:
  0  printed
  2  wrong usage

A driver that cannot be loaded is left out of it, with a line on stderr.
"""


@click.command(help=_HELP, short_help="Print the JSON Schema of scenarios.")
@click.argument("kind", type=click.Choice(["scenario"]), default="scenario")
@plugin_option
@click.option("--json", "as_json", is_flag=True, help="Accepted everywhere; a schema is JSON anyway.")
def command(kind: str, as_json: bool) -> int:
    """Print a schema and return the exit status."""
    del kind, as_json
    import json

    from memhotplug.formats.scenario.schema import scenario_schema

    sys.stdout.write(json.dumps(scenario_schema(_catalog()), indent=2) + "\n")
    return ExitCode.OK


def _catalog() -> Catalog:
    """Return the installed plugins without the drivers that do not work."""
    from memhotplug.catalog import Installed
    from memhotplug.errors import PluginError

    installed = Installed()
    drivers = []
    for name in installed.names("drivers"):
        try:
            installed.driver_keys(name)
        except PluginError as problem:
            say(f"left out: {problem}")
        else:
            drivers.append(name)

    class Working(Installed):
        def names(self, kind: str) -> list[str]:
            return drivers if kind == "drivers" else super().names(kind)

    return Working()
