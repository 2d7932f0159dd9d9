"""Hook calls as lines for plugin authors: short, the same in every run, and never more than a line."""

from __future__ import annotations

import errno
from collections.abc import Mapping

import numpy as np
import pytest

from memhotplug.contracts import AddRequest, LazyRanges, PhysRange
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.zones import ZoneKind
from memhotplug.output.hooktrace import trace_line

_RANGE = PhysRange(start=1 << 32, size=128 << 20, nid=0)


def answered(answer: object) -> str:
    """Return how an answer is shown."""
    return trace_line("acme", "hook", {}, answer).removeprefix("acme: hook() -> ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        (True, "True"),
        (0, "0"),
        (4095, "4095"),
        (4096, "0x1000"),
        (-4096, "-4096"),
        (1 << 32, "0x100000000"),
        (ZoneKind.MOVABLE, "<ZoneKind.MOVABLE: 3>"),
        (1.5, "1.5"),
        ("two\nlines", "'two\\nlines'"),
        (_RANGE, "0x100000000+128M"),
        (AddRequest(driver="acpi", name="dimm0", size=1 << 30), "dimm0 1G"),
        (MemoryHotplugError(errno.EBUSY, "no way"), "EBUSY: no way"),
        ([], "[]"),
        ((), "[]"),
        ([1], "[1]"),
        ([_RANGE, _RANGE, 5000], "[0x100000000+128M, 0x100000000+128M, 0x1388]"),
        ([_RANGE] * 4, "[0x100000000+128M, … 4]"),
        (range(4096, 9000), "[0x1000, … 4904]"),
        (["a", ("b", 5)], "['a', ['b', 5]]"),
        ({"a": 1}, "{'a': 1}"),
        (LazyRanges(range(5), lambda place: PhysRange(start=place << 30, size=1 << 30)), "[0x0+1G, … 5]"),
    ],
)
def test_values_are_short(value: object, shown: str) -> None:
    """Addresses and sizes as people read them; of long lists the first and how many there are."""
    assert answered(value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("x" * 58, "'" + "x" * 58 + "'"), ("x" * 59, "'" + "x" * 58 + "…"), ("x" * 500, "'" + "x" * 58 + "…")],
)
def test_sixty_characters_are_shown(text: str, shown: str) -> None:
    """Quotes included; what is left out is one more character."""
    assert answered(text) == shown
    assert len(answered(text)) == 60


def test_where_an_object_lies_is_not_said() -> None:
    """It is another place in each process; what looks like an address otherwise stays."""
    assert answered(object()) == "<object object>"
    assert "0x" not in answered(test_where_an_object_lies_is_not_said)
    assert answered("at 0x12345 and at 0x123456") == "'at 0x12345 and'"


def test_several_lines_become_one() -> None:
    """As an array of two rows prints itself."""
    assert answered(np.array([[1, 2], [3, 4]])) == "array([[1, 2], [3, 4]])"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "acme: driver_add() -> None"),
        ({"kernel": object()}, "acme: driver_add() -> None"),
        ({"kernel": 1, "start": 4096, "word": "x"}, "acme: driver_add(start=0x1000, word='x') -> None"),
        ({"kernels": 1}, "acme: driver_add(kernels=1) -> None"),
    ],
)
def test_arguments_come_by_name_without_the_kernel(arguments: Mapping[str, object], line: str) -> None:
    """In the order of the call; the machine would be a line of its own each time."""
    assert trace_line("acme", "driver_add", arguments, None) == line
