"""remove_memory(): what is the same for every kernel about taking a range away.

Models: mm/memory_hotplug.c:remove_memory(), try_offline_node() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from bisect import bisect_left, bisect_right
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.block_devices import remove_memory_block_devices
from memhotplug.engine.memory_hotplug.steps_done import check_blocks_went
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.blocks import BlockState
from memhotplug.units import format_blocks, format_range

__all__ = ["check_removable", "remove_leftovers", "remove_memory", "take_range_away", "try_offline_node"]

_OFFLINE: Final = BlockState.OFFLINE


def check_removable(kernel: Kernel, start: int, size: int) -> None:
    """Check that a range of ``size`` bytes may be removed.

    Raises:
        MemoryHotplugError: EINVAL misaligned or nothing there, EBUSY a block is not offline.
    """
    block_size = kernel.geometry.memory_block_size
    if size <= 0 or start % block_size or size % block_size:
        where = format_range(start, max(size, 1))
        raise MemoryHotplugError(
            errno.EINVAL, f"{where} is not made of whole memory blocks of {block_size:#x} bytes; the kernel would BUG"
        )
    blocks = kernel.state.blocks
    rows = blocks.rows(start // block_size, (start + size) // block_size - 1)
    if rows.start == rows.stop:
        raise MemoryHotplugError(errno.EINVAL, f"there is no memory block in {format_range(start, size)}")
    if blocks.common("state", rows) != _OFFLINE:
        busy = blocks.id[rows][blocks.state[rows] != _OFFLINE]
        named = "memory block {} is" if len(busy) == 1 else "memory blocks {} are"
        raise MemoryHotplugError(errno.EBUSY, f"{named.format(format_blocks(busy.tolist()))} not offline")


def remove_memory(kernel: Kernel, start: int, size: int) -> None:
    """Remove a range of ``size`` bytes, all of whose blocks are offline.

    Raises:
        MemoryHotplugError: as :func:`check_removable`, or why this kernel refused; nothing changed.
    """
    check_removable(kernel, start, size)
    kernel.profile.remove(kernel, start, size)
    check_blocks_went(kernel, start, size)
    pages = kernel.geometry.pfn(start), kernel.geometry.pfn(start + size)
    kernel.state.withheld.remove(*pages)
    kernel.state.unbacked.remove(*pages)
    kernel.state.poisoned.remove(*pages)
    for index, device in enumerate(kernel.state.devices):
        kept = _without(device.ranges, start, start + size)
        if kept != device.ranges:
            kernel.state.put_device(index, ranges=kept)
    kernel.log("removed", start=start, size=size)


def remove_leftovers(kernel: Kernel, start: int, size: int) -> None:
    """Remove a range of ``size`` bytes without memory blocks: the sections that a failed add left there.

    Models: mm/memory_hotplug.c:try_remove_memory(): only blocks that exist have to be offline, and
    there is none (v5.13 to v6.12).
    """
    starts, ends = kernel.state.sections.clip(kernel.geometry.pfn(start), kernel.geometry.pfn(start + size))
    for low, high in zip(starts.tolist(), ends.tolist(), strict=True):
        kernel.arch_remove_memory(low, high - low)
    kernel.log("removed", start=start, size=size)


def take_range_away(kernel: Kernel, start: int, size: int) -> None:
    """Take a range of ``size`` bytes away that every check has passed: block devices, sections, resource, node.

    Models: mm/memory_hotplug.c:try_remove_memory(), its end, which is the same in every kernel (v5.2 to v6.12).
    """
    blocks, block_size = kernel.state.blocks, kernel.geometry.memory_block_size
    rows = blocks.rows(start // block_size, (start + size) // block_size - 1)
    nid = blocks.value("nid", rows.stop - 1)
    remove_memory_block_devices(kernel, rows)
    kernel.arch_remove_memory(kernel.geometry.pfn(start), kernel.geometry.pfn(size))
    kernel.state.resources.release(start, size)
    try_offline_node(kernel, nid)


def _without(ranges: tuple[tuple[int, int], ...], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Return ascending ranges less [start, end); the ones that it does not touch are not looked at."""
    first = bisect_right(ranges, start, key=sum)
    last = bisect_left(ranges, (end, 0), lo=first)
    kept = []
    for low, size in ranges[first:last]:
        kept += [(low, start - low)] if low < start else []
        kept += [(end, low + size - end)] if low + size > end else []
    return (*ranges[:first], *kept, *ranges[last:])


def try_offline_node(kernel: Kernel, nid: int) -> None:
    """Take a node offline that has neither a block nor a CPU any more."""
    node = kernel.state.nodes[nid]
    if node.has_cpu or (kernel.state.blocks.nid == nid).any():
        return
    del kernel.state.nodes[nid]
    kernel.log("node_offline", node=nid)
