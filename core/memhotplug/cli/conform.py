"""``mhp conform``: replays recordings of real kernels."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import Once
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.terminal import paint_for, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memhotplug.errors import InputError

__all__ = ["command"]

_HELP: Final = """Replay recordings of real kernels (.json, .json.xz; of a folder all that lie in it) and report every
observation that differs.

The model boots from a recording's first step and then does what was done. After each step it is compared with
what the kernel showed: the result, zones, memory blocks, System RAM, MemTotal, page flags and free pages.

\b
A difference reads like a diff; the word behind the sign says what differs:
  -zone     node 0 zone Movable managed: 32256      the real kernel
  +zone     node 0 zone Movable managed: 32768      the model

\b
What is compared after each step:
  result    ok, the errno or failed, and which blocks are there
  zone      start_pfn, spanned, present and managed of each zone
  block     state, valid_zones, removable and node of each memory block
  iomem     each line of System RAM
  memtotal  by how much MemTotal has changed since boot
  pages     runs of hot-added pages: offline, self-hosted, online (in
            Movable: buddy or not)
  free      free pages of zones that exist only through hotplug: exact in
            Movable, else up to 128 less than the zone's managed pages without
            memmap, which the guest took for itself
  marks     min, low and high of each zone

How a replay is judged: page flags recorded before a step are read as input where they show what the guest holds in
a block that is to go offline; where they show pages of processes in a Movable zone, its free pages are left out.
The last line counts what lies within the tolerance, was left out, is undetermined because the position of
allocated memmap decides, and hangs on flags.

A step of which only the operation was recorded is predicted rather than compared; --json has all of it under
'predicted'. Nothing that was recorded of a step goes into that step, or into an earlier one.

\b
  mhp conform recording.json.xz
  mhp conform recordings
  mhp conform recordings/*.json.xz --json | jq '.files[].mismatches'

\b
Exit status:
  0  every observation matches
  1  some differ
  2  wrong usage, or a recording that cannot be used; others are replayed
"""
_STYLES: Final = {"-": "red", "+": "green", "@": "cyan", "?": "yellow"}


class _OptionalStep(Once):
    """``--predict`` alone never takes the recording behind it for its step."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        options = args.index("--") if "--" in args else len(args)
        named = ["--predict=1" if word == "--predict" else word for word in args[:options]]
        return super().parse_args(ctx, [*named, *args[options:]])


@click.command(cls=_OptionalStep, help=_HELP, short_help="Replay recordings of real kernels.")
@click.argument("recordings", metavar="RECORDING...", nargs=-1, required=True)
@plugin_options
@click.option(
    "--predict",
    metavar="[=K]",
    type=click.IntRange(min=1),
    help="Read nothing that was recorded from step K on (default 1), and compare what is predicted with it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(recordings: tuple[str, ...], predict: int | None, as_json: bool) -> int:
    """Replay recordings and return the exit status."""
    from memhotplug.commands.conform.text import file_lines, total_line, totals_to_dict
    from memhotplug.commands.conform.worlds import replay_file
    from memhotplug.errors import InputError, PluginError

    paint = paint_for(sys.stdout)
    results = []
    refused: list[InputError] = []
    for path in _files(recordings, refused):
        try:
            results.append(replay_file(path, predict=predict))
        except PluginError:
            raise  # the installation is broken, and every file would say so
        except InputError as problem:
            _refuse(problem, refused)
            continue
        for line in file_lines(results[-1]) if not as_json else ():
            style = _STYLES.get(line[0])
            show([paint(line, style) if style else line])
    if as_json:
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(totals_to_dict(results, refused)))
    elif results:
        show([total_line(results, len(refused))])
    if refused:
        return ExitCode.USAGE
    same = all(result.matched == len(result.observations) for result in results)
    return ExitCode.OK if same else ExitCode.FAILURE


def _files(paths: Iterable[str], refused: list[InputError]) -> Iterator[str]:
    """Yield each file that paths name; of a folder that has none, the problem is refused."""
    from memhotplug.errors import InputError
    from memhotplug.formats.snapshot import recordings_in

    for path in paths:
        try:
            found = recordings_in(path)
        except InputError as problem:
            _refuse(problem, refused)
            continue
        yield from found


def _refuse(problem: InputError, refused: list[InputError]) -> None:
    refused.append(problem)
    say(str(problem))
