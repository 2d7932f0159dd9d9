"""Keys that plugins may not take for their own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from memhotplug.formats.scenario.models import AddStep, MachineSpec
from memhotplug.keyspec import COMMON_KEYS, KeySpec


def test_common_keys_are_those_of_the_format() -> None:
    """Every key of an add step and of a machine, and of the step around them."""
    assert COMMON_KEYS["drivers"] == {*AddStep.fields, "fails", "veto"}
    assert set(MachineSpec.fields) - {"rzm"} <= COMMON_KEYS["arch"]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"kind": "number"}, "kind is one of size, int, bool, word, text, size_list, not 'number'"),
        ({"kind": "text", "choices": ("a",)}, "choices belong to a key of kind word, not text"),
        ({"kind": "size_list", "power_of_two": True}, "power_of_two belongs to a key of kind size, not size_list"),
        ({"kind": "int", "power_of_two": True}, "power_of_two belongs to a key of kind size, not int"),
        ({"kind": "int", "replaces_size": True}, "replaces_size belongs to a key of kind size or size_list, not int"),
        ({"kind": "bool", "replaces_size": True}, "replaces_size belongs to a key of kind size or size_list, not bool"),
    ],
)
def test_a_key_that_cannot_be_is_refused_where_it_is_made(keywords: dict[str, Any], message: str) -> None:
    """An author is told at once, not whoever writes the first scenario."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        KeySpec(help="x", **keywords)


@pytest.mark.parametrize(
    "keywords",
    [
        {"kind": "word", "choices": ("a", "b")}, {"kind": "word"}, {"kind": "size", "power_of_two": True},
        {"kind": "size", "replaces_size": True}, {"kind": "size_list", "replaces_size": True},
        {"kind": "int", "minimum": 0, "maximum": 5}, {"kind": "bool"}, {"kind": "text"},
    ],
)  # fmt: skip
def test_keys_of_each_kind_can_be_made(keywords: dict[str, Any]) -> None:
    """With what belongs to the kind; the rest has its default."""
    made = KeySpec(help="x", **keywords)
    plain = {"choices": (), "minimum": None, "maximum": None, "power_of_two": False, "replaces_size": False}
    for name, value in (plain | keywords).items():
        assert getattr(made, name) == value
