"""Free chunks that are not for everybody, from pagetypeinfo and from the letters of a kernel log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memhotplug.formats.snapshot.buddyinfo import PageTypes
from memhotplug.formats.snapshot.freetypes import kept_by_letters, kept_by_pagetypes

COUNTS = (10, 6, 4, 2)


def test_pagetypeinfo_tells_each_type() -> None:
    """CMA apart; high-atomic and isolated together; the reserve in whole pageblocks."""
    free = {(0, "Normal", "CMA"): (1, 2, 0, 1), (0, "Normal", "HighAtomic"): (3,), (0, "Normal", "Isolate"): (0, 1, 4)}
    types = PageTypes(pageblock_order=9, free=free, blocks={(0, "Normal", "HighAtomic"): 2})

    kept = kept_by_pagetypes(types, 0, "Normal", COUNTS)

    assert (kept.cma, kept.barred, kept.highatomic) == ((1, 2, 0, 1), (3, 1, 4, 0), 1024)


def test_no_more_chunks_are_kept_than_there_are() -> None:
    """The files are read one after the other."""
    free: dict[tuple[int, str, str], tuple[int, ...]] = {
        (0, "Normal", "CMA"): (99, 5, 0, 0),
        (0, "Normal", "HighAtomic"): (9, 9, 9, 9),
    }
    kept = kept_by_pagetypes(PageTypes(pageblock_order=9, free=free, blocks={}), 0, "Normal", COUNTS)

    assert (kept.cma, kept.barred) == ((10, 5, 0, 0), (0, 1, 4, 2))


def test_a_letter_alone_takes_the_whole_list() -> None:
    """Whatever the totals say."""
    kept = kept_by_letters(COUNTS, ("U", "H", "UM", "C"), free_cma=16, free_highatomic=12, highatomic=512)

    assert (kept.cma, kept.barred, kept.highatomic) == ((0, 0, 0, 2), (0, 6, 0, 0), 512)


def test_a_shared_list_keeps_one_chunk_for_each_other_type() -> None:
    """Two that are U and M stay; the rest of what CMA has free goes to the next smaller list that names it."""
    kept = kept_by_letters(COUNTS, ("UMC", "UMC", "UMC", "U"), free_cma=14, free_highatomic=0, highatomic=0)

    assert kept.cma == (0, 3, 2, 0)


def test_without_letters_the_largest_chunks_are_kept() -> None:
    """Nothing is said of isolated ones then."""
    kept = kept_by_letters(COUNTS, (None,) * 4, free_cma=20, free_highatomic=0, highatomic=0)

    assert (kept.cma, kept.barred) == ((0, 0, 1, 2), (0, 0, 0, 0))


def test_what_is_free_in_cma_is_kept_whether_or_not_the_lists_show_it() -> None:
    """The watermark check goes by the count: six of the twenty pages are CMA's by letter, the rest are the largest."""
    kept = kept_by_letters(COUNTS, ("UM", "C", "UM", "UM"), free_cma=20, free_highatomic=0, highatomic=0)
    assert (kept.cma, kept.unseen) == ((0, 6, 0, 1), 8)

    types = PageTypes(pageblock_order=9, free={(0, "Normal", "Isolate"): (0, 0, 0, 1)}, blocks={})
    kept = kept_by_pagetypes(types, 0, "Normal", COUNTS, free_cma=9)
    assert (kept.cma, kept.barred, kept.unseen) == ((1, 0, 0, 1), (0, 0, 0, 1), 9)


@given(
    counts=st.lists(st.integers(0, 50), min_size=4, max_size=4),
    letters=st.lists(st.sampled_from([None, "U", "UM", "UMC", "C", "H", "UH", "I", "UMEHCI"]), min_size=4, max_size=4),
    cma=st.integers(0, 400),
    reserve=st.integers(0, 400),
)
def test_kept_chunks_are_among_those_that_are_there(
    counts: list[int], letters: list[str | None], cma: int, reserve: int
) -> None:
    """Of no order more than it has, and none negative."""
    kept = kept_by_letters(counts, letters, free_cma=cma, free_highatomic=reserve, highatomic=reserve)

    assert all(a >= 0 and b >= 0 and a + b <= count for a, b, count in zip(kept.cma, kept.barred, counts, strict=True))
