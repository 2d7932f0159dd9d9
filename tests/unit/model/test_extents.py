"""Sets of pfns as runs, compared with Python's own sets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.sets import TOP, Runs, as_set, disjoint, pfns, runs

from memhotplug.model.extents import Array, ExtentSet, empty, intersect, merge

pytestmark = pytest.mark.usefixtures("few")


def arrays(pairs: Runs) -> tuple[Array, Array]:
    """Return runs as two int64 arrays."""
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def members(found: ExtentSet) -> set[int]:
    """Return the pfns of a set, having checked that its runs are ascending, apart and counted."""
    pairs = list(found)
    assert all(low < high for low, high in pairs)
    assert all(left[1] < right[0] for left, right in pairwise(pairs))
    assert found.total == sum(high - low for low, high in pairs)
    assert found.starts.dtype == np.int64
    assert found.ends.dtype == np.int64
    return as_set(pairs)


@given(runs)
def test_construction_is_the_union(pairs: Runs) -> None:
    """Runs may come in any order, overlap, touch or be empty."""
    assert members(ExtentSet.of(*pairs)) == as_set(pairs)
    assert members(ExtentSet(*arrays(pairs))) == as_set(pairs)


@given(runs, pfns, pfns)
def test_add_and_remove_are_union_and_difference(pairs: Runs, start: int, end: int) -> None:
    """One run at a time; a run that ends before it begins is nothing."""
    added, removed = ExtentSet.of(*pairs), ExtentSet.of(*pairs)

    added.add(start, end)
    removed.remove(start, end)

    assert members(added) == as_set(pairs) | set(range(start, end))
    assert members(removed) == as_set(pairs) - set(range(start, end))


@given(runs, runs)
def test_add_many_and_remove_many_are_union_and_difference(pairs: Runs, others: Runs) -> None:
    """Many runs at a time, in any order."""
    added, removed = ExtentSet.of(*pairs), ExtentSet.of(*pairs)

    added.add_many(*arrays(others))
    removed.remove_many(*arrays(others))

    assert members(added) == as_set(pairs) | as_set(others)
    assert members(removed) == as_set(pairs) - as_set(others)


@given(runs, runs)
def test_a_copy_does_not_follow(pairs: Runs, others: Runs) -> None:
    """Whatever is done to a copy, the original keeps its pfns."""
    original = ExtentSet.of(*pairs)
    twin = original.copy()
    assert twin == original

    for low, high in others:
        twin.add(low, high)
        twin.remove(low // 2, high // 2)
    twin.remove_many(*arrays(others))

    assert members(original) == as_set(pairs)


@given(runs, pfns, pfns)
def test_clip_and_gaps_split_a_range(pairs: Runs, start: int, end: int) -> None:
    """What is inside a range and what is missing there add up to the range."""
    found = ExtentSet.of(*pairs)
    inside = as_set(list(zip(*map(np.ndarray.tolist, found.clip(start, end)), strict=True)))
    missing = members(found.gaps(start, end))

    assert inside == as_set(pairs) & set(range(start, end))
    assert missing == set(range(start, end)) - as_set(pairs)
    assert found.covered(start, end) == len(inside)


@given(runs, runs)
def test_clip_many_and_covered_many_are_the_intersection(pairs: Runs, others: Runs) -> None:
    """Each of some disjoint runs is cut by the set, and counted."""
    found, chosen = ExtentSet.of(*pairs), disjoint(others)

    assert as_set(list(zip(*map(np.ndarray.tolist, found.clip_many(*arrays(chosen))), strict=True))) == (
        as_set(pairs) & as_set(others)
    )
    assert found.covered_many(*arrays(chosen)).tolist() == [
        len(as_set(pairs) & set(range(low, high))) for low, high in chosen
    ]


@given(runs, runs)
def test_sets_are_joined_cut_and_compared_as_sets_are(pairs: Runs, others: Runs) -> None:
    """update, difference_update, intersection, covered_by and equality take another set, which stays as it is."""
    other = ExtentSet.of(*others)
    joined, less = ExtentSet.of(*pairs), ExtentSet.of(*pairs)
    common = joined.intersection(other)

    assert joined.covered_by(other) == common.total
    joined.update(other)
    less.difference_update(other)

    assert members(common) == as_set(pairs) & as_set(others)
    assert members(joined) == as_set(pairs) | as_set(others)
    assert members(less) == as_set(pairs) - as_set(others)
    assert (ExtentSet.of(*pairs) == other) == (as_set(pairs) == as_set(others))
    joined.add(0, TOP)
    assert members(other) == as_set(others)


@given(runs, pfns, pfns)
def test_within_is_the_part_in_a_range(pairs: Runs, start: int, end: int) -> None:
    """A set of its own, empty where the range is."""
    found = ExtentSet.of(*pairs)
    inside = found.within(start, end)

    assert members(inside) == as_set(pairs) & set(range(start, end))
    inside.add(0, TOP)
    assert members(found) == as_set(pairs)


@given(runs, runs, st.lists(st.tuples(st.booleans(), pfns, pfns), max_size=12))
def test_a_set_is_the_same_whatever_way_it_took(
    pairs: Runs, others: Runs, changes: list[tuple[bool, int, int]]
) -> None:
    """Grown and shrunk in many steps, it equals one that is made at once, and one that was made in the other order."""
    grown, wanted = ExtentSet.of(*pairs), as_set(pairs) | as_set(others)
    grown.add_many(*arrays(others))
    for adds, start, end in changes:
        (grown.add if adds else grown.remove)(start, end)
        wanted = wanted | set(range(start, end)) if adds else wanted - set(range(start, end))

    assert members(grown) == wanted
    assert grown == ExtentSet.of(*((pfn, pfn + 1) for pfn in sorted(wanted, reverse=True)))
    assert len(grown) == len(list(grown))


@pytest.mark.parametrize("count", [1, 5, 200])
def test_nobody_can_write_into_the_runs(count: int) -> None:
    """Copies share them."""
    found = ExtentSet.of(*((10 * place, 10 * place + 5) for place in range(count)))

    for column in (found.starts, found.ends):
        with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
            column[0] = 1


@given(runs, runs)
def test_intersect_tells_which_runs_met(pairs: Runs, others: Runs) -> None:
    """Every overlap comes with the index of its run on both sides."""
    a, b = disjoint(pairs), disjoint(others)

    low, high, in_a, in_b = (column.tolist() for column in intersect(*arrays(a), *arrays(b)))

    assert as_set(list(zip(low, high, strict=True))) == as_set(a) & as_set(b)
    for start, end, i, j in zip(low, high, in_a, in_b, strict=True):
        assert (start, end) == (max(a[i][0], b[j][0]), min(a[i][1], b[j][1]))


@given(runs, runs)
def test_equality_is_that_of_the_pfns(pairs: Runs, others: Runs) -> None:
    """Two sets are equal if they hold the same pfns, however they were made."""
    assert (ExtentSet.of(*pairs) == ExtentSet.of(*others)) == (as_set(pairs) == as_set(others))
    assert ExtentSet.of(*pairs) != as_set(pairs)


def test_operations_never_write_into_arrays_that_were_given() -> None:
    """Arrays are shared between copies, so they must never change."""
    starts, ends = np.array([0, 10]), np.array([5, 20])
    starts.setflags(write=False)
    ends.setflags(write=False)
    found = ExtentSet(starts, ends)

    found.add(5, 10)
    found.remove(3, 12)
    found.add_many(starts, ends)
    found.remove_many(starts, ends)

    assert list(found) == [(5, 10)] or not list(found)
    assert not empty().flags.writeable


def test_merge_of_nothing_is_nothing() -> None:
    """No runs in, no runs out."""
    starts, ends = merge(empty(), empty())

    assert (len(starts), len(ends)) == (0, 0)


def test_repr_shows_at_most_six_runs() -> None:
    """A long set does not flood an assertion's message."""
    found = ExtentSet.of(*[(index * 16, index * 16 + 8) for index in range(8)])

    assert repr(found) == ("ExtentSet(0x0-0x8, 0x10-0x18, 0x20-0x28, 0x30-0x38, 0x40-0x48, 0x50-0x58, …)")


@given(runs, st.integers(1, 8))
def test_whole_pieces_are_those_that_are_naturally_aligned(pairs: Runs, size: int) -> None:
    """A piece counts if all of it is in the set."""
    wanted = as_set(pairs)
    pieces = [set(range(low, low + size)) for low in range(0, TOP + size, size)]

    assert members(ExtentSet.of(*pairs).whole(size)) == {pfn for piece in pieces if piece <= wanted for pfn in piece}


@given(runs, st.integers(0, TOP + 2))
def test_the_last_pfns_are_the_highest(pairs: Runs, count: int) -> None:
    """All of them if there are not so many."""
    assert members(ExtentSet.of(*pairs).last(count)) == set(sorted(as_set(pairs))[::-1][:count])


@given(runs, st.integers(1, 4))
def test_times_has_several_pfns_for_each(pairs: Runs, factor: int) -> None:
    """Such as the pages of some blocks."""
    assert members(ExtentSet.of(*pairs).times(factor)) == {
        pfn * factor + offset for pfn in as_set(pairs) for offset in range(factor)
    }
