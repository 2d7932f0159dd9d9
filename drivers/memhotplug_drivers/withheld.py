"""What the balloon drivers share: pages that a hypervisor has not given yet, and their late arrival."""

from __future__ import annotations

from memhotplug.plugin import BlockState, ExtentSet, Kernel, ZoneKind

__all__ = ["ranges_of", "release"]


def ranges_of(kernel: Kernel, driver: str) -> ExtentSet:
    """Return the pfns of everything that a driver added and that is still there."""
    pages = ExtentSet()
    for device in kernel.state.devices:
        if device.driver == driver:
            for start, size in device.ranges:
                pages.add(kernel.geometry.pfn(start), kernel.geometry.pfn(start + size))
    return pages


def release(kernel: Kernel, start_pfn: int, end_pfn: int) -> int:
    """Let the hypervisor back pages that were withheld; return how many.

    Those in online blocks go to the page allocator at once, the others when their block goes online.
    """
    state = kernel.state
    pages = state.withheld.within(start_pfn, end_pfn)
    state.withheld.remove(start_pfn, end_pfn)
    state.unbacked.remove(start_pfn, end_pfn)
    for low, high in pages:
        for block in range(state.block_of(low), state.block_of(high - 1) + 1):
            _free_in_block(kernel, low, high, block)
    return pages.total


def _free_in_block(kernel: Kernel, low: int, high: int, block: int) -> None:
    """Free what one run of pages has in one block."""
    blocks = kernel.state.blocks
    row = blocks.row(block)
    if row is None or blocks.value("state", row) != BlockState.ONLINE:
        return
    per_block = kernel.geometry.pages_per_block
    zone = kernel.state.zone((blocks.value("nid", row), ZoneKind(blocks.value("zone", row))))
    inside = max(low, block * per_block), min(high, (block + 1) * per_block)
    kernel.generic_online_pages(zone, ExtentSet.of(inside))
