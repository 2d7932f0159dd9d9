"""What a plugin answered or raised, in words that are the same each time; and where it raised."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Final

__all__ = ["frames_of", "is_below", "module_of", "place_of", "shown", "told"]

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_MOST: Final = 300  # characters of an answer or of an exception's own words


def place_of(problem: BaseException, home: str) -> str:
    """Return where in a plugin an exception was raised, as ``, at FILE:LINE`` behind a sentence.

    Args:
        home: the plugin's module; the innermost frame of it, or of what is below it, counts.
    """
    for trace in frames_of(problem):
        if is_below(module_of(trace), home):
            return f", at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return ""


def frames_of(problem: BaseException) -> list[TracebackType]:
    """Return the frames that an exception passed through, the innermost first."""
    found: list[TracebackType] = []
    trace = problem.__traceback__
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return found[::-1]


def module_of(trace: TracebackType) -> str:
    """Return the name of the module whose code runs in a frame."""
    return str(trace.tb_frame.f_globals.get("__name__", ""))


def is_below(module: str, home: str) -> bool:
    """Return whether a module is another one or inside of it."""
    return module == home or module.startswith(f"{home}.")


def shown(answer: object) -> str:
    """Return what a plugin answered, short and without the addresses of objects, which differ each time.

    An answer that cannot say what it is, is told by its type.
    """
    text = _said(repr, answer)
    return f"<{type(answer).__name__}>" if text is None else _short(_ADDRESS.sub("", text))


def told(problem: BaseException) -> str:
    """Return the type of an exception with its own words, as far as it has any, on one line."""
    words = " ".join((_said(str, problem) or "").splitlines())
    return f"{type(problem).__name__}: {_short(words)}" if words else type(problem).__name__


def _said(how: Callable[[object], str], value: object) -> str | None:
    """Return what code of a plugin says of a value, None if it raises."""
    try:
        return how(value)
    except Exception:
        return None


def _short(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
