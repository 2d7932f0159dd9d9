"""Where in a plugin an exception was raised."""

from __future__ import annotations

from types import TracebackType

__all__ = ["frames_of", "is_below", "module_of", "place_of"]


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
