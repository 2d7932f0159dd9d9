"""Traces: the requests of an autoscaler, played against each variant.

A CSV file with a header: ``time`` (or ``index``), ``size`` (the size that is requested then), and optionally
``pressure`` (what a workload holds then). A device that can be resized is resized; one that cannot grows by
another device of its driver and never shrinks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from memhotplug.errors import InputError
from memhotplug.formats.scenario.refusal import cut
from memhotplug.units import parse_size

__all__ = ["WORKLOAD", "TraceStep", "read_trace", "trace_steps"]

_WHEN: Final = ("time", "index")
_MOST_BYTES: Final = 16 << 20
WORKLOAD: Final = "pressure"
"""The name of what a trace's workload holds."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One request: when (as it stands in the file), bytes requested, bytes that a workload holds (None: no change)."""

    when: str
    size: int
    pressure: int | None

    def values(self) -> tuple[str, int, int | None]:
        """Return the three as a tuple."""
        return self.when, self.size, self.pressure


def read_trace(path: str) -> tuple[TraceStep, ...]:
    """Return the requests in a file, in order.

    Raises:
        InputError: it cannot be read, or a line is none; with line and column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:  # spreadsheets begin with a mark
            text = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as problem:
        got = problem.strerror if isinstance(problem, OSError) else "bytes that are no UTF-8"
        raise InputError("a trace that can be read, a CSV file", got=got, file=path) from problem
    if len(text) > _MOST_BYTES:
        raise InputError(f"a trace of at most {_MOST_BYTES >> 20}M", got="a larger one", file=path)
    lines = csv.reader(io.StringIO(text))
    try:
        return tuple(_rows(_Text(text, path), lines))
    except csv.Error as problem:
        expected = "a CSV file, one request a line"
        raise InputError(expected, got=str(problem), file=path, line=max(lines.line_num, 1)) from problem


class _Lines(Protocol):
    """What a reader of CSV is, whose own type has another name in each Python."""

    @property
    def line_num(self) -> int:
        """How many lines were read."""
        ...

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


class _Text:
    """What a trace consists of, to say where in it something is."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.split("\n")
        self._path = path

    def error(self, expected: str, got: str, line: int, cell: int | None = None) -> InputError:
        """Return an error about a line, or about one of its cells."""
        column = None if cell is None else self._column(line, cell)
        return InputError(expected, got=cut(got) or "nothing", file=self._path, line=line, column=column)

    def _column(self, line: int, cell: int) -> int:
        """Return where a cell begins; commas in quotes part none."""
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        quoted = False
        for place, letter in enumerate(text):
            if cell == 0:
                return place + 1 + len(text[place:]) - len(text[place:].lstrip(" \t"))
            quoted ^= letter == '"'
            cell -= letter == "," and not quoted
        return len(text) + 1


def _rows(text: _Text, lines: _Lines) -> Iterator[TraceStep]:
    header = [name.strip().lower() for name in next(lines, [])]
    when = next((name for name in _WHEN if name in header), None)
    unknown = [name for name in header if name not in (*_WHEN, "size", "pressure")]
    if when is None or "size" not in header or unknown or len(set(header)) < len(header):
        expected = "a header with the columns time or index, size, and optionally pressure, separated by commas"
        raise text.error(expected, ", ".join(header), 1, header.index(unknown[0]) if unknown else None)
    empty, line = True, lines.line_num + 1
    for cells in lines:
        first, line = line, lines.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise text.error(f"{len(header)} columns", str(len(cells)), first)
        request = _Request(dict(zip(header, cells, strict=True)), text, first, is_one_line=line == first + 1)
        empty = False
        yield TraceStep(cells[header.index(when)].strip(), request.size("size") or 0, request.size("pressure"))
    if empty:
        raise text.error("a request in the line behind the header", "nothing", 2)


class _Request:
    """One line of a trace, by its columns; in quotes it may be several."""

    def __init__(self, cells: dict[str, str], text: _Text, line: int, *, is_one_line: bool) -> None:
        self._cells, self._text, self._line, self._is_one_line = cells, text, line, is_one_line

    def size(self, column: str) -> int | None:
        """Return the bytes in a column, None where nobody has to say."""
        cell = self._cells.get(column, "").strip()
        if not cell and column == "pressure":
            return None
        try:
            return parse_size(cell)
        except ValueError as problem:
            place = [*self._cells].index(column) if self._is_one_line else None
            raise self._text.error(str(problem), cell, self._line, place) from None


def trace_steps(
    steps: tuple[TraceStep, ...], device: str, driver: str, size: int, *, resizes: bool, workload: str = WORKLOAD
) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Yield the operations that a trace means, each with the number of its request.

    Args:
        device: the device that is resized.
        driver: its driver, which adds another device for each growth where it cannot resize one.
        size: bytes that the device has at first.
        resizes: whether the driver can.
        workload: what holds the pressure.
    """
    held = False
    for number, step in enumerate(steps):
        if step.pressure is not None:
            if held:
                yield number, "release", {"name": workload}
            held = step.pressure > 0
            if held:
                yield number, "allocate", {"name": workload, "size": step.pressure}
        if resizes:
            yield number, "resize", {"range": device, "size": step.size}
        elif step.size > size:
            yield number, "add", {"driver": driver, "name": f"{device}-{number}", "size": step.size - size}
            yield number, "online", {"range": f"{device}-{number}"}
            size = step.size
