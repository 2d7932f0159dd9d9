"""Typed access to a foreign JSON document: what is taken, and what is refused at which place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot.jsondoc import JsonObject, as_array, as_count, as_text, load_json
from memhotplug.formats.snapshot.source import LIMITS, Limits, Source

_SOURCE = Source(file="r.json", place="meta")


def document(**members: object) -> JsonObject:
    """Return an object at the place ``meta``."""
    return JsonObject(members, _SOURCE)


@pytest.mark.parametrize("value", [0, 1, (1 << 64) - 1])
def test_counts_are_integers_of_64_bits(value: int) -> None:
    """Zero is one."""
    assert as_count(value, _SOURCE) == value
    assert document(size=value).count("size") == value
    assert document(size=value).count_or_none("size") == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, "-1"), (1 << 64, "18446744073709551616"), (True, "true"), (False, "false"), (1.0, "1.0"), ("1", '"1"'),
        ([1], "[1]"), ({"a": 1}, '{"a": 1}'),
    ],
)  # fmt: skip
def test_what_is_no_count_is_shown_as_it_was_written(value: object, shown: str) -> None:
    """A boolean is none, nor is a float that happens to be whole."""
    with pytest.raises(InputError) as caught:
        document(size=value).count("size")
    assert str(caught.value) == f"r.json: meta.size: got {shown}, expected a non-negative integer"


@pytest.mark.parametrize(("value", "number"), [(None, None), (0, 0.0), (3, 3.0), (-2.5, -2.5)])
def test_numbers_may_be_anything_with_a_value(value: object, number: float | None) -> None:
    """They are floats then; null is none."""
    assert document(at=value).number_or_none("at") == number
    assert document().number_or_none("at") is None


@pytest.mark.parametrize(("value", "shown"), [(True, "true"), ("1", '"1"'), ([], "[]")])
def test_what_is_no_number_is_refused(value: object, shown: str) -> None:
    """At the place of the key."""
    with pytest.raises(InputError) as caught:
        document(at=value).number_or_none("at")
    assert str(caught.value) == f"r.json: meta.at: got {shown}, expected a number"


def test_null_is_as_good_as_nothing() -> None:
    """For every reader that may have none; those that need it say so."""
    null = document(arch=None)
    assert (null.has("arch"), null.has("x"), document(arch="").has("arch")) == (False, False, True)
    assert (null.text_or_none("arch"), null.count_or_none("arch"), null.texts("arch")) == (None, None, {})
    for read in (null.text, null.count, null.array, null.counts):
        with pytest.raises(InputError) as caught:
            read("arch")
        assert str(caught.value) == "r.json: meta: got none, expected the key 'arch'"


def test_lists_name_the_item_that_is_wrong() -> None:
    """Counts and arrays alike."""
    assert document(ids=[3, 1]).counts("ids") == (3, 1)
    assert document(ids=[]).array("ids") == []
    with pytest.raises(InputError) as caught:
        document(ids=[3, "x"]).counts("ids")
    assert str(caught.value) == 'r.json: meta.ids[1]: got "x", expected a non-negative integer'
    with pytest.raises(InputError) as caught:
        document(ids={"0": 1}).counts("ids")
    assert str(caught.value) == 'r.json: meta.ids: got {"0": 1}, expected an array'


def test_objects_of_strings_name_the_member_that_is_wrong() -> None:
    """Null is no string there."""
    assert document(files={"b": "2", "a": "1"}).texts("files") == {"b": "2", "a": "1"}
    with pytest.raises(InputError) as caught:
        document(files={"a": "1", "b": None}).texts("files")
    assert str(caught.value) == "r.json: meta.files.b: got null, expected a string"
    with pytest.raises(InputError) as caught:
        document(files=["a"]).texts("files")
    assert str(caught.value) == 'r.json: meta.files: got ["a"], expected an object'


@pytest.mark.parametrize(
    ("read", "value", "wanted"), [(as_text, 5, "a string"), (as_array, "x", "an array"), (as_array, {}, "an array")]
)
def test_the_wrong_kind_is_refused(read: object, value: object, wanted: str) -> None:
    """With what would have been taken."""
    with pytest.raises(InputError) as caught:
        read(value, _SOURCE)  # type: ignore[operator]
    assert str(caught.value) == f"r.json: meta: got {json.dumps(value)}, expected {wanted}"


@pytest.mark.parametrize(
    ("length", "shown"), [(58, '"' + "x" * 58 + '"'), (59, '"' + "x" * 56 + "..."), (500, '"' + "x" * 56 + "...")]
)
def test_what_is_shown_has_sixty_characters_at_most(length: int, shown: str) -> None:
    """Quotes included."""
    with pytest.raises(InputError) as caught:
        as_count("x" * length, _SOURCE)
    assert caught.value.got == shown
    assert len(shown) == 60


@pytest.mark.parametrize(("values", "taken"), [(4, True), (5, False)])
def test_a_document_may_have_so_many_values(tmp_path: Path, values: int, taken: bool) -> None:
    """Each has a bracket or a comma of its own; strings are not looked into, which may count some too many."""
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"a": [1] * (values - 2), "b": "" if taken else ","}))
    limits = Limits(json_values=4)
    source = Source(file=str(path))
    if taken:
        assert load_json(source, limits) == {"a": [1, 1], "b": ""}
        return
    with pytest.raises(InputError) as caught:
        load_json(source, limits)
    assert str(caught.value) == f"{path}: got more, expected at most 4 values in a JSON document"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got Expecting value in line 1 column 1, expected a complete JSON document"),
        (b'{"a":\n 1', "got Expecting ',' delimiter in line 2 column 3, expected a complete JSON document"),
        (b'{"a": "\xff"}', "got UnicodeDecodeError, expected a JSON document in UTF-8"),
        (b"[" * 60000, "got more, expected at most 64 levels in a JSON document"),
        (b"[" * 60000 + b"]" * 60000, "got more, expected at most 64 levels in a JSON document"),
        (b'{"a":' * 65 + b"0" + b"}" * 65, "got more, expected at most 64 levels in a JSON document"),
    ],
)
def test_damaged_documents_say_where(tmp_path: Path, data: bytes, message: str) -> None:
    """Line and column as far as the parser got."""
    path = tmp_path / "d.json"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        load_json(Source(file=str(path)), LIMITS)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_members_know_their_place() -> None:
    """However deep they are; what is no object is refused there."""
    step = JsonObject({"op": {"size": -1, "more": 5}}, _SOURCE.at("steps"), 3)
    assert (step.source, step.member("op").source) == (_SOURCE.at("steps[3]"), _SOURCE.at("steps[3].op"))
    with pytest.raises(InputError, match=r"^r.json: steps\[3\].op.size: got -1, expected a non-negative integer$"):
        step.member("op").count("size")
    with pytest.raises(InputError, match=r"^r.json: steps\[3\].op.more: got 5, expected an object$"):
        step.member("op").member("more")
    with pytest.raises(InputError, match=r"^r.json: steps\[3\]: got none, expected the key 'meta'$"):
        step.member("meta")
