"""Pages that are given up because they are, or may soon be, broken: soft_offline_page and hard_offline_page.

Models: mm/memory-failure.c:soft_offline_page(), memory_failure() (v5.2 to v7.2). A page that the kernel
itself uses is marked as well by hard_offline_page, before it finds that nothing can be done. Simplified: whoever had a
broken page goes on without it.
"""

from __future__ import annotations

import errno

from memhotplug.engine.kernel import Kernel
from memhotplug.errors import EHWPOISON, MemoryHotplugError
from memhotplug.model.allocator import alloc_pages
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.model.zones import Zone
from memhotplug.units import kstrtou

__all__ = ["FILES", "offline_page"]

FILES = ("soft_offline_page", "hard_offline_page")


def offline_page(kernel: Kernel, name: str, value: str, *, capable: bool) -> None:
    """Give up the page at a physical address.

    Args:
        name: which of the two files is written.

    Raises:
        MemoryHotplugError: EPERM not CAP_SYS_ADMIN, EINVAL no number; soft: ENXIO no memory there, EIO not
            online or used by the kernel, EBUSY the page does not migrate, ENOMEM nowhere to go; hard: ENXIO not
            online, EBUSY used by the kernel, EHWPOISON it is given up already.
    """
    if not capable:
        raise MemoryHotplugError(errno.EPERM, f"{name} needs CAP_SYS_ADMIN")
    try:
        pfn = kernel.geometry.pfn(kstrtou(value, 64))
    except (ValueError, OverflowError):
        raise MemoryHotplugError(errno.EINVAL, f"{name} takes an address, not {value!r}") from None
    soft = name == FILES[0]
    zone = kernel.state.zone_of(pfn)
    row = kernel.state.blocks.row(kernel.state.block_of(pfn))
    if zone is None or row is None or kernel.state.blocks.value("state", row) != BlockState.ONLINE:
        there = kernel.state.sections.intersects(pfn, pfn + 1)  # pfn_valid() is asked first
        raise MemoryHotplugError(errno.EIO if soft and there else errno.ENXIO, f"pfn {pfn:#x} is not online")
    if kernel.state.poisoned.intersects(pfn, pfn + 1):
        if soft:
            return
        raise MemoryHotplugError(EHWPOISON, f"pfn {pfn:#x} is given up already")
    try:
        _take(kernel, zone, pfn, soft=soft)
    except MemoryHotplugError:
        if not soft:
            kernel.state.poisoned.add(pfn, pfn + 1)
        raise
    kernel.state.poisoned.add(pfn, pfn + 1)
    kernel.log("page_given_up", pfn=pfn, file=name)


def _take(kernel: Kernel, zone: Zone, pfn: int, *, soft: bool) -> None:
    """Take a page away from whoever has it."""
    if zone.free.intersects(pfn, pfn + 1):
        zone.free.remove(pfn, pfn + 1)
        return
    if zone.pcp.intersects(pfn, pfn + 1):
        zone.pcp = zone.pcp.difference(ExtentSet.of((pfn, pfn + 1)))
        return
    for held in kernel.state.allocations.values():
        if held.movable and held.pages.intersects(pfn, pfn + 1):
            _replace(kernel, zone, held, pfn, soft=soft)
            return
    number = errno.EIO if soft else errno.EBUSY
    raise MemoryHotplugError(number, f"pfn {pfn:#x} belongs to the kernel")


def _replace(kernel: Kernel, zone: Zone, held: Allocation, pfn: int, *, soft: bool) -> None:
    """Give an owner another page; one whose page is broken already just loses it."""
    pages = held.pages.copy()
    pages.remove(pfn, pfn + 1)
    if soft:
        if held.pinned:
            raise MemoryHotplugError(errno.EBUSY, f"pfn {pfn:#x} of {held.name!r} is pinned")
        fresh = alloc_pages(kernel.state, 0, 1, nid=zone.nid, movable=True)
        if not fresh.total:
            raise MemoryHotplugError(errno.ENOMEM, f"no page to move pfn {pfn:#x} of {held.name!r} to")
        pages.update(fresh)
    kernel.state.allocations[held.owner] = held._replace(pages=pages)
