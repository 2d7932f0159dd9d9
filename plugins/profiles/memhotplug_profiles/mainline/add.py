"""Adding memory: altmaps per block, roll-back, groups.

Models: mm/memory_hotplug.c:add_memory_resource(), create_altmaps_and_memory_blocks() (v5.13 to v6.12).
"""

from __future__ import annotations

import errno

from memhotplug.plugin import (
    Altmap,
    Kernel,
    MemoryHotplugError,
    Restrictions,
    add_sections,
    arch_add_memory,
    auto_online,
    check_hotplug_memory_range,
    create_memory_block_devices,
    take_down_sections,
    try_online_node,
)
from memhotplug_profiles.mainline.flags import MEMMAP_ON_MEMORY, MERGE_RESOURCE, NID_IS_MGID
from memhotplug_profiles.mainline.params import state_of
from memhotplug_profiles.mainline.support import reserved_pages

__all__ = ["add_memory_resource", "add_pages"]


def add_memory_resource(kernel: Kernel, device: int, start: int, size: int, nid: int, flags: int) -> None:
    """Add a range of bytes; on failure blocks of this call that were made are removed again."""
    check_hotplug_memory_range(kernel, start, size)
    flags = kernel.profile.filter_flags(kernel, flags)
    group = -1
    if flags & NID_IS_MGID:
        group = kernel.state.devices[device].group
        if group < 0:
            raise MemoryHotplugError(errno.EINVAL, f"MHP_NID_IS_MGID: there is no memory group {nid}")
        nid = state_of(kernel).groups[group].nid
    new_node = try_online_node(kernel, nid)
    try:
        altmap = _altmap(kernel, start, size, flags)
        _add_sections_of(kernel, start, size, nid, altmap)
    except MemoryHotplugError:
        if new_node:
            del kernel.state.nodes[nid]
        raise
    first, count = start // kernel.geometry.memory_block_size, size // kernel.geometry.memory_block_size
    reserved = altmap.free if altmap is not None else 0
    try:
        create_memory_block_devices(kernel, first, count, nid=nid, device=device, group=group, altmap_pages=reserved)
    except MemoryHotplugError as problem:
        take_down_sections(kernel, kernel.geometry.pfn(start), kernel.geometry.pfn(size), problem)
        if new_node:
            del kernel.state.nodes[nid]
        raise
    if flags & MERGE_RESOURCE:
        kernel.state.merge_system_ram(start)
    kernel.log("added", start=start, size=size, node=nid, flags=kernel.profile.describe_flags(flags))
    auto_online(kernel, first, count)


def _altmap(kernel: Kernel, start: int, size: int, flags: int) -> Altmap | None:
    """Return the altmaps of the range's blocks, None for a plain add.

    Raises:
        MemoryHotplugError: EINVAL up to 6.5, where a caller must ask before it passes the flag.
    """
    if not flags & MEMMAP_ON_MEMORY:
        return None
    rule = kernel.profile.memmap_on_memory_refusal(kernel, size)
    if rule is None:
        block = kernel.geometry.pages_per_block
        count = size // kernel.geometry.memory_block_size
        return Altmap(kernel.geometry.pfn(start), reserved_pages(kernel), window_pages=block, nr_windows=count)
    if not kernel.has("self_hosting_falls_back"):
        raise MemoryHotplugError(errno.EINVAL, f"MHP_MEMMAP_ON_MEMORY: {rule}")
    kernel.log("plain_add", start=start, size=size, rule=rule)
    return None


def _add_sections_of(kernel: Kernel, start: int, size: int, nid: int, altmap: Altmap | None) -> None:
    """Add the sections; with altmaps, a failure removes the whole blocks that were complete already."""
    start_pfn, nr_pages = kernel.geometry.pfn(start), kernel.geometry.pfn(size)
    had = kernel.state.sections.covered(start_pfn, start_pfn + nr_pages) if altmap is not None else 0
    try:
        step = altmap.window_pages if altmap is not None else 0
        arch_add_memory(kernel, start_pfn, nr_pages, nid, Restrictions(altmap=altmap, step=step))
    except MemoryHotplugError as problem:
        if altmap is not None:
            added = kernel.state.sections.covered(start_pfn, start_pfn + nr_pages) - had
            left = _remove_whole_blocks(kernel, start_pfn, added) // kernel.geometry.pages_per_section
            problem.leaks = (f"{left} sections of the block that failed, which host their memmap",) if left else ()
        raise


def _remove_whole_blocks(kernel: Kernel, start_pfn: int, added: int) -> int:
    """Remove the complete blocks among the pages that were added; return how many pages are left of them."""
    left = added % kernel.geometry.pages_per_block
    if added > left:
        kernel.arch_remove_memory(start_pfn, added - left)
    return left


def add_pages(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Give a range its sections and their memmap. Models: __add_pages() (v6.12).

    Raises:
        MemoryHotplugError: EINVAL the altmap does not begin at the range or reserves more than it;
            otherwise the first section's error; sections before it stay.
    """
    altmap = restrictions.altmap
    if altmap is not None and (altmap.base_pfn != start_pfn or altmap.reserve + altmap.free > nr_pages):
        raise MemoryHotplugError(errno.EINVAL, "the altmap does not fit the range")
    _, problem = add_sections(kernel, start_pfn, nr_pages, nid, altmap)
    if problem is not None:
        raise problem
