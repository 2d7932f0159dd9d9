"""JSON as the program writes it: one entry of a list on a line, and whatever plugins put into it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.output import jsontext
from memhotplug.output.jsontext import render

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "{\n\n}\n"),
        ({"a": 1}, '{\n"a": 1\n}\n'),
        ({"b": 1, "a": None}, '{\n"b": 1,\n"a": null\n}\n'),
        ({"a": []}, '{\n"a": []\n}\n'),
        ({"a": ()}, '{\n"a": []\n}\n'),
        ({"a": [1, {"b": [2, 3]}]}, '{\n"a": [\n1,\n{"b": [2, 3]}\n]\n}\n'),
        ({"a": (1,)}, '{\n"a": [\n1\n]\n}\n'),
        ({"a": {"b": [1]}}, '{\n"a": {"b": [1]}\n}\n'),
        ({"ä\n": "ö"}, '{\n"\\u00e4\\n": "\\u00f6"\n}\n'),
    ],
)
def test_members_keep_their_order_and_lists_have_lines(document: dict[str, object], text: str) -> None:
    """Only the lists of the outermost object; all of it is ASCII."""
    assert render(document) == text


def test_a_record_is_one_line() -> None:
    """Whatever is in it."""
    assert jsontext.render_line({"a": [1, 2], "b": "x\ny"}) == '{"a": [1, 2], "b": "x\\ny"}\n'
    assert jsontext.render_line({}) == "{}\n"


@given(st.dictionaries(st.text(max_size=5), _PLAIN, max_size=5))
def test_what_is_written_reads_back(document: dict[str, object]) -> None:
    """By any reader of JSON, as an object or as a line."""
    assert json.loads(render(document)) == document
    line = jsontext.render_line(document)
    assert json.loads(line) == document
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(5), "5"), (np.bool_(True), "true"), (np.float64(1.5), "1.5"), (np.array(7), "7"),
        (np.array([1, 2]), '"[1 2]"'), (complex(1, 2), '"(1+2j)"'), (ValueError("x"), '"x"'), ({1, }, '"{1}"'),
    ],
)  # fmt: skip
def test_what_plugins_put_into_an_event_is_plain(value: object, text: str) -> None:
    """NumPy's numbers are numbers; of everything else its text."""
    assert jsontext.render_line({"a": value}) == f'{{"a": {text}}}\n'
