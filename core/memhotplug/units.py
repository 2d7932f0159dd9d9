"""Units and their text forms: bytes, page frame numbers, ranges.

Every conversion between bytes and pages, and every size that a person types or reads, goes
through this module. Sizes are binary (``K`` is 1024).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    _Array = npt.NDArray[np.int64]

__all__ = [
    "div_round_up",
    "format_blocks",
    "format_range",
    "format_size",
    "is_aligned",
    "is_power_of_two",
    "kstrtobool",
    "kstrtou",
    "natural_key",
    "parse_size",
    "partial_windows",
    "round_down",
    "round_up",
    "typed_size",
]

_SUFFIXES = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
# ASCII: case folding would otherwise take the Kelvin sign for K and the dotless i for i
_SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)\s?([KMGTPE]?)(i|iB)?\Z", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]{0,19})\n?", re.ASCII)
_SURELY_BYTES = 1 << 20
_EXPECTED = "a size such as 128M, 1GiB or 0x8000000"


def parse_size(text: str, *, bare: bool = True) -> int:
    """Return the bytes that ``text`` names, as the kernel's memparse() reads them.

    Decimal or 0x, then one of K M G T P E (binary, either case), optionally with ``i`` or ``iB``.

    Args:
        text: what the user typed.
        bare: whether a number without a unit is accepted, as bytes, however small: from 1 MiB on it can be nothing
            else, and is what daxctl or lsmem -b print.

    Raises:
        ValueError: not such a size; the message says what was expected instead.

    >>> parse_size("128M"), parse_size("1GiB"), parse_size("0x100")
    (134217728, 1073741824, 256)
    """
    text = text.strip()
    if len(text) > 64:  # no number that long is below 16E, and nobody wants it repeated
        raise ValueError(_EXPECTED)
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"{_EXPECTED}{_why_not(text)}")
    number, suffix, binary = match.groups()
    if binary and not suffix:
        raise ValueError(_EXPECTED)
    hexadecimal = number[:2] in ("0x", "0X")
    if not hexadecimal and len(number) > 1 and number[0] == "0":
        raise ValueError(f"{_EXPECTED}; a leading zero would be octal in the kernel, write {number.lstrip('0') or '0'}")
    value = int(number, 16 if hexadecimal else 10) << _SUFFIXES[suffix.upper()]
    if not suffix and not bare and 0 < value < _SURELY_BYTES:
        raise ValueError(f"a size with a unit; did you mean {number}M or {number}G?")
    if value >= 1 << 64:
        raise ValueError(f"{_EXPECTED}, less than 16E")
    return value


def _why_not(text: str) -> str:
    if re.match(r"\s*-", text):
        return "; it is never negative"
    if re.match(r"\s*[0-9]+\.[0-9]", text):
        return "; fractions are not accepted, write the next smaller unit"
    return ""


def format_size(nr_bytes: int) -> str:
    """Return ``nr_bytes`` as lsmem prints sizes: one letter, at most one decimal.

    Models: util-linux lib/strutils.c:size_to_human_string().

    >>> format_size(134217728), format_size(16750372454), format_size(0)
    ('128M', '15.6G', '0B')
    """
    exponent = 0
    while exponent < 60 and nr_bytes >= 1 << (exponent + 10):
        exponent += 10
    letter = "BKMGTPE"[exponent // 10]
    whole, rest = divmod(nr_bytes, 1 << exponent)
    tenths = ((rest * 1000 >> exponent) + 50) // 100
    if tenths == 10:
        whole, tenths = whole + 1, 0
    return f"{whole}.{tenths}{letter}" if tenths else f"{whole}{letter}"


def typed_size(size: int) -> str:
    """Return a size that is an answer: exact, in the largest unit that divides it, so that it can be typed back.

    >>> typed_size(12 << 30), typed_size(12544 << 20), typed_size((8 << 30) - (128 << 20)), typed_size(8 << 60)
    ('12G', '12544M', '8064M', '8E')
    """
    if not size:
        return "0M"
    for shift, unit in ((60, "E"), (50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if not size % (1 << shift):
            return f"{size >> shift}{unit}"
    return f"{size:#x}"


def format_range(start: int, size: int) -> str:
    """Return a physical range of ``size`` bytes as lsmem prints it, the end inclusive.

    >>> format_range(0x100000000, 0x8000000)
    '0x0000000100000000-0x0000000107ffffff'
    """
    return f"0x{start:016x}-0x{start + size - 1:016x}"


def format_blocks(ids: Iterable[int]) -> str:
    """Return ascending memory block ids as a list of runs.

    >>> format_blocks([32, 33, 34, 39])
    '32-34,39'
    """
    runs: list[list[int]] = []
    for block in ids:
        if runs and runs[-1][1] + 1 == block:
            runs[-1][1] = block
        else:
            runs.append([block, block])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


@overload
def div_round_up(value: int, divisor: int) -> int: ...
@overload
def div_round_up(value: _Array, divisor: int) -> _Array: ...
def div_round_up(value: Any, divisor: int) -> Any:
    """Return how many times ``divisor`` it takes to reach ``value``; of an array, for each of its values.

    Models: include/linux/math.h:DIV_ROUND_UP().

    >>> div_round_up(9, 4), div_round_up(8, 4), div_round_up(0, 4)
    (3, 2, 0)
    """
    return -(-value // divisor)


@overload
def round_up(value: int, multiple: int) -> int: ...
@overload
def round_up(value: _Array, multiple: int) -> _Array: ...
def round_up(value: Any, multiple: int) -> Any:
    """Return the smallest multiple of ``multiple`` that is not below ``value``; of an array, for each value."""
    return -(-value // multiple) * multiple


@overload
def round_down(value: int, multiple: int) -> int: ...
@overload
def round_down(value: _Array, multiple: int) -> _Array: ...
def round_down(value: Any, multiple: int) -> Any:
    """Return the largest multiple of ``multiple`` that is not above ``value``; of an array, for each value."""
    return value // multiple * multiple


def is_aligned(value: int, multiple: int) -> bool:
    """Return whether ``value`` is a multiple of ``multiple``."""
    return value % multiple == 0


def is_power_of_two(value: int) -> bool:
    """Return whether ``value`` is a power of two (zero is not)."""
    return value > 0 and value & (value - 1) == 0


def kstrtobool(text: str) -> bool | None:
    """Return what a word of a file or of the command line means, None if it means nothing.

    The first letter counts, and after an ``o`` the second too.

    Models: lib/kstrtox.c:kstrtobool() (v6.12). Simplified: the same letters in every kernel.

    >>> kstrtobool("Y"), kstrtobool("off"), kstrtobool("force"), kstrtobool("maybe")
    (True, False, False, None)
    """
    letters = text[:2].lower() if text[:1] in ("o", "O") else text[:1].lower()
    if letters in ("y", "t", "1", "on"):
        return True
    return False if letters in ("n", "f", "0", "of") else None


def kstrtou(text: str, bits: int) -> int:
    """Return the number that a sysfs file of ``bits`` bits takes: decimal, 0x or octal, one newline.

    Models: lib/kstrtox.c:kstrtouint(), kstrtoull() with base 0.

    Raises:
        ValueError: it is no number. OverflowError: it has more bits.

    >>> kstrtou("0x12d\\n", 32), kstrtou("010", 32)
    (301, 8)
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"a number, not {text!r}")
    digits = match[1]
    value = int(digits, 8 if digits[0] == "0" and digits.isdigit() else 0)
    if value >> bits:
        raise OverflowError(f"a number of at most {bits} bits")
    return value


@functools.lru_cache(maxsize=1024)
@functools.lru_cache(maxsize=1024)  # names of plugins, again and again
def natural_key(name: str) -> tuple[str | int, ...]:
    """Return a key to sort names by in which numbers count by value.

    >>> sorted(["linux-6.12", "linux-6.6"], key=natural_key)
    ['linux-6.6', 'linux-6.12']
    """
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name))


def partial_windows(start: int, end: int, window: int, *, step: int = 0) -> list[tuple[int, int]]:
    """Return the windows of a half-open range that no leaf of ``window`` pages maps, as runs of window numbers.

    They are the ones that the range covers only in part, and all of them where it is mapped in steps that end inside
    of windows; 0 for at once. Page tables are needed for just these.

    >>> partial_windows(0, 40, 16), partial_windows(8, 40, 16), partial_windows(0, 32, 16, step=8)
    ([(2, 3)], [(0, 1), (2, 3)], [(0, 2)])
    """
    low, high = start // window, div_round_up(end, window)
    if step % window:
        return [(low, high)]
    partial = [(low, low + 1)] if start % window else []
    if end % window and (not partial or high - 1 > low):
        partial.append((high - 1, high))
    return partial
