"""How far machines are exhausted: one release stands for all that answer alike, and the table says what was done."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from memhotplug import features
from memhotplug.commands.check.question import Question

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def exhaust(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("exhaust_tool", ROOT / "tools" / "exhaust.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "exhaust_tool", module)
    spec.loader.exec_module(module)
    return module


def explored(path: Path) -> list[dict[str, Any]]:
    """Return the rows that were written."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_releases_that_answer_alike_are_explored_once(exhaust: ModuleType, tmp_path: Path) -> None:
    """linux-6.1 changes nothing, so what holds for 5.19 holds for it; what was wrapped to listen is as before."""
    path, ask = tmp_path / "rows.jsonl", features.has
    arguments = [
        "-o",
        str(path),
        "--depth",
        "2",
        "--only",
        "x86_64:acpi",
        "--kernels",
        "linux-5.19,linux-6.1,linux-6.8",
    ]
    assert exhaust.main(arguments) == 0

    found = explored(path)
    assert [row["kernels"] for row in found] == [["linux-5.19", "linux-6.1"], ["linux-6.8"]]
    assert {(row["depth"], len(row["found"])) for row in found} == {(2, 0)}
    assert features.has is ask


@pytest.mark.parametrize("kernel", ["linux-6.1", "linux-6.2"])
def test_a_release_that_answers_alike_is_explored_alike(exhaust: ModuleType, kernel: str) -> None:
    """Transition by transition; that is what the classes rest on."""
    question, tried = Question(depth=3, operations=1000, faults=True), ("add", "online", "remove")
    one, other = (exhaust.explored("x86_64", name, "acpi", question, tried) for name in ("linux-5.19", kernel))

    assert (one.progress.states, one.progress.transitions) == (other.progress.states, other.progress.transitions)


def test_the_same_command_goes_on(exhaust: ModuleType, tmp_path: Path) -> None:
    """What is there is not explored again; a row that did not come is."""
    path = tmp_path / "rows.jsonl"
    words = ["-o", str(path), "--depth", "1", "--kernels", "linux-6.12", "--only", "x86_64:acpi", "--only", "s390:sclp"]
    exhaust.main(words)
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first)
    exhaust.main(words)
    exhaust.main(words)

    assert path.read_text() == first + second


def test_the_table_says_how_deep_and_for_which_releases(exhaust: ModuleType) -> None:
    """The shallowest and the deepest class of releases, in whatever order they came; what was found is counted."""
    row = {"arch": "s390", "driver": "sclp", "tried": ["add"], "depth": 5, "transitions": 1200, "found": []}
    found = [
        {**row, "kernels": ["linux-6.8", "linux-6.9", "linux-6.10"]},
        {**row, "kernels": ["linux-6.10", "linux-6.9", "linux-6.8"], "depth": 4},
        {**row, "kernels": ["linux-7.2"], "depth": 6, "found": [{"text": "I4: x", "steps": []}]},
        {**row, "kernels": ["linux-7.2"], "depth": 3, "tried": ["add", "write"]},
    ]
    assert list(exhaust.table(found)) == [
        "| architecture | driver | releases explored | depth | with writes and workloads | transitions | found |",
        "|---|---|---|---|---|---|---|",
        "| s390 | sclp | 4 in 2 classes | 5 to 6 | 3 | 4,800 | 1 |",
    ]


def test_a_driver_that_adds_one_block_at_a_time_gets_one(exhaust: ModuleType) -> None:
    """Or there would be nothing to explore; the others get two."""
    machine = exhaust.machine_of("x86_64", "linux-6.12", "probe")
    assert exhaust.size_of(machine, "probe") == machine.kernel.geometry.memory_block_size
    assert exhaust.size_of(machine, "acpi") == 2 * machine.kernel.geometry.memory_block_size


def test_writes_and_workloads_are_another_question(exhaust: ModuleType, tmp_path: Path) -> None:
    """More operations are tried, and what is known of the others does not answer it."""
    path = tmp_path / "rows.jsonl"
    words = ["-o", str(path), "--depth", "1", "--kernels", "linux-6.12", "--only", "x86_64:acpi"]
    exhaust.main(words)
    exhaust.main([*words, "--everything"])
    few, more = explored(path)
    assert [op for op in more["tried"] if op not in few["tried"]] == ["write", "allocate", "release"]
    assert more["transitions"] > few["transitions"]


def test_drivers_that_an_architecture_lacks_are_left_out(exhaust: ModuleType, tmp_path: Path) -> None:
    """Nothing is written of them."""
    path = tmp_path / "rows.jsonl"
    assert exhaust.main(["-o", str(path), "--depth", "1", "--only", "s390:acpi", "--kernels", "linux-6.12"]) == 0
    assert not path.exists()
