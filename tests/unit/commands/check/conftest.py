"""Checks of small machines."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.check.answer import Answer, check
from memhotplug.commands.check.question import Question
from memhotplug.formats.scenario import Scenario, loads_scenario

SERIES = "{arch: x86_64, kernel: v2-2019, memory: 1G}"
MAINLINE = "{arch: x86_64, kernel: linux-6.12, memory: 1G, cmdline: memory_hotplug.memmap_on_memory=1}"


def scenario(machine: str = SERIES, explore: str = "{drivers: acpi, blocks: 3}", rest: str = "") -> Scenario:
    """Return a scenario that is explored from its start."""
    text = f"schema: 1\nmachine: {machine}\nexplore: {explore}\n{rest}"
    return loads_scenario(text, catalog=Installed())


def explored(given: Scenario, **question: Any) -> Answer:
    """Return what a check of a scenario says."""
    return check(given, Question(**question), catalog=Installed())


def steps(answer: Answer, invariant: str) -> list[str]:
    """Return the first way to break an invariant, one line a step."""
    found = next(finding for finding in answer.findings if finding.broken.invariant == invariant)
    return [step.move.text for step in found.steps]


@pytest.fixture(scope="session")
def device() -> Answer:
    """The series with one memmap for a whole device, to depth 3."""
    return explored(scenario(rest="drivers: {acpi: {mhp_flags: device}}\n"), depth=3)
