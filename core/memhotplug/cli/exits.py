"""Exit statuses, and the one function that finds the status and the words for an exception."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.terminal import Nowhere

if TYPE_CHECKING:
    from memhotplug.documents.small import ErrorDocument
    from memhotplug.errors import InputError

__all__ = ["INTERRUPTED", "ExitCode", "explain", "say"]


class ExitCode(IntEnum):
    """What the exit status of a command means."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    RISKY = 3
    DOES_NOT_FIT = 4


INTERRUPTED: Final = 130
"""The exit status after Ctrl-C, as shells have it."""


def say(text: str) -> None:
    """Write one line to stderr, as this program does; what would steer a terminal is spelt out."""
    sys.stdout.flush()
    line = " ".join(text.splitlines())
    if not line.isprintable():
        from memhotplug.formats.scenario.refusal import printable

        line = printable(line)
    print("mhp: " + line, file=sys.stderr)


def explain(problem: BaseException, args: Sequence[str]) -> int:
    """Say what went wrong and return the exit status for it.

    Args:
        args: the arguments of the program; they may ask for JSON, or for a traceback.
    """
    try:
        return _explain(problem, args)
    except BrokenPipeError:
        return _stdout_is_gone()


def _explain(problem: BaseException, args: Sequence[str]) -> int:
    if isinstance(problem, click.exceptions.Exit):
        sys.stdout.flush()
        return problem.exit_code
    if isinstance(problem, (KeyboardInterrupt, click.Abort)):
        say("interrupted")
        return INTERRUPTED
    if isinstance(problem, BrokenPipeError):
        return _stdout_is_gone()
    if isinstance(problem, click.ClickException):
        return _usage(problem, args)
    return _of_ours(problem, args)


def _of_ours(problem: BaseException, args: Sequence[str]) -> int:
    from memhotplug.errors import InputError, MemoryHotplugError

    if isinstance(problem, InputError):
        _refuse(problem, args)
        return ExitCode.USAGE
    if isinstance(problem, MemoryHotplugError):
        say(str(problem))
        return ExitCode.FAILURE
    if isinstance(problem, OSError) and _is_stdout(problem):
        _stdout_is_gone()
        say(f"cannot write the output: {problem.strerror or problem}")
        return ExitCode.FAILURE
    if isinstance(problem, MemoryError):
        say("out of memory: the machine of this scenario is too large to be modelled here")
        return ExitCode.FAILURE
    return _of_a_plugin(problem, args) or _bug(problem, args)


def _of_a_plugin(problem: BaseException, args: Sequence[str]) -> int | None:
    """Blame the plugin in whose code something was raised that nobody has blamed yet; None if it is nobody's."""
    from memhotplug.catalog import plugin_at_fault

    culprit = plugin_at_fault(problem)
    if culprit is None:
        return None
    culprit.__cause__ = problem
    _refuse(culprit, args)
    return ExitCode.USAGE


def _is_stdout(problem: OSError) -> bool:
    """Whether writing failed rather than opening some file."""
    return problem.filename is None


def _stdout_is_gone() -> int:
    """Nobody takes any more output: send the rest nowhere, so that the interpreter can end in peace."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except OSError:  # not a real file
        sys.stdout = Nowhere()
    finally:
        os.close(nowhere)
    return ExitCode.FAILURE


def _wants(args: Sequence[str], *options: str) -> bool:
    own = args[: args.index("--")] if "--" in args else args
    return any(option in own for option in options)


def _refuse(error: InputError, args: Sequence[str]) -> None:
    """Report bad input: one line, and the error object if JSON was asked for."""
    from memhotplug.errors import PluginError

    if isinstance(error, PluginError) and _wants(args, "--debug"):
        _show_cause(error)
    if _wants(args, "--json"):
        from memhotplug.output.jsontext import render_line

        document: ErrorDocument = {"schema": 1, "ok": False, "error": error.to_dict()}
        sys.stdout.write(render_line(document))
    text = str(error)
    if isinstance(error, PluginError):
        place = ":".join(str(part) for part in (error.file, error.line, error.column) if part is not None)
        text = ": ".join(part for part in (place, error.path, text) if part)
    say(text)


def _show_cause(error: InputError) -> None:
    """Print the traceback of the plugin's own exception, if that is what went wrong."""
    from memhotplug.errors import PluginError

    cause: BaseException | None = error
    seen: set[int] = set()
    while isinstance(cause, PluginError) and id(cause) not in seen:
        seen.add(id(cause))
        cause = cause.__cause__
        if cause is not None and id(cause) in seen:
            cause = error.__context__
    if cause is not None and not isinstance(cause, PluginError):
        import traceback

        traceback.print_exception(type(cause), cause, cause.__traceback__, chain=False)


def _usage(problem: click.ClickException, args: Sequence[str]) -> int:
    if isinstance(problem, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        print(problem.format_message(), file=sys.stderr)
        return ExitCode.USAGE
    if _wants(args, "--json"):
        from memhotplug.output.jsontext import render_line

        own = _of_value(problem)
        document: ErrorDocument = {
            "schema": 1,
            "ok": False,
            "error": {
                "file": None,
                "line": None,
                "column": None,
                "path": own.get("path"),
                "got": own.get("got", _got(problem)),
                "expected": own.get("expected", _expected(problem)),
                "nearest": _nearest(problem),
            },
        }
        sys.stdout.write(render_line(document))
    say(_usage_text(problem))
    return ExitCode.USAGE


def _nearest(problem: click.ClickException) -> str | None:
    possible = getattr(problem, "possibilities", None)
    return possible[0] if possible else None


def _got(problem: click.ClickException) -> str | None:
    return getattr(problem, "option_name", None) or getattr(problem, "command_name", None)


def _of_value(problem: click.ClickException) -> dict[str, str]:
    """Return which option has a value that cannot be, and what of our own words belongs to which key."""
    parameter = getattr(problem, "param", None)
    if not isinstance(problem, click.BadParameter) or parameter is None:
        return {}
    option = {"path": str(max(parameter.opts, key=len))}
    got, found, expected = problem.message.partition("', expected ")
    return option | {"got": got.removeprefix("got '"), "expected": expected} if found else option


def _expected(problem: click.ClickException) -> str:
    """Return click's sentence the way ours are: small letter, no full stop, and the same with every click."""
    if isinstance(problem, click.NoSuchOption):
        return f"no such option {problem.option_name!r}"
    text = problem.message if _nearest(problem) else problem.format_message()
    text = text.rstrip(".")
    return text[:1].lower() + text[1:]


def _usage_text(problem: click.ClickException) -> str:
    text = _expected(problem)
    nearest = _nearest(problem)
    if nearest:
        return f"{text}; did you mean {nearest!r}?"
    context = getattr(problem, "ctx", None)
    return f"{text}; see '{context.command_path} --help'" if context is not None else text


def _bug(problem: BaseException, args: Sequence[str]) -> int:
    words = " ".join(f"{type(problem).__name__}: {problem}".split())
    if _wants(args, "--debug", "-v", "-vv", "--verbose"):
        import traceback

        traceback.print_exception(problem)
        say(f"this is a bug in mhp, please report it: {words}")
    else:
        say(f"this is a bug in mhp, please report it ('mhp --debug …' shows where): {words}")
    return ExitCode.FAILURE
