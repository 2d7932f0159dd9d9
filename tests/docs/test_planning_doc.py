"""docs/planning.md says what the planner does: keys, ladder, measured limits."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.commands.plan.conftest import ask

from memhotplug.commands.plan.search import usable_pages
from memhotplug.commands.plan.sources import from_boot
from memhotplug.units import parse_size, typed_size
from tools import capacity

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")
MIB = 1 << 20
GIB = 1 << 30


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the last table below a heading, its header left out."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = section.rstrip().split("\n\n")
    lines = [part for part in table if part.startswith("| ")][-1].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_of_the_answer_is_in_the_table() -> None:
    """And no other, in the order in which they are printed."""
    named = [name for row in rows("The answer") for name in re.findall(r"`(\w+)`", row[0])]

    assert named == list(ask(256 * MIB, 12 * GIB))


def test_the_margins_of_the_ladder_are_those_of_the_model() -> None:
    """Each row is on the side of its report."""
    ladder = rows("The ladder")
    assert len(ladder) == 8
    for boot, added, reported, margin, _ in ladder:
        machine = from_boot(parse_size(boot), arch="x86_64", kernel=None, profile="lean", cmdline="").boot()
        sizes = re.findall(r"\d+G", added)
        count = int(added.split(" x ")[0]) if " x " in added else 1
        memmap = count * parse_size(sizes[-1]) // 64

        assert margin == f"{(usable_pages(machine) * 4096 - memmap) / MIB:.1f}"
        assert reported == ("works" if float(margin) > 0 else "fails")


def test_the_measured_limits_are_those_that_the_tool_prints() -> None:
    """Row by row."""
    found = [
        [
            typed_size(row.boot),
            "-".join(map(str, sorted({row.measured[0], row.measured[-1]}))),
            str(row.predicted),
            "" if row.next_gib is None else f"{row.next_gib} {row.ends}",
        ]
        for row in capacity.rows()
    ]
    assert rows("Measured") == found
