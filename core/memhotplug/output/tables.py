"""Tables and lines for people, which all commands print alike; on a terminal they are made to fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from memhotplug.units import div_round_up

__all__ = ["HEAD", "Paint", "folded", "plain", "table"]

Paint: TypeAlias = Callable[[str, str], str]
"""Returns a text (first) in a style (second) of rich."""

HEAD: Final = "bold"
"""The style of headings."""

_ROOM: Final = 36
"""Columns that prose in the last column needs; with less it gets lines of its own below its row."""
_STRIP: Final = 40
"""Columns that it has at least where there is no terminal, however many the others take."""
_PROSE: Final = 24
"""Letters from which on words in the last column are prose."""
_INDENT: Final = "    "
_NARROWEST: Final = 8
"""Columns into which text is folded, at least."""
_ZEROS: Final = re.compile(r"\b0x0+(?=[0-9a-f])")
_BREAKS: Final = (
    re.compile(r"(?<=[\s/,|-])(?![\s/,|-])"),
    re.compile(r"(?<=[\s/,|_=:-])(?![\s/,|_=:-])|(?<=\.)(?<!\d\.)|(?<=\.)(?=\D)"),
)
"""Where a cell may be broken: between words; if that is not enough, inside names, but at no point in a number."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

_Row = Sequence[str]


def plain(text: str, _style: str) -> str:
    """Return the text as it is: no colour."""
    return text


def table(
    header: _Row,
    rows: Sequence[_Row],
    left: Sequence[str],
    paint: Paint = plain,
    *,
    width: int | None = None,
    prose: int | None = None,
    short: Mapping[str, str] | None = None,
) -> list[str]:
    """Return aligned lines, the header first.

    What is too wide for a terminal is made to fit, the least harm first: prose in the last column is folded or put
    below its row, addresses lose leading zeros and headers are shortened, cells are broken where words are joined.
    Where all of that is not enough, each row becomes a list of its cells.

    Args:
        left: the columns that are aligned to the left; all others are to the right, as lsmem does.
        width: columns of the terminal; None for lines as long as they are.
        prose: where there is no terminal, columns into which prose in the last column is folded; all else stays whole.
        short: shorter words for headers, used only where there is too little room.
    """
    is_left = [name in left for name in header]
    widths = _widths([header, *rows])
    has_prose = any(len(row[-1]) >= _PROSE and " " in row[-1] for row in rows)
    room = prose if width is None and has_prose else width
    if room is None or sum(widths) + len(widths) - 1 <= room:
        return [paint(_line(header, widths, is_left), HEAD), *(_line(row, widths, is_left) for row in rows)]
    beside = sum(widths[:-1]) + len(widths) - 1
    if width is None:
        return _prose_beside(header, rows, is_left, widths, paint, max(room - beside, _STRIP))
    if not has_prose:
        return [line for lines in _fitted(header, rows, is_left, paint, width, short or {}) for line in lines]
    if width - beside >= _ROOM:
        return _prose_beside(header, rows, is_left, widths, paint, width - beside)
    head, *groups = _fitted(header[:-1], [row[:-1] for row in rows], is_left[:-1], paint, width, short or {})
    below = [_wrapped(row[-1], width, _INDENT) if row[-1] != "-" else [] for row in rows]
    return head + [line for group, prose in zip(groups, below, strict=True) for line in (*group, *prose)]


def folded(line: str, width: int | None) -> list[str]:
    """Return a line folded between words, what follows indented under it; colours take no room."""
    if width is None or _size(line) <= width:
        return [line]
    words = line.lstrip(" ")
    indent = " " * (len(line) - len(words))
    lines = [indent]
    for word in words.split(" "):
        begun = lines[-1].strip(" ")
        if begun and _size(lines[-1]) + 1 + _size(word) > width:
            lines[-1] = lines[-1].rstrip(" ")
            lines.append(indent + _INDENT + word)
        else:
            lines[-1] += f" {word}" if begun else word
    return lines


def _size(text: str) -> int:
    return len(_COLOUR.sub("", text))


def _widths(rows: Sequence[_Row]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(cells: _Row, widths: Sequence[int], is_left: Sequence[bool]) -> str:
    parts = zip(cells, widths, is_left, strict=True)
    return " ".join(cell.ljust(size) if left else cell.rjust(size) for cell, size, left in parts).rstrip()


def _prose_beside(
    header: _Row, rows: Sequence[_Row], is_left: Sequence[bool], widths: Sequence[int], paint: Paint, room: int
) -> list[str]:
    lines = [paint(_line(header, widths, is_left), HEAD)]
    for row in rows:
        first, *others = _wrapped(row[-1], room) or [""]
        lines.append(_line([*row[:-1], first], widths, is_left))
        lines += [" " * (sum(widths[:-1]) + len(widths) - 1) + other for other in others]
    return lines


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    import textwrap  # what fits into its columns is not wrapped

    room = max(width, len(indent) + _NARROWEST)
    return textwrap.wrap(text, room, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _fitted(
    header: _Row, rows: Sequence[_Row], is_left: Sequence[bool], paint: Paint, width: int, short: Mapping[str, str]
) -> Iterator[list[str]]:
    """Yield the lines of the header, then those of each row."""
    names = [short.get(name, name) for name in header]
    cells = _without_zeros(rows)
    squeezed = ((_squeezed([names, *cells], width, breaks), breaks) for breaks in _BREAKS)
    widths, breaks = next((found for found in squeezed if found[0] is not None), (None, _BREAKS[0]))
    if widths is None:
        yield []
        longest = max(map(len, header))
        for row in cells:
            pairs = zip(header, row, strict=True)
            lines = [f"{paint(name, HEAD)}{' ' * (longest - len(name))} {cell}" for name, cell in pairs]
            yield [part.rstrip() for line in lines for part in folded(line, width)] + [""]
        return
    yield [paint(line, HEAD) for line in _broken(names, widths, is_left, breaks)]
    for row in cells:
        yield list(_broken(row, widths, is_left, breaks))


def _without_zeros(rows: Sequence[_Row]) -> list[list[str]]:
    """Return cells whose addresses lack the leading zeros that all in their column have."""
    found = []
    for column in zip(*rows, strict=True):
        zeros = [len(zero) - 2 for cell in column for zero in _ZEROS.findall(cell)]
        spare = min(zeros, default=0) if len(zeros) == sum(cell.count("0x") for cell in column) else 0
        found.append([re.sub(rf"\b0x0{{{spare}}}", "0x", cell) for cell in column])
    return [list(row) for row in zip(*found, strict=True)]


def _squeezed(rows: Sequence[_Row], width: int, breaks: re.Pattern[str]) -> list[int] | None:
    """Return column widths that fit, so that few cells are broken; None if there are none."""
    widths = _widths(rows)
    least = [max(len(atom) for row in rows for atom in breaks.split(row[column])) for column in range(len(widths))]
    while sum(widths) + len(widths) - 1 > width:
        wide = [column for column in range(len(widths)) if widths[column] > least[column]]
        if not wide:
            return None
        widths[min(wide, key=lambda column: (_harm(rows, column, widths[column] - 1), -widths[column]))] -= 1
    return [
        max(len(part) for row in rows for part in _parts(row[column], size, breaks))
        for column, size in enumerate(widths)
    ]


def _harm(rows: Sequence[_Row], column: int, size: int) -> int:
    """Return how many more lines a table takes whose column has a size."""
    return sum(div_round_up(len(row[column]), size) - 1 for row in rows if row[column])


def _broken(cells: _Row, widths: Sequence[int], is_left: Sequence[bool], breaks: re.Pattern[str]) -> Iterator[str]:
    """Yield the lines of one row whose cells are broken at the ends of their columns."""
    parts = [_parts(cell, size, breaks) for cell, size in zip(cells, widths, strict=True)]
    for index in range(max(map(len, parts))):
        yield _line([part[index] if index < len(part) else "" for part in parts], widths, is_left)


def _parts(cell: str, width: int, breaks: re.Pattern[str]) -> list[str]:
    if len(cell) <= width:
        return [cell]
    lines = [""]
    for atom in breaks.split(cell):
        if len((lines[-1] + atom).rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += atom
    return [line.rstrip() for line in lines]
