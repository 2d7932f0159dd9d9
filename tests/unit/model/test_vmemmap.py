"""The table of memmap mappings, compared with a dict from pfn to backing page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.few import few_is

from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.vmemmap import MapRuns, Source, VmemmapTable

PER_PAGE = 4  # described pfns a memmap page
UNIT = 2 * PER_PAGE  # pfns that a leaf of two pages describes


def column(*values: int) -> Array:
    """Return an int64 array."""
    return np.array(values, dtype=np.int64)


def insert(table: VmemmapTable, leaf: int, backing: int, count: int = 1, source: Source = Source.ALTMAP) -> None:
    """Map ``count`` leaves from leaf number ``leaf`` on to pages from ``backing`` on."""
    start = leaf * UNIT
    table.insert(MapRuns.make(column(start), column(start + count * UNIT), column(backing), 2, source))


def as_dict(table: VmemmapTable) -> dict[int, tuple[int, int]]:
    """Return pfn -> (backing page, source), and check that the rows are ascending and disjoint."""
    rows = table.runs
    assert (rows.start[1:] >= rows.end[:-1]).all()
    return {
        pfn: (int(backing) + (pfn - int(start)) // PER_PAGE, int(source))
        for start, end, backing, source in zip(rows.start, rows.end, rows.backing, rows.source, strict=True)
        for pfn in range(int(start), int(end))
    }


@pytest.fixture(scope="module", autouse=True, params=(0, 6, 32), ids=("columns", "both", "rows"))
def _few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rows of plain integers and columns say the same."""
    with few_is(request.param):
        yield


leaves = st.lists(st.tuples(st.integers(0, 15), st.sampled_from(list(Source))), max_size=12, unique_by=lambda t: t[0])
ranges = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), max_size=4)


@given(leaves, ranges, st.integers(0, 130), st.integers(0, 130))
def test_table_is_a_dict_from_pfn_to_backing(
    mapped: list[tuple[int, Source]], gone: list[tuple[int, int]], low: int, high: int
) -> None:
    """Inserting, asking, clipping and deleting whole leaves agree with a dict."""
    table = VmemmapTable(PER_PAGE)
    truth: dict[int, tuple[int, int]] = {}
    for leaf, source in mapped:
        backing = 1000 + 2 * leaf
        insert(table, leaf, backing, source=source)
        truth |= {leaf * UNIT + pfn: (backing + pfn // PER_PAGE, int(source)) for pfn in range(UNIT)}
    assert as_dict(table) == truth
    assert {pfn for a, b in table.mapped for pfn in range(a, b)} == set(truth)
    assert [table.backing_of(pfn) for pfn in range(140)] == [
        truth[pfn][0] if pfn in truth else None for pfn in range(140)
    ]

    low = low // PER_PAGE * PER_PAGE
    clipped = VmemmapTable(PER_PAGE)
    clipped.runs = table.clip(low, high)
    assert as_dict(clipped) == {pfn: value for pfn, value in truth.items() if low <= pfn < high}

    chosen = ExtentSet.of(*[(a * UNIT, b * UNIT) for a, b in gone])
    deleted = VmemmapTable(PER_PAGE)
    deleted.runs = table.delete(chosen.starts, chosen.ends)
    inside = {pfn for a, b in chosen for pfn in range(a, b)}
    assert as_dict(deleted) == {pfn: value for pfn, value in truth.items() if pfn in inside}
    assert as_dict(table) == {pfn: value for pfn, value in truth.items() if pfn not in inside}
    assert {pfn for a, b in table.mapped for pfn in range(a, b)} == set(truth) - inside


@given(leaves)
def test_backing_is_every_page_once(mapped: list[tuple[int, Source]]) -> None:
    """The pages that hold memmap, all of them or those of one source."""
    table = VmemmapTable(PER_PAGE)
    for leaf, source in mapped:
        insert(table, leaf, 1000 + 2 * leaf, source=source)

    pages = {1000 + 2 * leaf + page: source for leaf, source in mapped for page in range(2)}
    assert {pfn for a, b in table.backing() for pfn in range(a, b)} == set(pages)
    for source in Source:
        assert {pfn for a, b in table.backing_from(source) for pfn in range(a, b)} == {
            pfn for pfn, found in pages.items() if found is source
        }


def test_neighbours_with_contiguous_backing_are_one_row() -> None:
    """Order of insertion does not matter; another source or a jump in the backing keeps rows apart."""
    table = VmemmapTable(PER_PAGE)
    for leaf in (2, 0, 1):
        insert(table, leaf, 100 + 2 * leaf)
    assert len(table.runs) == 1

    insert(table, 3, 200)
    insert(table, 4, 202, source=Source.ALLOCATOR)

    assert table.runs.start.tolist() == [0, 3 * UNIT, 4 * UNIT]
    assert table.runs.backing.tolist() == [100, 200, 202]
    assert table.runs.leaf.tolist() == [2, 2, 2]


def test_several_runs_at_once_in_any_order() -> None:
    """Runs of one insert need not be ascending."""
    table = VmemmapTable(PER_PAGE)

    table.insert(MapRuns.make(column(5 * UNIT, UNIT), column(6 * UNIT, 2 * UNIT), column(50, 10), 2, Source.ALLOCATOR))

    assert table.backing_of(UNIT) == 10
    assert table.backing_of(6 * UNIT - 1) == 51
    assert table.backing_of(3 * UNIT) is None


def test_a_copy_does_not_follow() -> None:
    """Mappings made and taken down in a copy leave the original alone."""
    table = VmemmapTable(PER_PAGE)
    insert(table, 0, 100, count=4)
    twin = table.copy()

    twin.delete(column(0), column(2 * UNIT))
    insert(twin, 9, 900)

    assert set(as_dict(table)) == set(range(4 * UNIT))
    assert set(as_dict(twin)) == set(range(2 * UNIT, 4 * UNIT)) | set(range(9 * UNIT, 10 * UNIT))


def test_deleting_nothing_returns_nothing() -> None:
    """An empty list of runs, or a range that nothing maps."""
    table = VmemmapTable(PER_PAGE)

    assert len(table.delete(column(), column())) == 0
    assert len(table.delete(column(0), column(64))) == 0
