"""Typed access to a foreign JSON document, with errors that name the place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from memhotplug.formats.jsonread import MAX_DEPTH, TooDeepError
from memhotplug.formats.snapshot.flagruns import FlagTexts
from memhotplug.formats.snapshot.source import Limits, Source
from memhotplug.formats.snapshot.streams import open_stream

__all__ = ["JsonObject", "as_array", "as_count", "as_text", "load_json"]

_MAX_NUMBER = 1 << 64


def load_json(source: Source, limits: Limits) -> object:
    """Return the document in ``source.file``, decompressing it as needed; page flags in it are FlagRuns as a rule.

    Raises:
        InputError: truncated, damaged, too large, or not JSON.
    """
    with open_stream(source, limits.json_bytes) as stream:
        data = stream.read()
    if len(data) > limits.json_values < _at_most(data):
        raise source.error(f"at most {limits.json_values} values in a JSON document", got="more")
    try:
        text = data.decode("utf-8-sig")
        del data  # as much memory as all that is made of it
        return FlagTexts(text).parse()
    except TooDeepError as exc:
        raise source.error(f"at most {MAX_DEPTH} levels in a JSON document", got="more") from exc
    except json.JSONDecodeError as exc:
        raise source.error(
            "a complete JSON document", got=f"{exc.msg} in line {exc.lineno} column {exc.colno}"
        ) from exc
    except ValueError as exc:
        raise source.error("a JSON document in UTF-8", got=type(exc).__name__) from exc


def _at_most(data: bytes) -> int:
    """Return how many values a document can have at most: each has a bracket or a comma of its own.

    Those inside strings count too; telling them apart would take as long as parsing.
    """
    return sum(data.count(mark) for mark in (b",", b"[", b"{"))


def as_count(value: object, source: Source) -> int:
    """Return ``value`` if it is a non-negative integer below 2**64.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_NUMBER:
        raise source.error("a non-negative integer", got=_shown(value))
    return value


def as_text(value: object, source: Source) -> str:
    """Return ``value`` if it is a string.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, str):
        raise source.error("a string", got=_shown(value))
    return value


def as_array(value: object, source: Source) -> list[object]:
    """Return ``value`` if it is an array.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, list):
        raise source.error("an array", got=_shown(value))
    return value


class JsonObject:
    """One object of the document.

    Args:
        above: its place, or with a key the place of what it is a member of. No place is made before an error needs it:
            there are hundreds, and making them would take as long as reading what stands there.
    """

    __slots__ = ("_above", "_key", "value")

    def __init__(self, value: object, above: Source | JsonObject, key: str | int | None = None) -> None:
        self._above, self._key = above, key
        if not isinstance(value, dict):
            raise self.source.error("an object", got=_shown(value))
        self.value: Mapping[str, object] = value

    @property
    def source(self) -> Source:
        """Its place."""
        above = self._above if isinstance(self._above, Source) else self._above.source
        return above if self._key is None else above.key(self._key)

    def member(self, key: str) -> JsonObject:
        """Return the object at ``key``, which must be there."""
        return JsonObject(self.need(key), self, key)

    def has(self, key: str) -> bool:
        """Return whether the key is there with something other than null."""
        return self.value.get(key) is not None

    def need(self, key: str) -> object:
        """Return what is at ``key``.

        Raises:
            InputError: nothing is.
        """
        found = self.value.get(key)
        if found is None:
            raise self.source.error(f"the key {key!r}", got="none")
        return found

    def text(self, key: str) -> str:
        """Return the string at ``key``, which must be there."""
        found = self.need(key)
        return found if isinstance(found, str) else as_text(found, self.source.key(key))

    def count(self, key: str) -> int:
        """Return the non-negative integer at ``key``, which must be there."""
        return as_count(self.need(key), self.source.key(key))

    def text_or_none(self, key: str) -> str | None:
        """Return the string at ``key``, None when it is not there."""
        found = self.value.get(key)
        return found if found is None or isinstance(found, str) else as_text(found, self.source.key(key))

    def count_or_none(self, key: str) -> int | None:
        """Return the non-negative integer at ``key``, None when it is not there."""
        return self.count(key) if self.has(key) else None

    def number_or_none(self, key: str) -> float | None:
        """Return the number at ``key``, None when it is not there."""
        value = self.value.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.source.key(key).error("a number", got=_shown(value))
        return None if value is None else float(value)

    def array(self, key: str) -> list[object]:
        """Return the array at ``key``, which must be there."""
        found = self.need(key)
        return found if isinstance(found, list) else as_array(found, self.source.key(key))

    def counts(self, key: str) -> tuple[int, ...]:
        """Return the array of non-negative integers at ``key``, which must be there."""
        items = self.array(key)
        for index, item in enumerate(items):
            if (
                type(item) is not int or not 0 <= item < _MAX_NUMBER
            ):  # the place of each would cost more than reading it
                as_count(item, self.source.key(key).key(index))
        return cast(tuple[int, ...], tuple(items))

    def texts(self, key: str) -> dict[str, str]:
        """Return the object of strings at ``key``, empty when it is not there."""
        if not self.has(key):
            return {}
        members = self.member(key).value
        if {*map(type, members.values())} - {str}:  # the place of every string would cost more than reading it
            for name, item in members.items():
                as_text(item, self.source.key(key).key(name))
        return cast(dict[str, str], dict(members))


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
