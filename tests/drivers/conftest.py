"""Short views of a machine for the tests of the drivers, as fixtures that return functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import Machine

_MIB = 1 << 20
_HOTPLUG_BASE = 4 << 30


@pytest.fixture
def machine(boot: Callable[..., Machine]) -> Machine:
    """x86_64 with 4 GiB under the series; the first hot-added block is 32."""
    return boot()


@pytest.fixture(scope="session")
def brief() -> Callable[[Machine], object]:
    """Return a function: id, state, usable and vmemmap pages of each hot-added block."""

    def view(machine: Machine) -> object:
        blocks: list[dict[str, Any]] = machine.to_dict()["blocks"]  # type: ignore[assignment]  # plain JSON
        return [(b["id"], b["state"], b["usable_pages"], b["vmemmap_pages"]) for b in blocks if b["device"]]

    return view


@pytest.fixture(scope="session")
def iomem() -> Callable[[Machine], object]:
    """Return a function: start and size in MiB, and name, of each resource from 4 GiB on."""

    def view(machine: Machine) -> object:
        entries: list[dict[str, Any]] = machine.to_dict()["iomem"]  # type: ignore[assignment]  # plain JSON
        return [
            (entry["start"] // _MIB, (entry["end"] + 1 - entry["start"]) // _MIB, entry["name"])
            for entry in entries
            if entry["start"] >= _HOTPLUG_BASE
        ]

    return view


@pytest.fixture(scope="session")
def events() -> Callable[[Machine, str], list[dict[str, object]]]:
    """Return a function: the events whose name begins with a prefix, in order."""

    def view(machine: Machine, prefix: str) -> list[dict[str, object]]:
        return [event for event in machine.kernel.journal.events if str(event["event"]).startswith(prefix)]

    return view


@pytest.fixture(scope="session")
def state_of() -> Callable[[Machine], object]:
    """Return a function: everything that a refused or undone operation must leave as it was."""

    def view(machine: Machine) -> object:
        shown = machine.to_dict()
        return {key: shown[key] for key in ("blocks", "zones", "vmemmap", "memmap", "iomem", "violations")}

    return view
