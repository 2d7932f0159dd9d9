"""``mhp conform``: replays recordings of real kernels."""

from __future__ import annotations

import sys
from typing import Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.pluginfiles import plugin_option
from memhotplug.cli.terminal import paint_for

__all__ = ["command"]

_HELP: Final = """Replay recordings of real kernels (.json, .json.xz) and report every observation that differs.

The model boots from a recording's first step and then does what was done. After each step it is compared with
what the kernel showed: the result, zones, memory blocks, System RAM, MemTotal, page flags and free pages.

\b
A difference reads like a diff; the word behind the sign says what kind of thing differs:
  -zone     node 0 zone Movable managed: 32256      the real kernel
  +zone     node 0 zone Movable managed: 32768      the model

\b
What is compared after each step:
  result    ok, the errno or failed, and which blocks are there
  zone      start_pfn, spanned, present and managed of each zone
  block     state, valid_zones, removable and node of each memory block
  iomem     each line of System RAM
  memtotal  by how much MemTotal has changed since boot
  pages     runs of hot-added pages: offline, self-hosted, online (in Movable: buddy or not)
  free      free pages of zones that exist only through hotplug: exact in Movable, else up to 64
            less than the model says, which the guest took for itself

A step of which only the operation was recorded is predicted rather than compared; --json has all of it under
'predicted'. Nothing that was recorded of a step goes into that step, or into an earlier one.

\b
  mhp conform recording.json.xz
  mhp conform recordings/*.json.xz --json | jq '.files[].mismatches'

\b
Exit status:
  0  every observation matches
  1  some differ
  2  wrong usage, or a recording that cannot be used; the others are replayed all the same
"""
_STYLES: Final = {"-": "red", "+": "green", "@": "cyan", "?": "yellow"}


@click.command(help=_HELP, short_help="Replay recordings of real kernels.")
@click.argument("recordings", metavar="RECORDING...", nargs=-1, required=True)
@plugin_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(recordings: tuple[str, ...], as_json: bool) -> int:
    """Replay recordings and return the exit status."""
    from memhotplug.commands.conform.replay import replay_file
    from memhotplug.commands.conform.text import file_lines, total_line, totals_to_dict
    from memhotplug.errors import InputError, PluginError

    paint = paint_for(sys.stdout)
    results, refused = [], []
    for path in recordings:
        try:
            results.append(replay_file(path))
        except PluginError:
            raise  # the installation is broken, and every file would say so
        except InputError as problem:
            refused.append(problem)
            say(str(problem))
            continue
        for line in file_lines(results[-1]) if not as_json else ():
            style = _STYLES.get(line[0])
            print(paint(line, style) if style else line)
    if as_json:
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(totals_to_dict(results, refused)))
    elif results:
        print(total_line(results, len(refused)))
    if refused:
        return ExitCode.USAGE
    same = all(result.matched == len(result.observations) for result in results)
    return ExitCode.OK if same else ExitCode.FAILURE
