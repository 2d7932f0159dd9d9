"""The group ``mhp``: which commands there are, without importing any of them."""

from __future__ import annotations

import importlib
import os
from typing import Final

import click

from memhotplug import __version__

__all__ = ["COMMANDS", "mhp"]

COMMANDS: Final = {
    "run": "Run a scenario and show what became of the memory.",
    "page": "Show struct pages after a step, alike ones folded.",
    "plan": "Say whether a hot-add fits a machine and what it costs.",
    "align": "Say what alignment strands of a range, and the next legal address.",
    "compare": "Run one scenario in several variations, side by side.",
    "report": "Write one HTML file that shows a run or a sweep.",
    "sweep": "Play many variants of a scenario, resumable.",
    "check": "Find the shortest sequence of operations that breaks a law.",
    "snapshot": "Record this machine into a directory that plan and scenarios read.",
    "conform": "Replay recordings of real kernels and report what differs.",
    "explain": "Say which driver may self-host its memmap, and why not.",
    "exec": "Run a command that sees a modelled machine at /sys and /proc.",
    "mount": "Show a modelled machine's /sys and /proc below a folder.",
    "export": "Write a modelled machine's /sys and /proc as plain files.",
    "ctl": "Talk to a machine that runs in exec or mount.",
    "examples": "List, print or copy the scenarios that come with mhp.",
    "plugins": "List the installed architectures, kernels, drivers and policies.",
    "schema": "Print the JSON Schema of scenarios, or of what commands print.",
}
"""Every command with its summary; the module of the same name has it as ``command``."""

_RESERVED: Final = ("exec",)
"""Commands whose name a module had better not have; an underscore follows."""


class _UnknownCommandError(click.UsageError):
    """There is no such command."""

    def __init__(self, name: str, context: click.Context) -> None:
        from difflib import get_close_matches

        super().__init__(f"No such command {name!r}.", context)
        self.command_name = name
        self.possibilities = get_close_matches(name, COMMANDS, n=1)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        name = f"{cmd_name}_" if cmd_name in _RESERVED else cmd_name
        module = importlib.import_module(f"memhotplug.cli.{name}")
        command: click.Command = module.command
        if "_MHP_COMPLETE" in os.environ:  # a shell asks what fits
            from memhotplug.cli.completion import prepare

            return prepare(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments ask for."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise _UnknownCommandError(args[0], ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries, which are here so that nothing need be imported for them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


_HELP: Final = """Linux physical memory hotplug, with the memmap in the hot-added memory, as a model.

mhp boots a machine that exists only on paper, lets drivers add memory to it, and says to the page what that
costs and where it goes. Nothing is done to the machine it runs on.

\b
Examples:
  mhp plan --boot 2G --add 32G        will it fit, what would it cost
  mhp run dimm.yaml --map             what becomes of the memory
  mhp report dimm.yaml -o dimm.html   the same in one file, for others
  mhp compare dimm.yaml --vary …      policies and kernels side by side
  mhp sweep dimm.yaml --vary … -o F   thousands of variants, resumable
  mhp check dimm.yaml --faults        the shortest way to break it
  mhp exec dimm.yaml -- lsmem         a program sees the modelled machine
  mhp explain --driver acpi           who may host its memmap, and why not
  mhp examples                        scenarios to start from

\b
Exit status:
  0  yes, all went as the scenario says
  1  no, something failed
  2  wrong usage or bad input
"""


@click.group(cls=LazyGroup, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mhp", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of what a plugin, or mhp itself, did wrong.")
def mhp(debug: bool) -> None:
    """Take the options that come before the command."""
    del debug  # memhotplug.cli.exits looks for it itself: a failure may come before parsing is over
