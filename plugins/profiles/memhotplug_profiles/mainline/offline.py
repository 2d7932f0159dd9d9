"""Offline and removal.

Models: mm/memory_hotplug.c:offline_pages(), try_remove_memory(), mhp_deinit_memmap_on_memory();
drivers/base/memory.c:memory_block_offline() (v5.13 to v6.12).
"""

from __future__ import annotations

import errno

from memhotplug.plugin import (
    NO_ZONE,
    BlockState,
    ExtentSet,
    Kernel,
    MapRuns,
    MemoryEvent,
    MemoryHotplugError,
    Source,
    Zone,
    isolate,
    migrate,
    settle_watermarks,
    take_range_away,
    unisolate,
    zone_of_rows,
)
from memhotplug_profiles.mainline.online import count_group
from memhotplug_profiles.mainline.spans import remove_pfn_range_from_zone

__all__ = ["offline", "release_vmemmap", "remove", "remove_pages"]


def offline(kernel: Kernel, rows: slice) -> None:
    """Take neighbouring online blocks of one zone offline.

    Raises:
        MemoryHotplugError: EINVAL several zones or memory holes, EBUSY an unmovable page (no CANCEL
            event then) or a PageOffline page that its driver does not let go of, a veto, EINTR a page
            does not migrate; the blocks are as before.
    """
    zone = zone_of_rows(kernel, rows)
    start_pfn, end_pfn = kernel.state.span_of(rows)
    altmap_pages = kernel.state.blocks.total("altmap_pages", rows)
    if kernel.state.holes.intersects(start_pfn, end_pfn):
        raise MemoryHotplugError(errno.EINVAL, "memory holes")
    pages = kernel.state.behind_memmap(rows)
    pages.difference_update(kernel.state.withheld)
    taken = isolate(kernel, zone, pages)  # before anybody is told of it, and so before the state shows it
    kernel.state.blocks.set(rows, state=BlockState.GOING_OFFLINE)
    try:
        _empty(kernel, zone, pages, start_pfn, end_pfn, altmap_pages)
    except MemoryHotplugError:
        unisolate(zone, taken)
        kernel.state.blocks.set(rows, state=BlockState.ONLINE)
        raise
    zone.managed -= pages.total
    zone.present -= end_pfn - start_pfn
    zone.present_early -= kernel.state.early_pages(start_pfn, end_pfn)
    count_group(kernel, rows, zone, -1)
    settle_watermarks(kernel.state, zone, rows, pages, -1)
    kernel.notify(MemoryEvent.MEM_OFFLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
    remove_pfn_range_from_zone(kernel, zone, start_pfn, end_pfn)
    kernel.state.blocks.set(rows, state=BlockState.OFFLINE, zone=NO_ZONE)
    if kernel.has("prepare_online"):
        kernel.notify(MemoryEvent.MEM_FINISH_OFFLINE, start_pfn, end_pfn - start_pfn, altmap_pages)
    kernel.log("offlined", start_pfn=start_pfn, nr_pages=end_pfn - start_pfn, node=zone.nid, zone=zone.kind.label)


def _empty(kernel: Kernel, zone: Zone, pages: ExtentSet, start_pfn: int, end_pfn: int, altmap_pages: int) -> None:
    """Ask the notifiers and migrate what is movable; CANCEL_OFFLINE goes out if either fails."""
    nr_pages = end_pfn - start_pfn
    try:
        kernel.notify(MemoryEvent.MEM_GOING_OFFLINE, start_pfn, nr_pages, altmap_pages)
        held = kernel.state.withheld.covered(start_pfn, end_pfn)
        if held:
            # A driver that lets go takes its pages out of ``withheld`` while the block goes offline.
            raise MemoryHotplugError(errno.EBUSY, f"{held} PageOffline pages are referenced")
        migrate(kernel, zone, pages)
    except MemoryHotplugError:
        kernel.notify(MemoryEvent.MEM_CANCEL_OFFLINE, start_pfn, nr_pages, altmap_pages)
        raise


def remove(kernel: Kernel, start: int, size: int) -> None:
    """Remove a range of bytes whose blocks are all offline.

    Raises:
        MemoryHotplugError: EINVAL, blocks of the range host their memmap, and up to 6.7 it is not
            exactly one block, later not all blocks of the range are there and do.
    """
    block_size = kernel.geometry.memory_block_size
    rows = kernel.state.blocks.rows(start // block_size, (start + size) // block_size - 1)
    count = rows.stop - rows.start
    reserved = kernel.state.blocks.common("altmap_pages", rows)
    hosting = int((kernel.state.blocks.altmap_pages[rows] > 0).sum()) if reserved is None else count * (reserved > 0)
    if hosting and not kernel.has("one_altmap_a_block") and size != block_size:
        raise MemoryHotplugError(errno.EINVAL, f"Refuse to remove {start:#x} - {start + size:#x}, wrong granularity")
    if hosting not in (0, size // block_size):
        raise MemoryHotplugError(errno.EINVAL, "some blocks of the range host their memmap and some do not")
    take_range_away(kernel, start, size)


def remove_pages(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Take away the sections of a range and their memmap. Models: __remove_pages() (v6.12)."""
    end_pfn = start_pfn + nr_pages
    state = kernel.state
    ranges = state.sections.within(start_pfn, end_pfn)
    state.sections.remove(start_pfn, end_pfn)
    state.early.remove(start_pfn, end_pfn)
    state.holes.remove(start_pfn, end_pfn)
    for low, high in ranges:
        kernel.vmemmap_free(low, high - low)


def release_vmemmap(kernel: Kernel, runs: MapRuns) -> None:
    """Give memmap pages back to the page allocator; those from an altmap vanish with their block."""
    kernel.memmap.free(runs.of(Source.ALLOCATOR, Source.BOOT))
