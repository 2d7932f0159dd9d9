"""Sets of few page frames for the laws of extents: what runs are tried, and what they mean as plain sets."""

from __future__ import annotations

from hypothesis import strategies as st

from memhotplug.model.extents import ExtentSet

__all__ = ["TOP", "Runs", "as_set", "disjoint", "pfns", "runs"]

TOP = 40
Runs = list[tuple[int, int]]
pfns = st.integers(0, TOP)
runs = st.lists(st.tuples(pfns, pfns).map(lambda pair: (min(pair), max(pair))), max_size=8)


def as_set(pairs: Runs) -> set[int]:
    """Return the pfns of half-open runs."""
    return {pfn for low, high in pairs for pfn in range(low, high)}


def disjoint(pairs: Runs) -> Runs:
    """Return the same pfns as ascending runs that do not touch."""
    return list(ExtentSet.of(*pairs))
