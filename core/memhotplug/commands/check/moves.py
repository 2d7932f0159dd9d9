"""What can happen next to a machine: operations as steps of a scenario, the simplest first."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from memhotplug.contracts import MemoryEvent
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks
from memhotplug.formats.scenario.catalog import Catalog
from memhotplug.formats.scenario.check import parse_args
from memhotplug.formats.scenario.explore import EXPLORED, ExploreSpec
from memhotplug.formats.scenario.models import VETOABLE_EVENTS, Action
from memhotplug.model.blocks import BlockState
from memhotplug.model.state import Device
from memhotplug.units import div_round_up, typed_size

__all__ = ["NOTHING", "Move", "Moves"]

_MAX_BLOCKS: Final = 4
_VETO_ERRNO: Final = "ENOMEM"
_ALL_EVENTS: Final = frozenset(MemoryEvent)
_NOTIFYING: Final = ("add", "online", "offline", "remove", "eject", "resize", "write")
_COMMUTING: Final = ("online", "offline")
_FAULTS: Final = ("fail_allocation", "veto")
_OWN_DEVICE: Final = "m"
_OWN_WORKLOAD: Final = "w"


@dataclass(frozen=True)
class Move:
    """One operation, with what goes wrong in it.

    Attributes:
        op: the operation.
        keys: its keys, as a scenario has them.
    """

    op: str
    keys: tuple[tuple[str, object], ...]

    def step(self) -> dict[str, dict[str, object]]:
        """Return it as a step of a scenario."""
        return {self.op: dict(self.keys)}

    def with_fault(self, key: str, value: object) -> Move:
        """Return the same operation with something going wrong in it."""
        return Move(self.op, (*self.keys, (key, value)))

    def without_fault(self) -> Move:
        """Return the same operation with nothing going wrong in it."""
        return Move(self.op, tuple((key, value) for key, value in self.keys if key not in _FAULTS))

    def with_size(self, size: int) -> Move:
        """Return the same operation with another number of bytes."""
        return Move(self.op, tuple((key, typed_size(size) if key == "size" else value) for key, value in self.keys))

    @property
    def fault(self) -> str | None:
        """What goes wrong in it: ``fail_allocation`` or ``veto``; None for nothing."""
        return next((key for key, _ in self.keys if key in _FAULTS), None)

    @cached_property
    def commutes(self) -> bool:
        """Whether it is a request to one block that says which zone it wants: such may come in any order."""
        keys = dict(self.keys)
        return (
            self.op in _COMMUTING
            and self.fault is None
            and str(keys["range"]).startswith("block ")
            and keys.get("zone") != "auto"
        )

    @cached_property
    def text(self) -> str:
        """The operation as one line."""
        words = [
            str(value) if key in ("driver", "range", "name", "path") else f"{key} {_word(value)}"
            for key, value in self.keys
        ]
        return " ".join([self.op, *words])


NOTHING: Final = Move("", ())
"""No operation: what breaks a law by it is broken by all of them together."""


def _word(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(map(str, value.values()))
    return str(value)


def _move(op: str, **keys: object) -> Move:
    return Move(op, tuple((key, value) for key, value in keys.items() if value is not None))


class Moves:
    """The operations that are tried on machines of one kind.

    Args:
        kernel: the machine that the search starts from.
        explore: what narrows it.
        drivers: the drivers to add memory by where ``explore`` names none.
        catalog: the installed plugins.
    """

    def __init__(self, kernel: Kernel, explore: ExploreSpec, drivers: Sequence[str], catalog: Catalog) -> None:
        self._catalog = catalog
        self.operations = tuple(op for op in EXPLORED if op in (explore.operations or EXPLORED))
        self.drivers = tuple(explore.drivers or drivers)
        block = kernel.geometry.memory_block_size
        self.sizes = tuple(sorted(explore.sizes or (block, 2 * block)))
        self.zones = explore.zones or ("kernel", "movable", "auto")
        self.blocks = max(explore.blocks or _MAX_BLOCKS, int((~kernel.state.blocks.early).sum()))
        self._records: dict[str, Action] = {}

    def record(self, move: Move) -> Action:
        """Return the checked record of a move; each is read once."""
        known = self._records.get(move.text)
        if known is None:
            known = self._records[move.text] = parse_args(move.op, dict(move.keys), self._catalog)
        return known

    def all(self, kernel: Kernel) -> Iterator[Move]:
        """Yield what can happen to a machine next, nothing going wrong; always in the same order."""
        for op in self.operations:
            yield from getattr(self, f"_{op}")(kernel)

    def vetoes(
        self, kernel: Kernel, move: Move, told: Container[MemoryEvent] = frozenset(MemoryEvent)
    ) -> Iterator[Move]:
        """Yield a move with each notifier event refused in turn.

        Args:
            told: the events that notifiers are told in it.
        """
        if move.op in _NOTIFYING:
            for event in VETOABLE_EVENTS:
                if event in kernel.profile.event_names and MemoryEvent[event] in told:
                    yield move.with_fault("veto", {"event": event, "errno": _VETO_ERRNO})

    # ---- each operation ----

    def _add(self, kernel: Kernel) -> Iterator[Move]:
        geometry, blocks = kernel.geometry, kernel.state.blocks
        here = int((~blocks.early).sum())
        name = _fresh(_OWN_DEVICE, {device.name for device in kernel.state.devices if _held(device)})
        nodes = [None, *kernel.state.nodes] if len(kernel.state.nodes) > 1 else [None]
        for driver in self.drivers:
            for size in self.sizes:
                if here + div_round_up(size, geometry.memory_block_size) > self.blocks:
                    continue
                for address in (None, *_gaps(kernel, size)):
                    place = None if address is None else f"{address:#x}"
                    for node in nodes:
                        yield _move("add", driver=driver, name=name, size=typed_size(size), address=place, node=node)

    def _online(self, kernel: Kernel) -> Iterator[Move]:
        for where in _ranges(kernel, BlockState.OFFLINE):
            for zone in self.zones:
                yield _move("online", range=where, zone=zone)

    def _offline(self, kernel: Kernel) -> Iterator[Move]:
        for where in _ranges(kernel, BlockState.ONLINE):
            yield _move("offline", range=where)

    def _remove(self, kernel: Kernel) -> Iterator[Move]:
        for device in _devices(kernel):
            yield _move("remove", range=device.name)
            ids = device_blocks(kernel, device.name)
            count = 1
            while count < len(ids):
                for first in ids[::count]:
                    if first + count - 1 in ids:
                        yield _move("remove", range=_block_range(first, first + count - 1))
                count *= 2

    def _eject(self, kernel: Kernel) -> Iterator[Move]:
        for device in kernel.state.devices:
            if _held(device):
                yield _move("eject", range=device.name)

    def _resize(self, kernel: Kernel) -> Iterator[Move]:
        block = kernel.geometry.memory_block_size
        others = int((~kernel.state.blocks.early).sum())
        for device in kernel.state.devices:
            key = kernel.plugins.driver(device.driver)
            if not kernel.plugins.has(key, "driver_resize"):
                continue
            own = len(device_blocks(kernel, device.name))
            for size in (0, block // 2, block, 2 * block):
                if others - own + div_round_up(size, block) <= self.blocks:
                    yield _move("resize", range=device.name, size=typed_size(size) if size else 0)

    def _write(self, kernel: Kernel) -> Iterator[Move]:
        for online_type in kernel.profile.auto_online_types:
            if online_type != kernel.state.auto_online:
                yield _move("write", path="memory/auto_online_blocks", value=online_type.label)
        for path, values in kernel.profile.switches(kernel).items():
            for value in values:
                yield _move("write", path=path, value=value)

    def _allocate(self, kernel: Kernel) -> Iterator[Move]:
        if any(not held.kernel for held in kernel.state.allocations.values()):
            return
        half = typed_size(kernel.geometry.memory_block_size // 2)
        name = _fresh(_OWN_WORKLOAD, {held.name for held in kernel.state.allocations.values()})
        yield _move("allocate", name=name, size=half, zone="kernel")
        yield _move("allocate", name=name, size=half, zone="movable")
        yield _move("allocate", name=name, size=half, zone="movable", pinned=True)

    def _release(self, kernel: Kernel) -> Iterator[Move]:
        for name in sorted(name for name, held in kernel.state.allocations.items() if not held.kernel):
            yield _move("release", name=name)


def _held(device: Device) -> bool:
    return bool(device.ranges or device.enabled or device.waiting)


def _devices(kernel: Kernel) -> list[Device]:
    """Return the devices that have memory, by their place."""
    return sorted((device for device in kernel.state.devices if device.ranges), key=lambda device: device.ranges)


def _fresh(prefix: str, taken: set[str]) -> str:
    number = 0
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


def _block_range(first: int, last: int) -> str:
    return f"block {first}" if first == last else f"block {first}-{last}"


def _gaps(kernel: Kernel, size: int) -> Iterator[int]:
    """Yield the addresses between hot-added blocks where a range of ``size`` bytes would fit."""
    geometry, blocks = kernel.geometry, kernel.state.blocks
    ids = blocks.id.tolist()
    needed = div_round_up(size, geometry.memory_block_size)
    base = div_round_up(geometry.hotplug_base, geometry.memory_block_size)
    boot = max((block for block, early in zip(ids, blocks.early.tolist(), strict=True) if early), default=-1)
    last = max(boot, base - 1)
    for block in ids:
        if block > last:
            if block - last - 1 >= needed:
                yield (last + 1) * geometry.memory_block_size
            last = block


def _ranges(kernel: Kernel, state: BlockState) -> Iterator[str]:
    """Yield the hot-added blocks in a state, alike ones but once, and devices that have several.

    Inside a run of blocks that are alike, those with alike neighbours on both sides are alike themselves.
    """
    rows = [row for row, early in enumerate(kernel.state.blocks.early.tolist()) if not early]
    kinds = dict(zip(rows, _kinds(kernel, rows), strict=True))
    has_inner = False
    for row in rows:
        kind = kinds[row]
        is_inner = kinds.get(row - 1) == kind == kinds.get(row + 1)
        if kind[0] == state and not (is_inner and has_inner):
            yield f"block {kernel.state.blocks.value('id', row)}"
        has_inner = is_inner
    for device in _devices(kernel):
        ids = device_blocks(kernel, device.name)
        if len(ids) > 1 and all(kernel.state.blocks.state[kernel.state.blocks.row(block)] == state for block in ids):
            yield device.name


def _kinds(kernel: Kernel, rows: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return for each block what tells it from others of its device: its columns, and who uses how much of it."""
    state, blocks = kernel.state, kernel.state.blocks
    if not rows:
        return []
    starts, ends = state.block_bounds(slice(rows[0], rows[-1] + 1))
    used = [held.pages.covered_many(starts, ends).tolist() for held in state.allocations.values()]
    used.append(state.vmemmap.backing().covered_many(starts, ends).tolist())
    used.extend(zone.free.covered_many(starts, ends).tolist() for zone in state.zones())
    columns = [
        getattr(blocks, name)[rows[0] : rows[-1] + 1].tolist()
        for name in ("state", "device", "zone", "nid", "altmap_pages", "online_type")
    ]
    gathered = list(zip(*columns, *used, strict=True))
    return [gathered[row - rows[0]] for row in rows]
