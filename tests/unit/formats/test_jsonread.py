"""JSON from elsewhere: as deep as documents are, and no deeper under any Python."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.formats.jsonread import MAX_DEPTH, TooDeepError, parse_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\\nab'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\n'), inner, max_size=3),
)


def _nested(levels: int, inside: str = "") -> str:
    return "[" * levels + inside + "]" * levels


@given(_VALUES, st.integers(min_value=0, max_value=2 * MAX_DEPTH))
def test_levels_are_counted_whatever_strings_hold(value: object, levels: int) -> None:
    """Brackets, quotes and backslashes inside strings are no levels."""
    deepest = levels + _depth(value)
    text = _nested(levels, json.dumps(value))
    if deepest > MAX_DEPTH:
        with pytest.raises(TooDeepError, match=r"^more than 64 levels$"):
            parse_json(text)
        return
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "}", '{"a":' * 100_000, _nested(100_000)])
def test_a_deep_document_is_refused_before_it_is_parsed(text: str) -> None:
    """Whole or cut off: no Python gets to the end of its stack."""
    with pytest.raises(TooDeepError):
        parse_json(text)


@pytest.mark.parametrize("text", ["[", "[}", "]" * 1000, '["' + "[" * 1000, "[}" * 1000])
def test_what_is_damaged_is_told_by_the_parser(text: str) -> None:
    """It knows line and column."""
    with pytest.raises(json.JSONDecodeError):
        parse_json(text)


def test_a_byte_order_mark_may_stand_first() -> None:
    """As some editors write it."""
    assert parse_json("\ufeff[1]") == parse_json("\ufeff[1]".encode()) == [1]


def test_what_is_no_utf8_is_a_value_error() -> None:
    """Whoever reads says what it wanted."""
    with pytest.raises(UnicodeDecodeError):
        parse_json(b'"\xff"')
