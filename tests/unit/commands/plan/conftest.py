"""Machines to ask, and the answers as data."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memhotplug.cli import main
from memhotplug.commands.plan.answer import answer
from memhotplug.commands.plan.document import to_document
from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.sources import from_boot

CAPACITY = Path(__file__).parents[3] / "data" / "capacity" / "capacity.json.xz"

Document: TypeAlias = Mapping[str, Any]
Ask: TypeAlias = Callable[..., Document]
Plan: TypeAlias = Callable[..., tuple[int, str, str]]


@cache
def ask(
    boot: int, *sizes: int, arch: str = "x86_64", kernel: str = "linux-6.12", profile: str = "lean", cmdline: str = "",
    **question: Any,
) -> Document:  # fmt: skip
    """Return the document for a fresh guest and some adds."""
    subject = from_boot(boot, arch=arch, kernel=kernel, profile=profile, cmdline=cmdline)
    return to_document(answer(subject, Question(**{"driver": "acpi", "sizes": sizes, **question})))


@pytest.fixture(name="ask", scope="session")
def _ask() -> Ask:
    """Return :func:`ask`."""
    return ask


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Plan:
    """Return a function that runs ``mhp plan`` here; it returns exit status, stdout and stderr."""

    def call(*args: object) -> tuple[int, str, str]:
        status = main(["plan", *map(str, args)])
        captured = capsys.readouterr()
        return int(status), captured.out, captured.err

    return call


@cache
def capacity_table(name: str = CAPACITY.name) -> list[dict[str, Any]]:
    """Return the recorded capacity experiments of one file."""
    with lzma.open(CAPACITY.with_name(name)) as handle:
        table: list[dict[str, Any]] = json.load(handle)["table"]
    return table


def write_snapshot(root: Path, row: dict[str, Any], *, cmdline: str | None = None) -> Path:
    """Write the boot state of one experiment as a snapshot directory."""
    for name, text in row["boot_step"]["files"].items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    line = cmdline if cmdline is not None else f"memory_hotplug.memmap_on_memory={row['memmap_on_memory']}"
    (root / "proc" / "cmdline").write_text(line + "\n")
    return root
