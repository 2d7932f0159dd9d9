"""Taking a range out of its zone when it goes offline.

Models: mm/memory_hotplug.c:remove_pfn_range_from_zone(), shrink_zone_span(),
find_smallest_section_pfn(), find_biggest_section_pfn() (v5.6 to v6.12); mm/mm_init.c:memmap_init(),
init_unavailable_range() (v6.4, before it in mm/page_alloc.c since v5.12).
"""

from __future__ import annotations

from memhotplug.plugin import ExtentSet, Kernel, Zone, round_up

__all__ = ["pages_of_zone", "remove_pfn_range_from_zone"]


def remove_pfn_range_from_zone(kernel: Kernel, zone: Zone, start_pfn: int, end_pfn: int) -> None:
    """Unlink a range; an edge of the span that it touches moves to the next pfn that is online.

    The kernel looks for that pfn in steps of a subsection, from the range outward.
    """
    zone.linked.remove(start_pfn, end_pfn)
    if not zone.spanned:
        return
    low, high = zone.start_pfn, zone.end_pfn
    step = kernel.geometry.pages_per_subsection
    if not (start_pfn <= low < end_pfn or start_pfn < high <= end_pfn):
        return
    online = pages_of_zone(kernel, zone)
    if start_pfn <= low < end_pfn:
        first = _upward(online, end_pfn, high, step)
        zone.set_span(*((first, high) if first is not None else (0, 0)))
        low = zone.start_pfn
    if zone.spanned and start_pfn < high <= end_pfn:
        last = _downward(online, low, start_pfn, step)
        zone.set_span(*((low, last + 1) if last is not None else (0, 0)))


def pages_of_zone(kernel: Kernel, zone: Zone) -> ExtentSet:
    """Return the pfns whose struct page names a zone.

    A hole in a section of boot memory has struct pages too: they name the zone of the memory behind the hole, the
    last ones of a section that of the memory before it.
    """
    holes = kernel.state.holes
    if not holes.intersects(zone.start_pfn, zone.end_pfn):
        return zone.linked
    found = zone.linked.copy()
    for low, high in holes:
        near = high if high % kernel.geometry.pages_per_section else low - 1
        if zone.linked.contains(near, near + 1):
            found.add(low, high)
    return found


def _upward(online: ExtentSet, begin: int, end: int, step: int) -> int | None:
    """Return the first of begin, begin + step … below ``end`` that is online."""
    found = online.first_from(begin)
    while found is not None:
        candidate = begin + round_up(found - begin, step)
        if candidate >= end:
            break
        found = online.first_from(candidate)
        if found == candidate:
            return candidate
    return None


def _downward(online: ExtentSet, begin: int, end: int, step: int) -> int | None:
    """Return the first of end - 1, end - 1 - step … not below ``begin`` that is online."""
    found = online.last_below(end)
    while found is not None:
        candidate = end - 1 - round_up(end - 1 - found, step)
        if candidate < begin:
            break
        found = online.last_below(candidate + 1)
        if found == candidate:
            return candidate
    return None
