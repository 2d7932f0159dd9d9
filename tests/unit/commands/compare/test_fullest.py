"""The moment at which most hot-added memory is online, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.compare.answer import Fullest
from memhotplug.commands.run.runner import boot_scenario, run_scenario
from memhotplug.formats.scenario import Scenario
from memhotplug.formats.scenario.loader import loads_scenario


def _scenario() -> Scenario:
    return loads_scenario(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 1G}\nsteps:\n"
        "- add: {driver: acpi, name: a, size: 256M}\n- online: {range: a}\n"
        "- add: {driver: acpi, name: b, size: 256M}\n- online: {range: b, zone: movable}\n"
        "- allocate: {name: w, size: 100M, zone: movable}\n- online: {range: b}\n- expect: {zone: Movable, free: 0}\n"
        "- offline: {range: b}\n- release: {name: w}\n- remove: {range: b}\n- online: {range: a}\n",
        catalog=Installed(),
    )


@pytest.mark.parametrize("steps", range(12))
def test_copies_that_are_saved_change_no_moment(steps: int) -> None:
    """A machine that is kept and one that is copied each time are the same at the fullest moment."""
    scenario = _scenario()
    booted = boot_scenario(scenario)
    chosen = scenario.steps[:steps]
    found = []
    for saves in (False, True):
        machine = booted.copy()
        fullest = Fullest(machine, begun=booted, steps=chosen) if saves else Fullest(machine)
        run_scenario(replace(scenario, steps=chosen), machine=machine, on_step=fullest.look, go_on=True)
        found.append((fullest.step, fullest.machine.to_dict(), fullest.machine.violations()))
    assert found[0] == found[1]
    assert np.all(booted.kernel.state.blocks.early)
