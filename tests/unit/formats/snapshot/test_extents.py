"""Plain range arithmetic, compared with sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memhotplug.formats.snapshot.extents import Extents, intersect, merge, size

ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def _set(extents: Extents) -> set[int]:
    return {number for start, end in extents for number in range(start, end)}


@given(parts=ranges)
def test_merge_is_the_union_in_the_fewest_ranges(parts: list[tuple[int, int]]) -> None:
    """Sorted, not touching, and empty ranges (also backward ones) leave nothing."""
    merged = merge(parts)

    assert _set(merged) == _set(tuple(parts))
    assert all(start < end for start, end in merged)
    assert all(left[1] < right[0] for left, right in pairwise(merged))
    assert size(merged) == len(_set(merged))


@given(left=ranges, right=ranges)
def test_intersect_is_what_both_hold(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    """In either order."""
    both = intersect(merge(left), merge(right))

    assert _set(both) == _set(tuple(left)) & _set(tuple(right))
    assert both == intersect(merge(right), merge(left))
    assert size(both) == len(_set(both))
