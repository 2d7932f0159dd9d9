"""The two studies of docs/sweeping.md at their full size: every number of their tables is what a sweep gives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from memhotplug.commands.sweep.question import Question
from memhotplug.commands.sweep.workers import Seat

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


def document() -> str:
    """Return the page."""
    return (ROOT / "docs" / "sweeping.md").read_text(encoding="utf-8")


def table(first: str) -> list[list[str]]:
    """Return the rows of the table whose first column has some name, without head and line."""
    lines = document().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def played(text: str, file: str, *vary: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return the row of each case, and those of its steps."""
    question = Question(file=file, text=text, vary=vary, steps=True)
    with Seat(question) as seat:
        return [
            (json.loads(case.row), [json.loads(step) for step in case.steps]) for case in seat.play(question.numbers)
        ]


def zone(steps: list[dict[str, Any]], step: int, name: str, column: str) -> float:
    """Return what a zone has after a step, in GiB; nothing where there is no such zone."""
    found = [row for row in steps if (row["step"], row["zone"]) == (step, name)]
    return float(found[0][column] * found[0]["page_size"] / GIB) if found else 0.0


def test_the_study_of_the_ratio() -> None:
    """By ratio: what the zones have when the guest is large, whether the kernel gets a GiB, and what stays."""
    path = ROOT / "scenarios" / "grow-and-shrink.yaml"
    rows = table("ratio")
    vary = f"steps.0.write.value={','.join(row[0] for row in rows)}"
    assert len(rows) == 6
    for row, (case, steps) in zip(rows, played(path.read_text(encoding="utf-8"), str(path), vary), strict=True):
        last = max(step["step"] for step in steps)
        large = [zone(steps, 3, name, "present") for name in ("Movable", "Normal")]
        stays = sum(zone(steps, last, name, "present") for name in ("Movable", "Normal"))
        assert row == [
            case["steps.0.write.value"],
            *(f"{held:.1f}" for held in large),
            f"{zone(steps, 3, 'DMA32', 'free'):.2f}",
            case["errno"] or "fits",
            f"{stays:.2f}",
        ]
        assert case["failed_op"] in (None, "allocate")


def test_the_study_of_the_balloon() -> None:
    """By policy and size: what the guest's own memory has left, what fails, and where memmap lies in nothing."""
    found = re.search(r"```yaml\n# balloon\.yaml\n(.*?)```", document(), re.DOTALL)
    assert found is not None
    rows = table("policy")
    axes = [",".join(dict.fromkeys(row[column] for row in rows)) for column in (0, 1)]
    vary = [f"drivers.hv_balloon.mhp_flags={axes[0]}", f"steps.1.add.size={axes[1]}"]
    cases = played(found[1], "balloon.yaml", *vary)
    assert len(rows) == len(cases) == 12
    for row, (case, _) in zip(rows, cases, strict=True):
        assert row == [
            case["drivers.hv_balloon.mhp_flags"],
            case["steps.1.add.size"],
            case["errno"] or "fits",
            str(case["node0_DMA32_free_bytes"] >> 20),
            str(case["memmap_bytes"] >> 20),
            "lies where nothing is" if case["violations"] else "-",
        ]
