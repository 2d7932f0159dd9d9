"""Removing memory: sections go ascending, and memmap that sections still need goes last.

Models: mm/memory_hotplug.c:try_remove_memory(), __remove_pages(), __remove_zone();
mm/sparse.c:depopulate_section_memmap(), deferred_vmemmap_free() (what became v5.3, with the series).
"""

from __future__ import annotations

from memhotplug.plugin import (
    Array,
    ExtentSet,
    Kernel,
    MapRuns,
    div_round_up,
    np,
    shrink_zone_span,
    take_range_away,
)
from memhotplug_profiles.v2_2019.marks import state_of

__all__ = ["release_vmemmap", "remove", "remove_pages"]


def remove(kernel: Kernel, start: int, size: int) -> None:
    """Remove a range of bytes whose blocks are all offline: devices, memmap, resource, node."""
    take_range_away(kernel, start, size)


def remove_pages(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Take away the sections of a range and free their memmap, at once or deferred."""
    end_pfn = start_pfn + nr_pages
    state = kernel.state
    ranges = [(int(low), int(high)) for low, high in zip(*state.sections.clip(start_pfn, end_pfn), strict=True)]
    state.sections.remove(start_pfn, end_pfn)
    state.early.remove(start_pfn, end_pfn)
    state.holes.remove(start_pfn, end_pfn)
    for zone in state.zones():
        if zone.linked.intersects(start_pfn, end_pfn):
            zone.linked.remove(start_pfn, end_pfn)
            shrink_zone_span(zone, start_pfn, end_pfn, zone.linked)
    now: list[tuple[int, int]] = []
    for low, high in ranges:
        now += _freed_now(kernel, low, high)
    if now:
        pairs = np.array(now, dtype=np.int64)
        # The kernel frees a deferred range backwards, so that the pages that hold the first
        # section's memmap go last; within one run all at once makes no difference.
        for low, high in reversed(list(ExtentSet(pairs[:, 0], pairs[:, 1]))):
            kernel.vmemmap_free(low, high - low)


def _freed_now(kernel: Kernel, start_pfn: int, end_pfn: int) -> list[tuple[int, int]]:
    """Walk sections ascending; return the pfn runs whose memmap is freed before the walk ends.

    free_deferred_vmemmap_range() goes backwards from the section that brought the count to 0 down to
    the remembered one, whatever lies between them: sections that are still there lose their memmap,
    and if the last one lies below, nothing is freed at all.
    """
    v2 = state_of(kernel)
    section = kernel.geometry.pages_per_section
    first_pages = _marked_section_starts(v2.marked, start_pfn, end_pfn, section)
    rows = v2.heads.containing(first_pages)
    counts = np.ones(len(rows), dtype=np.int64)  # a page that is no head has the count 1
    is_head = rows >= 0
    is_head[is_head] = v2.heads.start[rows[is_head]] == first_pages[is_head]
    counts[is_head] = v2.heads.refcount[rows[is_head]]
    upcoming = list(zip(first_pages.tolist(), counts.tolist(), strict=True))[::-1]
    now: list[tuple[int, int]] = []
    finished: list[int] = []
    position = start_pfn
    while position < end_pfn:
        if v2.deferred_head < 0:
            while upcoming and upcoming[-1][0] < position:
                upcoming.pop()
            if not upcoming:
                now.append((position, end_pfn))
                break
            begin, count = upcoming.pop()
            now.append((position, begin))
            position = begin
            v2.deferred_head, v2.deferred_count = begin, count
        sections = (end_pfn - position) // section
        if v2.deferred_count > 0:  # one that was 0 already drops below and does not come back
            sections = min(sections, v2.deferred_count)
        reach = position + sections * section
        v2.deferred += ((position, reach),)
        v2.deferred_count -= sections
        position = reach
        if not v2.deferred_count:
            now.append((v2.deferred_head, reach))
            finished.append(v2.deferred_head)
            v2.deferred, v2.deferred_head = (), -1
    _settle_refcounts(kernel, finished)
    return [(low, high) for low, high in now if low < high]


def _marked_section_starts(marked: ExtentSet, start_pfn: int, end_pfn: int, section: int) -> Array:
    """Return the pfns in a range that begin a section and are PageVmemmap; int64, ascending."""
    lows, highs = marked.clip(start_pfn, end_pfn)
    first, last = div_round_up(lows, section), div_round_up(highs, section)
    counts = np.maximum(last - first, 0)
    before = np.cumsum(counts) - counts
    index = np.repeat(np.arange(len(lows)), counts)
    starts: Array = (first[index] + np.arange(int(counts.sum())) - before[index]) * section
    return starts


def _settle_refcounts(kernel: Kernel, finished: list[int]) -> None:
    """Write the counts of the remembered pages back into those of them that are heads."""
    v2 = state_of(kernel)
    pfns, counts = finished, [0] * len(finished)
    if v2.deferred_head >= 0:
        pfns, counts = [*finished, v2.deferred_head], [*counts, v2.deferred_count]
        kernel.log("free_deferred", head_pfn=v2.deferred_head, sections_left=v2.deferred_count)
    remembered = np.array(pfns, dtype=np.int64)
    rows = v2.heads.containing(remembered)
    is_head = rows >= 0
    is_head[is_head] = v2.heads.start[rows[is_head]] == remembered[is_head]
    v2.heads.set_refcount(rows[is_head], np.array(counts, dtype=np.int64)[is_head])


def release_vmemmap(kernel: Kernel, runs: MapRuns) -> None:
    """Clear the marks of vmemmap pages and free nothing of them; give all other pages back.

    Boot memmap was reserved and becomes managed memory (put_page_bootmem(), free_reserved_page()).
    A mark lives in a struct page, so that it is gone when that struct page is.
    """
    v2 = state_of(kernel)
    pages = kernel.state.vmemmap.backing(runs)
    lows, highs = v2.marked.clip_many(pages.starts, pages.ends)
    v2.marked.remove_many(lows, _end_of_clearing(kernel, lows, highs))
    v2.marked.remove_many(runs.start, runs.end)
    if len(v2.heads):
        heads = v2.heads
        heads.keep(v2.marked.covered_many(heads.start, heads.start + heads.private) > 0)
    kernel.memmap.free(runs, spare=ExtentSet(lows, highs))


def _end_of_clearing(kernel: Kernel, lows: Array, highs: Array) -> Array:
    """Return where the clearing of marks ends that begins with each run of vmemmap pages.

    On powerpc it does not end with the mapping, but with the first page that is not vmemmap, and so
    takes the marks of mappings that are still there as well.

    Models: arch/powerpc/mm/init_64.c:vmemmap_free(), arch/x86/mm/init_64.c:free_pagetable() (patch 4).
    """
    if kernel.arch != "powerpc":
        return highs
    marked = state_of(kernel).marked
    ends: Array = marked.ends[np.searchsorted(marked.ends, lows, side="right")]
    return ends
