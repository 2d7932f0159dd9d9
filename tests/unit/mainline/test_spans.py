"""Where an edge of a zone's span moves to when the blocks at it go offline."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from memhotplug import Machine
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug_profiles.mainline.spans import remove_pfn_range_from_zone

_TOP = 60  # in parts of a subsection, so that most runs begin and end within one
_PARTS = st.integers(1, _TOP)
_RUNS = st.lists(st.tuples(_PARTS, _PARTS), max_size=6)


@settings(max_examples=300, deadline=None)
@given(runs=_RUNS, low=_PARTS, length=_PARTS, parts=st.integers(1, 4))
def test_an_edge_moves_in_whole_subsections_to_what_is_left(
    runs: list[tuple[int, int]], low: int, length: int, parts: int
) -> None:
    """From the range outward, step by step; with nothing left there the span is empty."""
    kernel = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G").kernel
    step = kernel.geometry.pages_per_subsection
    size = step // parts
    base = kernel.geometry.pfn(8 << 30)
    linked = ExtentSet.of(*((base + first * size, base + last * size) for first, last in runs if first < last))
    start, end = base + low * size, base + (low + length) * size
    linked.add(start, end)
    (zone_low, _), *_ = linked
    zone_high = max(high for _, high in linked)
    zone = Zone(0, ZoneKind.MOVABLE)
    zone.linked = linked.copy()
    zone.set_span(zone_low, zone_high)
    left = linked.difference(ExtentSet.of((start, end)))
    upward = [pfn for pfn in range(end, zone_high, step) if left.contains(pfn, pfn + 1)]
    downward = [pfn for pfn in range(start - 1, zone_low - 1, -step) if left.contains(pfn, pfn + 1)]
    expected = zone_low, zone_high
    if start <= zone_low:
        expected = (upward[0], zone_high) if upward else (0, 0)
    elif end >= zone_high:
        expected = (zone_low, downward[0] + 1) if downward else (0, 0)

    remove_pfn_range_from_zone(kernel, zone, start, end)

    assert (zone.start_pfn, zone.end_pfn) == expected
    assert zone.linked == left
