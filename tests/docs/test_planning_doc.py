"""docs/planning.md says what the planner does: keys, ladder, measured limits."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.commands.plan.conftest import ask, capacity_table, write_snapshot

from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.search import largest_add, usable_pages
from memhotplug.commands.plan.sources import from_boot, from_snapshot
from memhotplug.units import parse_size

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


def test_the_measured_limits_are_recorded_and_predicted(tmp_path: Path) -> None:
    """Both columns, from the recordings that ship."""
    found = []
    tables = (*capacity_table(), *capacity_table("more-boot-sizes.json.xz"))
    for row in sorted(tables, key=lambda one: int(one["boot_memory_bytes"])):
        if "capped_at_gib" not in row:
            root = write_snapshot(tmp_path / str(row["boot_memory_bytes"]), row)
            machine = from_snapshot(root, step=None, arch=None, kernel=None, cmdline=None).boot()
            predicted = (
                largest_add(machine, Question(driver="acpi", sizes=(GIB,)), lambda tried: tried.safe).size // GIB
            )
            found.append((row["boot_memory_bytes"], row["largest_clean_gib"], predicted))

    shown = [(parse_size(boot), int(real), int(predicted)) for boot, real, predicted in rows("Measured")]
    assert shown == found
