"""From what is wrong with a value to an error that says where.

A ``Problem`` knows the way to the value inside the document; ``error_at`` finds line and column by
walking that way through the tree. For plain Python values there are none, and the path remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from memhotplug.errors import InputError
from memhotplug.formats.scenario.refusal import cut, suggest
from memhotplug.formats.scenario.values import show
from memhotplug.formats.scenario.yamltree import MappingNode, ScalarNode, SequenceNode

__all__ = [
    "At",
    "Problem",
    "Where",
    "error_at",
    "first_error",
    "path_text",
    "unknown_key",
]

Where: TypeAlias = tuple[str | int, ...]


At: TypeAlias = Literal["value", "key", "missing"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: the way to the value, from the top.
        expected: what would be accepted.
        at: whether the value is wrong, its key, or whether it is missing from a mapping. The place
            is then that of the value, the key, or the mapping.
        nearest: the valid value that was probably meant.
        names: for a wrong key, the valid ones; the nearest is looked for only if the error is raised.
    """

    where: Where
    expected: str
    at: At = "value"
    nearest: str | None = None
    names: tuple[str, ...] = ()

    def below(self, prefix: Where) -> Problem:
        """Return the same problem seen from further up."""
        return replace(self, where=prefix + self.where)


def unknown_key(where: Where, keys: Iterable[str]) -> Problem:
    """Return the problem that the last part of ``where`` is none of the ``keys``."""
    known = tuple(keys)
    expected = "one of the keys: " + ", ".join(known) if len(known) > 1 else f"only the key {known[0]}"
    return Problem(where, expected, "key", names=known)


def path_text(where: Where) -> str | None:
    """Return a way through the document as people write it: ``steps[2].add.size``."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{cut(part, 40)}"
    return text.removeprefix(".") or None


def _child(node: object, part: str | int) -> tuple[bool, object]:
    if isinstance(node, Mapping) and part in node:
        return True, node[part]
    if isinstance(node, (list, tuple)) and isinstance(part, int) and part < len(node):
        return True, node[part]
    return False, None


def _walk(root: object, where: Where) -> tuple[object, object, Where]:
    """Return the deepest node on the way that exists, its parent, and the way to it."""
    parent, node = None, root
    for depth, part in enumerate(where):
        found, child = _child(node, part)
        if not found:
            return node, parent, where[:depth]
        parent, node = node, child
    return node, parent, where


def _place(root: object, problem: Problem) -> tuple[object, tuple[int, int] | None, tuple[int, int], Where]:
    """Return the value, its place, the place that decides which problem is first, and the way to show."""
    where = problem.where
    if problem.at == "missing":
        node, _, _ = _walk(root, where[:-1])
        if isinstance(node, MappingNode):
            return None, (node.line, node.column), node.end, where
        return None, None, (0, 0), where
    node, parent, reached = _walk(root, where)
    if problem.at == "key" and reached == where:
        place = parent.key_places[str(where[-1])] if isinstance(parent, MappingNode) else None
        return node, place, place or (0, 0), where
    place = (node.line, node.column) if isinstance(node, (ScalarNode, SequenceNode, MappingNode)) else None
    return node, place, place or (0, 0), reached


def error_at(root: object, problem: Problem, *, file: str | None = None, prefix: Where = ()) -> InputError:
    """Return the error for a problem in the document ``root``, of which ``prefix`` is the name."""
    value, place, _, where = _place(root, problem)
    expected, got = problem.expected, None
    if problem.at == "missing":
        if where and where[-1] == "":
            where = where[:-1]
        else:
            expected += "; the key is missing"
    else:
        got = cut(str(where[-1])) if problem.at == "key" and where else show(value)
    line, column = place or (None, None)
    path = path_text(prefix + where)
    nearest = problem.nearest or (suggest(where[-1], problem.names) if problem.names else None)
    return InputError(expected, got=got, file=file, line=line, column=column, path=path, nearest=nearest)


def first_error(root: object, problems: Iterable[Problem], *, file: str | None = None, prefix: Where = ()) -> None:
    """Raise the error that comes first in the document, if there is a problem at all.

    A missing key is only missed at the end of its mapping: a misspelt one comes first.

    Raises:
        InputError: for the first of the problems.
    """
    ordered = sorted(problems, key=lambda problem: (_place(root, problem)[2], problem.at == "missing"))
    if ordered:
        raise error_at(root, ordered[0], file=file, prefix=prefix)
