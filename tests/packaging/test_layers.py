"""Who imports whom: what the table in CONTRIBUTING.md allows, and nothing else.

Every import counts, wherever it stands: inside a function, too. Those that are there for types alone
(``if TYPE_CHECKING:``) are allowed in a column of their own.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
CORE: Final = ROOT / "core" / "memhotplug"
TABLE: Final = (
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Who may import whom")[1].split("\n## ")[0]
)
PLUGINS: Final = ("plugins", "drivers", "examples")


def _words(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"`([\w/]+)`", cell))


def _rows() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Return for each part of the core what it may import, and what for types alone."""
    found: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for line in TABLE.splitlines():
        cells = line.split("|")
        if len(cells) == 5 and (parts := _words(cells[1])):
            allowed = _words(cells[2])
            found |= {part: (allowed, allowed | _words(cells[3])) for part in parts}
    return found


ROWS: Final = _rows()


def imports(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield line, module and whether it is for types alone, of every import in a module."""
    tree = ast.parse(source)
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [f"memhotplug.{name}" for name in names] if node.module == "memhotplug" else [node.module or ""]
        for name in names:
            yield node.lineno, name, id(node) in typing


def part_of(module: str) -> str:
    """Return the row of a module, its path without the suffix: the longest folder of it that has one, or itself."""
    words = module.split("/")
    paths = ["/".join(words[:length]) for length in range(len(words), 0, -1)]
    return next((path for path in paths if path in ROWS), words[0])


def offences(module: str, source: str) -> list[str]:
    """Return what a module of the core imports and may not."""
    mine = part_of(module)
    found: list[str] = []
    for line, name, for_types in imports(source):
        package, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if package != "memhotplug" or target in ("", "__version__", mine.split("/")[0]):
            continue
        if target not in ROWS[mine][for_types]:
            found.append(f"{module}:{line}: {mine} imports {target}")
    return found


def test_the_core_imports_what_the_table_allows() -> None:
    """Function by function, not only at the top of a module."""
    found = [
        offence
        for path in sorted(CORE.rglob("*.py"))
        if (module := path.relative_to(CORE).with_suffix("").as_posix()) not in ("__init__", "__main__")
        for offence in offences(module, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_part_has_a_row() -> None:
    """And no row is about something that is gone."""
    parts = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert {row.split("/")[0] for row in ROWS} == parts - {"__init__", "__main__"}
    assert all((CORE / row).is_dir() or (CORE / f"{row}.py").is_file() for row in ROWS)


def test_the_table_has_no_circle() -> None:
    """Imports that run, those of a part's own folder apart, lead downwards only."""
    below = {row: set(ROWS[row][0]) for row in ROWS}
    for part in {row.split("/")[0] for row in ROWS}:
        below[part] = set().union(*(below[row] for row in ROWS if row.split("/")[0] == part))
    left = {part: set(words) for part, words in below.items() if "/" not in part}
    while left:
        lowest = [part for part, words in left.items() if not words & set(left)]
        assert lowest, f"in a circle: {sorted(left)}"
        for part in lowest:
            del left[part]


def test_plugins_know_the_public_api_alone() -> None:
    """``memhotplug.plugin``, themselves, NumPy and the standard library; no other plugin."""
    found: list[str] = []
    for folder in PLUGINS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "tests" in path.parts:
                continue
            for line, name, _ in imports(path.read_text(encoding="utf-8")):
                package = name.split(".")[0]
                own = package in path.parts
                if not own and name != "memhotplug.plugin" and package not in {"numpy", *sys.stdlib_module_names}:
                    found.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from memhotplug.engine.kernel import Kernel", ["model/zones:1: model imports engine"]),
        ("def f():\n    from memhotplug.formats import scenario", ["model/zones:2: model imports formats"]),
        ("import memhotplug.cli", ["model/zones:1: model imports cli"]),
        ("from memhotplug import manager", ["model/zones:1: model imports manager"]),
        ("if TYPE_CHECKING:\n    from memhotplug.engine.kernel import Kernel", ["model/zones:2: model imports engine"]),
        ("from memhotplug.model.extents import merge\nfrom memhotplug.units import round_up\nimport numpy", []),
    ],
)
def test_a_planted_import_is_found(source: str, found: list[str]) -> None:
    """Wherever it stands and however it is written."""
    assert offences("model/zones", source) == found
