"""Online: the memmap in front of a block joins the zone, never the page allocator.

Models: mm/memory_hotplug.c:online_pages(), mhp_init_memmap_on_memory();
drivers/base/memory.c:memory_block_online() (v5.13 to v6.12).
"""

from __future__ import annotations

from memhotplug.plugin import (
    EHWPOISON,
    BlockState,
    Kernel,
    MemoryEvent,
    MemoryHotplugError,
    Zone,
    ZoneKind,
    settle_watermarks,
)
from memhotplug_profiles.mainline.params import state_of
from memhotplug_profiles.mainline.spans import remove_pfn_range_from_zone

__all__ = ["count_group", "online"]


def online(kernel: Kernel, rows: slice, zone: Zone) -> None:
    """Online neighbouring blocks into one zone.

    present and spanned count whole blocks; managed leaves out the pages that each block reserves
    for its memmap. A veto takes the blocks out of the zone again.

    Raises:
        MemoryHotplugError: EHWPOISON pages of the blocks are given up as broken, or a veto.
    """
    state = kernel.state
    start_pfn, end_pfn = state.span_of(rows)
    altmap_pages = state.blocks.total("altmap_pages", rows)
    broken = state.poisoned.covered(start_pfn, end_pfn)
    if broken and kernel.has("counts_poison"):
        raise MemoryHotplugError(EHWPOISON, f"{broken} pages are given up as broken")
    if kernel.has("prepare_online"):
        kernel.notify(MemoryEvent.MEM_PREPARE_ONLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
    kernel.link_to_zone(zone, start_pfn, end_pfn)
    try:
        kernel.notify(MemoryEvent.MEM_GOING_ONLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
    except MemoryHotplugError:
        kernel.notify(MemoryEvent.MEM_CANCEL_ONLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
        remove_pfn_range_from_zone(kernel, zone, start_pfn, end_pfn)
        if kernel.has("prepare_online"):
            kernel.notify(MemoryEvent.MEM_FINISH_OFFLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
        raise
    pages = state.behind_memmap(rows)
    managed = kernel.generic_online_pages(zone, pages)
    present = end_pfn - start_pfn - state.holes.covered(start_pfn, end_pfn)
    zone.present += present
    zone.present_early += state.early_pages(start_pfn, end_pfn)
    state.blocks.set(rows, state=BlockState.ONLINE, zone=zone.kind)
    count_group(kernel, rows, zone)
    settle_watermarks(state, zone, rows, pages)
    kernel.notify(MemoryEvent.MEM_ONLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
    kernel.log(
        "onlined",
        start_pfn=start_pfn,
        nr_pages=end_pfn - start_pfn,
        node=zone.nid,
        zone=zone.kind.label,
        managed_pages=managed,
    )


def count_group(kernel: Kernel, rows: slice, zone: Zone, sign: int = 1) -> None:
    """Count the pages of the blocks, memmap included, for their memory group."""
    blocks, only = kernel.state.blocks, kernel.state.blocks.common("group", rows)
    for group in sorted(set(blocks.listed("group", rows))) if only is None else [only]:
        count = blocks.count("group", rows, group) if only is None else rows.stop - rows.start
        pages = sign * count * kernel.geometry.pages_per_block
        if zone.kind is ZoneKind.MOVABLE:
            state_of(kernel).adjust_group(group, movable=pages)
        else:
            state_of(kernel).adjust_group(group, kernel=pages)
