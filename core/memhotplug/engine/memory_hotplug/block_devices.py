"""The block devices of hot-added memory, and what the kernel allocates for them.

Models: drivers/base/memory.c:create_memory_block_devices(), add_memory_block(), remove_memory_block_devices();
mm/sparse.c:section_activate() (v5.3 to v6.12): a struct memory_block with its device and its sysfs entries, and a
struct mem_section_usage a section, all of them small objects of the slab allocator.
Simplified: the objects of one add or removal are counted together; what boot memory has was allocated at boot, and a
section without a block device, as a failed add leaves some behind, is not charged for its usage map.
"""

from __future__ import annotations

import errno
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.allocator import alloc_pages, disown, free_pages, own
from memhotplug.model.state import Owner, Use
from memhotplug.units import div_round_up

__all__ = [
    "BLOCK_DEVICES",
    "BLOCK_OBJECTS",
    "NoPageLeftError",
    "create_memory_block_devices",
    "remove_memory_block_devices",
]

BLOCK_OBJECTS: Final = 6 << 10
"""Bytes that the device, the sysfs attributes and the section usage of one new memory block take: 5.6 to 6.2 KiB
by the recordings of Linux 6.12 (137 pages for 96 blocks, 11524 kB for 2048)."""

BLOCK_DEVICES: Final = Owner(Use.BLOCK_DEVICES)
"""Who holds the pages."""


class NoPageLeftError(MemoryHotplugError):
    """An allocation that is too small to fail found nothing: the OOM killer runs instead."""


def create_memory_block_devices(kernel: Kernel, first: int, count: int, **values: int) -> None:
    """Create ``count`` offline blocks from id ``first`` on, none of which exists.

    Args:
        values: columns of the block table that differ from a fresh block's.

    Raises:
        NoPageLeftError: ENOMEM, and nothing was created. Simplified: a real kernel first kills processes to get the
            pages, and panics where that does not help.
    """
    state = kernel.state
    pages = _pages(kernel, state.block_objects + count) - _pages(kernel, state.block_objects)
    if pages:
        taken = alloc_pages(state, 0, pages, nid=state.asking_node())
        missing = pages - taken.total
        if missing:
            free_pages(state, *taken.arrays)
            what = f"the {pages} pages for the sysfs objects of {count} memory blocks"
            raise NoPageLeftError(errno.ENOMEM, f"{missing} of {what} are missing")
        own(state, BLOCK_DEVICES, taken)
    state.block_objects += count
    state.blocks.insert(first, count, **values)


def remove_memory_block_devices(kernel: Kernel, rows: slice) -> None:
    """Remove some rows of blocks and free what was allocated for them since boot, the youngest pages first."""
    state = kernel.state
    hot = rows.stop - rows.start - state.blocks.total("early", rows)
    left = max(state.block_objects - hot, 0)
    state.blocks.delete(rows)
    disown(state, BLOCK_DEVICES, _pages(kernel, state.block_objects) - _pages(kernel, left))
    state.block_objects = left


def _pages(kernel: Kernel, blocks: int) -> int:
    return div_round_up(blocks * BLOCK_OBJECTS, kernel.geometry.page_size)
