"""``mhp report``: writes one HTML file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.reading import scenario_tree

if TYPE_CHECKING:
    from memhotplug.documents.small import ReportDocument

__all__ = ["command"]

_HELP: Final = """Write what became of the memory of SCENARIO (- is stdin), or what a sweep found, into one HTML file.

The file needs no network and opens anywhere: the memory map with a slider over the steps (arrow keys, too), who holds
the pages of each bar, the zones and the memmap over time, refused steps with the kernel's reason, with --vary also
variants side by side.
RESULTS, a file that 'mhp sweep' keeps, gives a heat map and lines of each measure.

\b
  mhp report dimm.yaml -o dimm.html
  mhp report dimm.yaml --vary drivers.acpi.mhp_flags=none,device -o dimm.html
  mhp report results.sqlite --measure self_hosted_bytes -o sweep.html

\b
Exit status:
  0  written
  1  written, and a step did not do what the scenario says
  2  wrong usage, input that cannot be used, or a file that cannot be written
"""


@click.command(cls=Once, help=_HELP, short_help="Write one HTML file that shows a run or a sweep.")
@click.argument("source", metavar="SCENARIO|RESULTS")
@click.option(
    "-o", "--output", type=Target(), metavar="FILE", required=True, help="Where to write it; the name ends in .html."
)
@click.option("--vary", "axes", metavar="KEY=V1,V2", multiple=True, help="Values to put side by side, as in compare.")
@click.option("--step", type=int, metavar="N", help="Which step to show first; default the last.")
@click.option("--measure", metavar="NAME", help="With RESULTS: the one measure to show; default those that differ.")
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object about the file.")
def command(
    source: str, output: str, axes: tuple[str, ...], step: int | None, measure: str | None, as_json: bool
) -> int:
    """Write the report and return the exit status."""
    from memhotplug.output.files import write_text
    from memhotplug.output.jsontext import render_line

    if not output.lower().endswith((".html", ".htm")):
        raise click.UsageError(f"-o takes a file that ends in .html, not {output!r}")
    failure = None
    if _is_results(source):
        if axes or step is not None:
            raise click.UsageError("--vary and --step belong to a scenario, not to results")
        text = _of_results(source, measure)
    else:
        if measure is not None:
            raise click.UsageError("--measure belongs to the results of a sweep")
        failure, text = _of_scenario(source, axes, step)
    write_text(output, text)
    if as_json:
        size = len(text.encode("utf-8"))
        document: ReportDocument = {"schema": 1, "ok": failure is None, "file": output, "bytes": size}
        sys.stdout.write(render_line(document))
    else:
        print(f"{output}: {len(text.encode('utf-8')) // 1024 + 1} KiB")
    if failure is not None:
        say(failure)
        return ExitCode.FAILURE
    return ExitCode.OK


def _is_results(source: str) -> bool:
    """Whether a file is a database; what cannot be read is left to the reader of scenarios to say."""
    try:
        with open(source, "rb") as stream:
            return stream.read(15) == b"SQLite format 3"
    except OSError:
        return False


def _of_results(source: str, measure: str | None) -> str:
    from memhotplug.commands.report.grid import of_results
    from memhotplug.commands.report.html import page
    from memhotplug.commands.sweep.store import open_store

    with open_store(source) as store:
        return page(f"Sweep {source}", None, of_results(store, measure))


def _of_scenario(source: str, axes: tuple[str, ...], step: int | None) -> tuple[str | None, str]:
    """Return why the run stopped, None if it did not, and the page."""
    from memhotplug.commands.report.data import film_of
    from memhotplug.commands.report.html import page
    from memhotplug.formats.scenario.loader import scenario_from_tree
    from memhotplug.output.watchdog import WatchedCatalog

    tree, file = scenario_tree(source)
    catalog = WatchedCatalog()
    film = film_of(scenario_from_tree(tree, catalog=catalog, file=file), step=step)
    title = f"Memory of {file}"
    if not axes:
        return film.failure, page(title, film)
    from memhotplug.commands.compare.answer import compare
    from memhotplug.commands.compare.question import parse_axis, variants
    from memhotplug.commands.report.grid import maps_of, of_variants

    done = compare(variants(tree, [parse_axis(axis) for axis in axes], catalog=catalog, file=file))
    return film.failure, page(title, film, [of_variants(done)], maps_of(done))
