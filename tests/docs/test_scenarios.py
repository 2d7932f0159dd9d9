"""Every shipped scenario runs, tells its story, and would fail if the numbers in it were others."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.registered import built_in

from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import RunResult, run_scenario
from memhotplug.formats.scenario import load_scenario, loads_scenario

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
SELECTORS = ("head", "block", "node", "range", "zone", "path")

each_scenario = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@cache
def document(path: Path) -> dict[str, Any]:
    """Return the scenario as plain data."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def story(path: Path) -> list[str]:
    """Return the comment lines that a scenario begins with, without their signs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def expectations(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the ``expect`` steps with their numbers."""
    return [(index, step["expect"]) for index, step in enumerate(document(path)["steps"]) if "expect" in step]


def expects_violations(path: Path) -> bool:
    """Whether the scenario says that an invariant breaks."""
    return any(wanted.get("violations") for _, wanted in expectations(path))


def run_changed(path: Path, change: dict[str, Any]) -> RunResult:
    """Run what a scenario has become after a change."""
    text = yaml.safe_dump(change, sort_keys=False)
    return run_scenario(loads_scenario(text, catalog=Installed(), file=str(path)))


@each_scenario
def test_scenario_does_what_it_says(path: Path) -> None:
    """Every step does what the scenario says of it."""
    result = run_scenario(load_scenario(path, Installed()))
    assert result.failure is None


@each_scenario
def test_scenario_keeps_the_invariants_unless_it_says_otherwise(path: Path) -> None:
    """With every invariant checked after every step, only the scenarios that expect a broken one stop."""
    result = run_scenario(load_scenario(path, Installed()), check=True)
    if expects_violations(path):
        assert result.failure is not None
        assert "breaks an invariant" in result.failure
    else:
        assert result.failure is None


@each_scenario
def test_scenario_tells_its_story(path: Path) -> None:
    """Three to eight lines of comment: the question first, and what to look at."""
    lines = story(path)
    assert 3 <= len(lines) <= 8
    assert lines[0].startswith("Question: ")
    assert "?" in " ".join(lines[:2])
    assert sum(line.startswith("Look at: ") for line in lines) == 1


@each_scenario
def test_story_mentions_only_scenarios_that_exist(path: Path) -> None:
    """A file that is named in a story is there."""
    for name in re.findall(r"[\w.-]+\.yaml", " ".join(story(path))):
        assert (FOLDER / name).is_file()


def other_numbers(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the step and the key of every number that an ``expect`` compares."""
    for index, wanted in expectations(path):
        for key, value in wanted.items():
            if key not in SELECTORS and isinstance(value, int):
                yield index, key


@each_scenario
def test_scenario_fails_if_its_numbers_are_others(path: Path) -> None:
    """Each number that is expected is really compared: one more, and the run stops at that step."""
    numbers = list(other_numbers(path))
    assert numbers
    for index, key in numbers:
        changed = copy.deepcopy(document(path))
        changed["steps"][index]["expect"][key] += 1
        failure = run_changed(path, changed).failure
        assert failure is not None
        assert f"steps[{index}].expect" in failure


@each_scenario
def test_scenario_fails_if_its_refusals_are_others(path: Path) -> None:
    """A step that must fail with one errno does not pass with another."""
    for index, step in enumerate(document(path)["steps"]):
        op = next(iter(step))
        if "fails" not in step[op]:
            continue
        changed = copy.deepcopy(document(path))
        changed["steps"][index][op]["fails"] = "ENOTTY"
        failure = run_changed(path, changed).failure
        assert failure is not None
        assert "expected ENOTTY" in failure


def test_there_are_enough_scenarios() -> None:
    """The cover letter's examples, its three problems, and the rest."""
    assert len(FILES) >= 14


def test_every_architecture_has_a_scenario() -> None:
    """Each of this project appears in one; drivers are held to their contract, with requests of their own."""
    assert set(built_in("arch")) - {document(path)["machine"]["arch"] for path in FILES} == set()


def test_every_operation_is_shown() -> None:
    """Each operation of the format is used by some scenario."""
    used = {next(iter(step)) for path in FILES for step in document(path)["steps"]}
    assert used == {"add", "online", "offline", "remove", "eject", "write", "allocate", "release", "resize", "expect"}


def test_recorded_machine_is_the_measured_one() -> None:
    """The machine beside the scenarios is a plain copy of a recording, never edited."""
    copied = FOLDER / "machines" / "x86_64-6.12-256m.json.xz"
    original = ROOT / "tests" / "data" / "recordings" / "x86_64-6.12-kata4847-mom-0.json.xz"
    assert copied.read_bytes() == original.read_bytes()
