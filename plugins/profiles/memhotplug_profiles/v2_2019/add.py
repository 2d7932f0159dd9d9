"""Adding memory: flags, altmap, sections, blocks.

Models: mm/memory_hotplug.c:add_memory_resource(), __add_pages(), mhp_check_correct_flags();
mm/sparse.c:sparse_add_section() (what became v5.3, with the series).
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
    np,
    take_down_sections,
    try_online_node,
)
from memhotplug_profiles.v2_2019.marks import DEVICE, MEMBLOCK, VMEMMAP_FLAGS, mark_vmemmap_pages, state_of

__all__ = ["add_memory_resource", "add_pages", "filter_flags"]


def filter_flags(kernel: Kernel, flags: int) -> int:
    """Return the vmemmap flags that count.

    Models: mhp_check_correct_flags(): both flags together, or one without SPARSEMEM_VMEMMAP, warn
    and drop all flags; it is no error. While the user's switch is off nobody looks at them: they go
    silently, whatever they are.
    """
    if not state_of(kernel).enabled:
        return 0
    if not flags & VMEMMAP_FLAGS:
        return flags
    if not kernel.sparsemem_vmemmap:
        kernel.warn("vmemmap flags need SPARSEMEM_VMEMMAP; all flags are dropped")
        return 0
    if flags & VMEMMAP_FLAGS == VMEMMAP_FLAGS:
        kernel.warn("MHP_MEMMAP_DEVICE and MHP_MEMMAP_MEMBLOCK exclude each other; all flags are dropped")
        return 0
    return flags


def add_memory_resource(kernel: Kernel, device: int, start: int, size: int, nid: int, flags: int) -> None:
    """Add a range of bytes: node, memmap, block devices, and online it if the policy says so."""
    check_hotplug_memory_range(kernel, start, size)
    new_node = try_online_node(kernel, nid)
    flags = kernel.profile.filter_flags(kernel, flags)
    start_pfn, nr_pages = kernel.geometry.pfn(start), kernel.geometry.pfn(size)
    try:
        arch_add_memory(kernel, start_pfn, nr_pages, nid, Restrictions(flags))
    except MemoryHotplugError:
        if new_node:
            del kernel.state.nodes[nid]
        raise
    first, count = kernel.state.block_of(start_pfn), nr_pages // kernel.geometry.pages_per_block
    try:
        create_memory_block_devices(kernel, first, count, nid=nid, device=device)
    except MemoryHotplugError as problem:
        take_down_sections(kernel, start_pfn, nr_pages, problem)
        if new_node:
            del kernel.state.nodes[nid]
        raise
    heads = state_of(kernel).heads
    heads.device = np.where((heads.start >= start_pfn) & (heads.start < start_pfn + nr_pages), device, heads.device)
    kernel.log("added", start=start, size=size, node=nid, flags=kernel.profile.describe_flags(flags))
    auto_online(kernel, first, count)


def add_pages(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Give a range its sections and their memmap, and mark the pages that hold it.

    A vmemmap flag overrides an altmap that the caller brought. DEVICE marks also after a failure in
    the middle; MEMBLOCK marks after every whole block, so one that failed in the middle stays unmarked.
    """
    altmap = _set_up_altmap(kernel, start_pfn, nr_pages, restrictions)
    added, problem = add_sections(kernel, start_pfn, nr_pages, nid, altmap)
    if altmap is not None and restrictions.flags & MEMBLOCK:
        windows = (added - start_pfn) // altmap.window_pages
        mark_vmemmap_pages(kernel, altmap, windows, altmap.window_pages)
    elif altmap is not None and restrictions.flags & DEVICE:
        mark_vmemmap_pages(kernel, altmap, 1, nr_pages)
    if problem is not None:
        raise problem


def _set_up_altmap(kernel: Kernel, start_pfn: int, nr_pages: int, restrictions: Restrictions) -> Altmap | None:
    block = kernel.geometry.pages_per_block
    if restrictions.flags & DEVICE:
        return Altmap(start_pfn, nr_pages)
    if restrictions.flags & MEMBLOCK:
        return Altmap(start_pfn, block, window_pages=block, nr_windows=nr_pages // block)
    altmap = restrictions.altmap
    if altmap is not None and (altmap.base_pfn != start_pfn or altmap.reserve + altmap.free > nr_pages):
        raise MemoryHotplugError(errno.EINVAL, "the caller's altmap does not fit the range")
    return altmap
