"""Zones and nodes: spans, counts, copies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import Node, Zone, ZoneKind


def test_labels_are_those_of_zoneinfo() -> None:
    """DMA, DMA32, Normal, Movable, ascending as in enum zone_type."""
    assert [kind.label for kind in ZoneKind] == ["DMA", "DMA32", "Normal", "Movable"]


def test_a_fresh_zone_is_empty() -> None:
    """Nothing spanned, nothing free, in no range."""
    zone = Zone(1, ZoneKind.NORMAL)

    assert (zone.key, zone.start_pfn, zone.spanned, zone.end_pfn, zone.nr_free) == ((1, ZoneKind.NORMAL), 0, 0, 0, 0)
    assert not zone.intersects(0, 1 << 40)


bounds = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(bounds, min_size=1, max_size=5), bounds)
def test_the_span_grows_to_the_hull(grown: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    """However it grows, the span is the hull of all ranges, and intersects what overlaps the hull."""
    zone = Zone(0, ZoneKind.MOVABLE)
    for low, high in grown:
        zone.grow_span(low, high)

    hull = min(low for low, _ in grown), max(high for _, high in grown)
    assert (zone.start_pfn, zone.end_pfn) == hull
    assert zone.intersects(*asked) == (asked[0] < hull[1] and hull[0] < asked[1])


def test_an_empty_span_is_zero_zero() -> None:
    """set_span() of nothing forgets the start too."""
    zone = Zone(0, ZoneKind.NORMAL)
    zone.set_span(10, 20)
    assert (zone.start_pfn, zone.spanned) == (10, 10)

    zone.set_span(20, 20)

    assert (zone.start_pfn, zone.spanned) == (0, 0)


def test_pages_on_per_cpu_lists_are_free() -> None:
    """They are in no buddy list, but count."""
    zone = Zone(0, ZoneKind.NORMAL)
    zone.free.add(0, 10)
    zone.pcp = ExtentSet.of((20, 23))

    assert zone.nr_free == 13


def test_the_node_span_is_the_hull_of_its_zones() -> None:
    """Empty zones do not count; without any zone it is 0, 0."""
    node = Node(0)
    assert node.span == (0, 0)

    node.zones[ZoneKind.MOVABLE].set_span(100, 200)
    node.zones[ZoneKind.DMA].set_span(10, 20)
    node.zones[ZoneKind.DMA].present = 7
    node.zones[ZoneKind.MOVABLE].present = 5

    assert node.span == (10, 200)
    assert node.present == 12


def test_a_copy_of_a_node_does_not_follow() -> None:
    """Counters, spans, free lists and the online flag are its own."""
    node = Node(3, online=True, has_cpu=True)
    zone = node.zones[ZoneKind.NORMAL]
    zone.set_span(0, 100)
    zone.free.add(0, 100)
    twin = node.copy()
    other = twin.zones[ZoneKind.NORMAL]

    other.free.remove(0, 50)
    other.pcp = ExtentSet.of((0, 5))
    other.linked.add(0, 5)
    other.managed = 7
    other.wmark = (1, 2, 3)
    other.set_span(0, 0)
    twin.online = False

    assert (zone.nr_free, zone.linked.total, zone.managed, zone.wmark, zone.spanned) == (100, 0, 0, (0, 0, 0), 100)
    assert node.online
    assert (twin.nid, twin.has_cpu) == (3, True)
