"""What stdout and stderr are: a terminal with colour, plain, or nothing at all."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from memhotplug.output.tables import Paint

__all__ = ["DEFAULT_WIDTH", "Nowhere", "has_colour", "paint_for", "width_of"]


class Nowhere(io.TextIOBase):
    """A stream for what nobody reads."""

    def writable(self) -> bool:
        """Return True: anything can be written."""
        return True

    def write(self, text: str, /) -> int:
        """Forget the text."""
        return len(text)


def has_colour(stream: TextIO) -> bool:
    """Return whether to write colour: to a terminal that has it, unless NO_COLOR is set to anything."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


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
    """Return the columns of a terminal (COLUMNS wins), None where lines may be as long as they are."""
    if not stream.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns
