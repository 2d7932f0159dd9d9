"""Single values: the same reader for YAML scalars and for values from Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import errno_name
from memhotplug.formats.scenario.check import read_key
from memhotplug.formats.scenario.ranges import RangeSpec
from memhotplug.formats.scenario.refusal import RefusedError, cut, suggest
from memhotplug.formats.scenario.values import (
    read_bool,
    read_errno,
    read_int,
    read_list,
    read_name,
    read_path,
    read_range,
    read_text,
    read_word,
    show,
)
from memhotplug.formats.scenario.yamltree import MappingNode, ScalarNode, SequenceNode
from memhotplug.keyspec import KeySpec

SIZE = "a size such as 128M, 1GiB or 0x8000000"


def plain(text: str) -> ScalarNode:
    """A plain scalar."""
    return ScalarNode(text)


def quoted(text: str) -> ScalarNode:
    """A quoted scalar."""
    return ScalarNode(text, quoted=True)


def refusal(read: Callable[[object], object], value: object) -> tuple[str, str | None]:
    """Return what the reader expected, and what it thinks was meant."""
    with pytest.raises(RefusedError) as caught:
        read(value)
    return caught.value.expected, caught.value.nearest


@pytest.mark.parametrize(
    ("value", "expected", "nearest"),
    [
        (plain("on"), "true or false", "true"),
        (plain("off"), "true or false", "false"),
        (plain("yes"), "true or false", "true"),
        (plain("No"), "true or false", "false"),
        (plain("TRUE"), "true or false", "true"),
        (plain("False"), "true or false", "false"),
        (quoted("true"), "true or false, without quotes", "true"),
        (quoted("x"), "true or false", None),
        (plain("1"), "true or false", None),
        (plain(""), "true or false", None),
        (1, "true or false", None),
        ("true", "true or false", None),
        (None, "true or false", None),
    ],
    ids=repr,
)
def test_only_true_and_false_are_booleans(value: object, expected: str, nearest: str | None) -> None:
    """What YAML 1.1 takes for one is refused, with a hint."""
    assert refusal(read_bool, value) == (expected, nearest)


def test_booleans_are_read() -> None:
    """From YAML and from Python."""
    assert [read_bool(value) for value in (plain("true"), plain("false"), True, False)] == [True, False, True, False]


def test_words_are_read_quoted_or_not() -> None:
    """In the place of a word, on is a word."""
    read = partial(read_word, choices=("on", "off", "auto"))
    assert [read(value) for value in (plain("on"), quoted("off"), "auto")] == ["on", "off", "auto"]
    assert refusal(read, plain("autoo")) == ("one of: on, off, auto", "auto")
    assert refusal(read, plain("ON")) == ("one of: on, off, auto", "on")
    assert refusal(read, True) == ("one of: on, off, auto", None)
    assert refusal(read, SequenceNode()) == ("one of: on, off, auto", None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (plain("0x10"), "0x10"),
        (plain("010"), "010"),
        (plain("on"), "on"),
        (plain("true"), "true"),
        (quoted(""), ""),
        (quoted("null"), "null"),
        (quoted("a\nb"), "a\nb"),
        ("x", "x"),
        (5, "5"),
    ],
    ids=repr,
)
def test_text_is_what_was_typed(value: object, text: str) -> None:
    """Numbers and booleans included; integers from Python as well."""
    assert read_text(value) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (plain(""), 'text; write "" for an empty text'),
        (plain("~"), 'text; write "" for an empty text'),
        (None, "text"),
        (True, "text"),
        (1.5, "text"),
        (b"x", "text"),
        ("a\0b", "text without NUL characters"),
        (MappingNode(), "text"),
    ],
    ids=repr,
)
def test_what_is_no_text_is_refused(value: object, expected: str) -> None:
    """Nothing is not the empty text."""
    assert refusal(read_text, value) == (expected, None)


def test_text_can_be_required_not_to_be_empty() -> None:
    """Then there is no hint how to write an empty one."""
    read = partial(read_text, empty=False, expected="a word")
    assert refusal(read, quoted("")) == refusal(read, plain("")) == ("a word", None)


@pytest.mark.parametrize(
    "path", ["memory/auto_online_blocks", "/sys/devices/system/memory/probe", "/proc/sys/vm/x", "node/node0", "x"]
)
def test_sysfs_paths_are_kept_as_given(path: str) -> None:
    """Relative ones are below /sys/devices/system; that is the runner's business."""
    assert read_path(plain(path)) == read_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/sys",
        "/sys/",
        "/proc/x",
        "/proc/sys",
        "/proc/sys/",
        "/proc/sys//x",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        ".",
        "/sys//x",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    """Nothing outside of sysfs and of the kernel's parameters, and no detours."""
    expected = (
        "an attribute below /sys/devices/system, such as memory/auto_online_blocks, or a path from /sys/ or /proc/sys/"
    )
    assert refusal(read_path, quoted(path)) == (expected, None)


@pytest.mark.parametrize(
    "value", [plain("1"), plain("0x10"), plain("true"), plain("null"), 1, True, None, ["a"]], ids=repr
)
def test_numbers_and_booleans_are_no_paths(value: object) -> None:
    """Quoted, they would be."""
    expected = (
        "an attribute below /sys/devices/system, such as memory/auto_online_blocks, or a path from /sys/ or /proc/sys/"
    )
    assert refusal(read_path, value) == (expected, None)
    assert read_path(quoted("1")) == "1"


def test_errnos_are_names() -> None:
    """Aliases come out as the one name that errors carry."""
    assert read_errno(plain("EBUSY")) == read_errno("EBUSY") == "EBUSY"
    assert read_errno(plain("EWOULDBLOCK")) == "EAGAIN"
    assert read_errno("EOPNOTSUPP") == errno_name(95)
    assert refusal(read_errno, plain("EBUZY")) == ("an errno name such as EBUSY", "EBUSY")
    assert refusal(read_errno, plain("ebusy")) == ("an errno name such as EBUSY", "EBUSY")
    assert refusal(read_errno, plain("16")) == ("an errno name such as EBUSY", None)
    assert refusal(read_errno, 16) == ("an errno name such as EBUSY", None)
    assert refusal(read_errno, None) == ("an errno name such as EBUSY", None)


def test_names_are_read() -> None:
    """A number is no name, quoted or not."""
    assert read_name(plain("dimm0")) == read_name("dimm0") == "dimm0"
    expected = "a name such as dimm0: a letter, then letters, digits and _ . : @ -, at most 64"
    for value in (plain("1"), quoted(""), plain("null"), 1, None, True):
        assert refusal(read_name, value) == (expected, None)


def test_ranges_are_read_from_yaml_and_python() -> None:
    """A record of a range is one already; a bare number is not."""
    spec = RangeSpec.blocks(3)
    assert read_range(plain("block 3")) == read_range("block 3") == read_range(spec) == spec
    for value in (plain("3"), 3, quoted("3")):
        assert refusal(read_range, value)[1] == "block 3"
    for other in (None, True, 1 << 70, [3], plain("")):
        assert refusal(read_range, other)[1] is None


def test_a_refusal_in_a_list_says_which_item() -> None:
    """So that the error is at the item, not at the list."""
    with pytest.raises(RefusedError) as caught:
        read_list([1, 2, "x"], read_int, "a list of integers")
    assert caught.value.where == (2,)
    with pytest.raises(RefusedError) as caught:
        read_list([1, SequenceNode()], read_int, "a list of integers")
    assert (caught.value.where, caught.value.expected) == ((1,), "a list of integers")
    assert refusal(lambda value: read_list(value, read_int, "a list"), 5) == ("a list", None)


@pytest.mark.parametrize(
    ("spec", "value", "result"),
    [
        (KeySpec("size", ""), "1G", 1 << 30),
        (KeySpec("size", "", minimum=0), 0, 0),
        (KeySpec("int", ""), 5, 5),
        (KeySpec("int", "", minimum=-5), plain("-5"), -5),
        (KeySpec("bool", ""), plain("false"), False),
        (KeySpec("word", "", choices=("a", "b")), "b", "b"),
        (KeySpec("word", ""), plain("anything"), "anything"),
        (KeySpec("text", ""), quoted(""), ""),
        (KeySpec("size_list", ""), ["1K", 2], (1024, 2)),
    ],
    ids=repr,
)
def test_a_drivers_own_keys_are_read_by_kind(spec: KeySpec, value: object, result: object) -> None:
    """Sizes in bytes, lists as tuples."""
    assert read_key(spec, value) == result


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        (KeySpec("size", ""), 0, SIZE + ", greater than 0"),
        (KeySpec("size", "", maximum=10), 11, SIZE + ", at most 10"),
        (KeySpec("int", "", maximum=3), 4, "an integer from 0 to 3"),
        (KeySpec("bool", ""), 1, "true or false"),
        (KeySpec("word", "", choices=("a",)), "c", "a"),
        (KeySpec("word", ""), "", "a word"),
        (KeySpec("text", ""), None, "text"),
        (KeySpec("size_list", ""), "1G", f"a list of sizes, each {SIZE}"),
        (KeySpec("size_list", ""), [], f"a list of sizes, each {SIZE}"),
        (KeySpec("size_list", ""), [1, 0], SIZE + ", greater than 0"),
    ],
    ids=repr,
)
def test_a_drivers_own_keys_are_checked(spec: KeySpec, value: object, expected: str) -> None:
    """By the readers that check all other keys."""
    assert refusal(partial(read_key, spec), value)[0] == expected


def test_a_key_declaration_must_make_sense() -> None:
    """A driver's author learns it when the driver is imported."""
    with pytest.raises(ValueError, match="choices belong to a key of kind word, not int"):
        KeySpec("int", "", choices=("a",))
    with pytest.raises(ValueError, match="replaces_size belongs to a key of kind size or size_list, not bool"):
        KeySpec("bool", "", replaces_size=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (plain("1X"), "1X"),
        (quoted("1X"), "'1X'"),
        (plain(""), "nothing"),
        (plain("null"), "null"),
        (quoted(""), "''"),
        (quoted("a\nb\x1b"), "'a\\nb\\x1b'"),
        (SequenceNode(), "a list"),
        (MappingNode(), "a mapping"),
        ((1, 2), "a list"),
        ({}, "a mapping"),
        (None, "nothing"),
        (True, "True"),
        (5, "5"),
        (1 << 5000, "a number of more than 256 bits"),
        ("x" * 100, "'" + "x" * 78 + "…"),
        (b"x", "b'x'"),
        (object(), "a value of type object"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_are_shown_short_and_printable(value: object, shown: str) -> None:
    """A message is one line, whatever was given."""
    assert show(value) == shown


@given(st.text(max_size=300))
def test_cut_text_is_printable_and_short(text: str) -> None:
    """At most 80 characters, without line breaks and control characters."""
    assert len(cut(text)) <= 80
    assert cut(text).isprintable()


def test_nothing_is_suggested_for_what_is_no_word() -> None:
    """Comparing megabytes with names would take minutes."""
    assert suggest("a" * 1_000_000, ["a"]) is None
    assert suggest("", ["a"]) is None
    assert suggest("movabel", ["movable"]) == "movable"
