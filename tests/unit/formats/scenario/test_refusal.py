"""What a refusal says, and how values are cut for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.formats.scenario.refusal import RefusedError, cut, suggest


def test_a_refusal_is_a_value_error_with_what_would_be_accepted() -> None:
    """Its text is what was expected; place and nearest value are apart."""
    plain = RefusedError("a size")
    assert (str(plain), plain.expected, plain.nearest, plain.where) == ("a size", "a size", None, ())
    full = RefusedError("a word", nearest="online", where=("zones", 2))
    assert (str(full), full.nearest, full.where) == ("a word", "online", ("zones", 2))
    assert isinstance(full, ValueError)


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("", 5, ""),
        ("abcd", 5, "abcd"),
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("abcdefghijkl", 5, "abcd…"),
        ("ab\n", 5, "ab\\n"),
        ("abc\n", 5, "abc\\n"),
        ("abcd\n", 5, "abcd…"),
        ("a\x00b", 6, "a\\x00b"),
        ("a\x00b", 5, "a\\x0…"),
        ("größe", 5, "größe"),
        ("\u2028", 10, "\\u2028"),
    ],
)
def test_a_text_is_cut_to_one_printable_line(text: str, length: int, shown: str) -> None:
    """What is left out is shown by one more character, within the length; escapes count as what they take."""
    assert cut(text, length) == shown


@pytest.mark.parametrize(
    ("length", "end"), [(79, "a" * 79), (80, "a" * 80), (81, "a" * 79 + "…"), (500, "a" * 79 + "…")]
)
def test_messages_show_eighty_characters(length: int, end: str) -> None:
    """Unless they say otherwise."""
    assert cut("a" * length) == end


@given(st.text(max_size=60), st.integers(2, 40))
def test_what_is_cut_is_always_short_and_printable(text: str, length: int) -> None:
    """Whatever a document holds."""
    shown = cut(text, length)
    assert len(shown) <= length
    assert shown.isprintable()
    assert shown == text or len(text) > length or not text.isprintable()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("onlin", "online"),
        ("ofline", "offline"),
        ("", None),
        ("o" * 64, "o" * 63),
        ("o" * 65, None),
        (1, None),
    ],
)
def test_only_words_that_could_be_a_name_are_compared(word: object, meant: str | None) -> None:
    """Nothing and very long texts are not: what is meant by them nobody can tell."""
    assert suggest(word, ["online", "offline", "o" * 63]) == meant
