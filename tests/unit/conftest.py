"""Short ways to run a few steps on the machine that most tests use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import RunResult, run_scenario
from memhotplug.errors import InputError
from memhotplug.formats.scenario import Scenario, loads_scenario

HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n"

Load: TypeAlias = Callable[..., Scenario]
Run: TypeAlias = Callable[..., RunResult]
ErrorOf: TypeAlias = Callable[..., InputError]


def load_steps(*steps: str, head: str = HEAD) -> Scenario:
    """Return a scenario, called s.yaml, whose steps begin in line 4."""
    return loads_scenario(head + "".join(f"  - {step}\n" for step in steps), catalog=Installed(), file="s.yaml")


@pytest.fixture(scope="session")
def load() -> Load:
    """Return a function that reads steps: load("add: {…}", "online: {…}", head=…)."""
    return load_steps


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that runs steps."""

    def call(*steps: str, head: str = HEAD, **keywords: Any) -> RunResult:
        return run_scenario(load_steps(*steps, head=head), **keywords)

    return call


@pytest.fixture(scope="session")
def error_of() -> ErrorOf:
    """Return a function that runs steps and returns the error that they must end in."""

    def call(*steps: str, head: str = HEAD, **keywords: Any) -> InputError:
        with pytest.raises(InputError) as caught:
            run_scenario(load_steps(*steps, head=head), **keywords)
        return caught.value

    return call
