"""The tree of a YAML file: what it remembers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.scenario import yamltree
from memhotplug.formats.scenario.yamltree import MappingNode, Node, ScalarNode, SequenceNode, parse_tree, read_tree

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


def dump(node: Node) -> object:
    """Return a node with all its places, comparable."""
    if isinstance(node, ScalarNode):
        return (node.text, node.quoted, node.line, node.column)
    if isinstance(node, SequenceNode):
        return [(node.line, node.column), *(dump(item) for item in node)]
    return {key: (*node.key_places[key], dump(value)) for key, value in node.items()} | {"": (node.line, node.column)}


@pytest.fixture(params=LOADERS, ids=lambda loader: str(loader.__name__))
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with libyaml and without it."""
    monkeypatch.setattr(yamltree, "_LOADER", request.param)


@pytest.mark.usefixtures("loader")
def test_every_key_and_value_knows_its_line_and_column() -> None:
    """Block and flow style, text before and after, characters of several bytes."""
    tree = parse_tree("é: 1\nb:\n  - {c: 'd', e: [f]}\n  -\n  - g: ~\n")
    assert dump(tree) == {
        "": (1, 1),
        "é": (1, 1, ("1", False, 1, 4)),
        "b": (
            2,
            1,
            [
                (3, 3),
                {"": (3, 5), "c": (3, 6, ("d", True, 3, 9)), "e": (3, 14, [(3, 17), ("f", False, 3, 18)])},
                ("", False, 4, 4),
                {"": (5, 5), "g": (5, 5, ("~", False, 5, 8))},
            ],
        ),
    }


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    "word", ["on", "010", "1:30", "1_000", "0b1", "1e3", "2001-01-01", "=", "null", "true", ".inf"]
)
def test_a_plain_scalar_stays_the_text_that_was_typed(word: str) -> None:
    """Nothing of YAML 1.1's implicit types is applied."""
    node = parse_tree(f"a: {word}")["a"]
    assert isinstance(node, ScalarNode)
    assert (node.text, node.quoted) == (word, False)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a: x", False), ("a: 'x'", True), ('a: "x"', True), ("a: |-\n  x", True), ("a: !!str x", True), ("a: ! x", True)],
)
def test_quoted_and_block_scalars_are_text(text: str, quoted: bool) -> None:
    """So are those that are tagged as text."""
    node = parse_tree(text)["a"]
    assert isinstance(node, ScalarNode)
    assert (node.text, node.quoted) == ("x", quoted)


@pytest.mark.parametrize(
    "text", ["a: !!int 5", "a: !!bool true", "a: !!null", "a: !!seq [x]", "a: !!map {x: y}", "!!map {a: b}"]
)
def test_core_tags_that_say_nothing_new_are_accepted(text: str) -> None:
    """The place decides what a scalar is; the tag only repeats it."""
    assert list(parse_tree(text)) == ["a"]


def test_nothing_is_null_in_four_ways() -> None:
    """Quoted it is text."""
    tree = parse_tree("a:\nb: ~\nc: null\nd: NULL\ne: ''\nf: 'null'\n")
    assert [node.is_null for node in tree.values() if isinstance(node, ScalarNode)] == [True] * 4 + [False] * 2


def test_a_byte_order_mark_is_skipped() -> None:
    """Editors of one system write it; the columns are those that people see."""
    assert dump(parse_tree("\ufeffa: b")) == {"": (1, 1), "a": (1, 1, ("b", False, 1, 4))}


REFUSED = {
    "empty": ("", "f:1:1: got nothing, expected a scenario, which begins with 'schema: 1'"),
    "only a comment": ("# hello\n", "f:1:1: got nothing, expected a scenario, which begins with 'schema: 1'"),
    "only a separator": ("---\n", "f:2:1: got nothing, expected a scenario, which begins with 'schema: 1'"),
    "a list on top": ("\n- a\n", "f:2:1: got a list, expected a scenario, which begins with 'schema: 1'"),
    "a word on top": ("hello\n", "f:1:1: got hello, expected a scenario, which begins with 'schema: 1'"),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", "f:3:1: got a, expected each key once; it is already in line 1"),
    "duplicate key deep down": (
        "a:\n  - b: {c: 1, d: {e: 1, 'e': 2}}\n",
        "f:2:25: got e, expected each key once; it is already in line 2",
    ),
    "anchor": ("a: &x 1\n", "f:1:4: got &x, expected the value without an anchor (&)"),
    "anchor on a list": ("a: &x [1]\n", "f:1:4: got &x, expected the value without an anchor (&)"),
    "alias": ("a: *x\n", "f:1:4: got *x, expected the value itself: aliases (*) are not accepted"),
    "billion laughs": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "f:1:4: got &a, expected the value without an anchor (&)",
    ),
    "merge key": ("a: {<<: {b: 1}}\n", "f:1:5: got <<, expected a key: merge keys (<<) are not accepted"),
    "own tag": ("a: !foo b\n", "f:1:4: got !foo, expected a value without a tag"),
    "python tag": (
        "a: !!python/object/apply:os.system [ls]\n",
        "f:1:4: got !!python/object/apply:os.system, expected a value without a tag",
    ),
    "binary tag": ("a: !!binary aGk=\n", "f:1:4: got !!binary, expected a value without a tag"),
    "float tag": ("a: !!float 1\n", "f:1:4: got !!float, expected a value without a tag"),
    "tag of another kind": ("a: !!str [b]\n", "f:1:4: got !!str, expected a value without a tag"),
    "second document": ("a: 1\n---\nb: 2\n", "f:2:1: got a second one, expected one YAML document only"),
    "second document, empty": ("a: 1\n---\n", "f:2:1: got a second one, expected one YAML document only"),
    "list as key": ("? [a]\n: b\n", "f:1:3: got a list, expected a word as key"),
    "mapping as key": ("{{a: b}: c}\n", "f:1:2: got a mapping, expected a word as key"),
    "NUL byte": ("a: b\nc: \0\n", "f:2:4: got U+0000, expected text without control characters"),
    "escape sequence": ("a: \x1b[31m\n", "f:1:4: got U+001B, expected text without control characters"),
    "lone surrogate": ("a: \ud800\n", "f:1:4: got U+D800, expected text without control characters"),
    "NUL by escape": ('a: "\\0"\n', "f:1:4: got U+0000, expected text without NUL and lone surrogates"),
    "tab as indentation": ("a:\n\tb: 1\n", "f:2:1: got a tab, expected spaces: YAML does not indent with tabs"),
    "tab after spaces": ("a:\n  b: 1\n  \tc: 1\n", "f:3:3: got a tab, expected spaces: YAML does not indent with tabs"),
    "too deep": ("a: " + "[" * 40, "f:1:35: got more, expected at most 32 levels of nesting"),
    "far too deep": ("{a: " * 100_000, "f:1:129: got more, expected at most 32 levels of nesting"),
}


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_hostile_yaml_is_refused_with_one_error(text: str, message: str) -> None:
    """The message says where, what, and what instead, with either YAML library."""
    with pytest.raises(InputError) as caught:
        parse_tree(text, "f")
    assert str(caught.value) == message


SYNTAX = {
    "colon in a plain scalar": ("a: b: c\n", 1, 5),
    "quote without end": ("a: 'x\n", 2, 1),
    "brace without end": ("a: {b: 1\nc: 2\n", 2, 2),
    "too many braces": ("{a: 1}}\n", 1, 7),
    "reserved character": ("a: @x\n", 1, 4),
    "less indented": ("a:\n    b: 1\n  c: 2\n", 3, 3),
    "more indented": ("a: 1\n  b: 2\n", 2, 4),
    "YAML 2": ("%YAML 2.0\n---\na: 1\n", 1, 1),
    "unknown escape": ('a: "\\q"\n', 1, 5),
}


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(("text", "line", "column"), SYNTAX.values(), ids=SYNTAX.keys())
def test_syntax_errors_have_a_place(text: str, line: int, column: int) -> None:
    """What the parser says differs between the libraries; the line does not."""
    with pytest.raises(InputError) as caught:
        parse_tree(text, "f")
    error = caught.value
    assert (error.file, error.line) == ("f", line)
    assert error.column is not None
    assert error.expected.startswith("valid YAML (")
    assert "\n" not in str(error)
    if yamltree._LOADER is not yaml.SafeLoader:
        assert error.column == column


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="the text is libyaml's")
def test_a_syntax_error_says_what_the_parser_was_at() -> None:
    """The beginning of the unfinished construct is often where the mistake is."""
    with pytest.raises(InputError) as caught:
        parse_tree("a: {b: 1\nc: 2\n", "f")
    assert str(caught.value) == (
        "f:2:2: expected valid YAML (did not find expected ',' or '}' while parsing a flow mapping from line 1)"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: b\nc\xff: d\n", "{}:2:2: got byte 0xff, expected UTF-8 text"),
        ("a: b".encode("utf-16"), "{}:1:1: got byte 0xff, expected UTF-8 text"),
        ("a: b".encode("utf-16-le"), "{}:1:2: got U+0000, expected text without control characters"),
        ("é".encode("latin-1"), "{}:1:1: got byte 0xe9, expected UTF-8 text"),
        (b"a" * (8 * 2**20 + 1), "{}: got a bigger file, expected a scenario of at most 8 MiB"),
    ],
    ids=["bad byte", "utf-16", "utf-16 without mark", "latin-1", "too big"],
)
def test_a_file_must_be_utf8_and_of_sane_size(tmp_path: Path, data: bytes, message: str) -> None:
    """Both are found out before any YAML is parsed."""
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_tree(path)
    assert str(caught.value) == message.format(path)


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    """Missing, a directory, an impossible name: never a traceback."""
    missing = tmp_path / "missing.yaml"
    with pytest.raises(InputError) as caught:
        read_tree(missing)
    assert str(caught.value) == f"{missing}: got No such file or directory, expected a scenario file that can be read"
    with pytest.raises(InputError) as caught:
        read_tree(tmp_path)
    assert str(caught.value) == f"{tmp_path}: got Is a directory, expected a scenario file that can be read"
    with pytest.raises(InputError) as caught:
        read_tree("a\0b")
    assert str(caught.value) == "a\\x00b: got embedded null byte, expected a scenario file that can be read"


def test_an_endless_file_is_refused() -> None:
    """No more than the limit is read."""
    with pytest.raises(InputError, match="a scenario of at most 8 MiB"):
        read_tree("/dev/zero")


def test_text_over_the_limit_is_refused() -> None:
    """Text from Python has the same limit as a file."""
    with pytest.raises(InputError) as caught:
        parse_tree("#" * (8 * 2**20 + 1))
    assert str(caught.value) == "got a bigger file, expected a scenario of at most 8 MiB"


def test_the_number_of_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit holds while reading, at the first value too many."""
    monkeypatch.setattr(yamltree, "MAX_NODES", 6)
    assert len(parse_tree("a: [1, 2, 3]")) == 1
    with pytest.raises(InputError) as caught:
        parse_tree("a: [1, 2, 3, 4]", "f")
    assert str(caught.value) == "f:1:14: got more, expected a scenario of at most a million values"


def test_huge_text_is_not_repeated_in_the_message() -> None:
    """What is shown is cut."""
    with pytest.raises(InputError) as caught:
        parse_tree("!" + "a" * 1_000_000 + " b", "f")
    assert str(caught.value) == "f:1:1: got !" + "a" * 78 + "…, expected a value without a tag"


def outcome(read: Callable[[], MappingNode]) -> MappingNode | InputError:
    """Return what comes out, be it an error."""
    try:
        return read()
    except InputError as error:
        return error


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab01:-[]{}&*!?|>'\"%@,# \n\t\\~<"), max_size=60))
def test_any_text_gives_a_tree_or_an_input_error(text: str) -> None:
    """No other exception gets out, whatever the input; messages are one line."""
    result = outcome(lambda: parse_tree(text, "f"))
    if isinstance(result, MappingNode):
        assert set(result) == set(result.key_places)
    else:
        assert "\n" not in str(result)
        assert result.file == "f"


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_a_tree_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """The same for files of random bytes."""
    path = tmp_path_factory.getbasetemp() / "random.yaml"
    path.write_bytes(data)
    result = outcome(lambda: read_tree(path))
    assert isinstance(result, MappingNode) or result.file == str(path)
