"""Tables and lines for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.output.tables import HEAD, folded, table

MEMORY = ("RANGE", "SIZE", "REMOVABLE", "ZONES", "DEVICE")
ROWS = [
    ["0x0000000000000000-0x0000000007ffffff", "128M", "no", "None", "-"],
    ["0x0000000138000000-0x000000013fffffff", "128M", "-", "Movable/Normal", "dimm0"],
]


def fitted(width: int | None) -> list[str]:
    """Return the table of memory in so many columns."""
    return table(MEMORY, ROWS, ("RANGE", "DEVICE"), width=width, short={"REMOVABLE": "REMOV"})


def test_a_table_is_aligned_as_lsmem_does_it() -> None:
    """To the right, but for the columns that are named; no blanks at the end of a line."""
    assert table(("A", "LONG", "Z"), [("1", "2", ""), ("333", "44444", "x")], ("A", "Z")) == [
        "A    LONG Z",
        "1       2",
        "333 44444 x",
    ]


REASONS = (("NAME", "WHY"), [["a", "one two three four five six seven eight nine"], ["bb", "-"]], ("NAME", "WHY"))


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, ["NAME WHY", "a    one two three four five six seven eight nine", "bb   -"]),
        (80, ["NAME WHY", "a    one two three four five six seven eight nine", "bb   -"]),
        (42, ["NAME WHY", "a    one two three four five six seven", "     eight nine", "bb   -"]),
        (30, ["NAME", "a", "    one two three four five", "    six seven eight nine", "bb"]),
    ],
)
def test_prose_in_the_last_column_is_folded_or_put_below(width: int | None, lines: list[str]) -> None:
    """Between words and under its header; where that would be a narrow strip, on lines of its own."""
    assert table(*REASONS, width=width) == lines


@pytest.mark.parametrize(
    ("prose", "lines"),
    [
        (50, ["NAME WHY", "a    one two three four five six seven eight nine", "bb   -"]),
        (46, ["NAME WHY", "a    one two three four five six seven eight", "     nine", "bb   -"]),
        (20, ["NAME WHY", "a    one two three four five six seven eight", "     nine", "bb   -"]),
    ],
)
def test_prose_may_be_folded_where_there_is_no_terminal(prose: int, lines: list[str]) -> None:
    """Beside the other columns, which stay whole, in 40 columns at least; nothing else is folded for it."""
    assert table(*REASONS, prose=prose) == lines
    assert table(MEMORY, ROWS, ("RANGE", "DEVICE"), prose=prose) == fitted(None)


def test_what_fits_stays_as_it_is() -> None:
    """Also to the last column."""
    wide = fitted(None)
    assert max(map(len, wide)) == len("RANGE                                 SIZE REMOVABLE          ZONES DEVICE")
    assert fitted(len(wide[0])) == wide


def test_a_narrow_terminal_loses_zeros_first() -> None:
    """As many as all addresses of a column have, so that they stay aligned; headers become shorter."""
    assert fitted(60) == [
        "RANGE                   SIZE REMOV          ZONES DEVICE",
        "0x000000000-0x007ffffff 128M    no           None -",
        "0x138000000-0x13fffffff 128M     - Movable/Normal dimm0",
    ]


def test_then_as_few_cells_as_possible_are_broken() -> None:
    """Where words are joined, the last part below the first."""
    assert fitted(52) == [
        "RANGE                   SIZE REMOV    ZONES DEVICE",
        "0x000000000-0x007ffffff 128M    no     None -",
        "0x138000000-0x13fffffff 128M     - Movable/ dimm0",
        "                                     Normal",
    ]


def test_names_are_broken_inside_only_if_nothing_else_helps() -> None:
    """At an underscore, but at no point in a number."""
    rows = [["memmap_on_memory,nid_is_mgid", "1.8G"]]
    assert table(("FLAGS", "SIZE"), rows, ("FLAGS",), width=24) == [
        "FLAGS             SIZE",
        "memmap_on_memory, 1.8G",
        "nid_is_mgid",
    ]
    assert table(("FLAGS", "SIZE"), rows, ("FLAGS",), width=16)[1:] == [
        "memmap_on_  1.8G",
        "memory,nid_",
        "is_mgid",
    ]


def test_a_terminal_of_20_columns_gets_lists() -> None:
    """A cell a line, a row after the other; nothing is lost."""
    lines = fitted(20)
    assert lines[:6] == [
        "RANGE",
        "    0x000000000-0x007ffffff",
        "SIZE      128M",
        "REMOVABLE no",
        "ZONES     None",
        "DEVICE    -",
    ]
    assert lines[6] == ""


def test_colour_changes_nothing_else() -> None:
    """Only headers have one."""
    painted = table(MEMORY, ROWS, ("RANGE", "DEVICE"), lambda text, style: f"<{style}>{text}", width=60,
                    short={"REMOVABLE": "REMOV"})  # fmt: skip
    assert [line.removeprefix(f"<{HEAD}>") for line in painted] == fitted(60)
    assert sum(line.startswith("<") for line in painted) == 1


CELL = st.text("ab1 /_-,.", min_size=1, max_size=30)


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=4), st.integers(8, 90))
def test_nothing_is_lost_whatever_the_width(rows: list[tuple[str, str, str]], width: int) -> None:
    """What is no blank comes out as often as it goes in, in a table of any width; a lone dash means nothing."""
    lines = table(("ONE", "TWO", "THREE"), rows, ("ONE",), width=width)
    shown = "".join(lines)
    for letter in "ab1_,.":
        assert shown.count(letter) == sum(cell.count(letter) for row in rows for cell in row)


def test_a_long_line_is_folded_under_itself() -> None:
    """Behind its own indent and four more; double blanks stay inside a line."""
    assert folded("remove dimm0  blocks 32-39  ok (EBUSY as expected: not offline)", 40) == [
        "remove dimm0  blocks 32-39  ok (EBUSY as",
        "    expected: not offline)",
    ]
    assert folded("    driver: nothing was done at all", 24) == ["    driver: nothing was", "        done at all"]


@pytest.mark.parametrize("width", [None, 12, 80])
def test_a_line_that_fits_stays(width: int | None) -> None:
    """Colours take no room."""
    line = "\x1b[32mok\x1b[0m  all good"
    assert folded(line, width) == [line]
    assert folded("", width) == [""]


def test_a_word_that_is_too_long_stays_whole() -> None:
    """Whoever copies it gets all of it."""
    assert folded("a 0x0000000138000000-0x000000013fffffff b", 10) == [
        "a",
        "    0x0000000138000000-0x000000013fffffff",
        "    b",
    ]
