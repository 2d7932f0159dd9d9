"""The values of one axis: those of ``compare``, and ranges such as ``1G..64G/1G``."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from memhotplug.commands.compare import question
from memhotplug.commands.compare.question import Axis
from memhotplug.errors import InputError
from memhotplug.units import parse_size

__all__ = ["MAX_VALUES", "parse_axis"]

MAX_VALUES: Final = 1_000_000
_RANGE: Final = re.compile(r"([0-9][0-9A-Za-z]*)\.\.([0-9][0-9A-Za-z]*)(?:/([0-9][0-9A-Za-z]*))?\Z")
_UNITS: Final = ((60, "E"), (50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K"))
_EXPECTED: Final = "KEY=VALUE,VALUE… or KEY=FIRST..LAST/STEP, such as steps.0.add.size=1G..64G/1G"


def parse_axis(text: str) -> Axis:
    """Return what ``KEY=VALUE,VALUE`` or ``KEY=FIRST..LAST/STEP`` varies; both ends of a range are in it.

    Raises:
        InputError: it is none, or a value is no YAML.
    """
    axis = question.parse_axis(text, expected=_EXPECTED, values_in=_values_in)
    times = Counter(value.text for value in axis.values)
    if len(times) < len(axis.values):
        twice = next(value for value, count in times.items() if count > 1)
        raise InputError("each value once", got=twice, path=f"--vary {axis.key}")
    return axis


def _values_in(text: str) -> list[str]:
    values = [value for part in question.split_values(text) for value in _expanded(part)]
    if len(values) > MAX_VALUES:
        raise InputError(f"at most {MAX_VALUES} values", got=len(values))
    return values


def _expanded(text: str) -> list[str]:
    found = _RANGE.match(text)
    if found is None:
        return [text]
    first, last, step = (_number(part, text) for part in (found[1], found[2], found[3] or "1"))
    sized = any(part[-1:].isalpha() for part in found.groups() if part)
    if step <= 0 or last < first:
        raise InputError("a range that ascends, FIRST..LAST/STEP with a step above 0", got=text)
    if (last - first) // step >= MAX_VALUES:
        raise InputError(f"a range of at most {MAX_VALUES} values", got=text)
    return [_written(value, sized=sized) for value in range(first, last + 1, step)]


def _number(text: str, whole: str) -> int:
    try:
        return parse_size(text)
    except ValueError as problem:
        raise InputError(f"a range of numbers or sizes ({problem})", got=whole) from None


def _written(value: int, *, sized: bool) -> str:
    """Return a number the way that it can be typed back: in the largest unit that it is a multiple of."""
    if sized and value:
        for shift, unit in _UNITS:
            if value % (1 << shift) == 0:
                return f"{value >> shift}{unit}"
    return str(value)
