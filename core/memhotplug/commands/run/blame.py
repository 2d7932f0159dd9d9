"""Where in the scenario an error belongs."""

from __future__ import annotations

import re
from typing import NoReturn

from memhotplug.errors import InputError
from memhotplug.formats.scenario import Scenario
from memhotplug.formats.scenario.problems import At, Where
from memhotplug.formats.scenario.yamltree import MappingNode, Node, ScalarNode, SequenceNode

__all__ = ["located", "raise_located"]


def located(scenario: Scenario, prefix: Where, error: InputError) -> InputError:
    """Return ``error`` with the place in the scenario that it is about.

    The path that the error names decides; without one, the value below ``prefix`` that reads as what
    the error got; without that, ``prefix`` itself. An error about a place in another file is left
    alone; one about another file as a whole belongs where the scenario names that file.

    Args:
        prefix: the way to the part of the scenario that was being used.
    """
    if error.file is not None:
        return error if error.line is not None or error.path is not None else _about_snapshot(scenario, error)
    where = _parse_path(error.path) if error.path is not None else prefix
    if where[: len(prefix)] != prefix:
        where = prefix
    at: At = "value"
    if where == prefix:
        found = _find(_node_at(scenario.tree, prefix), error.got)
        where, at = prefix + (found or ()), "key" if found is None else "value"
    place = scenario.error(where, error.expected, at=at)
    return error.at(file=place.file, line=place.line, column=place.column, path=place.path)


def raise_located(scenario: Scenario, prefix: Where, error: InputError) -> NoReturn:
    """Raise an error with the place in the scenario that it is about; a plugin's keeps what caused it.

    Raises:
        InputError: what :func:`located` returns.
    """
    found = located(scenario, prefix, error)
    if found is error:
        raise error
    raise found from error


def _about_snapshot(scenario: Scenario, error: InputError) -> InputError:
    place = scenario.error(("machine", "snapshot"), error.expected)
    return InputError(
        error.expected,
        got=": ".join(text for text in (error.file, error.got) if text is not None),
        file=place.file,
        line=place.line,
        column=place.column,
        path=place.path,
        nearest=error.nearest,
    )


def _parse_path(path: str) -> Where:
    """Return the way that a path such as ``machine.memory[1].size`` means."""
    return tuple(int(number) if number else name for number, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path))


def _node_at(tree: MappingNode, where: Where) -> Node | None:
    node: Node | None = tree
    for part in where:
        if isinstance(node, MappingNode) and isinstance(part, str):
            node = node.get(part)
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return None
    return node


def _find(node: Node | None, text: str | None) -> Where | None:
    """Return the way to the first scalar below ``node`` that reads ``text``, None if none does."""
    if node is None or text is None:
        return None
    if isinstance(node, ScalarNode):
        return () if node.text == text else None
    parts = node.items() if isinstance(node, MappingNode) else enumerate(node)
    for part, child in parts:
        way = _find(child, text)
        if way is not None:
            return (part, *way)
    return None
