"""All that a machine is, as plain values, so that two machines can be compared to the last page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockTable
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import ResourceTable
from memhotplug.model.vmemmap import MapRuns

__all__ = ["fingerprint", "page_tables"]

_SHARED = ("geometry",)  # what never changes


def fingerprint(machine: Machine) -> dict[str, object]:
    """Return the whole state of a machine, its notes, warnings and events as plain, independent values."""
    kernel, state = machine.kernel, machine.kernel.state
    found = {name: _plain(getattr(state, name)) for name in type(state).__slots__ if name not in _SHARED}
    return found | {
        "warnings": list(kernel.journal.warnings),
        "events": _plain(list(kernel.journal.events)),
        "shown": machine.to_dict(),
    }


def page_tables(machine: Machine) -> dict[str, list[tuple[int, int]]]:
    """Return by kind of table which windows have one, those made at boot among them."""
    return {
        kind: list(windows)
        for kind, windows in sorted(machine.kernel.state.page_tables.items())
        if windows.total and kind != "mem_section"
    }


def _plain(value: Any) -> object:
    """Return a value as lists, tuples and numbers; an object of which nothing is known as its class."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, Enum):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (ExtentSet, MapRuns, BlockTable, ResourceTable)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=repr)
    names = _attributes(value)
    return [type(value).__name__, *((name, _plain(getattr(value, name))) for name in names if hasattr(value, name))]


def _attributes(value: Any) -> list[str]:
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return sorted({*slots, *getattr(value, "__dict__", {})})
