"""Online and offline: vmemmap pages are present, never managed, and never in the way.

Models: mm/memory_hotplug.c:online_pages(), online_pages_range(), __offline_pages();
mm/page_alloc.c:__offline_isolated_pages() (v5.2 with the series).
"""

from __future__ import annotations

from memhotplug.plugin import (
    NO_ZONE,
    Array,
    BlockState,
    ExtentSet,
    Kernel,
    MemoryEvent,
    MemoryHotplugError,
    Zone,
    isolate,
    migrate,
    np,
    settle_watermarks,
    unisolate,
    zone_of_rows,
)
from memhotplug_profiles.v2_2019.marks import state_of

__all__ = ["offline", "online"]


def _skipped(kernel: Kernel, starts: Array, ends: Array) -> Array:
    """Return how many vmemmap pages each block begins with."""
    skipped: Array = np.minimum(state_of(kernel).remaining(starts), ends - starts)
    return skipped


def online(kernel: Kernel, rows: slice, zone: Zone) -> None:
    """Online neighbouring blocks: the span grows, pages behind the vmemmap pages become free.

    present counts the whole range, managed only the pages freed. A veto leaves the span grown, as
    this kernel does.
    """
    starts, ends = kernel.state.block_bounds(rows)
    start_pfn, end_pfn = int(starts[0]), int(ends[-1])
    kernel.link_to_zone(zone, start_pfn, end_pfn)
    try:
        kernel.notify(MemoryEvent.MEM_GOING_ONLINE, start_pfn, end_pfn - start_pfn)
    except MemoryHotplugError:
        kernel.notify(MemoryEvent.MEM_CANCEL_ONLINE, start_pfn, end_pfn - start_pfn)
        raise
    skipped = _skipped(kernel, starts, ends)
    pages = ExtentSet(starts + skipped, ends)
    managed = kernel.generic_online_pages(zone, pages)
    zone.present += end_pfn - start_pfn - kernel.state.holes.covered(start_pfn, end_pfn)
    zone.present_early += kernel.state.early_pages(start_pfn, end_pfn)
    kernel.state.blocks.set(rows, state=BlockState.ONLINE, zone=zone.kind)
    settle_watermarks(kernel.state, zone, rows, pages)
    kernel.notify(MemoryEvent.MEM_ONLINE, start_pfn, end_pfn - start_pfn)
    kernel.log(
        "onlined",
        start_pfn=start_pfn,
        nr_pages=end_pfn - start_pfn,
        node=zone.nid,
        zone=zone.kind.label,
        managed_pages=managed,
    )


def offline(kernel: Kernel, rows: slice) -> None:
    """Take neighbouring online blocks of one zone offline; the span stays as it is."""
    zone = zone_of_rows(kernel, rows)
    starts, ends = kernel.state.block_bounds(rows)
    start_pfn, end_pfn = int(starts[0]), int(ends[-1])
    skipped = _skipped(kernel, starts, ends)
    pages = ExtentSet(starts + skipped, ends)
    holes = kernel.state.holes
    if holes.total:
        pages.remove_many(holes.starts, holes.ends)
    kernel.state.blocks.set(rows, state=BlockState.GOING_OFFLINE)
    taken = ExtentSet()
    try:
        taken = isolate(kernel, zone, pages)
        _going_offline(kernel, start_pfn, end_pfn - start_pfn)
        _migrate(kernel, zone, pages, start_pfn, end_pfn - start_pfn)
    except MemoryHotplugError:
        unisolate(zone, taken)
        kernel.state.blocks.set(rows, state=BlockState.ONLINE)
        raise
    zone.present -= pages.total + int(skipped.sum())
    zone.present_early -= kernel.state.early_pages(start_pfn, end_pfn)
    zone.managed -= pages.total
    kernel.state.blocks.set(rows, state=BlockState.OFFLINE, zone=NO_ZONE)
    settle_watermarks(kernel.state, zone, rows, pages, -1)
    _report_uninitialised(kernel, rows, skipped, ends - starts)
    kernel.notify(MemoryEvent.MEM_OFFLINE, start_pfn, end_pfn - start_pfn)
    kernel.log("offlined", start_pfn=start_pfn, nr_pages=end_pfn - start_pfn, node=zone.nid, zone=zone.kind.label)


def _going_offline(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    try:
        kernel.notify(MemoryEvent.MEM_GOING_OFFLINE, start_pfn, nr_pages)
    except MemoryHotplugError:
        kernel.notify(MemoryEvent.MEM_CANCEL_OFFLINE, start_pfn, nr_pages)
        raise


def _migrate(kernel: Kernel, zone: Zone, pages: ExtentSet, start_pfn: int, nr_pages: int) -> None:
    try:
        migrate(kernel, zone, pages)
    except MemoryHotplugError:
        kernel.notify(MemoryEvent.MEM_CANCEL_OFFLINE, start_pfn, nr_pages)
        raise


def _report_uninitialised(kernel: Kernel, rows: slice, skipped: Array, sizes: Array) -> None:
    """Report blocks that are all vmemmap: isolation was skipped, and its result is used all the same."""
    for block in kernel.state.blocks.id[rows][skipped == sizes].tolist():
        kernel.warn(
            f"block {block} is all vmemmap: zone.nr_isolate_pageblock loses an uninitialised count (taken as 0)"
        )
