"""One run of ``mhp``: the only place that turns exceptions into exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Run one command and return its exit status."""
    from memhotplug.cli.exits import explain
    from memhotplug.cli.group import mhp

    _prepare_streams()
    if "_MHP_COMPLETE" in os.environ:
        mhp.main(args, prog_name="mhp")
    try:
        with mhp.make_context("mhp", list(args)) as context, _guarded(args):
            status = mhp.invoke(context)
            sys.stdout.flush()
    except BaseException as problem:  # every way out has an exit status
        return explain(problem, args)
    return int(status or 0)


def _guarded(args: Sequence[str]) -> AbstractContextManager[None]:
    """Return a block in which no single call of a plugin takes longer than --plugin-timeout, whatever the command."""
    if "--help" in args or "-h" in args:
        return nullcontext()  # which asks no plugin, and imports nothing
    from memhotplug.output.watchdog import DEFAULT_TIMEOUT, limited

    seconds = DEFAULT_TIMEOUT
    own = args[: args.index("--")] if "--" in args else args  # what follows is for another program
    for word, value in zip(own, [*own[1:], ""], strict=True):
        text = value if word == "--plugin-timeout" else word.removeprefix("--plugin-timeout=")
        if text != word:
            with suppress(ValueError):  # the command itself says what is wrong with it
                seconds = float(text)
    return limited(seconds)


def _prepare_streams() -> None:
    """Make sure that text can be written: without a stream into nothing, without an encoding escaped."""
    from memhotplug.cli.terminal import Nowhere

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Nowhere())
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
