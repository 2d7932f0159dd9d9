"""The text form of a range of memory: a step's name, memory blocks, or physical addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from memhotplug.formats.scenario.refusal import RefusedError
from memhotplug.units import format_size, parse_size

__all__ = ["EXPECTED_NAME", "EXPECTED_RANGE", "NAME_PATTERN", "RANGE_PATTERN", "RangeSpec", "is_name", "parse_range"]

EXPECTED_RANGE: Final = "a range: a step's name, 'block N', 'block N-M' or 0xSTART+SIZE"
EXPECTED_NAME: Final = "a name such as dimm0: a letter, then letters, digits and _ . : @ -, at most 64"
# The same patterns go into the JSON Schema, hence no Python-only syntax
NAME_PATTERN: Final = r"^(?!(block|true|false|null|memory[0-9]+(-(memory)?[0-9]+)?)$)[A-Za-z_][A-Za-z0-9_.:@-]{0,63}$"
RANGE_PATTERN: Final = (
    r"^((block +|memory)[0-9]{1,15}(-(memory)?[0-9]{1,15})?"
    r"|0[xX][0-9a-fA-F]{1,16}(\+[0-9][0-9a-zA-Z]*|-0[xX][0-9a-fA-F]{1,16}))$"
)

_NAME: Final = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")
_BLOCKS: Final = re.compile(r"(?:block +|memory)([0-9]{1,15})(?:-(?:memory)?([0-9]{1,15}))?\Z")
_BYTES: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16})\+(\S{1,64})\Z")
_SPAN: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,16})-0[xX]([0-9a-fA-F]{1,16})\Z")  # as lsmem prints it
_SMALLEST_PAGE: Final = 0x1000
_NUMBERS: Final = re.compile(r"[0-9]{1,15}(-[0-9]{1,15})?\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeSpec:
    """A range as it was written; only the fields of its kind are set.

    Attributes:
        kind: ``block``, ``bytes`` or ``name``.
        first, last: memory block ids, both inclusive.
        start, size: physical address and length in bytes.
        name: the name of the step that added it.
    """

    kind: Literal["block", "bytes", "name"]
    first: int | None = None
    last: int | None = None
    start: int | None = None
    size: int | None = None
    name: str | None = None

    @classmethod
    def blocks(cls, first: int, last: int | None = None) -> RangeSpec:
        """Return the range of the memory blocks ``first`` to ``last``, inclusive."""
        return cls(kind="block", first=first, last=first if last is None else last)

    @classmethod
    def physical(cls, start: int, size: int) -> RangeSpec:
        """Return the range of ``size`` bytes from the physical address ``start``."""
        return cls(kind="bytes", start=start, size=size)

    @classmethod
    def named(cls, name: str) -> RangeSpec:
        """Return the range that the step called ``name`` added."""
        return cls(kind="name", name=name)

    def __str__(self) -> str:
        if self.kind == "block":
            return f"block {self.first}" if self.first == self.last else f"block {self.first}-{self.last}"
        if self.kind == "bytes":
            size = self.size or 0
            short = format_size(size)
            exact = short[-1] != "B" and "." not in short and parse_size(short) == size
            return f"0x{self.start:x}+{short if exact else hex(size)}"
        return str(self.name)


def is_name(text: str) -> bool:
    """Return whether ``text`` can name a step: ``dimm0``, but not ``block``, ``true``, ``0x10`` or nothing."""
    return _NAME.match(text) is not None


def parse_range(text: str) -> RangeSpec:
    """Return the range that ``text`` means; blocks also as sysfs calls them, addresses also as lsmem prints them.

    Raises:
        RefusedError: it is none.

    >>> str(parse_range("block 32-35")), str(parse_range("0x100000000+1024M")), str(parse_range("dimm0"))
    ('block 32-35', '0x100000000+1G', 'dimm0')
    >>> str(parse_range("memory32-35")), str(parse_range("0x0000000100000000-0x000000013fffffff"))
    ('block 32-35', '0x100000000+1G')
    """
    blocks = _BLOCKS.match(text)
    if blocks is not None:
        return _blocks(blocks[1], blocks[2] or blocks[1])
    physical = _BYTES.match(text)
    if physical is not None:
        return _physical(physical[1], physical[2])
    span = _SPAN.match(text)
    if span is not None:
        return _span(int(span[1], 16), int(span[2], 16))
    if is_name(text):
        return RangeSpec.named(text)
    raise RefusedError(EXPECTED_RANGE, nearest=f"block {text}" if _NUMBERS.match(text) else None)


def _blocks(first: str, last: str) -> RangeSpec:
    for number in (first, last):
        if number != "0" and number.startswith("0"):
            raise RefusedError(f"{EXPECTED_RANGE}; a leading zero would be octal in the kernel")
    if int(last) < int(first):
        raise RefusedError(f"{EXPECTED_RANGE}, ascending", nearest=f"block {last}-{first}")
    return RangeSpec.blocks(int(first), int(last))


def _span(first: int, last: int) -> RangeSpec:
    """Return the range between two addresses, the last one inclusive."""
    if last < first:
        raise RefusedError(f"{EXPECTED_RANGE}, ascending", nearest=f"0x{last:x}-0x{first:x}")
    if last > first and last % _SMALLEST_PAGE == 0 and first % _SMALLEST_PAGE == 0:
        expected = "0xFIRST-0xLAST, the last byte inclusive, as lsmem prints it"
        raise RefusedError(expected, nearest=f"0x{first:x}-0x{last - 1:x}")
    return RangeSpec.physical(first, last + 1 - first)


def _physical(start: str, size_text: str) -> RangeSpec:
    try:
        size = parse_size(size_text)
    except ValueError as error:
        raise RefusedError(f"0xSTART+SIZE with {error}") from None
    if size == 0:
        raise RefusedError("0xSTART+SIZE with a size greater than 0")
    if int(start, 16) + size > 1 << 64:
        raise RefusedError("0xSTART+SIZE that ends below 16E")
    return RangeSpec.physical(int(start, 16), size)
