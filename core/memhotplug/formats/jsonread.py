"""JSON from elsewhere, refused alike under every Python.

How deep a document may be nested before ``json`` gives up depends on the interpreter: 3.11 raises RecursionError after
some thousand levels, 3.14 reads on until the stack ends. What is read here has a few levels, so that more are counted,
before anything is parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, cast

__all__ = ["MAX_DEPTH", "TooDeepError", "parse_json"]

MAX_DEPTH: Final = 64

_BRACKETS: Final = b'[]{}"'
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_BESIDE_ESCAPES: Final = bytes(byte for byte in _OTHERS if byte not in b"\\/bfnrtu")
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")


class TooDeepError(ValueError):
    """Arrays and objects within one another, beyond ``MAX_DEPTH``."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_DEPTH} levels")


def parse_json(
    text: str | bytes, *, constant: Callable[[str], object] | None = None, outline: str | None = None
) -> object:
    """Return what a document says; bytes are UTF-8, a byte order mark may stand first.

    Args:
        constant: returns what NaN and the infinities stand for; None: what they are.
        outline: the document without what has no brackets, where somebody knows that; its levels are counted instead.

    Raises:
        TooDeepError: it has more than ``MAX_DEPTH`` levels.
        json.JSONDecodeError: it is damaged; the exception knows where.
        ValueError: it is no UTF-8, or a number in it has thousands of digits.
    """
    nested = text if outline is None else outline
    if _is_too_deep(nested.encode(errors="replace") if isinstance(nested, str) else nested):
        raise TooDeepError
    decoded = text.lstrip("\ufeff") if isinstance(text, str) else text.decode("utf-8-sig")
    return cast(object, json.loads(decoded, parse_constant=constant))


def _marks(data: bytes) -> bytes:
    """Return the brackets of a document, and the quotes that begin or end a string.

    Those stand behind an even number of backslashes. All that may follow one is looked at; what
    else does ends the parsing.
    """
    first, *others = data.translate(None, _BESIDE_ESCAPES).split(rb"\"")
    parts, last = [first], first
    for part in others:
        if (len(last) - len(last.rstrip(b"\\"))) % 2:
            parts.append(b'"')
        parts.append(part)
        last = part
    return b"".join(parts).translate(_ONE_KIND, _OTHERS)


def _is_too_deep(data: bytes) -> bool:
    """Return whether arrays and objects are nested too deep, by taking the innermost ones out, level by level.

    In a damaged document, those that never end count, up to the first bracket that does not fit.
    """
    marks = _marks(data).replace(b'""', b"")
    nest = b"".join(marks.split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        inner = nest.replace(b"[]", b"")
        if len(inner) == len(nest):
            return len(nest) - len(nest.lstrip(b"[")) > MAX_DEPTH
        nest = inner
    return bool(nest)
