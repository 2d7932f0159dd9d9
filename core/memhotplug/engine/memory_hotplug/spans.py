"""Shrinking zone spans when sections or online pages disappear.

Models: mm/memory_hotplug.c:shrink_zone_span(), find_smallest_section_pfn(),
find_biggest_section_pfn() (v5.2 to v6.12).
"""

from __future__ import annotations

from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import MachineState
from memhotplug.model.zones import Zone

__all__ = ["own_span", "shrink_zone_span"]


def shrink_zone_span(zone: Zone, start_pfn: int, end_pfn: int, remaining: ExtentSet) -> None:
    """Move the edges of a span off [start_pfn, end_pfn), which is gone.

    An edge moves only if the range touches it, and then jumps to the next pfn that remains;
    nothing left means 0/0. A range in the interior leaves a hole in the span.

    Args:
        remaining: the pfns that still count for this zone, the range itself not among them.
    """
    if not zone.spanned:
        return
    low, high = zone.start_pfn, zone.end_pfn
    first, last = remaining.first_from(low), remaining.last_below(high)
    if first is None or last is None or first >= high:
        zone.set_span(0, 0)
        return
    if start_pfn <= low < end_pfn:
        low = first
    if start_pfn < high <= end_pfn:
        high = last + 1
    zone.set_span(low, high)


def own_span(state: MachineState, zone: Zone) -> tuple[int, int]:
    """Return first pfn and end pfn of a span without the holes of boot memory at its edges.

    A zone of boot memory ends where its memory does. Once an edge has moved, it is looked for in steps of a subsection,
    and finds the struct pages of a hole, too.
    """
    low, high = zone.start_pfn, zone.end_pfn
    if not zone.spanned or not state.holes.intersects(low, high):
        return low, high
    for first, end in state.holes:
        if first <= low < end:
            low = min(end, high)
        if first < high <= end:
            high = max(first, low)
    return low, high
