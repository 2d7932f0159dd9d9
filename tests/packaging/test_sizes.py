"""Files and functions stay as small as CONTRIBUTING.md says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("core", "plugins", "drivers", "examples", "tests", "bench")
RULE: Final = re.compile(r"\*\*Small\*\*: files up to (\d+) lines, functions up to (\d+)")


def _limits() -> tuple[int, int]:
    found = RULE.search((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert found, "CONTRIBUTING.md no longer says how small"
    return int(found[1]), int(found[2])


def _sources() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts):
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_files_and_functions_are_small() -> None:
    """A function counts from its ``def`` to its last line, docstring included."""
    most_file, most_function = _limits()
    large = []
    for path, text in _sources():
        length = text.count("\n")
        if length > most_file:
            large.append(f"{path}: {length} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > most_function:
                    large.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    assert large == []
