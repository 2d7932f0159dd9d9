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


def reserved() -> Zone:
    """Return a zone of pfns 0-99 of which CMA owns 10-29, 30-39 are barred, and 0-4 and 12-14 are in use."""
    zone = Zone(0, ZoneKind.NORMAL)
    zone.free = ExtentSet.of((5, 12), (15, 100))
    zone.cma_pages = ExtentSet.of((10, 30))
    zone.barred = ExtentSet.of((30, 40))
    return zone


def test_movable_requests_are_given_cma_and_nobody_what_is_barred() -> None:
    """Kernel memory lies in neither. What is asked about does not change."""
    zone = reserved()
    assert list(zone.open_to(movable=True)) == [(5, 12), (15, 30), (40, 100)]
    assert list(zone.open_to(movable=False)) == [(5, 10), (40, 100)]
    assert list(zone.free) == [(5, 12), (15, 100)]


def test_a_zone_that_keeps_nothing_back_answers_with_its_own_set() -> None:
    """The usual case costs no copy; CMA alone is nothing to a movable request."""
    zone = reserved()
    zone.barred = ExtentSet()
    assert zone.open_to(movable=True) is zone.free
    assert list(zone.open_to(movable=False)) == [(5, 10), (30, 100)]
    zone.cma_pages = ExtentSet()
    assert zone.open_to(movable=False) is zone.free


def test_barred_pages_alone_are_kept_from_everybody() -> None:
    """Also from requests that CMA would not have been kept from."""
    zone = reserved()
    zone.cma_pages = ExtentSet()
    for movable in (True, False):
        assert list(zone.open_to(movable=movable)) == [(5, 12), (15, 30), (40, 100)]


def test_the_watermark_does_not_count_what_the_request_cannot_get() -> None:
    """Barred pages that are free; for kernel memory those of CMA, too: 2 and 15 of its 20 are free."""
    zone = reserved()
    assert (zone.unusable(movable=True), zone.unusable(movable=False)) == (10, 10 + 17)
    zone.free.remove(35, 40)
    assert (zone.unusable(movable=True), zone.unusable(movable=False)) == (5, 5 + 17)


def test_the_high_atomic_reserve_counts_as_it_was_set_aside() -> None:
    """Whatever of it is free: the larger of the two, never both."""
    zone = reserved()
    zone.highatomic = 7
    assert (zone.unusable(movable=True), zone.unusable(movable=False)) == (10, 27)
    zone.highatomic = 12
    assert (zone.unusable(movable=True), zone.unusable(movable=False)) == (12, 29)


def test_without_anything_kept_only_the_reserve_counts() -> None:
    """With CMA that is for kernel memory only."""
    zone = reserved()
    zone.barred, zone.highatomic = ExtentSet(), 3
    assert (zone.unusable(movable=True), zone.unusable(movable=False)) == (3, 3 + 17)
    zone.cma_pages = ExtentSet()
    assert (zone.unusable(movable=True), zone.unusable(movable=False)) == (3, 3)


def test_a_span_of_nothing_intersects_nothing() -> None:
    """Not even a range around its place."""
    zone = Zone(0, ZoneKind.NORMAL)
    zone.start_pfn = 10
    assert not zone.intersects(0, 100)
    zone.grow_span(10, 20)
    overlaps = [zone.intersects(*asked) for asked in ((0, 10), (0, 11), (19, 20), (20, 30), (12, 13))]
    assert overlaps == [False, True, True, False, True]


def test_zones_say_what_they_are() -> None:
    """For messages and for whoever debugs."""
    zone = Zone(2, ZoneKind.DMA32)
    zone.grow_span(0, 100)
    zone.present, zone.managed = 90, 80
    zone.free.add(0, 7)
    zone.pcp = ExtentSet.of((50, 53))
    assert repr(zone) == "<Zone 2 DMA32: 80 of 90 pages managed, 10 free>"
    assert zone.title == "node 2 zone DMA32"


def test_a_copy_of_a_zone_has_all_of_it() -> None:
    """Every attribute reads the same, and none of what changes in place is shared."""
    zone = reserved()
    zone.grow_span(0, 100)
    zone.present, zone.present_early, zone.managed, zone.cma, zone.highatomic = 1, 2, 3, 4, 5
    zone.wmark, zone.protection, zone.pcp = (1, 2, 3), (4, 5, 6, 7), ExtentSet.of((60, 61))
    zone.linked.add(0, 50)
    twin = zone.copy()
    for name in Zone.__slots__:
        left, right = getattr(zone, name), getattr(twin, name)
        assert (list(left) if isinstance(left, ExtentSet) else left) == (
            list(right) if isinstance(right, ExtentSet) else right
        ), name
    twin.free.remove(50, 60)
    twin.linked.remove(0, 10)
    assert (list(zone.free), list(zone.linked)) == ([(5, 12), (15, 100)], [(0, 50)])


def test_a_node_without_a_zone_that_spans_anything_spans_nothing() -> None:
    """Zero to zero; present pages are those of all zones, wherever they are."""
    node = Node(1, online=False, has_cpu=True)
    assert (node.span, node.present, node.online, node.has_cpu) == ((0, 0), 0, False, True)
    node.zones[ZoneKind.MOVABLE].grow_span(700, 800)
    assert node.span == (700, 800)
    node.zones[ZoneKind.DMA].grow_span(10, 900)
    assert node.span == (10, 900)
    node.zones[ZoneKind.DMA].present, node.zones[ZoneKind.MOVABLE].present = 30, 4
    assert node.present == 34
    twin = node.copy()
    assert (twin.nid, twin.online, twin.has_cpu, list(twin.zones)) == (1, False, True, list(ZoneKind))
