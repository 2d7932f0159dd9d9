"""Where the pages of a recorded zone lie, as far as counts can tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memhotplug.engine.boot.recorded_zones import _first, _lonely
from memhotplug.model.extents import ExtentSet

_SETS = st.sets(st.integers(min_value=0, max_value=200)).map(
    lambda pages: ExtentSet(sorted(pages), [page + 1 for page in sorted(pages)])
)


def _pages(found: ExtentSet) -> list[int]:
    return [page for low, high in found for page in range(low, high)]


@given(_SETS, st.integers(min_value=0, max_value=210))
def test_the_first_pages_are_the_lowest(pages: ExtentSet, count: int) -> None:
    """As many as asked for, all of them where there are fewer."""
    assert _pages(_first(pages, count)) == _pages(pages)[:count]


@given(_SETS, st.integers(min_value=0, max_value=210))
def test_pages_on_per_cpu_lists_are_no_neighbours_while_there_are_others(pages: ExtentSet, count: int) -> None:
    """Each is the lower one of a pair of used pages, so that nothing merges when the lists are drained."""
    lonely, others = _lonely(pages, count)
    found, used = _pages(lonely), set(_pages(pages))
    pairs = [page for page in sorted(used) if not page % 2 and page + 1 in used]

    assert others == pages.difference(lonely)
    assert len(found) == min(count, len(used))
    assert set(found) <= used
    assert set(pairs[:count]) <= set(found)
    if count <= len(pairs):
        assert found == pairs[:count]
