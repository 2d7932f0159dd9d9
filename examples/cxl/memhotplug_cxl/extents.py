"""Adding and releasing the extents of a region."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import (
    AddRequest,
    BlockState,
    Kernel,
    MemoryHotplugError,
    PhysRange,
    format_range,
    offline_blocks,
    remove_memory,
)

__all__ = ["add_all_or_none", "add_what_can_be", "release"]

_NAME = "System RAM (kmem)"


def add_what_can_be(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Add the extents; the probe fails with the first of them, later ones are skipped.

    Models: drivers/dax/kmem.c:dev_dax_kmem_probe().
    """
    notes = []
    for number, phys_range in enumerate(ranges):
        try:
            kernel.add_range(request, phys_range, name=_NAME)
        except MemoryHotplugError as problem:
            if not number:
                raise
            notes.append(f"{format_range(phys_range.start, phys_range.size)} skipped ({problem.name})")
    return "; ".join(notes) or None


def add_all_or_none(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Add the extents; if one cannot be had, those before it are taken away again.

    Raises:
        MemoryHotplugError: why an extent could not be added.
    """
    done: list[PhysRange] = []
    for phys_range in ranges:
        try:
            kernel.add_range(request, phys_range, name=_NAME)
        except MemoryHotplugError as problem:
            kept = _take_away(kernel, [(extent.start, extent.size) for extent in reversed(done)])
            where = format_range(phys_range.start, phys_range.size)
            problem.driver_result = f"no extent added: {problem.name} for {where}"
            if kept is not None:
                problem.driver_result = f"rolled back down to {format_range(*kept)}, which stays"
            raise
        done.append(phys_range)
    return None


def release(kernel: Kernel, name: str) -> str | None:
    """Release a device's extents, the highest first, each offlined before it is removed.

    Raises:
        MemoryHotplugError: EBUSY as a rule: an extent cannot go offline; those above it have gone.
    """
    index = kernel.state.device_index(name)
    ranges = kernel.state.devices[index].ranges if index is not None else ()
    for start, size in reversed(ranges):
        try:
            _take_one(kernel, start, size)
        except MemoryHotplugError as problem:
            left = [each for each in ranges if each[0] <= start]
            problem.driver_result = f"{len(ranges) - len(left)} of {len(ranges)} extents released"
            raise
    return None


def _take_away(kernel: Kernel, ranges: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Remove ranges, and return the first that stays, None if all went."""
    for start, size in ranges:
        try:
            _take_one(kernel, start, size)
        except MemoryHotplugError:
            return start, size
    return None


def _take_one(kernel: Kernel, start: int, size: int) -> None:
    """Offline what is online of a range (new memory may be onlined at once), and remove it."""
    block = kernel.geometry.memory_block_size
    blocks = kernel.state.blocks
    rows = blocks.rows(start // block, (start + size) // block - 1)
    offline_blocks(kernel, blocks.id[rows][blocks.state[rows] == BlockState.ONLINE].tolist())
    remove_memory(kernel, start, size)
