"""Docstrings as Markdown: paragraphs, doctests, and the sections that this project's docstrings have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Final

from tools.reference.markdown import code, fence, prose, table

__all__ = ["attributes_of", "render"]

_SECTION: Final = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Models|Called|Simplified|Example):(?: (.*))?")
_ITEM: Final = re.compile(r"([\w*, ]+?): (.*)")
_LISTS: Final = ("Args", "Attributes")


def render(text: str, *, attributes: bool = True, imports: str = "") -> str:
    """Return a docstring as Markdown.

    Args:
        attributes: whether the section Attributes is part of it.
        imports: the statement that an example needs before it, if it has none of its own.
    """
    parts = []
    for name, body in _sections(inspect.cleandoc(text)):
        if name == "Attributes" and not attributes:
            continue
        parts.append("\n".join(_section(name, body)) if name else _paragraphs(body, imports))
    return "\n\n".join(part for part in parts if part)


def attributes_of(text: str) -> dict[str, str]:
    """Return what the section Attributes of a docstring says of each name; several may share a line."""
    found = {}
    for name, body in _sections(inspect.cleandoc(text)):
        if name == "Attributes":
            for names, said in _items(body):
                found.update({one.strip(): said for one in names.split(",")})
    return found


def _sections(text: str) -> Iterator[tuple[str | None, list[str]]]:
    """Yield each section with its lines; None for the text between them."""
    name: str | None = None
    lines: list[str] = []
    for line in text.splitlines():
        found = _SECTION.fullmatch(line)
        if found is not None:
            yield name, lines
            name, lines = found[1], [found[2]] if found[2] else []
        elif name is not None and line and not line.startswith(" ") and lines[-1:] != [""]:
            lines.append(line)  # a section in running text goes on without indentation
        elif name is not None and line and not line.startswith(" "):
            yield name, lines
            name, lines = None, [line]
        else:
            lines.append(line)
    yield name, lines


def _section(name: str, lines: list[str]) -> Iterator[str]:
    body = [line for line in lines if line.strip()]
    items = list(_items(body))
    if name in _LISTS or (name == "Raises" and items and not lines[0].startswith("MemoryHotplugError: E")):
        if name == "Attributes":
            yield from table(("attribute", ""), ((code(item), prose(said)) for item, said in items))
            return
        yield f"**{name}**"
        yield ""
        yield from (f"- {code(item)}: {prose(said)}" for item, said in items)
        return
    yield f"**{name}** {prose(' '.join(' '.join(body).split()))}"


def _items(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield ``name: text`` items; lines that are indented further, or name nothing, go on with the last."""
    name, said = "", ""
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    for line in filter(str.strip, lines):
        found = _ITEM.fullmatch(line.strip())
        if found is not None and (len(line) - len(line.lstrip()) <= margin or not name):
            if name:
                yield name, said
            name, said = found[1], found[2]
        else:
            said = f"{said} {line.strip()}"
    if name:
        yield name, said


def _paragraphs(lines: list[str], imports: str) -> str:
    found = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip()):
        if paragraph.lstrip().startswith(">>>"):
            example = inspect.cleandoc(paragraph)
            needed = f">>> {imports}\n" if imports and " import " not in example else ""
            found.append(fence(f"{needed}{example}", "python"))
        elif paragraph.startswith("    "):
            found.append(fence(inspect.cleandoc(paragraph)))
        elif paragraph:
            found.append(prose(" ".join(paragraph.split())) if "\n- " not in paragraph else prose(paragraph))
    return "\n\n".join(found)
