"""What of added memory can be taken out again: tried on copies of the machine, never concluded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.state import Device

__all__ = ["MAX_TRIALS", "SAMPLE", "Removable", "removable"]

MAX_TRIALS: Final = 256
"""So many blocks of a device are tried one by one."""
SAMPLE: Final = 64
"""Of larger devices so many are tried, at even distances."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Removable:
    """The smallest unit in which a device's memory can be removed, each unit while all others stay.

    Attributes:
        unit: ``block``, ``range`` (one that the driver added) or ``device``; None if not even that.
        size: bytes of it, the largest where ranges differ; None without a unit.
        problem: why the next smaller unit cannot be removed, None if there is none.
        sampled: whether only some of the blocks were tried.
    """

    device: str
    unit: str | None
    size: int | None
    problem: str | None
    sampled: bool = False


def removable(machine: Machine) -> list[Removable]:
    """Return the answer for every device that has memory, in the order in which they came."""
    return [_device(machine, device) for device in machine.kernel.state.devices if device.ranges]


def _device(machine: Machine, device: Device) -> Removable:
    problem: str | None = None
    sampled = False
    known = machine.violations()
    for unit, parts, sampled in _units(machine, device):
        failed = next((text for part in parts if (text := _try(machine, part, known)) is not None), None)
        if failed is None:
            size = max(sum(size for _, size in part) for part in parts)
            return Removable(device=device.name, unit=unit, size=size, problem=problem, sampled=sampled)
        problem = failed
    return Removable(device=device.name, unit=None, size=None, problem=problem, sampled=sampled)


_Part = tuple[tuple[int, int], ...]


def _units(machine: Machine, device: Device) -> Iterator[tuple[str, list[_Part], bool]]:
    """Yield the ways to cut a device up, finest first: the parts as (first byte, bytes), and if they are a sample."""
    block = machine.kernel.geometry.memory_block_size
    blocks: list[_Part] = [
        ((address, block),) for start, size in device.ranges for address in range(start, start + size, block)
    ]
    count = len(blocks)
    chosen = blocks
    if count > MAX_TRIALS:
        chosen = [blocks[number * (count - 1) // (SAMPLE - 1)] for number in range(SAMPLE)]
    yield "block", chosen, count > MAX_TRIALS
    if len(device.ranges) > 1:
        yield "range", [(found,) for found in device.ranges], False
    if count > 1:
        yield "device", [device.ranges], False


def _try(machine: Machine, part: _Part, known: Sequence[str]) -> str | None:
    """Return why a part cannot be taken out while the rest stays, None if it can."""
    trial = machine.copy()
    try:
        for start, size in part:
            _offline(trial, start, size)
        for start, size in part:
            trial.remove(f"{start:#x}+{size:#x}")
    except MemoryHotplugError as refusal:
        return str(refusal)
    broken = [text for text in trial.violations() if text not in known]
    return broken[0] if broken else None


def _offline(machine: Machine, start: int, size: int) -> None:
    state, unit = machine.kernel.state, machine.kernel.geometry.memory_block_size
    rows = state.blocks.rows(start // unit, (start + size) // unit - 1)
    online = state.blocks.id[rows][state.blocks.state[rows] == BlockState.ONLINE]
    for block in online.tolist():
        machine.offline(f"block {block}")
