"""What became of one step, as the JSON output shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks
from memhotplug.formats.scenario import (
    Action,
    AddStep,
    AllocateStep,
    EjectStep,
    OfflineStep,
    OnlineStep,
    RangeSpec,
    ReleaseStep,
    RemoveStep,
    ResizeStep,
    Step,
)

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["existing_blocks", "new_record"]


def new_record(step: Step, kernel: Kernel) -> StepRecord:
    """Return the record of a step that has yet to run: what it is about, as far as that is known."""
    start, size, blocks = _subject(step.args, kernel)
    return {
        "index": step.index,
        "op": step.op,
        "name": _name(step.args),
        "ok": True,
        "errno": None,
        "message": None,
        "start": start,
        "size": size,
        "blocks": blocks,
        "blocks_done": [],
        "leaks": [],
        "driver_result": None,
        "policy": _policy(step.args, kernel),
    }


def _policy(args: Action, kernel: Kernel) -> str | None:
    if not isinstance(args, AddStep) or args.mhp_flags is not None or args.driver in kernel.flag_override:
        return None
    key = kernel.policies.get(args.driver)
    return None if key is None else key.partition(":")[2]


def _name(args: Action) -> str | None:
    if isinstance(args, (AddStep, AllocateStep, ReleaseStep)):
        return args.name
    if isinstance(args, (OnlineStep, OfflineStep, RemoveStep, EjectStep, ResizeStep)):
        return args.range.name
    return None


def _subject(args: Action, kernel: Kernel) -> tuple[int | None, int | None, list[int]]:
    if isinstance(args, AddStep):
        return args.address, args.size, []
    if isinstance(args, AllocateStep):
        return None, args.size, []
    if isinstance(args, ResizeStep):
        return None, args.size, existing_blocks(args.range, kernel)
    if isinstance(args, (OnlineStep, OfflineStep, RemoveStep, EjectStep)):
        start, size = _hull(args.range, kernel)
        return start, size, existing_blocks(args.range, kernel)
    return None, None, []


def _hull(spec: RangeSpec, kernel: Kernel) -> tuple[int | None, int | None]:
    block_size = kernel.geometry.memory_block_size
    if spec.kind == "block":
        first, last = spec.first or 0, spec.last or 0
        return first * block_size, (last - first + 1) * block_size
    if spec.kind == "bytes":
        return spec.start, spec.size
    index = kernel.state.device_index(spec.name or "")
    if index is None:
        return None, None
    ranges = kernel.state.devices[index].ranges
    return ranges[0][0], ranges[-1][0] + ranges[-1][1] - ranges[0][0]


def existing_blocks(spec: RangeSpec, kernel: Kernel) -> list[int]:
    """Return the ids of the blocks of a range that exist, ascending; blocks partly in it included."""
    if spec.kind == "name":
        return device_blocks(kernel, spec.name or "")
    first, last = spec.first or 0, spec.last or 0
    if spec.kind == "bytes":
        block_size = kernel.geometry.memory_block_size
        first, last = (spec.start or 0) // block_size, ((spec.start or 0) + (spec.size or 0) - 1) // block_size
    ids: Any = kernel.state.blocks.id
    chosen = (ids >= np.int64(first)) & (ids <= np.int64(last))
    found: list[int] = ids[chosen].tolist()
    return found
