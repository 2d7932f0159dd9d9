"""Tables for people."""

from __future__ import annotations

import pytest

from memhotplug.output.tables import table


def test_a_table_is_aligned_as_lsmem_does_it() -> None:
    """To the right, but for the columns that are named; no blanks at the end of a line."""
    assert table(("A", "LONG", "Z"), [("1", "2", ""), ("333", "44444", "x")], ("A", "Z")) == [
        "A    LONG Z",
        "1       2",
        "333 44444 x",
    ]


REASONS = (("NAME", "WHY"), [["a", "one two three four five six seven"], ["bb", "short"]], ("NAME", "WHY"))


@pytest.mark.parametrize(
    ("width", "rows"),
    [
        (None, ["a    one two three four five six seven", "bb   short"]),
        (80, ["a    one two three four five six seven", "bb   short"]),
        (30, ["a    one two three four five", "     six seven", "bb   short"]),
        (20, ["a    one two three four five six seven", "bb   short"]),
    ],
)
def test_a_terminal_gets_the_last_column_folded(width: int | None, rows: list[str]) -> None:
    """Between words and under its header; not into a strip too narrow for words."""
    assert table(*REASONS, width=width) == ["NAME WHY", *rows]
