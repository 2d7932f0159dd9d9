"""Placing recorded free chunks: place, then count, gives the counts back."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import placement, read_recording
from memhotplug.formats.snapshot.placement import Columns, Extent, count_by_order, pages_in, place_free
from memhotplug.naming import read_machine

MAX_ORDER = 4


def _extent(*ranges: tuple[int, int]) -> Extent:
    array = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()


def _listed(extent: Columns) -> list[list[int]]:
    return [np.asarray(column).tolist() for column in extent]


def _pages(extent: Columns) -> set[int]:
    return {pfn for start, end in zip(*extent, strict=True) for pfn in range(int(start), int(end))}


def _ranges(pages: set[int]) -> Extent:
    starts = sorted(pfn for pfn in pages if pfn - 1 not in pages)
    ends = sorted(pfn + 1 for pfn in pages if pfn + 1 not in pages)
    return _extent(*zip(starts, ends, strict=True))


def _merge_by_hand(pages: set[int], max_order: int) -> list[int]:
    """Free single pages one by one into buddy lists and merge as the kernel does."""
    lists: list[set[int]] = [set() for _ in range(max_order + 1)]
    for page in sorted(pages):
        pfn, order = page, 0
        while order < max_order and pfn ^ (1 << order) in lists[order]:
            lists[order].discard(pfn ^ (1 << order))
            pfn &= ~(1 << order)
            order += 1
        lists[order].add(pfn)
    return [len(found) for found in lists]


page_sets = st.sets(st.integers(0, 150), max_size=120)


@given(pages=page_sets)
def test_count_by_order_is_what_freeing_page_by_page_gives(pages: set[int]) -> None:
    """The closed formula agrees with the kernel's merging, done by hand."""
    assert count_by_order(*_ranges(pages), MAX_ORDER).tolist() == _merge_by_hand(pages, MAX_ORDER)


@given(present=page_sets, data=st.data())
def test_counts_of_any_free_set_can_be_placed_and_come_back(present: set[int], data: st.DataObject) -> None:
    """Whatever was free, chunks of the same counts fit, inside the zone, and count the same."""
    free = data.draw(st.sets(st.sampled_from(sorted(present))) if present else st.just(set()))
    avoid = data.draw(page_sets)
    counts = _merge_by_hand(free, MAX_ORDER)

    placed = place_free(_ranges(present), counts, MAX_ORDER, avoid=_ranges(avoid))

    assert count_by_order(*placed, MAX_ORDER).tolist() == counts
    assert _pages(placed) <= present
    starts, ends = map(np.asarray, placed)
    assert (starts[1:] > ends[:-1]).all()
    assert (starts < ends).all()
    assert pages_in(placed, _ranges(avoid)) == len(_pages(placed) & avoid)


@given(present=page_sets, data=st.data())
def test_avoided_pages_stay_in_use_where_the_counts_allow(present: set[int], data: st.DataObject) -> None:
    """If the counts fit beside the avoided pages, none of these is taken."""
    avoid = data.draw(page_sets)
    beside = sorted(present - avoid)
    free = data.draw(st.sets(st.sampled_from(beside)) if beside else st.just(set()))

    placed = place_free(_ranges(present), _merge_by_hand(free, MAX_ORDER), MAX_ORDER, avoid=_ranges(avoid))

    assert not _pages(placed) & avoid


@settings(max_examples=200)
@given(present=st.sets(st.integers(0, 11), max_size=12), counts=st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_counts_are_refused_only_if_no_set_of_pages_has_them(present: set[int], counts: list[int]) -> None:
    """On a tiny zone every subset is tried: greedy placement fails exactly where all of them do."""
    pages = sorted(present)
    subsets = ({pfn for i, pfn in enumerate(pages) if bits >> i & 1} for bits in range(1 << len(pages)))
    wanted = sum(count << order for order, count in enumerate(counts))
    possible = any(len(s) == wanted and _merge_by_hand(s, 2) == counts for s in subsets)

    try:
        placed = place_free(_ranges(present), counts, 2)
    except InputError:
        assert not possible
    else:
        assert possible
        assert count_by_order(*placed, 2).tolist() == counts


@settings(max_examples=60)
@given(present=page_sets, avoid=st.none() | page_sets, counts=st.lists(st.integers(0, 6), min_size=5, max_size=5))
def test_integers_and_arrays_choose_the_same(present: set[int], avoid: set[int] | None, counts: list[int]) -> None:
    """Few runs are handled as plain integers: the same pages, and the same refusal."""

    def chosen(few: int) -> object:
        kept = None if avoid is None else _ranges(avoid)
        with mock.patch.object(placement, "_FEW", few):
            try:
                placed = place_free(_ranges(present), counts, MAX_ORDER, avoid=kept)
            except InputError as problem:
                return str(problem)
        return _listed(placed)

    assert chosen(few=1000) == chosen(few=-1)


def test_lowest_places_are_taken_largest_order_first() -> None:
    """Order 2 first, then 1, then 0, each as low as it may be.

    pfn   1   2 3   4 5 6 7   8 9 10 11   12 13
          0   1 1   2 2 2 2   2 2  2  2    .  .

    Expect order 1 at 2 (its buddy, 0-1, is not all in the zone) and order 0 at 1, for the same reason.
    """
    placed = place_free(_extent((1, 14)), [1, 1, 2], 2)

    assert _listed(placed) == [[1], [12]]
    assert count_by_order(*placed, 2).tolist() == [1, 1, 2]


def test_a_chunk_never_lies_beside_its_free_buddy() -> None:
    """Two order-0 chunks would merge at 0 and 1; the second goes to 2."""
    placed = place_free(_extent((0, 4)), [2, 0, 0], 2)

    assert _listed(placed) == [[0, 2], [1, 3]]


def test_adjacent_largest_chunks_do_not_merge_further() -> None:
    """There is no order above the largest."""
    placed = place_free(_extent((0, 16)), [0, 0, 4], 2)

    assert _listed(placed) == [[0], [16]]


def test_avoided_pages_are_given_up_when_nothing_else_is_left() -> None:
    """Four order-2 places, one avoided, four wanted."""
    spans, avoid = _extent((0, 16)), _extent((6, 7))

    beside, all_of_it = place_free(spans, [0, 0, 3], 2, avoid=avoid), place_free(spans, [0, 0, 4], 2, avoid=avoid)

    assert _listed(beside) == [[0, 8], [4, 16]]
    assert pages_in(beside, avoid) == 0
    assert pages_in(all_of_it, avoid) == 1


def test_avoided_ranges_may_overlap_and_come_in_any_order() -> None:
    """They come from several places: the kernel image, the memmap."""
    placed = place_free(_extent((0, 16)), [0, 0, 1], 2, avoid=_extent((4, 9), (0, 5)))

    assert _listed(placed) == [[12], [16]]


def test_counts_that_do_not_fit_are_refused_with_numbers() -> None:
    """The order, how many were recorded, how many fit."""
    with pytest.raises(InputError) as too_many:
        place_free(_extent((0, 9)), [6, 0, 0], 2, place="node 0 zone DMA")
    with pytest.raises(InputError) as too_large:
        place_free(_extent((2, 15)), [0, 0, 3], 2, place="node 0 zone DMA")

    assert str(too_many.value) == (
        "got 6, expected at most 5 free chunks of order 0 in node 0 zone DMA, which has 9 pages"
    )
    assert str(too_large.value) == (
        "got 3, expected at most 2 free chunks of order 2 in node 0 zone DMA, which has 13 pages"
    )


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, -1], []])
def test_malformed_counts_are_refused(counts: list[int]) -> None:
    """One number for each order, none negative."""
    with pytest.raises(InputError) as caught:
        place_free(_extent((0, 16)), counts, 2, place="node 0 zone DMA")

    assert str(caught.value) == f"got {counts}, expected 3 numbers of free chunks, none negative, for node 0 zone DMA"


def test_absurdly_many_chunks_are_refused() -> None:
    """Before anything is allocated for them."""
    with pytest.raises(InputError) as caught:
        place_free(_extent((0, 1 << 50)), [0, 0, 1 << 40], 2)

    assert str(caught.value) == "got 1099511627776, expected at most 67108864 free chunks in the zone"


def test_an_empty_zone_takes_no_chunks() -> None:
    """Zones without a page exist on every machine."""
    placed = place_free(_extent(), [0] * 11, 10)

    assert _listed(placed) == [[], []]
    assert count_by_order(*placed, 10).tolist() == [0] * 11


def test_a_million_largest_chunks_are_placed_as_one_run() -> None:
    """Four TiB of free memory is one extent, not a million objects."""
    placed = place_free(_extent((1, 1 << 31)), [0] * 9 + [1, 1_000_000], 10)

    assert _listed(placed) == [[512], [1024 * 1_000_001]]


def test_few_ranges_may_be_given_as_integers() -> None:
    """Lists mean what arrays do, what is to be avoided too."""
    starts, ends = np.array([0, 32]), np.array([16, 48])

    listed = place_free(([0, 32], [16, 48]), [1, 0, 2], 2, avoid=([0], [4]))

    assert listed == ([4], [13])
    assert _listed(place_free((starts, ends), [1, 0, 2], 2, avoid=_extent((0, 4)))) == [*listed]


def test_every_recorded_zone_is_placed_beside_the_kernel_image(recordings: list[Path]) -> None:
    """All recordings, all steps, all zones: the placed set counts as buddyinfo did."""
    zones = 0
    for path in recordings:
        recording = read_recording(path)
        for step in recording.steps:
            machine = read_machine(recording.snapshot(step.index))
            image = _extent(*machine.kernel_image)
            for zone in machine.zones:
                spans = _extent(*zone.extents)
                placed = place_free(spans, zone.free_by_order, machine.max_order, avoid=image, place=zone.title)

                where = (path.name, step.index, zone.title)
                assert tuple(count_by_order(*placed, machine.max_order)) == zone.free_by_order, where
                assert pages_in(placed, spans) == zone.buddy_pages, where
                assert pages_in(placed, image) == 0, where
                zones += 1

    assert zones > 400
