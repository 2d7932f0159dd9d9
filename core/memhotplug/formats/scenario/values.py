"""Readers of single values, the same for YAML scalars and for values from Python.

Each takes a ``ScalarNode`` (whose text has not been interpreted) or a plain Python value, and
returns the checked value or raises ``RefusedError``. The place decides what a plain scalar is: ``on`` is
a word where a word belongs, and no boolean anywhere.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from operator import index
from typing import Final

from memhotplug.errors import errno_name, errno_number
from memhotplug.formats.scenario.ranges import EXPECTED_NAME, EXPECTED_RANGE, RangeSpec, is_name, parse_range
from memhotplug.formats.scenario.refusal import RefusedError, cut, suggest
from memhotplug.formats.scenario.yamltree import MappingNode, ScalarNode, SequenceNode
from memhotplug.units import is_power_of_two, parse_size

__all__ = [
    "ERRNO_NAMES",
    "EXPECTED_ERRNO",
    "EXPECTED_PATH",
    "EXPECTED_SIZE",
    "EXPECTED_TEXT",
    "one_of",
    "read_bool",
    "read_errno",
    "read_int",
    "read_list",
    "read_name",
    "read_path",
    "read_range",
    "read_size",
    "read_text",
    "read_word",
    "show",
]

EXPECTED_SIZE: Final = "a size such as 128M, 1GiB or 0x8000000"
EXPECTED_ERRNO: Final = "an errno name such as EBUSY"
EXPECTED_TEXT: Final = "text"
ERRNO_NAMES: Final = tuple(sorted({*(name for name in dir(errno) if name.startswith("E")), "EHWPOISON"}))
EXPECTED_PATH: Final = (
    "an attribute below /sys/devices/system, such as memory/auto_online_blocks, or a path from /sys/ or /proc/sys/"
)

_INT: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,24})\Z|0[xX][0-9a-fA-F]{1,20}\Z")
_OCTAL: Final = re.compile(r"-?0+([0-9]{1,24})\Z")
_YAML11_BOOL: Final = {"on": "true", "yes": "true", "y": "true", "off": "false", "no": "false", "n": "false"}


def one_of(words: Sequence[str]) -> str:
    """Return how a message lists the words that are accepted."""
    return words[0] if len(words) == 1 else f"one of: {', '.join(words)}"


def show(value: object) -> str:
    """Return ``value`` as messages show it: short, printable, on one line."""
    if isinstance(value, ScalarNode):
        if value.quoted:
            return cut(repr(value.text[:200]))
        return cut(value.text) or "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 256 bits"
    if isinstance(value, str):
        return cut(repr(value[:200]))
    if isinstance(value, (bool, int, float, bytes)):
        return cut(repr(value[:200] if isinstance(value, bytes) else value))
    return cut(f"a value of type {type(value).__name__}")


def _text_of(value: object) -> str | None:
    """The text of a scalar that is there, quoted or not; None for everything else."""
    if isinstance(value, ScalarNode):
        return None if value.is_null else value.text
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    """An integer from Python, NumPy's included; bool is none."""
    if isinstance(value, (bool, str, ScalarNode)) or value is None:
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def read_size(
    value: object, *, minimum: int = 1, maximum: int | None = None, power_of_two: bool = False, what: str = ""
) -> int:
    """Return a size or address in bytes; without a unit it is bytes.

    Args:
        value: what was given.
        minimum, maximum: bounds in bytes, both inclusive.
        power_of_two: whether it must be one.
        what: how messages call it, if not a size.
    """
    what = what or EXPECTED_SIZE
    number = _integer(value)
    text = _text_of(value)
    if text is not None:
        try:
            number = parse_size(text)
        except ValueError as error:
            raise RefusedError(str(error).replace(EXPECTED_SIZE, what)) from None
    if number is None:
        raise RefusedError(what)
    if number < 0:
        raise RefusedError(f"{what}; it is never negative")
    if number < minimum:
        raise RefusedError(f"{what}, {'greater than 0' if minimum == 1 else f'at least {minimum}'}")
    if number >= 1 << 64:
        raise RefusedError(f"{what}, less than 16E")
    if maximum is not None and number > maximum:
        raise RefusedError(f"{what}, at most {maximum}")
    if power_of_two and not is_power_of_two(number):
        raise RefusedError(f"{what}, a power of two")
    return number


def read_int(value: object, *, minimum: int = 0, maximum: int | None = None, what: str = "an integer") -> int:
    """Return an integer, decimal or 0x; a quoted one is text and refused."""
    bounds = f", at least {minimum}" if maximum is None else f" from {minimum} to {maximum}"
    expected = what + bounds
    number = _integer(value)
    if isinstance(value, ScalarNode):
        number = _scalar_int(value, expected)
    if number is None:
        raise RefusedError(f"{expected}; a boolean is no number" if isinstance(value, bool) else expected)
    if number < minimum or (maximum is not None and number > maximum):
        raise RefusedError(expected)
    return number


def _scalar_int(node: ScalarNode, expected: str) -> int:
    if node.quoted:
        raise RefusedError(f"{expected}, without quotes" if _INT.match(node.text) else expected)
    if _INT.match(node.text):
        return int(node.text, 16 if node.text[:2] in ("0x", "0X") else 10)
    octal = _OCTAL.match(node.text)
    if octal is not None:
        raise RefusedError(
            f"{expected}; a leading zero would be octal in the kernel, write {octal[1].lstrip('0') or '0'}"
        )
    raise RefusedError(expected)


def read_bool(value: object) -> bool:
    """Return a boolean; only ``true`` and ``false``, not quoted, are."""
    if isinstance(value, bool):
        return value
    if isinstance(value, ScalarNode):
        if not value.quoted and value.text in ("true", "false"):
            return value.text == "true"
        lower = value.text.lower()
        meant = lower if lower in ("true", "false") else _YAML11_BOOL.get(lower)
        raise RefusedError("true or false" + (", without quotes" if value.quoted and meant else ""), nearest=meant)
    raise RefusedError("true or false")


def read_word(value: object, choices: Sequence[str]) -> str:
    """Return one of ``choices``, exactly as it is written there."""
    text = _text_of(value)
    if text in choices and text is not None:
        return str(text)
    raise RefusedError(one_of(choices), nearest=None if text is None else suggest(text, choices))


def read_text(value: object, *, empty: bool = True, expected: str = EXPECTED_TEXT) -> str:
    """Return text: a scalar as it was typed, numbers included."""
    number = _integer(value)
    text = _text_of(value) if number is None else str(number)
    if text is None:
        null = isinstance(value, ScalarNode)
        raise RefusedError(f'{expected}; write "" for an empty text' if null and empty else expected)
    if not text and not empty:
        raise RefusedError(expected)
    if "\0" in text:
        raise RefusedError(f"{expected} without NUL characters")
    return text


def read_name(value: object) -> str:
    """Return a name that a step gives or refers to."""
    text = _text_of(value)
    if text is None or not is_name(text):
        raise RefusedError(EXPECTED_NAME)
    return text


def read_range(value: object) -> RangeSpec:
    """Return a range: a step's name, blocks, or physical addresses."""
    if isinstance(value, RangeSpec):
        return value
    number = _integer(value)
    text = _text_of(value) if number is None else str(number) if number.bit_length() < 64 else None
    if text is None:
        raise RefusedError(EXPECTED_RANGE)
    return parse_range(text)


def read_path(value: object) -> str:
    """Return the path of an attribute of sysfs, or of a file below /proc/sys, as it was given."""
    text = _text_of(value)
    if text is None or "\0" in text or _is_number_or_bool(value):
        raise RefusedError(EXPECTED_PATH)
    below = text.removeprefix("/proc" if text.startswith("/proc/sys/") else "").removeprefix("/sys/")
    if below.startswith("/") or any(part in ("", ".", "..") for part in below.split("/")):
        raise RefusedError(EXPECTED_PATH)
    return text


def _is_number_or_bool(value: object) -> bool:
    """Whether every YAML reader would take this plain scalar for something else than text."""
    if not isinstance(value, ScalarNode) or value.quoted:
        return False
    return value.text in ("true", "false") or _INT.match(value.text) is not None


def read_errno(value: object) -> str:
    """Return the name of an errno that exists; of several names for one number, the one that errors carry."""
    text = _text_of(value) or ""
    try:
        return errno_name(errno_number(text))
    except ValueError:
        meant = suggest(text, ERRNO_NAMES) if text[:1] in ("E", "e") else None
        raise RefusedError(EXPECTED_ERRNO, nearest=meant) from None


def read_list(value: object, read: Callable[[object], object], expected: str) -> tuple[object, ...]:
    """Return every item of a list as ``read`` reads it; a refusal says which item it was."""
    if not isinstance(value, (SequenceNode, list, tuple)):
        raise RefusedError(expected)
    items = []
    for i, item in enumerate(value):
        if isinstance(item, (SequenceNode, MappingNode)):
            raise RefusedError(expected, where=(i,))
        try:
            items.append(read(item))
        except RefusedError as refusal:
            refusal.where = (i, *refusal.where)
            raise
    return tuple(items)
