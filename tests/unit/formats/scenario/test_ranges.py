"""The text form of ranges."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.formats.scenario.ranges import NAME_PATTERN, RANGE_PATTERN, RangeSpec, is_name, parse_range
from memhotplug.formats.scenario.refusal import RefusedError

BLOCK_IDS = st.integers(0, 10**15 - 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("block 32", RangeSpec(kind="block", first=32, last=32)),
        ("block 0-7", RangeSpec(kind="block", first=0, last=7)),
        ("block  5", RangeSpec(kind="block", first=5, last=5)),
        ("0x100000000+1G", RangeSpec(kind="bytes", start=1 << 32, size=1 << 30)),
        ("0X10+0x8000000", RangeSpec(kind="bytes", start=16, size=1 << 27)),
        ("0x0+4096", RangeSpec(kind="bytes", start=0, size=4096)),
        ("0xffffffffffffffff+1", RangeSpec(kind="bytes", start=(1 << 64) - 1, size=1)),
        ("memory32", RangeSpec(kind="block", first=32, last=32)),
        ("memory32-47", RangeSpec(kind="block", first=32, last=47)),
        ("memory32-memory47", RangeSpec(kind="block", first=32, last=47)),
        ("0x0000000100000000-0x000000017fffffff", RangeSpec(kind="bytes", start=1 << 32, size=1 << 31)),
        ("0x0-0x0", RangeSpec(kind="bytes", start=0, size=1)),
        ("dimm0", RangeSpec(kind="name", name="dimm0")),
        ("memory", RangeSpec(kind="name", name="memory")),
        ("memory32-", RangeSpec(kind="name", name="memory32-")),
        ("_a.b:c@d-e", RangeSpec(kind="name", name="_a.b:c@d-e")),
        ("blocks", RangeSpec(kind="name", name="blocks")),
    ],
)
def test_ranges_are_read(text: str, expected: RangeSpec) -> None:
    """Only the fields of a range's kind are set."""
    assert parse_range(text) == expected


FORMS = "a range: a step's name, 'block N', 'block N-M' or 0xSTART+SIZE"


@pytest.mark.parametrize(
    ("text", "expected", "nearest"),
    [
        ("", FORMS, None),
        ("block", FORMS, None),
        ("block x", FORMS, None),
        ("block -1", FORMS, None),
        ("block 1-", FORMS, None),
        ("block 1-2-3", FORMS, None),
        ("block 0x20", FORMS, None),
        ("block 32\n", FORMS, None),
        ("block ٣", FORMS, None),
        ("32", FORMS, "block 32"),
        ("32-35", FORMS, "block 32-35"),
        ("4G+1G", FORMS, None),
        ("0x100000000", FORMS, None),
        ("0x17fffffff-0x100000000", FORMS + ", ascending", "0x100000000-0x17fffffff"),
        (
            "0x100000000-0x180000000",
            "0xFIRST-0xLAST, the last byte inclusive, as lsmem prints it",
            "0x100000000-0x17fffffff",
        ),
        ("0x1 + 1G", FORMS, None),
        ("0x10000000000000000+1", FORMS, None),
        ("dimm 0", FORMS, None),
        ("a" * 65, FORMS, None),
        ("block 032", FORMS + "; a leading zero would be octal in the kernel", None),
        ("block 35-32", FORMS + ", ascending", "block 32-35"),
        ("0x0+0", "0xSTART+SIZE with a size greater than 0", None),
        ("0x0+1X", "0xSTART+SIZE with a size such as 128M, 1GiB or 0x8000000", None),
        (
            "0x0+010",
            "0xSTART+SIZE with a size such as 128M, 1GiB or 0x8000000; "
            "a leading zero would be octal in the kernel, write 10",
            None,
        ),
        ("0xffffffffffffffff+2", "0xSTART+SIZE that ends below 16E", None),
    ],
)
def test_what_is_no_range_is_refused(text: str, expected: str, nearest: str | None) -> None:
    """The message says which forms there are, and guesses where it can."""
    with pytest.raises(RefusedError) as caught:
        parse_range(text)
    assert (caught.value.expected, caught.value.nearest) == (expected, nearest)


@given(BLOCK_IDS, BLOCK_IDS)
def test_block_ranges_survive_a_round_trip(one: int, other: int) -> None:
    """Text and record say the same."""
    spec = RangeSpec.blocks(min(one, other), max(one, other))
    assert parse_range(str(spec)) == spec
    assert re.search(RANGE_PATTERN, str(spec))


@given(st.integers(0, (1 << 63) - 1), st.integers(1, (1 << 63) - 1) | st.sampled_from([1 << n for n in range(63)]))
def test_physical_ranges_survive_a_round_trip(start: int, size: int) -> None:
    """A size is only shortened where nothing is lost."""
    spec = RangeSpec.physical(start, size)
    assert parse_range(str(spec)) == spec
    assert re.search(RANGE_PATTERN, str(spec))


@given(st.from_regex(re.compile(NAME_PATTERN), fullmatch=True).filter(lambda text: not text.endswith("\n")))
def test_names_survive_a_round_trip(name: str) -> None:
    """Whatever may be a name is read as that name, and never as another kind of range."""
    assert is_name(name)
    assert parse_range(name) == RangeSpec.named(name)
    assert str(parse_range(name)) == name


@given(st.text(max_size=30))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    """Nothing else can come out of it."""
    try:
        spec = parse_range(text)
    except RefusedError:
        return
    assert parse_range(str(spec)) == spec


@pytest.mark.parametrize(
    "name", ["", "block", "true", "false", "null", "0", "9lives", "-a", "a b", "a/b", "a\n", "é", "a+b"]
)
def test_odd_names_are_none(name: str) -> None:
    """A name must not look like another kind of range, nor like a path."""
    assert not is_name(name)
