"""``mhp exec``: runs a command that sees a modelled machine at /sys and /proc."""

from __future__ import annotations

from typing import Any, Final

import click

from memhotplug.cli.exits import say
from memhotplug.cli.livesource import fault_options, live_machine, source_of, source_options
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options

__all__ = ["command"]

_HELP: Final = """Run COMMAND so that it sees a modelled machine at /sys and /proc, and can change it.

It sees /sys/devices/system/{memory,node}, /sys/module/memory_hotplug, the notifier-error-inject files and
/proc/{zoneinfo,buddyinfo,pagetypeinfo,meminfo,vmstat,iomem,cmdline} of the machine; all else is the host's. No root is
needed where the system allows user namespaces. Kobject uevents cannot be modelled; 'mhp ctl events' has them.

\b
  mhp exec --boot 4G -- lsmem
  mhp exec dimm.yaml -- chmem --disable 0x100000000-0x107ffffff
  mhp exec --boot 4G --fail offline:31=EBUSY -- ./test-my-tool.sh
  mhp exec --from sosreport.tar.xz -o out -- my-tool; mhp run out/steps.yaml

\b
Exit status:
  that of COMMAND, 128 and the signal if one ended it
  125  no namespaces or no FUSE
  126  COMMAND cannot be run
  127  there is no such COMMAND
  2    wrong usage, or a machine that cannot be
"""


@click.command("exec", cls=Once, help=_HELP, short_help="Run a command on a modelled machine.")
@source_options
@fault_options
@plugin_options
@click.option("-o", "--output", type=Target(), metavar="DIR", help="Leave result.json and steps.yaml in this folder.")
@click.option(
    "--namespace",
    type=click.Choice(["bwrap", "unshare"]),
    help="How the command's namespace is made; default bwrap where it is installed and works, else unshare.",
)
@click.argument("words", nargs=-1, metavar="[SCENARIO] -- COMMAND…")
def command(words: tuple[str, ...], output: str | None, namespace: str | None, **options: Any) -> int:
    """Run a command and return its exit status."""
    scenario, argv = _split(words, has_source=bool(options["boot"] or options["snapshot"]))
    from memhotplug.live.requirements import missing

    lacking = missing()
    if lacking is not None:
        say(lacking)
        return 125
    from memhotplug.output.files import make_folder

    left = make_folder(output).absolute() if output is not None else None  # FUSE changes the working directory
    source = source_of(options, scenario)
    live = live_machine(source, options)
    from memhotplug.live.control import Control
    from memhotplug.live.execute import execute, private_folder
    from memhotplug.live.leavings import leave
    from memhotplug.output.watchdog import unguarded

    with unguarded(), private_folder() as home, Control(live, home.folder) as control:
        status = execute(live, argv, home, say, control.start, kind=namespace)
    if left is not None:
        leave(left, source.document, live)
    return status


def _split(words: tuple[str, ...], *, has_source: bool) -> tuple[str | None, list[str]]:
    """Return the scenario, if no other machine is given, and the command."""
    arguments = list(words)
    scenario = None if has_source or not arguments else arguments.pop(0)
    if not arguments:
        raise click.UsageError("say which command to run: -- COMMAND")
    return scenario, arguments
