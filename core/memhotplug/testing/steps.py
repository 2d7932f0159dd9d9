"""Which steps of a profile are called while memory lives its life."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any

import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.check.moves import Moves
from memhotplug.contracts import AddRequest
from memhotplug.engine.memory_hotplug.presence import window_driver
from memhotplug.engine.profile import STEPS, KernelProfile
from memhotplug.errors import MemoryHotplugError
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.machine import Machine

__all__ = ["own_steps", "trace_steps", "whole_life"]

_PARAMETERS = "/sys/module/memory_hotplug/parameters/"


def own_steps(kind: type[KernelProfile]) -> frozenset[str]:
    """Return the steps that a profile's package overrides; those of a base from another package are that one's."""
    home = kind.__module__.partition(".")[0]
    classes = [base for base in kind.__mro__ if base.__module__.partition(".")[0] == home]
    return frozenset(step for step in STEPS if any(step in vars(base) for base in classes))


def trace_steps(kind: type[KernelProfile], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set into which each step goes when it is called on an object of a class, until the test is over."""
    called: set[str] = set()

    def traced(step: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*arguments: Any, **keywords: Any) -> Any:
            called.add(step)
            return original(*arguments, **keywords)

        return call

    for step in STEPS:
        monkeypatch.setattr(kind, step, traced(step, getattr(kind, step)))
    return called


def whole_life(machine: Machine, driver: str) -> None:
    """Do with memory what can be done with it under each flag, and look at all that there is to see.

    Args:
        driver: who adds the memory, one block at a time.
    """
    kernel, size = machine.kernel, machine.kernel.geometry.memory_block_size
    for flag in kernel.profile.short_flags:
        name = machine.add_memory(driver=driver, size=str(size), mhp_flags=flag).name
        machine.online(name, zone="movable")  # what the kernel takes meanwhile stays out of it
        machine.read(f"memory/memory{machine.memory(name).blocks[0]}/removable")
        machine.memmap(name)
        machine.to_dict()
        machine.violations()
        machine.offline(name)
        machine.remove(name)
    moves = Moves(kernel, ExploreSpec(operations=("write",)), (driver,), Installed())
    for move in moves.all(kernel):
        keys = dict(move.keys)
        machine.copy().write(str(keys["path"]), str(keys["value"]))
    for path in ("memory/no_such_file", _PARAMETERS + "no_such_parameter"):
        for ask in (machine.read, partial(machine.write, value="1")):
            with suppress(MemoryHotplugError):
                ask(path)
    request = AddRequest(driver=window_driver(kernel.arch), name="group", size=size)
    kernel.register_group(request, min(kernel.state.nodes), max_pages=kernel.geometry.pages_per_block)
