"""What stdout and stderr are: a terminal with colour, plain, or nothing at all."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from memhotplug.output.tables import Paint

__all__ = ["DEFAULT_WIDTH", "Nowhere", "has_colour", "paint_for", "show", "width_of"]


class Nowhere(io.TextIOBase):
    """A stream for what nobody reads."""

    def writable(self) -> bool:
        """Return True: anything can be written."""
        return True

    def write(self, text: str, /) -> int:
        """Forget the text."""
        return len(text)


def has_colour(stream: TextIO) -> bool:
    """Return whether to write colour: to a terminal that has it, or anywhere if FORCE_COLOR says so.

    NO_COLOR wins over both, whatever it is set to.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return _is_forced() or (stream.isatty() and os.environ.get("TERM") != "dumb")


def _is_forced() -> bool:
    return os.environ.get("FORCE_COLOR", "").lower() not in ("", "0", "false")


def paint_for(stream: TextIO) -> Paint:
    """Return how to colour text for a stream; rich is only imported for a terminal."""
    from memhotplug.output.tables import plain

    if not has_colour(stream):
        return plain
    from rich.color import ColorSystem
    from rich.style import Style

    def paint(text: str, style: str) -> str:
        return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)

    return paint


DEFAULT_WIDTH = 80
"""Columns of what has none: a pipe, a file."""


def width_of(stream: TextIO) -> int | None:
    """Return the columns of a terminal, None where lines may be as long as they are.

    COLUMNS wins over what the terminal says, and counts for FORCE_COLOR, too, which makes a terminal of anything.
    """
    if not stream.isatty() and not (_is_forced() and os.environ.get("COLUMNS")):
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def show(lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Print lines, each folded between words where the terminal is too narrow for it."""
    from memhotplug.output.tables import folded

    stream = sys.stdout if stream is None else stream
    width = width_of(stream)
    for line in lines:
        print(*folded(line, width), sep="\n", file=stream)
