"""``mhp plan``: will this hot-add fit, what does it cost, what is the largest safe step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from memhotplug.cli.exits import ExitCode
from memhotplug.cli.options import Once, Size, Target
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.terminal import paint_for, show, width_of

if TYPE_CHECKING:
    from memhotplug.commands.plan.question import Question, Subject
    from memhotplug.documents.plan import PlanDocument

__all__ = ["command"]

_HELP: Final = """Say whether a hot-add fits a machine, what it costs, and what would be safe instead.

The machine comes from one of --boot, --from, --live and --oom-log; the answer from playing the hot-add on a
copy of it. Sizes need a unit.

\b
  mhp plan --boot 256M --add 12G
  mhp plan --boot 256M                     how much could be added?
  mhp plan --boot 1G --boot-profile distro --add 60G --online movable
  mhp plan --from sosreport.tar.xz --add 64G --driver acpi
  mhp plan --live --add 8G --json | jq .verdict
  mhp plan --boot 8G --add 24G \\
    --cmdline memory_hotplug.online_policy=auto-movable

\b
Exit status:
  0  it fits, or nothing was to be added
  3  it fits with a named risk: fallbacks, low watermarks, too much Movable
  4  it does not fit
  2  wrong usage or bad input
"""

_EXITS: Final = {None: ExitCode.OK, "fits": ExitCode.OK, "risky": ExitCode.RISKY, "does-not-fit": ExitCode.DOES_NOT_FIT}


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        address = int(value, 16 if value.lower().startswith("0x") else 10)
    except ValueError:
        address = -1
    if address < 0:
        raise click.BadParameter(f"got {value!r}, expected an address such as 0x100000000")
    return address


@click.command(cls=Once, help=_HELP, short_help="Say whether a hot-add fits and what it costs.")
@click.option("--boot", type=Size(), help="A fresh guest with that much boot memory.")
@click.option(
    "--boot-profile",
    metavar="NAME|FILE",
    default="lean",
    show_default=True,
    help="What its kernel takes at boot: lean, a microVM's; distro, a distribution's; or a YAML file's numbers.",
)
@click.option("--from", "source", metavar="PATH", help="A snapshot, sos report, or recording (directory or archive).")
@click.option("--step", type=click.IntRange(min=0), help="Which step of a recording.")
@click.option("--live", is_flag=True, help="This machine, as /proc and /sys show it.")
@click.option("--oom-log", metavar="FILE", help="A kernel log with a page allocation failure and its Mem-Info.")
@click.option("--add", "sizes", type=Size(), multiple=True, help="What to add; several are added one after another.")
@click.option("--steps", metavar="FILE", help="Adds from a file, one size a line.")
@click.option(
    "--driver",
    metavar="DRIVER",
    help="Who adds, such as acpi, dax or virtio_mem (mhp plugins lists all); default by architecture.",
)
@click.option("--policy", metavar="POLICY", help="The policy plugin that decides for the driver; default its own.")
@click.option("--node", type=click.IntRange(min=0), help="The node that it is added to.")
@click.option("--address", metavar="ADDRESS", callback=_address, help="Where it is added.")
@click.option("--slots", type=click.IntRange(min=1), help="How many devices there is room for.")
@click.option(
    "--online",
    type=click.Choice(["movable", "kernel", "auto", "none"]),
    default="auto",
    show_default=True,
    help="What becomes of the blocks: auto is a plain online.",
)
@click.option("--arch", metavar="ARCH", help="The architecture; default x86_64, or as recorded.")
@click.option(
    "--kernel",
    metavar="KERNEL",
    help="Its release (6.12.3) or a profile, see mhp plugins; default as recorded, else 6.12.",
)
@click.option(
    "--cmdline", metavar="WORDS", multiple=True, help="Its command line, joined if repeated; default as recorded."
)
@click.option("--memory-block-size", type=Size(), help="With --boot: the memory block size.")
@click.option("--page-size", type=Size(), help="With --boot: the page size.")
@click.option(
    "--hole",
    type=Size(),
    help="With --boot: so much below 4G is no memory; 1G on QEMU's pc from 3.5G on, 2G on its q35 from 2.75G on.",
)
@plugin_options
@click.option(
    "--scenario", type=Target(), metavar="FILE", help="Write the question as a scenario, which mhp run plays."
)
@click.option("--brief", is_flag=True, help="Three lines at most: the verdict, why, and what would help.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(**options: Any) -> int:
    """Answer one question and return the exit status."""
    options["cmdline"] = " ".join(options["cmdline"]) if options["cmdline"] else None
    question = _question(options)
    subject = _subject(options)
    question = _with_driver(question, subject)
    from memhotplug.commands.plan.answer import answer
    from memhotplug.commands.plan.document import to_document

    found = answer(subject, question)
    if options["scenario"] is not None:
        from memhotplug.commands.plan.saved import write_scenario

        write_scenario(options["scenario"], found)
    document = to_document(found)
    if options["as_json"]:
        from memhotplug.output.jsontext import render

        sys.stdout.write(render(document))
    else:
        _print(document, brief=options["brief"])
    return _EXITS[document["verdict"]]


def _print(document: PlanDocument, *, brief: bool) -> None:
    from memhotplug.commands.plan.text import answer_lines, brief_lines

    lines = brief_lines if brief else answer_lines
    show(lines(document, paint_for(sys.stdout), width=width_of(sys.stdout)))


def _subject(options: dict[str, Any]) -> Subject:
    given = [name for name in ("boot", "source", "live", "oom_log") if options[name]]
    if len(given) != 1:
        raise click.UsageError("give one of --boot, --from, --live and --oom-log")
    _check_company(options)
    from memhotplug.commands.plan import sources
    from memhotplug.naming import assumed_arch

    kernel, cmdline = options["kernel"], options["cmdline"]
    if options["boot"]:
        return sources.from_boot(
            options["boot"], arch=options["arch"] or assumed_arch(), kernel=kernel, profile=options["boot_profile"],
            cmdline=cmdline or "", block_size=options["memory_block_size"], page_size=options["page_size"],
            hole=options["hole"] or 0,
        )  # fmt: skip
    if options["oom_log"]:
        return sources.from_oom_log(options["oom_log"], arch=options["arch"], kernel=kernel, cmdline=cmdline)
    path = "/" if options["live"] else options["source"]
    return sources.from_snapshot(path, step=options["step"], arch=options["arch"], kernel=kernel, cmdline=cmdline)


def _check_company(options: dict[str, Any]) -> None:
    """Refuse options that the chosen machine would ignore."""
    given = click.get_current_context().get_parameter_source
    of_boot = ((name, "boot") for name in ("boot_profile", "memory_block_size", "page_size", "hole"))
    for name, owner in (("step", "source"), *of_boot):
        if given(name) is ParameterSource.COMMANDLINE and not options[owner]:
            flags = {"source": "--from", "boot": "--boot"}
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {flags[owner]}")


def _question(options: dict[str, Any]) -> Question:
    from memhotplug.commands.plan.question import Question

    sizes = list(options["sizes"])
    if options["steps"]:
        from memhotplug.commands.plan.sources import read_steps

        sizes += read_steps(options["steps"])
    return Question(
        sizes=tuple(sizes), driver=options["driver"] or "", node=options["node"], address=options["address"],
        slots=options["slots"], online=options["online"], policy=_policy(options["policy"]),
    )  # fmt: skip


def _policy(word: str | None) -> str | None:
    from memhotplug.keyspec import OWN_POLICY
    from memhotplug.naming import resolve

    return None if word in (None, OWN_POLICY) else resolve("policies", str(word))


def _with_driver(question: Question, subject: Subject) -> Question:
    """Fill in the architecture's usual driver, or check the one that was named."""
    from memhotplug.engine.memory_hotplug.presence import usual_driver
    from memhotplug.naming import resolve

    named = question.driver
    return question._replace(driver=resolve("drivers", named) if named else usual_driver(subject.arch))
