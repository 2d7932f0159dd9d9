"""``mhp check``: the shortest way to break it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import INTERRUPTED, ExitCode
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.reading import read_scenario
from memhotplug.cli.terminal import paint_for, show

if TYPE_CHECKING:
    from rich.status import Status

    from memhotplug.commands.check.search import Progress

__all__ = ["command"]

_HELP: Final = """Explore what can happen after SCENARIO, and print the shortest sequence that breaks a law.

From the machine at the scenario's end every operation is tried, then every operation after each, and so on by
breadth; machines that are the same for all that can follow count once. After each operation every invariant is
checked, and more: a refused operation has changed nothing, what was undone has given everything back, and copies
of a machine leave it alone. Beyond the budget, random lives go on.

\b
  explore:
    {operations: [add, remove], drivers: [acpi], sizes: [256M], blocks: 4}

in the scenario narrows what is tried.

\b
  mhp check dimm.yaml
  mhp check dimm.yaml --depth 6 --operations 1000000 --jobs 2 --faults
  mhp check dimm.yaml -o found       then: mhp run --check found/00-I11.yaml
  mhp check dimm.yaml --against linux-6.1      where two kernels differ first

\b
Exit status:
  0  nothing was found
  1  something breaks, or with --against differs
  2  wrong usage, or a scenario that cannot be used
  130  interrupted by Ctrl-C before anything was found
"""


@click.command(cls=Once, help=_HELP, short_help="Find the shortest way to break a law.")
@click.argument("scenario")
@click.option("--depth", type=click.IntRange(min=1), default=4, show_default=True, metavar="N",
              help="Longest sequence of operations.")  # fmt: skip
@click.option("--operations", type=click.IntRange(min=1), default=20_000, show_default=True, metavar="N",
              help="How many operations to try in all.")  # fmt: skip
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after so long; what was found then depends on the machine.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random lives.")
@click.option("--faults", is_flag=True, help="Also fail each allocation and veto each notifier in turn.")
@click.option("--against", metavar="KERNEL|POLICY", help="Find where another kernel or policy first differs.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Processes.")
@click.option(
    "-o", "--output", type=Target(), metavar="DIR", help="Write each counterexample into this folder as a scenario."
)
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    scenario: str,
    depth: int,
    operations: int,
    seconds: float | None,
    seed: int,
    faults: bool,
    against: str | None,
    jobs: int,
    output: str | None,
    as_json: bool,
) -> int:
    """Check and return the exit status."""
    from memhotplug.commands.check.answer import check
    from memhotplug.commands.check.counterexample import write_counterexamples
    from memhotplug.commands.check.question import Question
    from memhotplug.output.files import make_folder
    from memhotplug.output.watchdog import WatchedCatalog

    folder = make_folder(output) if output is not None else None
    catalog = WatchedCatalog()
    loaded = read_scenario(scenario, catalog)
    question = Question(depth=depth, operations=operations, seconds=seconds, seed=seed, faults=faults, jobs=jobs)
    with _Meter() as meter:
        answer = check(
            loaded,
            question,
            catalog=catalog,
            against=against,
            observe=meter.show,
        )
    files = write_counterexamples(loaded, answer.findings, Path(folder)) if folder is not None else []
    if as_json:
        from memhotplug.commands.check.document import to_document
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(to_document(answer, files)))
    else:
        from memhotplug.commands.check.text import answer_lines

        show(answer_lines(answer, files, paint_for(sys.stdout)))
    if answer.progress.interrupted and answer.ok:
        return INTERRUPTED
    return ExitCode.OK if answer.ok else ExitCode.FAILURE


class _Meter:
    """Shows on a terminal, in one line of stderr, how far the search has come."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._since = 0.0

    def __enter__(self) -> _Meter:
        if sys.stderr is not None and sys.stderr.isatty():
            import time

            from rich.console import Console

            self._since = time.monotonic()
            self._status = Console(stderr=True).status("")
            self._status.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, progress: Progress) -> None:
        """Show the progress."""
        if self._status is None:
            return
        import time

        where = f"random life {progress.lives}" if progress.lives else f"depth {progress.depth + 1}"
        rate = progress.transitions / max(time.monotonic() - self._since, 1e-3)
        self._status.update(
            f"{where}: {progress.states} states, {progress.transitions} transitions, "
            f"{rate:.0f} a second, {len(progress.findings)} found"
        )
