"""``mhp run``: runs a scenario."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.logs import Log
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.reading import read_scenario
from memhotplug.cli.terminal import DEFAULT_WIDTH, paint_for, show, width_of

if TYPE_CHECKING:
    from memhotplug.commands.run.runner import RunResult
    from memhotplug.documents.machine import StepRecord
    from memhotplug.formats.scenario import Step
    from memhotplug.machine import Machine

__all__ = ["command"]

_HELP: Final = """Run SCENARIO (YAML; - reads it from stdin) and show what became of the memory.

A scenario is a machine and the steps that happen to its memory. It stops at the first step that does not do
what the scenario says: one that fails without 'fails:', does not fail with it, or an 'expect' that does not
hold.

\b
Example:
  schema: 1
  machine: {arch: x86_64, kernel: v2-2019, memory: 4G}
  steps:
    - add:     {driver: acpi, name: dimm0, size: 1G}
    - online:  {range: dimm0, zone: movable}
    - remove:  {range: dimm0, fails: EBUSY}
    - expect:  {zone: Movable, managed: 258048}

\b
  mhp run dimm.yaml
  mhp run dimm.yaml --json | jq .memmap
  mhp run dimm.yaml -o out --check
  mhp run dimm.yaml --map
  mhp run dimm.yaml --csv zones.csv
  mhp run - < dimm.yaml

'mhp schema' prints the whole format for editors.

\b
Exit status:
  0  every step did what the scenario says
  1  one did not, or with --check broke an invariant
  2  wrong usage, or a scenario that cannot be used
"""


@click.command(cls=Once, help=_HELP, short_help="Run a scenario.")
@click.argument("scenario")
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "-o", "--output", type=Target(), metavar="DIR", help="Also write events.jsonl and result.json into this folder."
)
@click.option("--map", "as_map", is_flag=True, help="Draw physical memory after each step.")
@click.option(
    "--csv", "series", type=Target(), metavar="FILE", help="Write a row for each step and zone into this file."
)
@click.option("--trace-hooks", is_flag=True, help="Print every hook call to stderr.")
@click.option("--check", is_flag=True, help="Check every invariant after every step; stop if one breaks.")
@click.option("--log-json", is_flag=True, help="Log as JSON, one object a line.")
@click.option("-v", "--verbose", count=True, help="Log every event, not only warnings.")
def command(
    scenario: str,
    as_json: bool,
    output: str | None,
    as_map: bool,
    series: str | None,
    trace_hooks: bool,
    check: bool,
    log_json: bool,
    verbose: int,
) -> int:
    """Run a scenario and return the exit status."""
    from memhotplug.commands.run.files import write_run
    from memhotplug.commands.run.runner import boot_scenario, run_scenario
    from memhotplug.output.files import file_at, make_folder, write_text
    from memhotplug.output.watchdog import WatchedCatalog

    folder = make_folder(output) if output is not None else None
    table = file_at(series) if series is not None else None
    loaded = read_scenario(scenario, WatchedCatalog())
    with _tracing() if trace_hooks else nullcontext():
        machine = boot_scenario(loaded)
    show = _Show(machine, as_json=as_json, as_map=as_map, keeps_series=series is not None)
    result = run_scenario(
        loaded,
        machine=machine,
        check=check,
        on_step=show.step,
        on_event=Log(verbose, as_json=log_json).write,
    )
    show.end(result)
    if folder is not None:
        write_run(folder, result)
    if table is not None:
        from memhotplug.commands.run.series import to_csv

        write_text(table, to_csv(show.series))
    if result.failure is not None:
        say(result.failure)
        return ExitCode.FAILURE
    return ExitCode.OK


def _tracing() -> AbstractContextManager[None]:
    from memhotplug.manager import tracing
    from memhotplug.output.hooktrace import trace_line

    return tracing(lambda *call: print(trace_line(*call), file=sys.stderr))


class _Show:
    """Shows a run while it goes on, and keeps its time series."""

    def __init__(self, machine: Machine, *, as_json: bool, as_map: bool, keeps_series: bool) -> None:
        self._machine = machine
        self._as_json = as_json
        self._as_map = as_map and not as_json
        self._keeps_series = keeps_series
        self._paint = paint_for(sys.stdout)
        self.series: list[dict[str, Any]] = []
        if self._as_map:
            self._legend()
            self._map()

    def step(self, step: Step, record: StepRecord) -> None:
        """Show one step that is over."""
        if self._keeps_series:
            from memhotplug.commands.run.series import zone_rows

            self.series.extend(zone_rows(self._machine, record))
        if self._as_json:
            return
        from memhotplug.commands.run.text import step_lines

        show(step_lines(step, record, self._paint))
        if self._as_map and step.op != "expect":
            self._map()

    def _legend(self) -> None:
        from memhotplug.memory_map.letters import LEGEND

        show(LEGEND)

    def _map(self) -> None:
        from memhotplug.memory_map.letters import map_lines

        width = width_of(sys.stdout) or DEFAULT_WIDTH
        for line in map_lines(self._machine.kernel, width=width, paint=self._paint):
            print(line)

    def end(self, result: RunResult) -> None:
        """Show the machine at the end, or everything as JSON."""
        state = result.to_dict()
        if self._as_json:
            from memhotplug.output.jsontext import render

            sys.stdout.write(render(state))
            return
        from memhotplug.commands.run.text import state_lines, verdict_lines

        show(state_lines(result.machine, state, self._paint, width=width_of(sys.stdout)))
        if result.ok:
            show(verdict_lines(result.steps, self._paint))
