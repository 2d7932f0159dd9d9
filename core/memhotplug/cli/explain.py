"""``mhp explain``: who may host its own memmap, and why not."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from memhotplug.cli.exits import ExitCode
from memhotplug.cli.options import Once
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.terminal import paint_for, show, width_of

__all__ = ["command"]

_HELP: Final = """Say which driver may host its memmap in the memory that it adds, and why not: by kernel,
architecture, page and block size.

Every row is tried out on a small machine with the installed plugins. Where the answer is no, the first rule that
forbids it follows, with the kernel function that has it.

\b
  mhp explain                        all architectures, the newest kernel
  mhp explain --arch powerpc --page-size 64K
  mhp explain --driver acpi          one driver, kernel by kernel
  mhp explain --driver acpi --plugin my_policy.py --policy my_policy
  mhp explain --kernel v2-2019       the series of 2019
  mhp explain --json | jq '.platforms[] | select(.modes[].supported)'

\b
Exit status:
  0  answered, whatever the answer is
  2  wrong usage, or nothing is installed that has what is asked for
"""


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    from memhotplug.units import is_power_of_two, parse_size

    try:
        size = parse_size(value, bare=False)
    except ValueError as problem:
        raise click.BadParameter(f"got {value!r}, expected {problem}", context, parameter) from None
    if not is_power_of_two(size):
        raise click.BadParameter(f"got {value!r}, expected a power of two", context, parameter)
    return size


@click.command(cls=Once, help=_HELP, short_help="Say which driver may self-host its memmap, and why not.")
@click.option("--arch", metavar="ARCH", help="Only this architecture, with every block size.")
@click.option("--kernel", metavar="KERNEL", help="Only this kernel; default the newest, with --driver all.")
@click.option("--driver", metavar="DRIVER", help="This driver's policy, kernel by kernel.")
@click.option("--policy", metavar="POLICY", help="Let this policy decide in the drivers' stead; default is their own.")
@click.option("--page-size", metavar="SIZE", callback=_size, help="Only this page size.")
@click.option("--block-size", metavar="SIZE", callback=_size, help="Only this memory block size.")
@click.option("--mmu", metavar="MMU", help="Only this MMU, where there is a choice: radix or hash on powerpc.")
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool, **options: Any) -> int:
    """Answer and return the exit status."""
    from memhotplug.commands.explain.answer import explain
    from memhotplug.commands.explain.question import Question

    document = explain(Question(**options))
    if as_json:
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(document))
        return ExitCode.OK
    from memhotplug.commands.explain.text import explain_lines

    show(explain_lines(document, paint_for(sys.stdout), width=width_of(sys.stdout)))
    return ExitCode.OK
