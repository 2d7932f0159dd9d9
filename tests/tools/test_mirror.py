"""Tests mirror the core: a module has its own test, one that imports it, or a place that says what tests it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "memhotplug"
FEW_LINES: Final = 30
"""Up to so many lines a module is tested with whoever uses it."""

THROUGH: Final = {
    "cli": "unit/cli/test_errors.py",
    "cli/conform.py": "unit/commands/conform/test_command.py",
    "cli/ctl.py": "live",
    "cli/examples.py": "unit/cli/test_examples_command.py",
    "cli/exec_.py": "live",
    "cli/explain.py": "unit/commands/explain/test_command.py",
    "cli/export.py": "live",
    "cli/livesource.py": "live",
    "cli/mount.py": "live",
    "cli/plan.py": "unit/commands/plan/test_input.py",
    "commands/align": "unit/cli/test_align.py",
    "commands/check": "unit/cli/test_check.py",
    "commands/examples.py": "unit/cli/test_examples_command.py",
    "commands/explain": "unit/commands/explain/test_drivers.py",
    "commands/page": "unit/cli/test_page.py",
    "commands/plan": "unit/commands/plan/test_acceptance.py",
    "commands/report": "unit/cli/test_report.py",
    "commands/sweep": "unit/commands/sweep/test_sweep.py",
    "documents": "contract/test_output_schemas.py",
    "engine/boot": "unit/engine/boot/test_layouts.py",
    "formats/scenario": "unit/formats/scenario/test_loader.py",
    "formats/snapshot": "unit/formats/snapshot/test_read.py",
    "live": "live/test_programs.py",
    "testing": "plugins/test_kit.py",
}
"""What has no test of its own is tested through its users: a module or a folder, and where below tests/."""


@cache
def _imported() -> frozenset[str]:
    """Return every module of the core, and every name in one, that a test imports."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if "data" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        for module, names in re.findall(r"from (memhotplug[\w.]*) import (\([^)]*\)|[^\n]*)", text):
            found |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))}
        found |= set(re.findall(r"import (memhotplug[\w.]*)", text))
    return frozenset(found)


def _has_own(path: Path) -> bool:
    """Whether a test stands at the same place below tests/unit."""
    here = ROOT / "tests" / "unit" / path.relative_to(CORE).parent
    if path.name != "__init__.py":
        return (here / f"test_{path.stem.strip('_')}.py").exists()
    return any((folder / f"test_{here.name}.py").exists() for folder in (here, here.parent))


def _is_imported(path: Path) -> bool:
    parts = path.relative_to(CORE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) in _imported()


def _is_long(path: Path) -> bool:
    is_data = "templates" in path.parts and path.name != "__init__.py"
    return not is_data and len(path.read_text(encoding="utf-8").splitlines()) > FEW_LINES


def _orphans(paths: Iterable[Path]) -> list[str]:
    return [
        path.relative_to(CORE).as_posix()
        for path in paths
        if _is_long(path) and not _has_own(path) and not _is_imported(path)
    ]


def _place(module: str) -> str | None:
    """Return the key of THROUGH that a module falls under, the narrowest."""
    keys = [key for key in THROUGH if module == key or module.startswith(f"{key}/")]
    return max(keys, key=len, default=None)


def test_every_module_is_tested_somewhere() -> None:
    """The next one that has no test makes this fail: give it one, or say through whom it is tested."""
    assert [module for module in _orphans(sorted(CORE.rglob("*.py"))) if _place(module) is None] == []


def test_what_is_tested_through_others_is_said_once_and_is_true() -> None:
    """No entry outlives what it is about, and each leads to tests."""
    used = {_place(module) for module in _orphans(CORE.rglob("*.py"))}
    assert set(THROUGH) - used == set()
    assert [target for target in THROUGH.values() if not (ROOT / "tests" / target).exists()] == []


def test_parts_that_many_rely_on_have_a_test_of_their_own() -> None:
    """No detour for the model, the engine and what errors and plugins are made of."""
    folders = ("model", "engine/base_memory", "engine/memory_hotplug", "engine/procfs", "engine/views", "output")
    ours = [path for folder in folders for path in sorted((CORE / folder).glob("*.py"))]
    ours += sorted(CORE.glob("*.py")) + sorted((CORE / "engine").glob("*.py"))
    assert _orphans(ours) == []
