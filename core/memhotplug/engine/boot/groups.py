"""Memory groups of devices that a machine has already: with the pages that their online blocks count.

Models: drivers/base/memory.c:memory_group_register_static(), memory_group_register_dynamic();
mm/memory_hotplug.c:adjust_present_page_count() (v5.15 to v6.12).
"""

from __future__ import annotations

from memhotplug.engine.kernel import Kernel
from memhotplug.lazy import np
from memhotplug.model.blocks import BlockState
from memhotplug.model.zones import ZoneKind

__all__ = ["join_group"]


def join_group(kernel: Kernel, index: int, *, unit_pages: int = 0) -> int:
    """Make a recorded device and its blocks a memory group, and return its id; -1 where the kernel has no groups.

    Args:
        index: the device's place among the machine's devices.
        unit_pages: pages of the unit in which it grows and shrinks (a dynamic group); 0: it is a static group.
    """
    if not kernel.has("memory_groups"):
        return -1
    state, pages = kernel.state, kernel.geometry.pages_per_block
    device = state.devices[index]
    own = np.flatnonzero(state.blocks.device == index)
    online = state.blocks.state[own] == BlockState.ONLINE
    movable = int((online & (state.blocks.zone[own] == int(ZoneKind.MOVABLE))).sum()) * pages
    counts = {"present_kernel": int(online.sum()) * pages - movable, "present_movable": movable}
    counts = {key: count for key, count in counts.items() if count}
    size = {"unit_pages": unit_pages} if unit_pages else {"max_pages": len(own) * pages}
    group = kernel.profile.register_group(kernel, device.nid, **size, **counts)
    state.put_device(index, group=group)
    for row in own.tolist():
        state.blocks.set(slice(row, row + 1), group=group)
    return group
