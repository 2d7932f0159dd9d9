"""``mhp page``: prints struct pages."""

from __future__ import annotations

import sys
from typing import Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import Once
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.reading import read_scenario
from memhotplug.cli.terminal import paint_for, show, width_of

__all__ = ["command"]

_HELP: Final = """Show what the struct pages of RANGE say at the end of SCENARIO, or after one of its steps.

RANGE is a pfn (0x100000 or 1048576), memory blocks ('block 32', 'block 32-33'), physical addresses (0xFIRST-0xLAST
as lsmem prints them, 0xSTART+SIZE), or the name of memory that a step added. Alike neighbours are one line. Of free
pages PRIVATE is the largest order of a chunk. BACKING are the page frames that hold these struct pages.

\b
  mhp page dimm.yaml 0x100000                  one page
  mhp page dimm.yaml 'block 32' --step 0       after the first step
  mhp page dimm.yaml dimm0 --step 1 --diff     what step 1 did to them

\b
Exit status:
  0  printed
  1  the scenario failed, or the memory of that name is gone
  2  wrong usage, no such step, or no such page
"""


@click.command(cls=Once, help=_HELP, short_help="Show struct pages after a step, alike ones folded.")
@click.argument("scenario")
@click.argument("range_", metavar="RANGE")
@click.option("--step", type=int, metavar="N", help="After step N, counted from 0 as 'run' does; default the last.")
@click.option("--diff", is_flag=True, help="Only what that step changed, before (-) and after (+).")
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(scenario: str, range_: str, step: int | None, diff: bool, as_json: bool) -> int:
    """Show pages and return the exit status."""
    from memhotplug.commands.page import text
    from memhotplug.commands.page.question import moments, pages_of
    from memhotplug.commands.page.runs import changes, runs
    from memhotplug.output.jsontext import render
    from memhotplug.output.watchdog import WatchedCatalog

    then = moments(read_scenario(scenario, WatchedCatalog()), step)
    if not then.reached:
        say(f"{then.failure} (before step {then.step})")
        return ExitCode.FAILURE
    pages = pages_of(range_, (then.after, then.before) if diff else (then.after,))
    paint, width = paint_for(sys.stdout), width_of(sys.stdout)
    if diff:
        changed = changes(then.before, then.after, pages)
        if as_json:
            sys.stdout.write(render(text.changes_document(then, changed)))
        else:
            show(text.change_lines(changed, paint, width=width))
    elif as_json:
        sys.stdout.write(render(text.runs_document(then, runs(then.after, pages))))
    else:
        show(text.run_lines(runs(then.after, pages), paint, width=width))
    if then.failure is not None:
        say(then.failure)
        return ExitCode.FAILURE
    return ExitCode.OK
