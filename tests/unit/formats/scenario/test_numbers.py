"""Sizes and integers in scenarios: what is read, and what is none."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.scenario.test_values import plain, quoted, refusal

from memhotplug.formats.scenario.values import (
    read_int,
    read_size,
)
from memhotplug.formats.scenario.yamltree import MappingNode, SequenceNode
from memhotplug.units import parse_size

SIZE = "a size such as 128M, 1GiB or 0x8000000"
SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
ENDINGS = st.sampled_from(["", "i", "iB", "I", "IB", "ib"])


@given(st.integers(1, 15), st.sampled_from(sorted(SHIFTS)), ENDINGS, st.booleans(), st.booleans())
def test_sizes_survive_a_round_trip(number: int, letter: str, ending: str, lower: bool, hexadecimal: bool) -> None:
    """Every unit in either case, decimal and hexadecimal, plain and quoted and from Python."""
    digits = f"0x{number:x}" if hexadecimal else str(number)
    if hexadecimal and letter == "E":
        letter = ""  # after 0x it is a digit
    text = digits + (letter + ending if letter else "")
    text = text.lower() if lower else text
    expected = number << SHIFTS[letter]
    for value in (plain(text), quoted(text), text, expected):
        assert read_size(value) == expected


@given(st.integers(1, (1 << 64) - 1))
def test_bytes_without_a_unit_are_sizes(number: int) -> None:
    """Decimal, hexadecimal, and as an integer."""
    assert read_size(plain(str(number))) == read_size(plain(hex(number))) == read_size(number) == number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (plain("0"), SIZE + ", greater than 0"),
        (plain("0G"), SIZE + ", greater than 0"),
        (0, SIZE + ", greater than 0"),
        (plain("-1"), SIZE + "; it is never negative"),
        (quoted("-128M"), SIZE + "; it is never negative"),
        (-1, SIZE + "; it is never negative"),
        (plain("010"), SIZE + "; a leading zero would be octal in the kernel, write 10"),
        (plain("00"), SIZE + "; a leading zero would be octal in the kernel, write 0"),
        (plain("1.5G"), SIZE + "; fractions are not accepted, write the next smaller unit"),
        (plain("16E"), SIZE + ", less than 16E"),
        (1 << 64, SIZE + ", less than 16E"),
        (plain("9" * 50), SIZE + ", less than 16E"),
        (plain("9" * 5000), SIZE),
        (plain("1GB"), SIZE),
        (plain("1:30"), SIZE),
        (plain("1_000"), SIZE),
        (plain("1e3"), SIZE),
        (plain("+1G"), SIZE),
        (plain("i"), SIZE),
        (plain("5i"), SIZE),
        (plain("128\u212a"), SIZE),
        (plain("1G\u0131B"), SIZE),
        (plain("\u0663"), SIZE),
        (plain("true"), SIZE),
        (plain("null"), SIZE),
        (plain(""), SIZE),
        (quoted(""), SIZE),
        (True, SIZE),
        (1.0, SIZE),
        (None, SIZE),
        (b"1G", SIZE),
        (["1G"], SIZE),
        (SequenceNode(), SIZE),
        (MappingNode(), SIZE),
    ],
    ids=repr,
)
def test_what_is_no_size_is_refused(value: object, expected: str) -> None:
    """Zero, negative, octal, fractions, overflow, other alphabets, and everything that is no size at all."""
    assert refusal(read_size, value) == (expected, None)


def test_a_size_can_have_bounds() -> None:
    """Zero where it makes sense, a maximum, a power of two, another name."""
    assert read_size(plain("0"), minimum=0) == 0
    assert refusal(partial(read_size, minimum=4096), plain("1K")) == (SIZE + ", at least 4096", None)
    assert refusal(partial(read_size, maximum=4096), plain("8K")) == (SIZE + ", at most 4096", None)
    assert refusal(partial(read_size, power_of_two=True), plain("3G")) == (SIZE + ", a power of two", None)
    assert refusal(partial(read_size, what="an address"), plain("x")) == ("an address", None)
    assert refusal(partial(read_size, what="an address"), plain("010")) == (
        "an address; a leading zero would be octal in the kernel, write 10",
        None,
    )


@pytest.mark.parametrize("text", ["16E", "0x10000000000000000", "17179869184G", "1" * 30])
def test_parse_size_ends_below_16e(text: str) -> None:
    """A physical address has at most 64 bits."""
    with pytest.raises(ValueError, match="less than 16E"):
        parse_size(text)


def test_numpy_integers_are_integers() -> None:
    """They come out as Python's, so that they neither overflow nor fail to be JSON."""
    for read in (read_size, read_int):
        result = read(np.int32(7))
        assert (result, type(result)) == (7, int)
    assert refusal(read_int, np.float64(7.0)) == ("an integer, at least 0", None)


@given(st.integers(0, (1 << 70)))
def test_integers_are_decimal_or_hexadecimal(number: int) -> None:
    """And nothing else."""
    assert read_int(plain(str(number))) == read_int(plain(hex(number))) == read_int(number) == number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (plain("-1"), "an integer, at least 0"),
        (plain("010"), "an integer, at least 0; a leading zero would be octal in the kernel, write 10"),
        (plain("-07"), "an integer, at least 0; a leading zero would be octal in the kernel, write 7"),
        (plain("1:30"), "an integer, at least 0"),
        (plain("1_000"), "an integer, at least 0"),
        (plain("0o17"), "an integer, at least 0"),
        (plain("0b11"), "an integer, at least 0"),
        (plain("1.0"), "an integer, at least 0"),
        (plain("1e3"), "an integer, at least 0"),
        (plain("+5"), "an integer, at least 0"),
        (plain("1G"), "an integer, at least 0"),
        (plain("\u0663"), "an integer, at least 0"),
        (plain("9" * 5000), "an integer, at least 0"),
        (plain("true"), "an integer, at least 0"),
        (plain(""), "an integer, at least 0"),
        (quoted("5"), "an integer, at least 0, without quotes"),
        (quoted("five"), "an integer, at least 0"),
        ("5", "an integer, at least 0"),
        (True, "an integer, at least 0; a boolean is no number"),
        (5.0, "an integer, at least 0"),
        (None, "an integer, at least 0"),
        ([5], "an integer, at least 0"),
    ],
    ids=repr,
)
def test_what_is_no_integer_is_refused(value: object, expected: str) -> None:
    """Octal, sexagesimal, binary, floats, quoted ones, booleans."""
    assert refusal(read_int, value) == (expected, None)


def test_an_integer_has_bounds() -> None:
    """Both are inclusive, and the message names them."""
    read = partial(read_int, minimum=1, maximum=3, what="a number of legs")
    assert [read(plain("1")), read(3)] == [1, 3]
    assert refusal(read, plain("4")) == ("a number of legs from 1 to 3", None)
    assert refusal(read, 0) == ("a number of legs from 1 to 3", None)
