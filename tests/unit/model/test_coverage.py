"""What a set of pfns covers, compared with Python's own sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.few import few_is
from tests.unit.model.test_extents import as_set, disjoint

from memhotplug.model.extents import ExtentSet

TOP = 40
Runs = list[tuple[int, int]]
pfns = st.integers(0, TOP)
runs = st.lists(st.tuples(pfns, pfns).map(lambda pair: (min(pair), max(pair))), max_size=8)


@pytest.fixture(scope="module", autouse=True, params=(0, 2, 32), ids=("arrays", "both", "integers"))
def _few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every law holds for arrays, for plain integers, and for sets that go from one to the other."""
    with few_is(request.param):
        yield


@given(runs, st.lists(pfns, max_size=6))
def test_coverage_counts_what_lies_below(pairs: Runs, points: list[int]) -> None:
    """Points may come in any order."""
    got = ExtentSet.of(*pairs).coverage(np.array(points, dtype=np.int64))

    assert got.tolist() == [sum(pfn < point for pfn in as_set(pairs)) for point in points]


@given(runs, pfns, pfns)
def test_questions_answer_as_sets_do(pairs: Runs, start: int, end: int) -> None:
    """contains, intersects, first_from, last_below."""
    found, wanted = ExtentSet.of(*pairs), as_set(pairs)
    asked = set(range(start, end))

    assert found.contains(start, end) == (asked <= wanted)
    assert found.intersects(start, end) == bool(asked & wanted)
    assert found.first_from(start) == min((pfn for pfn in wanted if pfn >= start), default=None)
    assert found.last_below(start) == max((pfn for pfn in wanted if pfn < start), default=None)
    assert len(found) == len(disjoint(pairs))
