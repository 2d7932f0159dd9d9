"""Tables for people, which all commands print alike."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

__all__ = ["HEAD", "Paint", "plain", "table"]

Paint: TypeAlias = Callable[[str, str], str]
"""Returns a text (first) in a style (second) of rich."""

HEAD: Final = "bold"
"""The style of headings."""

_NARROWEST: Final = 24
"""Columns that a folded text needs at least; a narrower terminal folds whole lines itself."""


def plain(text: str, _style: str) -> str:
    """Return the text as it is: no colour."""
    return text


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Sequence[str],
    paint: Paint = plain,
    *,
    width: int | None = None,
) -> list[str]:
    """Return aligned lines, the header first.

    Args:
        left: the columns that are aligned to the left; all others are to the right, as lsmem does.
        width: columns of the terminal, into which the last column is folded; None for lines as long as they are.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, header, widths, strict=True)
        return " ".join(cell.ljust(width) if name in left else cell.rjust(width) for cell, name, width in cells)

    lines = [line(row).rstrip() for row in rows]
    if width is not None:
        lines = [part for whole in lines for part in _folded(whole, sum(widths[:-1]) + len(widths) - 1, width)]
    return [paint(line(header).rstrip(), HEAD), *lines]


def _folded(line: str, indent: int, width: int) -> list[str]:
    """Return a line whose text from column ``indent`` on is folded between words, where there is room for words."""
    room = width - indent
    if len(line) <= width or room < _NARROWEST:
        return [line]
    first, *others = textwrap.wrap(line[indent:], room, break_long_words=False, break_on_hyphens=False)
    return [line[:indent] + first, *(" " * indent + other for other in others)]
