"""The machine that ``mhp exec``, ``mhp mount`` and ``mhp export`` are given: SCENARIO, --from or --boot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from memhotplug.cli.options import Size
from memhotplug.cli.reading import scenario_text

if TYPE_CHECKING:
    from memhotplug.live.machine import LiveMachine
    from memhotplug.live.source import Source

__all__ = ["fault_options", "live_machine", "source_of", "source_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

_SOURCE = (
    click.option("--boot", type=Size(), help="A fresh guest with that much boot memory."),
    click.option("--from", "snapshot", metavar="PATH", help="A snapshot, sos report, or recording."),
    click.option("--step", type=click.IntRange(min=0), help="With --from: which step of a recording."),
    click.option("--arch", metavar="ARCH", help="The architecture; default as recorded, else x86_64."),
    click.option(
        "--kernel", metavar="KERNEL", help="Its release (6.12.3) or a profile; default as recorded, else 6.12."
    ),
    click.option(
        "--cmdline", metavar="WORDS", multiple=True, help="Its command line; default as recorded; several are joined."
    ),
    click.option("--memory-block-size", type=Size(), help="With --boot: the memory block size."),
    click.option("--page-size", type=Size(), help="With --boot: the page size."),
)
_FAULTS = (
    click.option("--fail", "faults", multiple=True, metavar="SPEC",
                 help="What is to go wrong: MEM_GOING_ONLINE=ENOMEM, offline:34=EBUSY, online:32-39=EINVAL*2."),
    click.option("--delay", "delays", multiple=True, metavar="OP=MS", help="How long an operation takes: online=200."),
)  # fmt: skip


def _with(options: tuple[Callable[[_F], _F], ...], command: _F) -> _F:
    for option in reversed(options):
        command = option(command)
    return command


def source_options(command: _F) -> _F:
    """Give a command the options that say which machine it is."""
    return _with(_SOURCE, command)


def fault_options(command: _F) -> _F:
    """Give a command the options that say what goes wrong and what takes its time."""
    return _with(_FAULTS, command)


def source_of(options: dict[str, Any], scenario: str | None) -> Source:
    """Return the machine that the options say."""
    given = [name for name in (scenario, options["snapshot"], options["boot"]) if name]
    if len(given) != 1:
        raise click.UsageError("give one of SCENARIO, --from and --boot")
    for name, owner, flag in (
        ("step", "snapshot", "--from"),
        ("memory_block_size", "boot", "--boot"),
        ("page_size", "boot", "--boot"),
    ):
        if options[name] is not None and not options[owner]:
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {flag}")
    line = " ".join(options["cmdline"]) if options["cmdline"] else None
    told = {"arch": options["arch"], "kernel": options["kernel"], "cmdline": line}
    from memhotplug.live import source

    if scenario:
        unused = next((key for key, value in told.items() if value is not None), None)
        if unused is not None:
            raise click.UsageError(f"--{unused} belongs to --from and --boot; a scenario says it itself")
        return source.from_scenario(*scenario_text(scenario))
    if options["snapshot"]:
        return source.from_snapshot(options["snapshot"], step=options["step"], **told)
    return source.from_boot(
        options["boot"],
        **{**told, "cmdline": told["cmdline"] or ""},
        block_size=options["memory_block_size"],
        page_size=options["page_size"],
    )


def live_machine(source: Source, options: dict[str, Any]) -> LiveMachine:
    """Return the machine as it lives, with its faults and delays."""
    from memhotplug.live.faults import parse_delay, parse_fault
    from memhotplug.live.machine import LiveMachine

    faults = [parse_fault(text) for text in options["faults"]]
    return LiveMachine(source.machine, faults, dict(parse_delay(text) for text in options["delays"]))
