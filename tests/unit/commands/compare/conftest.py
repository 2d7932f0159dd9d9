"""Short ways to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.compare.answer import Compared, compare
from memhotplug.commands.compare.question import parse_axis, variants
from memhotplug.formats.scenario.yamltree import parse_tree

STEPS = ("add: {driver: acpi, name: dimm0, size: 2G}", "online: {range: dimm0, zone: movable}")

Compare: TypeAlias = Callable[..., list[Compared]]


def run_comparison(*axes: str, steps: tuple[str, ...] = STEPS, machine: str = "memory: 4G") -> list[Compared]:
    """Return what comes of 2 GiB of Movable memory, or other steps, in several variations."""
    text = f"schema: 1\nmachine: {{arch: x86_64, kernel: v2-2019, {machine}}}\nsteps:\n"
    text += "".join(f"  - {step}\n" for step in steps)
    return compare(variants(parse_tree(text), [parse_axis(axis) for axis in axes], catalog=Installed(), file="s.yaml"))


@pytest.fixture(scope="session")
def compared() -> Compare:
    """Return a function that compares: compared("machine.kernel=a,b", steps=(…))."""
    return run_comparison
