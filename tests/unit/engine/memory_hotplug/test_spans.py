"""Shrinking the span of a zone, compared with a walk section by section."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memhotplug.engine.memory_hotplug.spans import shrink_zone_span
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import Zone, ZoneKind


def kernel_rule(span: tuple[int, int], gone: int, remaining: set[int]) -> tuple[int, int]:
    """Return the span after one section has gone, by the kernel's rule, all in units of sections."""
    low, high = span
    inside = [section for section in sorted(remaining) if low <= section < high]
    if not inside:
        return 0, 0
    if gone == low:
        low = inside[0]
    elif gone == high - 1:
        high = inside[-1] + 1
    return low, high


@given(st.sets(st.integers(0, 12), min_size=1), st.integers(0, 12), st.integers(1, 5))
def test_a_range_shrinks_as_its_sections_one_after_the_other(linked: set[int], first: int, count: int) -> None:
    """Edges jump over what is gone; a hole in the interior changes nothing; nothing left is 0/0."""
    zone = Zone(0, ZoneKind.MOVABLE)
    zone.set_span(min(linked), max(linked) + 1)
    span, left = (min(linked), max(linked) + 1), set(linked)
    for section in range(first, first + count):
        if section in left:
            left.discard(section)
            span = kernel_rule(span, section, left)

    remaining = ExtentSet.of(*[(section, section + 1) for section in sorted(left)])
    if linked & set(range(first, first + count)):
        shrink_zone_span(zone, first, first + count, remaining)

    assert (zone.start_pfn, zone.end_pfn) == span


def test_an_empty_span_stays_empty() -> None:
    """There is nothing to shrink."""
    zone = Zone(0, ZoneKind.NORMAL)

    shrink_zone_span(zone, 0, 100, ExtentSet())

    assert (zone.start_pfn, zone.spanned) == (0, 0)
