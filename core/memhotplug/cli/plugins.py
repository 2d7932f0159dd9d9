"""``mhp plugins``: lists what is installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import Once, Target
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.terminal import paint_for, show, width_of

if TYPE_CHECKING:
    from memhotplug.documents.plugins import PluginDocument, PluginListDocument, PluginNewDocument, PluginRowDocument
    from memhotplug.manager import Candidate

__all__ = ["command"]

_HELP: Final = """List the installed plugins: architectures, kernels (profiles), drivers and policies.

With NAME, all about that one: its file, its hooks, its own keys, where it exists.

Each one is loaded to tell whether it works. One that does not is shown with the reason; it harms no scenario
that does not use it.

\b
States:
  ok         it was loaded and has every hook that it needs
  failed     it cannot be used; the reason follows
  available  it is installed (--no-load: nothing is loaded)

\b
Exit status:
  0  the list was printed, whatever is in it; --new: the package was written
  2  wrong usage; with --new: nothing was written
"""
_COLUMNS: Final = ("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE")


@click.command(cls=Once, help=_HELP, short_help="List the installed plugins.")
@click.argument("name", required=False)
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-load", is_flag=True, help="Only list what there is; load nothing.")
@click.option(
    "--new",
    nargs=2,
    type=(str, Target()),
    metavar="KIND DIR",
    help="Write a package with a plugin to start from: arch, driver, policy or profile.",
)
def command(name: str | None, as_json: bool, no_load: bool, new: tuple[str, str] | None) -> int:
    """List the plugins, tell about one, or begin a new one, and return the exit status."""
    if new is not None:
        return _begin(*new, as_json=as_json)
    from memhotplug.manager import candidates, left_out

    if name is not None:
        return _show_one(name, as_json=as_json)
    entries = [_describe(found, load=not no_load) for found in candidates()]
    if as_json:
        from memhotplug.output.jsontext import render

        document: PluginListDocument = {"schema": 1, "plugins": entries, "left_out": list(left_out())}
        sys.stdout.write(render(document))
        return ExitCode.OK
    from memhotplug.output.tables import table

    rows = [
        [entry["kind"], entry["name"], str(entry["distribution"]), str(entry["version"]), _state(entry)]
        for entry in entries
    ]
    show(table(_COLUMNS, rows, _COLUMNS, paint_for(sys.stdout), width=width_of(sys.stdout)))
    for unreadable in left_out():
        print(f"left out, its entry points cannot be read: {unreadable}")
    return ExitCode.OK


def _show_one(name: str, *, as_json: bool) -> int:
    from memhotplug.manager import candidates
    from memhotplug.output.plugininfo import about, about_lines

    found = about(name)
    for candidate in candidates():
        if name in (candidate.name, f"{candidate.distribution}:{candidate.name}"):
            _ask(candidate)
    if as_json:
        from memhotplug.output.jsontext import render

        document: PluginDocument = {"schema": 1, "plugins": found}
        sys.stdout.write(render(document))
        return ExitCode.OK
    show(about_lines(found, paint_for(sys.stdout), width=width_of(sys.stdout)))
    return ExitCode.OK


def _begin(kind: str, place: str, *, as_json: bool) -> int:
    """Write a package to start from, and say what to do with it."""
    from pathlib import Path

    from memhotplug.errors import InputError, nearest
    from memhotplug.templates import KINDS, write_package

    if kind not in KINDS:
        raise InputError(f"one of {', '.join(KINDS)}", got=kind, path="--new", nearest=nearest(kind, KINDS))
    folder = Path(place)
    written = write_package(kind, folder)
    if as_json:
        from memhotplug.output.jsontext import render

        document: PluginNewDocument = {"schema": 1, "folder": str(folder), "files": written}
        sys.stdout.write(render(document))
        return ExitCode.OK
    for name in written:
        print(folder / name)
    say(f"next: cd {folder}; pip install -e '.[test]'; pytest; mhp run scenario.yaml")
    return ExitCode.OK


def _state(entry: PluginRowDocument) -> str:
    if entry["problem"] is None:
        return str(entry["state"])
    from memhotplug.formats.scenario.refusal import cut

    return f"failed: {cut(entry['problem'], 400)}"


def _describe(candidate: Candidate, *, load: bool) -> PluginRowDocument:
    problem = _problem(candidate) if load else None
    state = "failed" if problem is not None else "ok" if load else "available"
    return {
        "kind": candidate.kind,
        "name": candidate.name,
        "distribution": candidate.distribution,
        "version": candidate.version,
        "target": candidate.target,
        "state": state,
        "problem": problem,
    }


def _problem(candidate: Candidate) -> str | None:
    """Load a plugin, ask what it says of itself, and return what is wrong with it, None if nothing is."""
    from memhotplug.errors import PluginError
    from memhotplug.manager import choose
    from memhotplug.output.watchdog import guard, limit

    try:
        choose(candidate.kind, candidate.name)
        with guard(limit()):
            _ask(candidate)
    except PluginError as problem:
        return problem.problem
    except SystemExit as problem:
        return f"cannot be loaded: SystemExit: {problem}"
    return None


def _ask(candidate: Candidate) -> None:
    """Have a plugin answer all that it is asked before there is a machine.

    Raises:
        PluginError: it is broken.
    """
    from memhotplug.manager import ask_about

    ask_about(candidate)
    if candidate.kind == "profiles":
        from memhotplug.engine.profile_plugin import profile_by

        profile_by(candidate)
