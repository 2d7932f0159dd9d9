"""The altmap: a bump allocator over the memory that is being added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.model.altmap import Altmap


class OneAltmap:
    """altmap_alloc_block_buf() as the rules state it, one allocation at a time."""

    def __init__(self, base: int, reserve: int, free: int) -> None:
        self.base, self.reserve, self.free = base, reserve, free
        self.align = self.alloc = 0

    def take(self, nr_pages: int) -> int | None:
        """Return the first pfn, or None if the pages and their padding do not fit."""
        following = self.base + self.reserve + self.alloc + self.align
        alignment = nr_pages & -nr_pages
        pad = -following % alignment
        if nr_pages + pad > self.free - self.alloc - self.align:
            return None
        self.align += pad
        self.alloc += nr_pages
        return following + pad


@given(
    st.integers(0, 5000),
    st.integers(0, 300),
    st.integers(0, 4000),
    st.lists(st.integers(1, 700), max_size=12),
)
def test_alloc_block_buf_follows_the_rule(base: int, reserve: int, free: int, sizes: list[int]) -> None:
    """Any sequence of sizes gets the pfns, the padding and the refusals of the rule."""
    altmap, rule = Altmap(base, free, reserve=reserve), OneAltmap(base, reserve, free)

    for nr_pages in sizes:
        assert altmap.alloc_block_buf(nr_pages) == rule.take(nr_pages)
        assert (int(altmap.align[0]), int(altmap.alloc[0])) == (rule.align, rule.alloc)
    assert altmap.total_alloc == rule.alloc


def test_padding_is_absolute_and_counts_against_free() -> None:
    """After 2 reserved pages at pfn 1024, 512 pages go to the next multiple of 512 and cost 510 of padding."""
    altmap = Altmap(1024, 1024, reserve=2)

    assert altmap.alloc_block_buf(512) == 1536
    assert (int(altmap.align[0]), int(altmap.alloc[0])) == (510, 512)
    assert altmap.alloc_block_buf(512) is None
    assert altmap.alloc_block_buf(2) == 2048


def test_alignment_is_the_largest_power_of_two_that_divides_the_size() -> None:
    """768 pages are aligned to 256, an odd number of pages to nothing."""
    altmap = Altmap(100, 4096)

    assert altmap.alloc_block_buf(768) == 256
    assert altmap.alloc_block_buf(7) == 1024
    assert altmap.alloc_block_buf(2) == 1032


def test_a_request_that_does_not_fit_changes_nothing() -> None:
    """Neither the padding nor the pages of a refused request are taken."""
    altmap = Altmap(1, 600)

    assert altmap.alloc_block_buf(512) is None
    assert (int(altmap.align[0]), int(altmap.alloc[0])) == (0, 0)
    assert altmap.alloc_block_buf(600 - 7) == 1


@given(st.integers(0, 3), st.integers(1, 5), st.integers(1, 9), st.data())
def test_windows_are_one_altmap_each(base: int, nr_windows: int, nr_pages: int, data: st.DataObject) -> None:
    """A batch over windows is the same as single altmaps, up to the first request that does not fit."""
    window_pages, free = 32, data.draw(st.integers(0, 32))
    reserve = data.draw(st.integers(0, 4))
    requests = sorted(data.draw(st.lists(st.integers(0, nr_windows - 1), max_size=20)))
    singles = [OneAltmap(base + index * window_pages, reserve, free) for index in range(nr_windows)]
    wanted = []
    for window in requests:
        pfn = singles[window].take(nr_pages)
        if pfn is None:
            break
        wanted.append(pfn)

    altmap = Altmap(base, free, reserve=reserve, window_pages=window_pages, nr_windows=nr_windows)
    got = altmap.alloc_leaves(np.array(requests, dtype=np.int64), nr_pages)

    assert got.tolist() == wanted
    one_by_one = Altmap(base, free, reserve=reserve, window_pages=window_pages, nr_windows=nr_windows)
    assert [one_by_one.alloc_block_buf(nr_pages, window) for window in requests[: len(wanted)]] == wanted
    for found in (altmap, one_by_one):
        assert found.alloc.tolist() == [single.alloc for single in singles]
        assert found.align.tolist() == [single.align for single in singles]


def test_memblock_windows_begin_at_every_block() -> None:
    """Eight blocks of 32768 pages, one leaf of 512 pages each."""
    altmap = Altmap(1 << 20, 32768, window_pages=32768, nr_windows=8)

    got = altmap.alloc_leaves(np.arange(8), 512)

    assert got.tolist() == [(1 << 20) + 32768 * block for block in range(8)]
    assert altmap.total_alloc == 4096


def test_device_window_packs_everything_at_the_start() -> None:
    """One window over the whole range hands out 8 leaves in a row."""
    altmap = Altmap(1 << 20, 8 * 32768)

    got = altmap.alloc_leaves(np.zeros(8, dtype=np.int64), 512)

    assert got.tolist() == [(1 << 20) + 512 * leaf for leaf in range(8)]


@pytest.mark.parametrize("window", [0, 1])
def test_free_pages_only_counts(window: int) -> None:
    """vmem_altmap_free() lowers the counter; the padding stays."""
    altmap = Altmap(0, 64, window_pages=64, nr_windows=2)
    altmap.alloc_leaves(np.array([0, 1]), 16)

    altmap.free_pages(16, window)

    assert altmap.alloc.tolist() == [0 if index == window else 16 for index in range(2)]
