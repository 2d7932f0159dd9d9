"""When two machines are the same for everything that can follow.

Breadth-first search ends only if states are recognised again. What cannot matter is left out of the form
by which they are: how devices are called and in which order they came, the numbers of memory groups, what is
gone, how workloads are called, and how runs of pages are stored. Which pages are free and where the memmap lies
does matter, in boot memory too: what is given back merges with what is free beside it, and the next allocation
of a large chunk depends on that.

A test takes pairs of machines with equal forms that are not equal in everything and holds every next operation
of one against that of the other.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import Resource
from memhotplug.model.runs import FEW, Runs
from memhotplug.model.state import Device, MachineState
from memhotplug.model.zones import Zone

__all__ = ["difference", "exact_form", "normal_form", "visible", "visible_form"]

_NONE = -1
_DIGEST = 16
_PLAIN = (int, bool, float, bytes, type(None))
_COLUMNS = ("id", "state", "nid", "zone", "altmap_pages", "online_type", "early")


def normal_form(kernel: Kernel) -> bytes:
    """Return 16 bytes that are equal for machines with the same future."""
    return _Form(kernel).digest()


def exact_form(kernel: Kernel) -> bytes:
    """Return 16 bytes that are equal for machines that are equal in every page and name."""
    state = kernel.state
    whole = {name: getattr(state, name) for name in MachineState.__slots__ if name != "geometry"}
    return _digest(_plain(whole, {}))


def difference(one: Kernel, other: Kernel) -> str | None:
    """Return in what the normal forms of two machines differ first, in words; None if they are equal."""
    mine, theirs = _Form(one).parts(), _Form(other).parts()
    return next((name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name)), None)


def visible(kernel: Kernel) -> dict[str, object]:
    """Return what people see of a machine, by name: its blocks, and the counters of its zones.

    Not in it: where the kernel put pages of its own, and watermarks, which remember how large the machine was.
    """
    blocks = kernel.state.blocks
    columns = [getattr(blocks, name).tolist() for name in ("id", "state", "nid", "zone")]
    found: dict[str, object] = {"the blocks": columns}
    for zone in kernel.state.zones():
        found[zone.title] = zone.start_pfn, zone.spanned, zone.present, zone.managed
    return found


def visible_form(kernel: Kernel) -> bytes:
    """Return 8 bytes that are equal for machines of which people see the same."""
    return _digest(visible(kernel), 8)


def _digest(value: object, size: int = _DIGEST) -> bytes:
    return blake2b(_bytes(value), digest_size=size).digest()


def _bytes(value: object) -> bytes:
    """Return bytes that are equal for equal plain data; later formats than 2 say what is shared in memory."""
    return marshal.dumps(value, 2)  # type: ignore[arg-type]  # plain data is what it takes


@dataclass(frozen=True, slots=True)
class _Ranks:
    """Numbers that do not depend on what was there before: by place, not by time."""

    devices: Mapping[int, int]
    groups: Mapping[int, int]
    names: Mapping[str, str]

    @classmethod
    def of(cls, state: MachineState) -> _Ranks:
        there = [index for index, device in enumerate(state.devices) if _is_there(device)]
        there.sort(key=lambda index: _where(state.devices[index], index))
        groups = tuple(state.devices[index].group for index in there if state.devices[index].group >= 0)
        names = {state.devices[index].name: f"@{rank}" for rank, index in enumerate(there)}
        return cls(
            {index: rank for rank, index in enumerate(there)}, {group: rank for rank, group in enumerate(groups)}, names
        )


def _is_there(device: Device) -> bool:
    return bool(device.ranges or device.enabled or device.waiting or not device.closed)


def _where(device: Device, index: int) -> tuple[object, ...]:
    spans = (*device.ranges, *device.enabled, *device.waiting)
    return min(spans, default=(1 << 64, 0)), device.driver, index


class _Form:
    """One machine's normal form, part by part."""

    def __init__(self, kernel: Kernel) -> None:
        self._state = kernel.state
        self._ranks = _Ranks.of(kernel.state)

    def digest(self) -> bytes:
        return _digest(tuple(self.parts().values()))

    def parts(self) -> dict[str, object]:
        zones = {f"the counters of {zone.title}": _zone(zone) for zone in self._state.zones()}
        marks = {
            f"the watermarks of {zone.title}": _plain((zone.wmark, zone.protection), {}) for zone in self._state.zones()
        }
        return {
            "blocks": self._blocks(),
            "devices": self._devices(),
            **zones,
            **marks,
            "nodes": [(nid, node.online) for nid, node in self._state.nodes.items()],
            "the memmap": self._memmap(),
            "who holds pages": self._allocations(),
            "what the kernel remembers": self._rest(),
        }

    def _blocks(self) -> object:
        blocks = self._state.blocks
        ranks = self._ranks
        columns = [getattr(blocks, name).tobytes() for name in _COLUMNS]
        devices = [ranks.devices.get(device, _NONE) for device in blocks.device.tolist()]
        groups = [ranks.groups.get(group, _NONE) for group in blocks.group.tolist()]
        return columns, devices, groups

    def _devices(self) -> object:
        state, ranks = self._state, self._ranks
        found = []
        for index in ranks.devices:
            device = state.devices[index]
            spans = _plain((device.ranges, device.enabled, device.waiting), {})
            group = ranks.groups.get(device.group, _NONE)
            options = _plain(device.options, ranks.names)
            found.append((device.driver, device.nid, spans, group, options, bool(device.closed)))
        return found

    def _memmap(self) -> object:
        runs = self._state.vmemmap.runs
        if runs.rows is not None:
            return [(*row[:4], int(row[4])) for row in runs.rows]
        return [column.tobytes() for column in runs.columns]

    def _allocations(self) -> object:
        found = []
        for held in self._state.allocations.values():
            if not held.kernel:
                found.append(("", held.movable, held.pinned, held.order, _runs(held.pages)))
            elif held.pages.total:  # an owner that has nothing left is as one that never had anything
                found.append((held.name, held.movable, held.pinned, held.order, _runs(held.pages)))
        return sorted(found, key=_bytes)

    def _rest(self) -> object:
        state, names = self._state, self._ranks.names
        deciding = getattr(state.profile, "deciding", None)
        profile = deciding(tuple(self._ranks.groups)) if deciding is not None else state.profile
        return (
            [_runs(pages) for pages in (state.sections, state.withheld, state.unbacked, state.poisoned)],
            [_resource(entry) for entry in state.resources],
            _tables(state.page_tables),
            _tables(state.boot_tables),
            _plain(state.driver_state, names),
            _plain(state.claims, names),
            _plain(profile, names),
            int(state.auto_online),
            state.block_objects,
            _plain(state.vm, names),
            _plain(state.huge_pages, names),
            state.min_free_kbytes if state.vm.user_min_free_kbytes >= 0 else _NONE,  # else only a figure to show
        )


def _zone(zone: Zone) -> object:
    counters = zone.start_pfn, zone.spanned, zone.present, zone.managed, zone.present_early, zone.cma
    return zone.nid, int(zone.kind), counters, _runs(zone.linked), _runs(zone.free), _runs(zone.pcp)


def _resource(entry: Resource) -> object:
    """Return all of a claimed range: whether it merges with the next one that comes depends on more than its place."""
    inside = [_resource(child) for child in entry.children]
    return entry.start, entry.end, entry.name, entry.hotplugged, entry.mergeable, inside


def _tables(kinds: Mapping[str, ExtentSet]) -> object:
    """Return which windows have tables; a kind that has none left is as one that never had any."""
    return sorted((kind, _runs(windows)) for kind, windows in kinds.items() if windows.total)


def _runs(pages: Runs) -> object:
    if len(pages) > FEW:
        return pages.starts.tobytes(), pages.ends.tobytes()
    return pages.few or (pages.starts.tolist(), pages.ends.tolist())


def _plain(value: object, names: Mapping[str, str]) -> object:
    """Return nested plain data for a value of the state, devices called by their rank."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return names.get(value, str(value))
    if isinstance(value, Enum):
        return _plain(value.value, names)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, Runs):
        return _runs(value)
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, Mapping):
        return sorted([_bytes((_plain(key, names), _plain(item, names))) for key, item in value.items()])
    if isinstance(value, Iterable):
        return [_plain(item, names) for item in value]
    return [_plain(getattr(value, name), names) for name in _attributes(value)]


def _attributes(value: object) -> Iterable[str]:
    return _declared(type(value)) or sorted(vars(value))  # type: ignore[arg-type]  # classes can be hashed


@lru_cache(maxsize=256)
def _declared(kind: type[object]) -> tuple[str, ...]:
    """Return the attributes that a class declares, in its order."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(name for part in kind.__mro__ for name in getattr(part, "__slots__", ()))
