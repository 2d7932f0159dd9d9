"""Runs in some order, as plain integers and as arrays, and the helpers for few of them against those for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import Runs, few_merged, few_minus, few_overlaps, intersect, merge

TOP = 40
Pairs = list[tuple[int, int]]
pairs = st.lists(
    st.tuples(st.integers(0, TOP), st.integers(0, TOP)).map(lambda pair: (min(pair), max(pair) + 1)), max_size=6
)


pytestmark = pytest.mark.usefixtures("few")


def one_by_one(found: Pairs) -> Runs:
    """Return runs in the order given."""
    return Runs.join([Runs.of_few([low], [high]) for low, high in found])


def columns(found: Pairs) -> tuple[list[int], list[int]]:
    """Return starts and ends."""
    return [low for low, _ in found], [high for _, high in found]


def disjoint(found: Pairs) -> Pairs:
    """Return the same pfns as ascending runs that do not touch."""
    return list(ExtentSet.of(*found))


def members(found: Pairs) -> set[int]:
    """Return the pfns of runs."""
    return {pfn for low, high in found for pfn in range(low, high)}


@given(pairs)
def test_runs_keep_their_order(given_runs: Pairs) -> None:
    """However they are kept, and however they were put together."""
    starts, ends = (np.array(column, dtype=np.int64) for column in columns(given_runs))

    for found in (one_by_one(given_runs), Runs.of_few(*columns(given_runs)), Runs.of_arrays(starts, ends)):
        assert list(found) == given_runs
        assert list(zip(*(column.tolist() for column in found.arrays), strict=True)) == given_runs
        assert (len(found), found.total) == (len(given_runs), sum(high - low for low, high in given_runs))
        assert not any(column.flags.writeable for column in found.arrays)


@given(pairs)
def test_the_longest_run_of_a_set(given_runs: Pairs) -> None:
    """Of what is left when runs that touch are joined; nothing has none."""
    assert ExtentSet.of(*given_runs).longest == max((high - low for low, high in disjoint(given_runs)), default=0)


@given(pairs, pairs)
def test_runs_in_any_order_are_added_to_a_set_and_taken_out(mine: Pairs, others: Pairs) -> None:
    """Such as pages in the order in which they were allocated; they stay in that order themselves."""
    found = one_by_one(others)
    added, removed = ExtentSet.of(*mine), ExtentSet.of(*mine)
    assert added.union(found) == ExtentSet.of(*mine, *others)
    assert members(list(removed.difference(found))) == members(mine) - members(others)

    added.update(found)
    removed.difference_update(found)

    assert added == ExtentSet.of(*mine, *others)
    assert members(list(removed)) == members(mine) - members(others)
    assert list(found) == others


@given(pairs, pairs)
def test_few_are_merged_cut_and_compared_as_many_are(mine: Pairs, others: Pairs) -> None:
    """The helpers for plain integers against those for arrays."""
    arrays = [np.array(column, dtype=np.int64) for column in columns(mine)]
    merged = few_merged(*columns(mine))
    assert merged == tuple(column.tolist() for column in merge(*arrays))

    one, other = disjoint(mine), disjoint(others)
    many = [np.array(column, dtype=np.int64) for column in (*columns(one), *columns(other))]
    overlaps = few_overlaps(*columns(one), *columns(other))
    assert overlaps == tuple(column.tolist() for column in intersect(*many)[:2])
    left = few_minus(*columns(one), *columns(other))
    assert members(list(zip(*left, strict=True))) == members(mine) - members(others)


def test_runs_name_a_few_of_them() -> None:
    """Six, and whether there are more."""
    assert repr(one_by_one([(16, 32)])) == "Runs(0x10-0x20)"
    assert repr(one_by_one([(number, number + 1) for number in range(7)])).endswith("0x5-0x6, …)")
