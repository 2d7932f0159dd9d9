"""What a reader of one value says when it cannot take it, and how values are shown to people.

A reader knows the value but not its place; it raises ``RefusedError``, and ``scenario.check`` turns that
into an ``InputError`` with file, line, column and path.
"""

from __future__ import annotations

from collections.abc import Iterable

from memhotplug.errors import nearest as _nearest

__all__ = ["RefusedError", "cut", "printable", "suggest"]

_MAX_SHOWN = 80


class RefusedError(ValueError):
    """One value cannot be taken.

    Attributes:
        expected: what would be accepted, in words.
        nearest: the valid value that was probably meant.
        where: the way from the value that was read to the part that is wrong.
    """

    def __init__(self, expected: str, *, nearest: str | None = None, where: tuple[str | int, ...] = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.nearest = nearest
        self.where = where


def suggest(word: object, names: Iterable[str]) -> str | None:
    """Return the name that ``word`` was probably meant to be; nothing for words too long to be one."""
    text = str(word)
    return _nearest(text, names) if 0 < len(text) <= 64 else None


def cut(text: str, length: int = _MAX_SHOWN) -> str:
    """Return ``text`` on one line, printable, and at most ``length`` characters long."""
    shown = printable(text[: length + 1])
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def printable(text: str) -> str:
    """Return ``text`` on one line, with what a terminal would act on spelt out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
