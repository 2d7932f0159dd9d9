"""Reading a scenario that a command was given: a file, or stdin where its name is ``-``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from memhotplug.formats.scenario import Catalog, Scenario
    from memhotplug.formats.scenario.yamltree import MappingNode

__all__ = ["STDIN", "read_scenario", "scenario_text", "scenario_tree"]

STDIN: Final = "<stdin>"
"""What messages call the file that is stdin."""


def read_scenario(path: str, catalog: Catalog) -> Scenario:
    """Return the scenario in a file, or in stdin.

    Raises:
        InputError: it cannot be read, or is no valid scenario.
    """
    from memhotplug.formats.scenario.loader import scenario_from_tree

    tree, file = scenario_tree(path)
    return scenario_from_tree(tree, catalog=catalog, file=file)


def scenario_tree(path: str) -> tuple[MappingNode, str]:
    """Return the tree of a scenario, and what messages call its file; stdin can be read once.

    Raises:
        InputError: it cannot be read, or is not a scenario's YAML.
    """
    from memhotplug.formats.scenario.yamltree import parse_tree, read_tree

    if path != "-":
        return read_tree(path), path
    return parse_tree(_read_stdin(), STDIN), STDIN


def scenario_text(path: str) -> tuple[str, str]:
    """Return the text of a scenario, for who sends it on, and what messages call its file.

    Raises:
        InputError: it cannot be read, or is not a scenario's YAML.
    """
    from memhotplug.formats.scenario.yamltree import read_tree

    if path == "-":
        return _read_stdin(), STDIN
    read_tree(path)  # says what is wrong with the file
    with open(path, encoding="utf-8") as stream:
        return stream.read(), path


def _read_stdin() -> str:
    """Return what stdin has, one byte too much at most for the reader of scenarios to refuse it.

    Raises:
        InputError: it is not UTF-8.
    """
    from memhotplug.errors import InputError
    from memhotplug.formats.scenario.yamltree import MAX_BYTES

    data = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin is not None else b""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("UTF-8 text", got=f"byte 0x{data[error.start]:02x}", file=STDIN, line=line) from error
