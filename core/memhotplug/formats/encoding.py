"""Which encoding a text is in that a user names."""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["decoded"]

_HEAD: Final = 1 << 12  # bytes that tell it


def decoded(data: bytes) -> str:
    """Return the text of bytes: UTF-8, or UTF-16 or UTF-32, as some terminals save what they showed.

    A byte order mark says which, else every second byte of what is mostly ASCII, which is 0.
    """
    return data.decode(_encoding(data), "replace")


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = data[:_HEAD]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even + odd > len(head) // 4 and not (even and odd):
        return "utf-16-be" if even else "utf-16-le"
    return "utf-8-sig"
