"""``mhp compare``: one scenario in several variations, side by side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode
from memhotplug.cli.options import Once
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.reading import scenario_tree
from memhotplug.cli.terminal import paint_for, show, width_of

if TYPE_CHECKING:
    from memhotplug.commands.compare.question import Variant

__all__ = ["command"]

_HELP: Final = """Run SCENARIO (YAML) in every combination of the values given, and show the results side by side.

A key is the way to a value of the scenario, list entries by their number; values are YAML, separated by commas, and
an empty one leaves the key out. Steps that 'expect' something are left out of the runs.

\b
  mhp compare dimm.yaml --vary drivers.acpi.mhp_flags=none,device,memblock
  mhp compare dimm.yaml --vary machine.kernel=v2-2019,linux-6.12 \\
    --vary steps.0.add.size=1G,16G
  mhp compare dimm.yaml --csv \\
    --vary 'machine.cmdline=,memory_hotplug.memmap_on_memory=1'

It shows what the memmap costs and where it lies, how much of each zone is usable (neither memmap nor page tables
of hot-added memory), the longest run of free pages, how many 1 GiB pages could be made, and the smallest unit in
which each device's memory can be removed while the rest stays, tried on copies of the machine: all of that for the
last moment at which most hot-added memory was online.

\b
Exit status:
  0  the table was printed; what failed is in it
  2  wrong usage, or a scenario or a value that cannot be used
"""


@click.command(cls=Once, help=_HELP, short_help="Run one scenario in several variations, side by side.")
@click.argument("scenario")
@click.option("--vary", "axes", metavar="KEY=V1,V2", multiple=True, help="Values to run with; may be given several "
              "times for every combination.")  # fmt: skip
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a tidy table: one value a line, with its unit.")
def command(scenario: str, axes: tuple[str, ...], as_json: bool, as_csv: bool) -> int:
    """Compare and return the exit status."""
    from memhotplug.commands.compare.answer import compare

    if as_json and as_csv:
        raise click.UsageError("give one of --json and --csv")
    done = compare(_variants(scenario, axes))
    if as_json:
        from memhotplug.commands.compare.text import to_document
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(to_document(done, scenario=scenario)))
    elif as_csv:
        from memhotplug.commands.compare.text import to_csv

        sys.stdout.write(to_csv(done))
    else:
        from memhotplug.commands.compare.text import compare_lines

        show(compare_lines(done, paint_for(sys.stdout), width=width_of(sys.stdout)))
    return ExitCode.OK


def _variants(path: str, axes: tuple[str, ...]) -> list[Variant]:
    from memhotplug.commands.compare.question import parse_axis, variants
    from memhotplug.output.watchdog import WatchedCatalog

    parsed = [parse_axis(text) for text in axes]
    tree, file = scenario_tree(path)
    return variants(tree, parsed, catalog=WatchedCatalog(), file=file)
