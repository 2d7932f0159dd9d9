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
from typing import Final

from memhotplug.errors import InputError
from memhotplug.units import parse_size

__all__ = ["TraceStep", "read_trace", "trace_steps"]

_WHEN: Final = ("time", "index")
_MOST_BYTES: Final = 16 << 20
_WORKLOAD: Final = "pressure"


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
        InputError: it cannot be read, or a line is none; with the line.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as problem:
        got = problem.strerror if isinstance(problem, OSError) else "bytes that are no UTF-8"
        raise InputError("a trace that can be read, a CSV file", got=got, file=path) from problem
    if len(text) > _MOST_BYTES:
        raise InputError(f"a trace of at most {_MOST_BYTES >> 20}M", got="a larger one", file=path)
    return tuple(_rows(csv.reader(io.StringIO(text)), path))


def _rows(lines: Iterator[list[str]], path: str) -> Iterator[TraceStep]:
    header = [name.strip().lower() for name in next(lines, [])]
    when = next((name for name in _WHEN if name in header), None)
    unknown = [name for name in header if name not in (*_WHEN, "size", "pressure")]
    if when is None or "size" not in header or unknown or len(set(header)) < len(header):
        expected = "a header with the columns time or index, size, and optionally pressure"
        raise InputError(expected, got=", ".join(header) or "nothing", file=path, line=1)
    for number, line in enumerate(lines, 2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(header):
            raise InputError(f"{len(header)} columns", got=len(line), file=path, line=number)
        cells = dict(zip(header, (cell.strip() for cell in line), strict=True))
        pressure = _size(cells["pressure"], path, number) if cells.get("pressure") else None
        yield TraceStep(cells[when], _size(cells["size"], path, number), pressure)


def _size(text: str, path: str, line: int) -> int:
    try:
        return parse_size(text)
    except ValueError as problem:
        raise InputError(str(problem), got=text, file=path, line=line) from None


def trace_steps(
    steps: tuple[TraceStep, ...], device: str, driver: str, size: int, *, resizes: bool
) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Yield the operations that a trace means, each with the number of its request.

    Args:
        device: the device that is resized.
        driver: its driver, which adds another device for each growth where it cannot resize one.
        size: bytes that the device has at first.
        resizes: whether the driver can.
    """
    held = False
    for number, step in enumerate(steps):
        if step.pressure is not None:
            if held:
                yield number, "release", {"name": _WORKLOAD}
            held = step.pressure > 0
            if held:
                yield number, "allocate", {"name": _WORKLOAD, "size": step.pressure}
        if resizes:
            yield number, "resize", {"range": device, "size": step.size}
        elif step.size > size:
            yield number, "add", {"driver": driver, "name": f"{device}-{number}", "size": step.size - size}
            yield number, "online", {"range": f"{device}-{number}"}
            size = step.size
