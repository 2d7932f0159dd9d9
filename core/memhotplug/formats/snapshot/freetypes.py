"""Which free chunks of a recorded zone are not for everybody: CMA, the high-atomic reserve, isolated pageblocks.

Models: mm/page_alloc.c:__rmqueue(), fallbacks[] (v5.2 to v6.12): a request for kernel memory falls back to
unmovable, reclaimable and movable pageblocks, never to CMA, high-atomic or isolated ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memhotplug.formats.snapshot.buddyinfo import PageTypes

__all__ = ["KeptChunks", "kept_by_letters", "kept_by_pagetypes"]

_CMA, _HIGHATOMIC, _ISOLATE = "CMA", "HighAtomic", "Isolate"
_ANYBODY = "UME"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptChunks:
    """Free chunks of one zone, by order, that are not for everybody; empty where there are none.

    Attributes:
        cma: only movable requests get them. barred: no ordinary request does.
        highatomic: pages that the high-atomic reserve takes off the watermark check.
        unseen: pages that are free in CMA by count, and in no chunk that is shown as CMA's.
    """

    cma: tuple[int, ...] = ()
    barred: tuple[int, ...] = ()
    highatomic: int = 0
    unseen: int = 0


def kept_by_pagetypes(
    types: PageTypes, node: int, zone: str, by_order: Sequence[int], *, free_cma: int = 0
) -> KeptChunks:
    """Return what /proc/pagetypeinfo shows; no more chunks of an order than there are.

    Args:
        free_cma: how many free pages of CMA the zone counts. The watermark check takes them off, whatever the lists
            show: those that are missing there are the largest chunks.
    """
    reserved = types.blocks.get((node, zone, _HIGHATOMIC), 0) << types.pageblock_order
    rows = [types.free.get((node, zone, name), ()) for name in (_CMA, _HIGHATOMIC, _ISOLATE)]
    none = (0,) * len(by_order)
    if not free_cma and not any(map(any, rows)):  # as a rule
        return KeptChunks(cma=none, barred=none, highatomic=reserved)
    rows = [(*row, *none)[: len(by_order)] for row in rows]
    cma = tuple(map(min, rows[0], by_order))
    barred = tuple(
        min(reserve + isolated, count - kept)
        for reserve, isolated, count, kept in zip(rows[1], rows[2], by_order, cma, strict=True)
    )
    cma, unseen = _with_unseen(by_order, cma, barred, free_cma)
    return KeptChunks(cma=cma, barred=barred, highatomic=reserved, unseen=unseen)


def _with_unseen(
    by_order: Sequence[int], cma: tuple[int, ...], barred: Sequence[int], pages: int
) -> tuple[tuple[int, ...], int]:
    """Return the chunks of CMA that hold all of its free pages, and how many of those no list shows as CMA's."""
    unseen = max(pages - _pages(cma), 0)
    if not unseen:
        return cma, 0
    taken = tuple(map(sum, zip(cma, barred, strict=True)))
    more = _largest(by_order, (None,) * len(by_order), "C", unseen, taken)
    return tuple(map(sum, zip(cma, more, strict=True))), unseen


def _pages(by_order: Sequence[int]) -> int:
    return sum(count << order for order, count in enumerate(by_order))


def kept_by_letters(
    by_order: Sequence[int], letters: Sequence[str | None], *, free_cma: int, free_highatomic: int, highatomic: int
) -> KeptChunks:
    """Return what the letters behind a kernel's list of free chunks leave of it, and never too little.

    A list such as ``5*1024kB (UMC)`` says which types are among five chunks, not how many are of which. Of every
    type that is named there is one at least; beyond that the largest chunks are those that nobody gets.

    Args:
        letters: by order, the types that are named; None where the log names none.
        free_cma, free_highatomic: how many free pages there are of each, at most.
        highatomic: pages that the reserve takes off the watermark check.

    Models: mm/show_mem.c:show_migration_types() (mm/page_alloc.c up to v6.5).
    """
    cma = _largest(by_order, letters, "C", free_cma, (0,) * len(by_order))
    reserve = _largest(by_order, letters, "H", free_highatomic, cma)
    taken = tuple(map(sum, zip(cma, reserve, strict=True)))
    isolated = _largest(by_order, letters, "I", _pages(by_order), taken)
    barred = tuple(map(sum, zip(reserve, isolated, strict=True)))
    cma, unseen = _with_unseen(by_order, cma, barred, free_cma)
    return KeptChunks(cma=cma, barred=barred, highatomic=highatomic, unseen=unseen)


def _largest(
    by_order: Sequence[int], letters: Sequence[str | None], letter: str, pages: int, taken: Sequence[int]
) -> tuple[int, ...]:
    """Return up to so many pages in chunks of one type, by order: those that can be nothing else, then the largest."""
    found = [0] * len(by_order)
    left = pages
    for order, named in enumerate(letters):
        if named == letter:
            found[order] = by_order[order] - taken[order]
            left -= found[order] << order
    for order in range(len(by_order) - 1, -1, -1):
        named = letters[order]
        if found[order] or (named is None and letter == "I") or (named is not None and letter not in named):
            continue
        others = 0 if named is None else sum(1 for other in named if other in _ANYBODY)
        room = max(by_order[order] - taken[order] - others, 0)
        found[order] = min(room, max(left, 0) >> order)
        left -= found[order] << order
    return tuple(found)
