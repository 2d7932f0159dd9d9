"""Sizes, ranges and block lists as people type and read them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.units import (
    div_round_up,
    format_blocks,
    format_range,
    format_size,
    is_aligned,
    is_power_of_two,
    kstrtobool,
    parse_size,
    partial_windows,
    round_down,
    round_up,
)

EXPECTED = "a size such as 128M, 1GiB or 0x8000000"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("4096", 4096),
        ("0x8000000", 128 << 20),
        ("0X10", 16),
        ("128M", 128 << 20),
        ("128m", 128 << 20),
        ("1GiB", 1 << 30),
        ("1Gi", 1 << 30),
        ("1 GiB", 1 << 30),
        (" 4K ", 4096),
        ("0x10K", 16 << 10),
        ("2T", 2 << 40),
        ("3P", 3 << 50),
        ("15E", 15 << 60),
    ],
)
def test_parse_size_reads_what_memparse_reads(text: str, value: int) -> None:
    """Decimal and hexadecimal numbers with binary suffixes are bytes."""
    assert parse_size(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", EXPECTED),
        ("M", EXPECTED),
        ("12Q", EXPECTED),
        ("12KB", EXPECTED),
        ("12iB", EXPECTED),
        ("1_000", EXPECTED),
        ("1\u212a", EXPECTED),
        ("\u0661", EXPECTED),
        ("-1G", f"{EXPECTED}; it is never negative"),
        ("1.5G", f"{EXPECTED}; fractions are not accepted, write the next smaller unit"),
        ("010M", f"{EXPECTED}; a leading zero would be octal in the kernel, write 10"),
        ("00", f"{EXPECTED}; a leading zero would be octal in the kernel, write 0"),
        ("16E", f"{EXPECTED}, less than 16E"),
        ("0x" + "f" * 100, EXPECTED),
    ],
)
def test_parse_size_refuses_everything_else(text: str, message: str) -> None:
    """The message says what was expected and, where there is one, the hint."""
    with pytest.raises(ValueError, match=r".*") as caught:
        parse_size(text)

    assert str(caught.value) == message


def test_parse_size_wants_a_unit_on_the_command_line() -> None:
    """A bare number is refused with both likely meanings."""
    with pytest.raises(ValueError, match=r".*") as caught:
        parse_size("512", bare=False)

    assert str(caught.value) == "a size with a unit; did you mean 512M or 512G?"
    assert parse_size("512M", bare=False) == 512 << 20


@given(st.integers(0, (1 << 14) - 1), st.sampled_from("KMGTPE"))
def test_parse_size_is_a_shift_by_the_suffix(number: int, suffix: str) -> None:
    """NUMBER SUFFIX is NUMBER times 1024 to the suffix's rank, whatever the case and the form."""
    value = number << (10 * (1 + "KMGTPE".index(suffix)))
    if value >= 1 << 64:
        return

    for text in (f"{number}{suffix}", f"{number}{suffix.lower()}", f"{number}{suffix}iB"):
        assert parse_size(text) == value
    if suffix != "E":  # a digit after 0x
        assert parse_size(f"{number:#x}{suffix}i") == value


@pytest.mark.parametrize(
    ("nr_bytes", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1536, "1.5K"),
        (128 << 20, "128M"),
        (16750372454, "15.6G"),
        ((1 << 30) - 1, "1024M"),
        ((1 << 30) + (1 << 24), "1G"),
        (1 << 40, "1T"),
        (8 << 60, "8E"),
    ],
)
def test_format_size_prints_as_lsmem_does(nr_bytes: int, text: str) -> None:
    """One letter and at most one decimal, rounded."""
    assert format_size(nr_bytes) == text


@given(st.integers(0, (1 << 63) - 1))
def test_format_size_reads_back_within_a_twentieth_of_the_unit(nr_bytes: int) -> None:
    """What is printed is what is there, rounded to a tenth of the unit."""
    text = format_size(nr_bytes)
    unit = 1 << 10 * "BKMGTPE".index(text[-1])

    assert abs(float(text[:-1]) * unit - nr_bytes) <= unit * 0.051 + nr_bytes * 1e-9


def test_format_range_is_inclusive_with_16_digits() -> None:
    """The end is the last byte, as in lsmem."""
    assert format_range(0x1_0000_0000, 128 << 20) == "0x0000000100000000-0x0000000107ffffff"


@pytest.mark.parametrize(
    ("ids", "text"), [([], ""), ([3], "3"), ([3, 4], "3-4"), ([32, 33, 34, 39], "32-34,39"), ([0, 2, 4], "0,2,4")]
)
def test_format_blocks_joins_neighbours(ids: list[int], text: str) -> None:
    """Runs print as first-last, single blocks by themselves."""
    assert format_blocks(ids) == text


@given(st.sets(st.integers(0, 60)))
def test_format_blocks_names_exactly_the_blocks(ids: set[int]) -> None:
    """Reading the text back gives the same blocks, and no two parts touch."""
    text = format_blocks(sorted(ids))

    parts = [tuple(int(end) for end in part.split("-")) for part in text.split(",") if part]
    assert [block for part in parts for block in range(part[0], part[-1] + 1)] == sorted(ids)
    assert all(left[-1] + 1 < right[0] for left, right in pairwise(parts))


@given(st.integers(0, 1 << 60), st.integers(1, 1 << 40))
def test_rounding_encloses_the_value(value: int, multiple: int) -> None:
    """down <= value <= up, both multiples, and less than one multiple apart unless aligned."""
    down, up = round_down(value, multiple), round_up(value, multiple)

    assert down <= value <= up
    assert is_aligned(down, multiple)
    assert is_aligned(up, multiple)
    assert up - down == (0 if is_aligned(value, multiple) else multiple)


@given(st.integers(0, 1 << 62), st.integers(1, 1 << 30))
def test_div_round_up_is_the_fewest_that_reach(value: int, divisor: int) -> None:
    """One less falls short."""
    times = div_round_up(value, divisor)

    assert times * divisor >= value
    assert times == 0 or (times - 1) * divisor < value
    assert times * divisor == round_up(value, divisor)


def test_arrays_are_rounded_value_by_value() -> None:
    """As each value alone; what goes in stays as it was."""
    values = np.array([0, 1, 7, 8, 9, (1 << 52) - 1], dtype=np.int64)
    before = values.copy()

    assert div_round_up(values, 8).tolist() == [div_round_up(int(value), 8) for value in values]
    assert round_up(values, 8).tolist() == [0, 8, 8, 8, 16, 1 << 52]
    assert round_down(values, 8).tolist() == [0, 0, 0, 8, 8, (1 << 52) - 8]
    assert values.tolist() == before.tolist()


def test_is_power_of_two() -> None:
    """Only 1, 2, 4 … are; zero and negative numbers are not."""
    assert [value for value in range(-4, 20) if is_power_of_two(value)] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("1", "y", "Y", "yes", "t", "True", "on", "ON", "oN\n", "1junk"), True),
        (("0", "n", "N", "no", "f", "force", "off", "OFF", "of"), False),
        (("", "o", "x", "maybe", "2", " y", "\n"), None),
    ],
)
def test_the_first_letter_is_a_bool(words: tuple[str, ...], value: bool | None) -> None:
    """After an o the second one counts, too."""
    assert {kstrtobool(word) for word in words} == {value}


@given(
    st.integers(min_value=0, max_value=300),
    st.integers(min_value=1, max_value=300),
    st.integers(min_value=1, max_value=64),
    st.integers(min_value=0, max_value=3),
)
def test_partial_windows_are_those_that_no_leaf_maps(start: int, size: int, window: int, steps: int) -> None:
    """Window by window: one that lies whole in the range has a leaf, any other that is touched needs a table."""
    end = start + size
    found = [
        number for low, high in partial_windows(start, end, window, step=steps * window) for number in range(low, high)
    ]
    touched = range(start // window, (end - 1) // window + 1)

    assert found == [number for number in touched if number * window < start or (number + 1) * window > end]
    assert partial_windows(start, end, window, step=window + 1) == [(touched.start, touched.stop)] or window == 1
