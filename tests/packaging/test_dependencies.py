"""What is imported is declared: at run time, by an extra, or by the standard library."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOML: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = TOML["project"]
OWN = {Path(package).name for package in TOML["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
MODULES = {"pyyaml": "yaml", "qemu.qmp": "qemu"}
"""What is imported of a distribution, where it is not called the same."""
IN_AN_EXTRA = {
    "core/memhotplug/testing": "plugin-test",
    "core/memhotplug/live/pytest_plugin.py": "plugin-test",  # pytest itself imports it
    "core/memhotplug/live": "live",
    "core/memhotplug/commands/sweep/workers.py": "cluster",
    "core/memhotplug/commands/sweep/export.py": "parquet",
}
"""Where what an extra brings may be imported."""


def _names(requirements: list[str]) -> set[str]:
    found = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements}
    return {MODULES.get(name, name.replace("-", "_")) for name in found}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _allowed(path: Path) -> set[str]:
    name = str(path.relative_to(ROOT))
    extras = PROJECT["optional-dependencies"]
    found = set(sys.stdlib_module_names) | OWN | _names(PROJECT["dependencies"])
    for place, extra in IN_AN_EXTRA.items():
        if name.startswith(place):
            found |= _names(extras[extra])
    return found


@pytest.mark.parametrize("folder", ["core", "drivers", "plugins"])
def test_everything_that_is_imported_is_declared(folder: str) -> None:
    """Inside functions too; what an extra brings only where that extra is asked for."""
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in _sources(folder)
        if "templates" not in path.parts
        for module in _imported(path)
        if module not in _allowed(path) and not path.with_name(f"{module}.py").exists()  # run as a script, beside it
    }
    assert undeclared == set()


def test_everything_that_is_declared_is_imported() -> None:
    """A dependency that nobody needs is only something to install."""
    used = {module for path in _sources("core", "drivers", "plugins") for module in _imported(path)}
    assert _names(PROJECT["dependencies"]) - used == set()


def test_the_tests_import_what_their_extra_brings() -> None:
    """Everything that a fresh environment with ``.[test]`` is asked for; tools of the system are skipped if missing."""
    brought = _names(PROJECT["optional-dependencies"]["test"]) | _names(PROJECT["dependencies"]) | OWN
    local = {path.stem for path in _sources("tests", "bench", "tools", "examples")}
    local |= {path.name for path in (ROOT / "examples").glob("*/*") if path.is_dir()} | {"tests", "tools", "bench"}
    known = brought | set(sys.stdlib_module_names) | local | {"_pytest", "packaging", "acme_arch", "acme_driver"}
    unknown = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in _sources("tests", "bench")
        if "data" not in path.parts
        for module in _imported(path)
        if module not in known
    }
    assert unknown == set()
