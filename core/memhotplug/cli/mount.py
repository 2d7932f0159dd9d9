"""``mhp mount``: shows a modelled machine's /sys and /proc below a folder."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.livesource import fault_options, live_machine, source_of, source_options
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options

__all__ = ["command"]

_HELP: Final = """Show the /sys and /proc of a modelled machine below DIR until it is unmounted or interrupted.

\b
  mhp mount --boot 24G tree              and meanwhile, in another terminal:
  lsmem --sysroot tree; umount tree
  mhp mount dimm.yaml tree

\b
Exit status:
  0    it was unmounted
  125  no FUSE
  2    wrong usage, a machine that cannot be, or a folder that is missing, in
       use or not empty
"""


@click.command(cls=Once, help=_HELP, short_help="Show a machine below a folder.")
@source_options
@fault_options
@plugin_options
@click.option("-o", "--output", type=Target(), metavar="DIR", help="Leave result.json and steps.yaml in this folder.")
@click.argument("words", nargs=-1, metavar="[SCENARIO] DIR")
def command(words: tuple[str, ...], output: str | None, **options: Any) -> int:
    """Serve the files and return the exit status."""
    if len(words) not in (1, 2):
        raise click.UsageError("say where: [SCENARIO] DIR")
    from memhotplug.live.requirements import missing

    lacking = missing()
    if lacking is not None:
        say(lacking)
        return 125
    _check_place(words[-1])
    from memhotplug.output.files import make_folder

    left = make_folder(output).absolute() if output is not None else None  # FUSE changes the working directory
    source = source_of(options, words[0] if len(words) == 2 else None)
    live = live_machine(source, options)
    from memhotplug.live.control import Control
    from memhotplug.live.execute import private_folder
    from memhotplug.live.filesystem import serve
    from memhotplug.output.watchdog import unguarded

    with unguarded(), private_folder() as home, Control(live, home.folder) as control:
        control.start()
        home.is_mounted_at(os.path.abspath(words[-1]))
        say(f"control socket: {control.path}")
        try:
            serve(live, os.path.abspath(words[-1]), fsname="mhp", default_permissions=True)
        except RuntimeError:
            say(f"{words[-1]} cannot be mounted")
            return 125
    if left is not None:
        from memhotplug.live.leavings import leave

        leave(left, source.document, live)
    return ExitCode.OK


def _check_place(place: str) -> None:
    """Refuse a place that is missing, no folder, in use or not empty."""
    from memhotplug.errors import InputError

    if not os.path.lexists(place):
        raise InputError("an empty folder", got="no such folder", file=place)
    if not os.path.isdir(place):
        raise InputError("an empty folder", got="a file", file=place)
    if os.path.ismount(place):
        raise InputError("an empty folder", got="a mount point that is in use", file=place)
    try:
        if os.listdir(place):
            raise InputError("an empty folder", got="one that is not empty", file=place)
    except OSError as problem:
        raise InputError("an empty folder", got=problem.strerror, file=place) from None
