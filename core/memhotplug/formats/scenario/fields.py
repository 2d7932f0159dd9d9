"""The kinds of value that a scenario has: how each is read, described, and written as JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from memhotplug.formats.scenario.ranges import EXPECTED_NAME, EXPECTED_RANGE, NAME_PATTERN, RANGE_PATTERN
from memhotplug.formats.scenario.refusal import RefusedError, suggest
from memhotplug.formats.scenario.values import (
    ERRNO_NAMES,
    EXPECTED_ERRNO,
    EXPECTED_PATH,
    EXPECTED_SIZE,
    EXPECTED_TEXT,
    one_of,
    read_bool,
    read_errno,
    read_int,
    read_list,
    read_name,
    read_path,
    read_range,
    read_size,
    read_text,
    read_word,
)
from memhotplug.formats.scenario.yamltree import SequenceNode
from memhotplug.keyspec import OWN_POLICY

__all__ = [
    "ADDRESS",
    "BOOL",
    "COUNT_OR_TEXTS",
    "ERRNO",
    "FLAGS",
    "NAME",
    "NODE",
    "PAGES",
    "PATH",
    "PLUGIN",
    "POWER_SIZE",
    "RANGE",
    "SHORT_FLAGS",
    "SIZE",
    "SIZE_OR_NOTHING",
    "TEXT",
    "ZONES",
    "ZONE_LIST",
    "Leaf",
    "choice",
    "integer",
    "size_schema",
]

ZONES: Final = ("DMA", "DMA32", "Normal", "Movable")
SHORT_FLAGS: Final = ("none", "device", "memblock", "on_memory")

MAX_NODE: Final = 1023  # Models: include/linux/numa.h:MAX_NUMNODES with NODES_SHIFT=10
_KERNEL_FLAG: Final = re.compile(r"MHP_[A-Z0-9_]{1,60}\Z")
_KNOWN_FLAGS: Final = (
    *SHORT_FLAGS,
    "MHP_MEMMAP_DEVICE",
    "MHP_MEMMAP_MEMBLOCK",
    "MHP_VMEMMAP_FLAGS",
    "MHP_MEMMAP_ON_MEMORY",
    "MHP_MERGE_RESOURCE",
    "MHP_NID_IS_MGID",
)
_EXPECTED_FLAGS: Final = (
    f"one of: {', '.join(SHORT_FLAGS)}, a kernel name such as MHP_MEMMAP_DEVICE, or a list of them; "
    f"or {OWN_POLICY}, the driver's own"
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One kind of value; an annotation of a record's key.

    Attributes:
        read: returns the checked value or raises ``RefusedError``.
        expected: what is accepted, in words.
        schema: the same as JSON Schema.
        help: what the key means.
    """

    read: Callable[[object], object]
    expected: str
    schema: Mapping[str, Any]
    help: str = ""

    def says(self, text: str) -> Leaf:
        """Return this kind with a description of the one key that uses it."""
        return replace(self, help=text)


def size_schema(minimum: int = 1) -> dict[str, Any]:
    """Return the JSON Schema of a size: bytes as an integer, or text with a unit."""
    number = "(0[xX]0*[1-9a-fA-F][0-9a-fA-F]*|[1-9][0-9]*)" if minimum > 0 else "(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)"
    return {
        "type": ["integer", "string"],
        "minimum": minimum,
        "maximum": (1 << 64) - 1,
        "pattern": f"^\\s*{number}\\s?([KMGTPEkmgtpe]([iI][bB]?)?)?\\s*$",
        "examples": ["128M", "1GiB", "0x8000000"],
    }


def integer(minimum: int = 0, maximum: int | None = None, what: str = "an integer") -> Leaf:
    """Return an integer, decimal or 0x, with inclusive bounds."""
    bounds = {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})
    text = f"{what}, at least {minimum}" if maximum is None else f"{what} from {minimum} to {maximum}"
    read = partial(read_int, minimum=minimum, maximum=maximum, what=what)
    return Leaf(read, text, {"type": "integer", **bounds})


def choice(*words: str) -> Leaf:
    """Return one of some words."""
    return Leaf(partial(read_word, choices=words), one_of(words), {"enum": list(words)})


def _read_flag(value: object) -> str:
    text = read_text(value, empty=False, expected=_EXPECTED_FLAGS)
    if text in SHORT_FLAGS or _KERNEL_FLAG.match(text):
        return text
    raise RefusedError(_EXPECTED_FLAGS, nearest=suggest(text, _KNOWN_FLAGS))


def _read_flags(value: object) -> tuple[object, ...]:
    if not isinstance(value, (SequenceNode, list, tuple)):
        word = read_text(value, empty=False, expected=_EXPECTED_FLAGS)
        return (OWN_POLICY,) if word == OWN_POLICY else (_read_flag(value),)
    if not value:
        raise RefusedError(_EXPECTED_FLAGS)
    return read_list(value, _read_flag, _EXPECTED_FLAGS)


_read_zone = partial(read_word, choices=ZONES)


def _read_zones(value: object) -> tuple[object, ...]:
    if isinstance(value, (SequenceNode, list, tuple)):
        return read_list(value, _read_zone, f"a list of zones, {one_of(ZONES)}")
    return (_read_zone(value),)


def _read_count_or_texts(value: object) -> int | tuple[object, ...]:
    expected = "a number, or a list of names"
    if isinstance(value, (SequenceNode, list, tuple)):
        return read_list(value, partial(read_text, empty=False), expected)
    try:
        return read_int(value)
    except RefusedError as refusal:
        raise RefusedError(refusal.expected.replace("an integer, at least 0", expected)) from None


SIZE: Final = Leaf(read_size, EXPECTED_SIZE, size_schema())
SIZE_OR_NOTHING: Final = Leaf(partial(read_size, minimum=0), f"{EXPECTED_SIZE}, or 0", size_schema(0))
POWER_SIZE: Final = Leaf(partial(read_size, power_of_two=True), f"{EXPECTED_SIZE}, a power of two", size_schema())
_EXPECTED_ADDRESS: Final = "an address such as 0x100000000 or 4G"
ADDRESS: Final = Leaf(
    partial(read_size, minimum=0, what=_EXPECTED_ADDRESS),
    _EXPECTED_ADDRESS,
    size_schema(0) | {"examples": ["0x100000000", "4G"]},
)
NODE: Final = integer(0, MAX_NODE, "a node number")
PAGES: Final = integer(0, None, "a number of pages")
BOOL: Final = Leaf(read_bool, "true or false", {"type": "boolean"})
TEXT: Final = Leaf(read_text, EXPECTED_TEXT, {"type": ["string", "integer", "number", "boolean"]})
PATH: Final = Leaf(
    read_path,
    EXPECTED_PATH,
    {"type": "string", "pattern": r"^((/proc)?/sys/)?(?!\.{0,2}(/|$))[^/]+(/(?!\.{0,2}(/|$))[^/]+)*$"},
)
NAME: Final = Leaf(read_name, EXPECTED_NAME, {"type": "string", "pattern": NAME_PATTERN, "examples": ["dimm0"]})
PLUGIN: Final = Leaf(partial(read_text, empty=False, expected="a name"), "a name", {"type": "string", "minLength": 1})
RANGE: Final = Leaf(
    read_range,
    EXPECTED_RANGE,
    {
        "anyOf": [
            {"type": "string", "pattern": NAME_PATTERN},
            {"type": "string", "pattern": RANGE_PATTERN},
        ],
        "examples": ["dimm0", "block 32", "block 32-35", "0x100000000+1G"],
    },
)
ERRNO: Final = Leaf(read_errno, EXPECTED_ERRNO, {"enum": list(ERRNO_NAMES), "examples": ["EBUSY", "ENOMEM"]})
_FLAG_SCHEMA: Final = {"anyOf": [{"enum": list(SHORT_FLAGS)}, {"type": "string", "pattern": "^MHP_[A-Z0-9_]{1,60}$"}]}
FLAGS: Final = Leaf(
    _read_flags,
    _EXPECTED_FLAGS,
    {"anyOf": [*_FLAG_SCHEMA["anyOf"], {"const": OWN_POLICY}, {"type": "array", "minItems": 1, "items": _FLAG_SCHEMA}]},
)
ZONE_LIST: Final = Leaf(
    _read_zones,
    f"a list of zones, {one_of(ZONES)}",
    {"anyOf": [{"enum": list(ZONES)}, {"type": "array", "items": {"enum": list(ZONES)}}]},
)
COUNT_OR_TEXTS: Final = Leaf(
    _read_count_or_texts,
    "a number, or a list of names",
    {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "array", "items": dict(TEXT.schema)}]},
)
