"""``mhp sweep``: many cases at once, kept in a file, resumable."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from memhotplug.cli.exits import INTERRUPTED, ExitCode, say
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.reading import scenario_text
from memhotplug.cli.terminal import paint_for, show, width_of

if TYPE_CHECKING:
    from memhotplug.commands.sweep.answer import Progress
    from memhotplug.commands.sweep.question import Question
    from memhotplug.commands.sweep.workers import Pool
    from memhotplug.documents.sweep import ExportDocument, ProgressDocument
    from memhotplug.formats.scenario import Catalog

__all__ = ["command"]

_HELP: Final = """Play SCENARIO with every combination of some values, and keep what came of each in a file.

A value may be a range. Steps that fail are outcomes, and 'expect' steps are columns. The same command goes on
where it was stopped, however it was stopped. SCENARIO may be - for stdin.

\b
  mhp sweep grow.yaml --vary steps.0.add.size=1G..64G/1G -o r.sqlite
  mhp sweep grow.yaml --vary … -o r.sqlite --jobs 2
  mhp sweep grow.yaml --vary … -o r.sqlite --sample 1000 --seed 7
  mhp sweep vm.yaml --trace scaler.csv --vary … -o r.sqlite --steps
  mhp sweep --show r.sqlite --group-by drivers.acpi.mhp_flags
  mhp sweep --export table.csv r.sqlite

\b
Exit status:
  0  every case was played, whatever came of it
  1  it was stopped, or the results cannot be kept
  2  wrong usage, a scenario that cannot be used, results of another question
"""


@click.command(cls=Once, help=_HELP, short_help="Play many variants of a scenario, resumable.")
@click.argument("scenario", required=False)
@click.option(
    "--vary", "axes", metavar="KEY=V1,V2", multiple=True, help="Values to play with; FIRST..LAST/STEP is a range."
)
@click.option("-o", "--output", type=Target(), metavar="FILE", help="Where the results are kept (SQLite).")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Draw N of the combinations.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the sample.")
@click.option(
    "--trace", metavar="FILE", help="Play an autoscaler's requests (CSV: time, size, pressure) after the steps."
)
@click.option("--steps", is_flag=True, help="Also keep a row for each step and zone.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; default as many as there are CPUs.")
@click.option("--scheduler", metavar="ADDRESS", help="Play on the workers of a Dask cluster.")
@click.option("--redo", is_flag=True, help="Play again what another version of mhp played.")
@click.option("--show", metavar="RESULTS", help="Summarise results.")
@click.option(
    "--measure", metavar="COLUMN", help="With --show: what the best and the worst go by; default memmap_bytes."
)
@click.option("--group-by", "group_by", metavar="KEY", multiple=True, help="With --show: a varied key to group by.")
@click.option(
    "--export", "table", type=Target(), metavar="FILE", help="Write RESULTS, the argument, as .csv or .parquet."
)
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(scenario: str | None, **options: Any) -> int:
    """Sweep, show or export, and return the exit status."""
    if options["show"] is not None:
        _check_alone("--show RESULTS", {"SCENARIO": scenario, **options}, "show", "measure", "group_by")
        return _show(options)
    if options["table"] is not None:
        _check_alone("--export FILE RESULTS", options, "table", "steps")
        return _export(scenario, options)
    for word, value in (("--measure", options["measure"]), ("--group-by", options["group_by"])):
        if value:
            raise click.UsageError(f"{word} goes with --show RESULTS")
    if scenario is None:
        raise click.UsageError("say which scenario, or give --show RESULTS or --export FILE RESULTS")
    if options["output"] is None:
        raise click.UsageError("say where the results are kept: -o FILE")
    if options["jobs"] is not None and options["scheduler"] is not None:
        raise click.UsageError("give one of --jobs and --scheduler")
    return _sweep(scenario, options)


_WORDS: Final = {
    "axes": "--vary", "output": "-o", "table": "--export", "sample": "--sample", "trace": "--trace", "jobs": "--jobs",
    "scheduler": "--scheduler", "redo": "--redo", "steps": "--steps", "measure": "--measure", "group_by": "--group-by",
    "SCENARIO": "SCENARIO",
}  # fmt: skip


def _check_alone(what: str, options: dict[str, Any], *fitting: str) -> None:
    """Refuse options that would go nowhere beside one that reads results."""
    for name, word in _WORDS.items():
        if name not in fitting and options.get(name):
            raise click.UsageError(f"{what} reads results, and {word} goes nowhere beside it")


def _sweep(scenario: str, options: dict[str, Any]) -> int:
    from memhotplug.commands.sweep.answer import check_values, sweep
    from memhotplug.commands.sweep.store import StoreFullError, open_store
    from memhotplug.commands.sweep.workers import PoolGoneError
    from memhotplug.output.watchdog import WatchedCatalog

    catalog = WatchedCatalog()
    question = _question(scenario, options, catalog)
    check_values(question, catalog)
    pool = _pool(options, len(question.numbers))  # before there is a file: it may not answer
    try:
        with open_store(options["output"], question, redo=options["redo"]) as store, _Meter() as meter:
            progress = sweep(question, store, pool, observe=meter.show)
    except (StoreFullError, PoolGoneError) as stop:
        what = "cannot keep any more: " if isinstance(stop, StoreFullError) else ""
        say(f"{options['output']}: {what}{stop.problem}; what was kept stays, and the same command goes on")
        return ExitCode.FAILURE
    finally:
        if pool is not None:
            pool.close()
    _report(progress, options)
    if progress.interrupted:
        say(f"interrupted after {progress.done} of {progress.cases} cases; the same command goes on")
        return INTERRUPTED
    return ExitCode.OK


def _question(scenario: str, options: dict[str, Any], catalog: Catalog) -> Question:
    from memhotplug.commands.sweep.question import Question
    from memhotplug.commands.sweep.trace import read_trace
    from memhotplug.errors import InputError
    from memhotplug.formats.scenario.loader import scenario_from_tree
    from memhotplug.formats.scenario.yamltree import parse_tree
    from memhotplug.manager import files_in_use

    text, file = scenario_text(scenario)
    named = scenario_from_tree(parse_tree(text, file), catalog=catalog, file=file).plugins
    paths = dict.fromkeys(os.path.abspath(path) for path in (*(str(one.file) for one in files_in_use()), *named))
    plugins = []
    for path in paths:
        with open(path, "rb") as stream:
            plugins.append((path, stream.read()))
    question = Question(
        file=file, text=text, vary=options["axes"], sample=options["sample"], seed=options["seed"],
        trace=read_trace(options["trace"]) if options["trace"] is not None else (), steps=options["steps"],
        plugins=tuple(plugins),
    )  # fmt: skip
    if not question.axes and not question.trace:
        raise InputError("something to vary, --vary KEY=V1,V2, or a --trace")
    return question


def _pool(options: dict[str, Any], cases: int) -> Pool | None:
    from memhotplug.commands.sweep.workers import BATCH, Cluster, Local

    if options["scheduler"] is not None:
        return Cluster(options["scheduler"])
    jobs = options["jobs"] or _usable_cpus()
    return Local(jobs) if jobs > 1 and cases > BATCH else None


def _usable_cpus() -> int:
    """Return on how many CPUs this process may run: in a container that may be few of many."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report(progress: Progress, options: dict[str, Any]) -> None:
    if options["as_json"]:
        from memhotplug.output.jsontext import render

        document: ProgressDocument = {
            "schema": 1,
            "ok": progress.done == progress.cases,
            "cases": progress.cases,
            "done": progress.done,
            "skipped": progress.skipped,
            "failed": progress.failed,
            "per_second": round(progress.per_second, 1),
        }
        sys.stdout.write(render(document))
        return
    print(f"{progress.done} of {progress.cases} cases, {progress.skipped} of them there already; {_played(progress)}")
    print(f"mhp sweep --show {options['output']} summarises them")


def _played(progress: Progress) -> str:
    """Return what became of the cases of this run: of those that were there already, --show tells."""
    if not progress.played:
        return "none was played now"
    them = f"the {progress.played} played now" if progress.skipped else f"{progress.played}"
    refused = f", {progress.refused} could not be played" if progress.refused else ""
    return f"{progress.failed - progress.refused} of {them} had a step that failed{refused}"


def _show(options: dict[str, Any]) -> int:
    from memhotplug.commands.sweep.store import open_store
    from memhotplug.commands.sweep.summary import summary, summary_lines

    with open_store(options["show"]) as store:
        document = summary(store, measure=options["measure"], group_by=options["group_by"])
    if options["as_json"]:
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(document))
        return ExitCode.OK
    show(summary_lines(document, paint_for(sys.stdout), width=width_of(sys.stdout)))
    return ExitCode.OK


def _export(results: str | None, options: dict[str, Any]) -> int:
    from memhotplug.commands.sweep.export import export
    from memhotplug.commands.sweep.store import open_store

    if results is None:
        raise click.UsageError("say which results: mhp sweep --export FILE RESULTS")
    with open_store(results) as store:
        count = export(store, options["table"], steps=options["steps"])
    if options["as_json"]:
        from memhotplug.output.jsontext import render

        document: ExportDocument = {"schema": 1, "ok": True, "rows": count, "file": options["table"]}
        sys.stdout.write(render(document))
    return ExitCode.OK


class _Meter:
    """Shows progress, rate and time left: a bar on a terminal, else a line every ten seconds."""

    EVERY: Final = 10.0

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._next = self.EVERY

    def __enter__(self) -> _Meter:
        if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show how far it has come."""
        rate = f"{progress.per_second:.{0 if progress.per_second >= 10 else 1}f} cases/s"
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("", total=progress.cases, completed=progress.skipped, rate="")
            self._bar.update(self._task, completed=progress.done, rate=rate)
        elif progress.seconds >= self._next and progress.done < progress.cases:
            self._next = progress.seconds + self.EVERY
            left = (progress.cases - progress.done) / max(progress.per_second, 1e-9)
            say(f"{progress.done} of {progress.cases} cases, {rate}, {left:.0f} s left")
