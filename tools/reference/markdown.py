"""What the pages are made of: escaped text, code, tables."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

__all__ = ["code", "fence", "made_by", "prose", "table"]

_ROLE: Final = re.compile(r":\w+:`~?([^`]+)`")
_BARRED: Final = re.compile(r"`([^`|]*\|[^`]*)`")
_CODE: Final = re.compile(r"(``.+?``|`[^`\n]+`)")
_SPECIAL: Final = re.compile(r"([\\*_<>\[\]])")
_NAMES: Final = re.compile(r"[$]?[\w./:-]*(?:_[\w./:-]*\w(?:\([^)\s]*\)|=[A-Z]\w*)?|\w\(\))")
"""What is a name without being marked as one: it has an underscore, or is called."""


def made_by(module: str) -> str:
    """Return the first line of a page: nobody shall edit it."""
    return f"<!-- Written by python -m tools.reference ({module}); edit what it says there, not here. -->"


def prose(text: str) -> str:
    """Return a docstring's text as Markdown: what is marked as code is, and so is what looks like a name."""
    parts = _CODE.split(_ROLE.sub(r"``\1``", text))
    return "".join(code(part.strip("`")) if number % 2 else _plain(part) for number, part in enumerate(parts))


def _plain(text: str) -> str:
    ends = [0, *(end for match in _NAMES.finditer(text) for end in match.span()), len(text)]
    parts = [text[start:end] for start, end in itertools.pairwise(ends)]
    return "".join(code(part) if number % 2 else _SPECIAL.sub(r"\\\1", part) for number, part in enumerate(parts))


def code(text: str) -> str:
    """Return text as code within a line."""
    return f"``{text}``" if "`" in text else f"`{text}`"


def fence(text: str, language: str = "text") -> str:
    """Return text as a block of its own."""
    return f"```{language}\n{text.rstrip()}\n```"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; a cell is one line."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(map(_cell, row)) + " |"


def _cell(text: str) -> str:
    """Return a cell without bars, which would end it; nothing else writes them in code wherever Markdown is shown."""

    def marked(match: re.Match[str]) -> str:
        return f"<code>{html.escape(match[1], quote=False).replace('|', '&#124;')}</code>"

    return _BARRED.sub(marked, " ".join(text.split())).replace("|", "&#124;")
