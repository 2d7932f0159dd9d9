"""What a set of pfns covers, compared with Python's own sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.sets import Runs, as_set, disjoint, pfns, runs

from memhotplug.model.extents import ExtentSet

pytestmark = pytest.mark.usefixtures("few")


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
