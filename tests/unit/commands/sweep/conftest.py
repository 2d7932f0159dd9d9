"""Small sweeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memhotplug.commands.sweep.answer import Progress, sweep
from memhotplug.commands.sweep.export import export
from memhotplug.commands.sweep.question import Question
from memhotplug.commands.sweep.store import open_store
from memhotplug.commands.sweep.workers import Pool

TEXT = """\
schema: 1
machine: {arch: x86_64, kernel: v2-2019, memory: 1G}
drivers: {acpi: {mhp_flags: none}}
steps:
  - add: {driver: acpi, name: d, size: 1G}
  - online: {range: d, zone: movable}
  - expect: {zone: Movable, managed: 258048}
"""
VARY = ("steps.0.add.size=1G,2G,80G", "drivers.acpi.mhp_flags=none,device")

Swept: TypeAlias = Callable[..., Path]


def asked(**changes: Any) -> Question:
    """Return a small question."""
    return Question(**{"file": "grow.yaml", "text": TEXT, "vary": VARY, **changes})


def run(question: Question, path: Path, pool: Pool | None = None) -> Progress:
    """Play what is left of a question."""
    with open_store(str(path), question) as store:
        return sweep(question, store, pool)


def exported(path: Path) -> str:
    """Return the results as CSV."""
    target = path.with_suffix(".csv")
    with open_store(str(path)) as store:
        export(store, str(target))
    return target.read_text(encoding="utf-8")


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a store."""
    with open_store(str(path)) as store:
        return list(store.rows())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results of the small question."""
    path = tmp_path / "r.sqlite"
    run(asked(), path)
    return path
