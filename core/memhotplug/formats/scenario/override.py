"""Changing single values of a scenario before it is checked.

A changed value goes through the same checks as a written one; only its place is another, which is why
whoever changes values reports errors about them himself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from memhotplug.errors import InputError
from memhotplug.formats.scenario.problems import Where, path_text
from memhotplug.formats.scenario.refusal import cut
from memhotplug.formats.scenario.yamltree import MappingNode, Node, ScalarNode, SequenceNode, parse_tree

__all__ = ["Override", "changed", "parse_override", "parse_where"]

_EXPECTED_PATH: Final = "a path such as machine.kernel, drivers.acpi.mhp_flags or steps.0.add.size"
_PART: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|[0-9]{1,6}")
_NUMBER: Final = re.compile(r"[0-9]+[KMGTPE]?\Z")
_MAX_DEPTH: Final = 16
_ONE_DECISION: Final = ("mhp_flags", "policy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """One value in place of another.

    Attributes:
        where: the way to it; list entries by number.
        text: the value as it was written, empty to leave the key out.
        node: the value, None to leave the key out.
    """

    where: Where
    text: str
    node: Node | None

    @property
    def path(self) -> str:
        """The way to it, as errors show it: ``steps[0].add.size``."""
        return path_text(self.where) or ""


def parse_where(text: str) -> Where:
    """Return the way that ``steps.0.add.size`` or ``steps[0].add.size`` means.

    Raises:
        InputError: it is none.
    """
    parts = re.sub(r"\[(\d+)\]", r".\1", text).split(".")
    if len(parts) < 2 or len(parts) > _MAX_DEPTH or not all(_PART.fullmatch(part) for part in parts):
        raise InputError(_EXPECTED_PATH, got=cut(text) or "nothing")
    return tuple(int(part) if part.isdigit() else part for part in parts)


def parse_override(where: Where, text: str) -> Override:
    """Return the override that puts the YAML value ``text`` there; an empty one leaves the key out.

    Raises:
        InputError: the text is no YAML value.
    """
    if not text:
        return Override(where=where, text=text, node=None)
    if _NUMBER.match(text):  # of which a range has thousands
        return Override(where=where, text=text, node=ScalarNode(text, line=1, column=len("value: ") + 1))
    try:
        tree = parse_tree(f"value: {text}\n")
    except InputError as problem:
        raise InputError(f"a YAML value ({problem.expected})", got=cut(text), path=path_text(where)) from None
    if list(tree) != ["value"]:
        raise InputError("one YAML value", got=cut(text), path=path_text(where))
    return Override(where=where, text=text, node=tree["value"])


def changed(tree: MappingNode, overrides: Iterable[Override]) -> MappingNode:
    """Return a scenario's tree with other values; mappings that are missing on the way are made.

    What no override touches is shared with the tree, which itself stays as it is.

    Raises:
        InputError: there is no such list entry, or the way leads through a plain value.
    """
    copy = _copy(tree)
    for override in overrides:
        _put(copy, override)
    return copy


def _copy(node: MappingNode) -> MappingNode:
    twin = MappingNode(node.line, node.column)
    twin.end = node.end
    twin.key_places = dict(node.key_places)
    twin.update(node)
    return twin


def _own(node: Node) -> Node:
    """Return a copy of a node that may be changed; what is in it is not copied."""
    if isinstance(node, MappingNode):
        return _copy(node)
    if isinstance(node, SequenceNode):
        twin = SequenceNode(node.line, node.column)
        twin.extend(node)
        return twin
    return node


def _put(tree: MappingNode, override: Override) -> None:
    node: Node = tree
    *way, last = override.where
    for depth, part in enumerate(way):
        node = _step(node, part, override.where[: depth + 1])
    if isinstance(node, SequenceNode):
        _put_item(node, last, override)
        return
    if not isinstance(node, MappingNode) or isinstance(last, int):
        raise _no_such(override.where)
    if override.node is None:
        node.pop(last, None)
        return
    node[last] = override.node
    node.key_places.setdefault(last, (node.line, node.column))
    if override.where[0] == "drivers" and last in _ONE_DECISION:  # whoever decides now, the other decided before
        for other in _ONE_DECISION:
            if other != last:
                node.pop(other, None)


def _put_item(node: SequenceNode, number: str | int, override: Override) -> None:
    if not isinstance(number, int) or number >= len(node):
        raise _no_such(override.where)
    if override.node is None:
        del node[number]
        return
    node[number] = override.node


def _step(node: Node, part: str | int, where: Where) -> Node:
    """Return a copy of the node one step further, put in its place; an empty mapping if nothing is there."""
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node):
        own = node[part] = _own(node[part])
        return own
    if not isinstance(node, MappingNode) or isinstance(part, int):
        raise _no_such(where)
    inner = node.get(part)
    if inner is None or (isinstance(inner, ScalarNode) and inner.is_null):
        inner = MappingNode(node.line, node.column)
        node.key_places.setdefault(part, (node.line, node.column))
    own = node[part] = _own(inner)
    return own


def _no_such(where: Where) -> InputError:
    return InputError("the path of a value that the scenario has", got=path_text(where))
