"""Trials: a hot-add played on a copy of the machine, and the searches that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from memhotplug.contracts import AddRequest
from memhotplug.engine.hotadd import device_blocks, hot_add
from memhotplug.engine.machine import Machine
from memhotplug.engine.onlining import online_blocks
from memhotplug.engine.result import memmap_totals
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.zones import ZoneKind
from memhotplug.plan.question import OnlineWay, Question

__all__ = ["Trial", "attempt", "known_to_fit", "largest_add", "movable_ratio", "safe_steps"]

_ONLINE_TYPES = {
    "auto": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}
_MOST = 16 << 40  # bytes: no search goes beyond, whatever the machine could address


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What became of one attempt; counts in pages unless they say bytes.

    Attributes:
        machine: the machine afterwards.
        problem: the first error that add_memory() or onlining returned, None if all went well.
        driver_result: what the driver made of it.
        added_bytes, online_bytes, usable_bytes: of what was asked for, in blocks that exist, are
            online, and can hold data.
        blocks: ids of the new blocks, ascending; int64.
        fallback_pages: memmap pages that had to be mapped singly because no larger chunk was free.
        memmap: memmap of hot-added memory, as the JSON output has it.
        free_before, free_lowest, free_after: free pages of the machine.
    """

    machine: Machine
    problem: MemoryHotplugError | None
    driver_result: str | None
    added_bytes: int
    online_bytes: int
    usable_bytes: int
    blocks: Array
    fallback_pages: int
    memmap: dict[str, object]
    free_before: int
    free_lowest: int
    free_after: int

    @property
    def present(self) -> bool:
        """Whether every block appeared and went where it was asked to go."""
        return self.problem is None

    @property
    def clean(self) -> bool:
        """Whether besides no allocation failed on the way."""
        return self.present and not self.fallback_pages


def attempt(machine: Machine, question: Question, sizes: Sequence[int] | None = None) -> Trial:
    """Play a question on a copy of a machine; ``sizes`` overrides the question's."""
    trial = machine.copy()
    before = trial.kernel.state.blocks.id
    free_before = lowest = _free(trial)
    events = len(trial.kernel.events)
    problem: MemoryHotplugError | None = None
    verdict: str | None = None
    for number, size in enumerate(question.sizes if sizes is None else sizes):
        try:
            verdict = _add(trial, question, number, size)
            lowest = min(lowest, _free(trial))
            _online(trial, f"plan{number}", question.online)
        except MemoryHotplugError as refused:
            problem, verdict = refused, refused.driver_result
            lowest = min(lowest, _free(trial))
            break
    blocks = np.setdiff1d(trial.kernel.state.blocks.id, before, assume_unique=True)
    added, online, usable = _sizes(trial, blocks)
    return Trial(
        machine=trial, problem=problem, driver_result=verdict, added_bytes=added, online_bytes=online,
        usable_bytes=usable, blocks=blocks, fallback_pages=_fallback_pages(trial, events),
        memmap=memmap_totals(trial.kernel), free_before=free_before, free_lowest=lowest, free_after=_free(trial),
    )  # fmt: skip


def _add(machine: Machine, question: Question, number: int, size: int) -> str | None:
    request = AddRequest(
        driver=question.driver,
        name=f"plan{number}",
        size=size,
        address=question.address if number == 0 else None,
        nid=question.node,
    )
    return machine.operate(None, lambda: hot_add(machine.kernel, request))


def _online(machine: Machine, name: str, way: OnlineWay) -> None:
    """Online what is still offline of a device, or leave it to the kernel's own policy."""
    if way == "none":
        return
    state = machine.kernel.state
    ids = np.array(device_blocks(machine.kernel, name), dtype=np.int64)
    offline = ids[np.isin(ids, state.blocks.id[state.blocks.state == BlockState.OFFLINE])]
    machine.operate(None, lambda: online_blocks(machine.kernel, offline.tolist(), _ONLINE_TYPES[way]))


def _free(machine: Machine) -> int:
    return sum(zone.nr_free for zone in machine.kernel.state.zones())


def _sizes(machine: Machine, blocks: Array) -> tuple[int, int, int]:
    """Return the bytes of blocks that exist, that are online, and that can hold data."""
    state, geometry = machine.kernel.state, machine.kernel.geometry
    new = np.isin(state.blocks.id, blocks)
    online = new & (state.blocks.state == BlockState.ONLINE)
    lost = np.maximum(state.vmemmap_pages_by_block() + state.withheld_by_block(), state.blocks.altmap_pages)
    pages = int((geometry.pages_per_block - lost[online]).sum())
    size = geometry.memory_block_size
    return int(new.sum()) * size, int(online.sum()) * size, pages * geometry.page_size


def _fallback_pages(machine: Machine, events: int) -> int:
    described = sum(
        int(str(event["nr_pages"])) for event in machine.kernel.events[events:] if event["event"] == "vmemmap_fallback"
    )
    return described // machine.kernel.geometry.described_per_page


def known_to_fit(question: Question, trial: Trial) -> int:
    """Return the bytes of a single add that a trial has shown to be clean, 0 if it has shown none."""
    return question.total if trial.clean and len(question.sizes) == 1 else 0


def largest_add(machine: Machine, question: Question, *, clean: bool, least: int = 0) -> tuple[int, bool]:
    """Return the largest single add in bytes that works, and whether the search stopped before a failure.

    The blocks are left offline: what comes after the add cannot make it fail.

    Args:
        clean: whether no allocation may fail on the way; otherwise it is enough that all blocks appear.
        least: bytes that are known to work.
    """
    question = replace(question, online="none")
    unit = machine.kernel.geometry.memory_block_size
    room = (1 << machine.kernel.geometry.physical_address_bits) - machine.kernel.state.first_free_address()
    most = min(max(4 * question.total, 1 << 40), _MOST, room) // unit

    def works(count: int) -> bool:
        trial = attempt(machine, question, (count * unit,))
        return trial.clean if clean else trial.present

    low = min(least // unit, most)
    high = min(max(low + 1, 1), most) if low else 1
    while high <= most and works(high):
        low, high = high, high * 2
    if high > most:
        if low == most or (most and works(most)):
            return most * unit, True
        high = most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if works(middle) else (low, middle)
    return low * unit, False


def safe_steps(machine: Machine, question: Question, *, limit: int = 16) -> tuple[int, ...]:
    """Return the sizes of adds, each onlined before the next, that together reach the question's total.

    Each is the largest clean one that is still needed. They may fall short: then no further step helps.
    """
    left = question.total
    current = machine
    steps: list[int] = []
    most = limit if question.slots is None else min(limit, question.slots)
    while left > 0 and len(steps) < most:
        whole = attempt(current, question, (left,))
        size = left if whole.clean else min(largest_add(current, question, clean=True)[0], left)
        if not size:
            break
        trial = whole if size == left else attempt(current, question, (size,))
        current = _renamed(trial.machine, len(steps))
        steps.append(size)
        left -= size
    return tuple(steps)


def _renamed(machine: Machine, number: int) -> Machine:
    """Free the trial's device name for the next step."""
    state = machine.kernel.state
    index = state.device_index("plan0")
    if index is not None:
        state.put_device(index, name=f"step{number}")
    return machine


def movable_ratio(machine: Machine) -> tuple[int, int]:
    """Return the present pages of Movable zones and of kernel zones."""
    movable = kernel = 0
    for zone in machine.kernel.state.zones():
        if zone.kind is ZoneKind.MOVABLE:
            movable += zone.present
        else:
            kernel += zone.present
    return movable, kernel
