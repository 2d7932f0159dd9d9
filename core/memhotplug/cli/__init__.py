"""The command ``mhp``: one file a command, each imported only when it is run.

``main`` is the entry point; it imports nothing before it knows what for.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # as in typing, which would be one more import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

__all__ = ["main"]

_FEW_COLLECTIONS: Final = 100_000
"""Objects made between two collections: imports make many that live as long as the process."""
_HELP: Final = "help.txt"
_WIDE: Final = 80
"""Columns for which the help is kept ready."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mhp`` and return its exit status.

    Args:
        argv: the arguments without the program's name; None for those of the process.
    """
    if argv is None:
        gc.set_threshold(_FEW_COLLECTIONS)
        if sys.argv[1:] in (["--help"], ["-h"]) and _is_wide() and _print_help():
            return 0
    from memhotplug.cli.start import run

    if argv is not None:
        return run(list(argv))
    from memhotplug.output.apart import answer_apart
    from memhotplug.output.threads import no_threads

    no_threads()
    answer_apart()
    status = run(sys.argv[1:])
    gc.freeze()  # the process ends here: nothing is left for the last collection to look at
    return status


def _is_wide() -> bool:
    """Whether the help would be wrapped as it is kept, and can be written as it is."""
    asked, out = os.environ.get("COLUMNS", ""), sys.stdout
    if out is None or "_MHP_COMPLETE" in os.environ:
        return False
    if asked.isdigit() and int(asked):
        return int(asked) >= _WIDE
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns >= _WIDE  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return True  # no terminal: nobody says how wide it is


def _print_help() -> bool:
    """Write the help of the group, which is always the same; return whether it could be written.

    A test holds the file against what click writes.
    """
    try:
        with open(os.path.join(os.path.dirname(__file__), _HELP), encoding="utf-8") as stream:
            sys.stdout.write(stream.read())
        sys.stdout.flush()
    except (OSError, ValueError):
        return False  # a full disk, a closed pipe, an encoding that lacks a letter
    return True
