"""The altmap: memmap pages handed out from the range that is being added.

Models: include/linux/memremap.h:struct vmem_altmap; mm/sparse-vmemmap.c:altmap_alloc_block_buf(),
vmem_altmap_free() (v5.2 to v6.12).
"""

from __future__ import annotations

from memhotplug.lazy import np
from memhotplug.model.extents import Array

__all__ = ["Altmap"]


class Altmap:
    """A bump allocator over a pfn range, or one such allocator for each window of a range.

    With ``nr_windows`` above 1, window *i* begins at ``base_pfn + i * window_pages`` and has its
    own counters: that is one altmap a memory block, without an object for each of them. All
    counts are in pages.

    Attributes:
        base_pfn: first pfn of the first window.
        reserve: pages skipped at the start of a window.
        free: pages of a window that may be handed out.
        window_pages, nr_windows: the windows' distance and number.
        align, alloc: pages lost to padding, and handed out, in each window; int64, shape (nr_windows,).
    """

    __slots__ = ("align", "alloc", "base_pfn", "free", "nr_windows", "reserve", "window_pages")

    def __init__(
        self, base_pfn: int, free: int, *, reserve: int = 0, window_pages: int | None = None, nr_windows: int = 1
    ) -> None:
        self.base_pfn = base_pfn
        self.free = free
        self.reserve = reserve
        self.window_pages = window_pages or free
        self.nr_windows = nr_windows
        self.align: Array = np.zeros(nr_windows, dtype=np.int64)
        self.alloc: Array = np.zeros(nr_windows, dtype=np.int64)

    def alloc_block_buf(self, nr_pages: int, window: int = 0) -> int | None:
        """Hand out ``nr_pages`` pages of a window; return the first pfn, None if they do not fit.

        The pfn is aligned to the largest power of two that divides ``nr_pages``.

        >>> altmap = Altmap(base_pfn=1024, free=1024, reserve=2)
        >>> altmap.alloc_block_buf(512), int(altmap.align[0])
        (1536, 510)
        """
        used = int(self.alloc[window]) + int(self.align[window])
        following = self.base_pfn + window * self.window_pages + self.reserve + used
        pad = -following % (nr_pages & -nr_pages)
        if used + pad + nr_pages > self.free:
            return None
        self.align[window] += pad
        self.alloc[window] += nr_pages
        return following + pad

    def alloc_leaves(self, window: Array, nr_pages: int) -> Array:
        """Make one allocation of ``nr_pages`` pages after the other until one does not fit.

        Args:
            window: the window that each allocation is made from, ascending; int64, shape (n,).

        Returns:
            The first pfn of each allocation; int64, shape (m,), m <= n.
        """
        alignment = nr_pages & -nr_pages
        base = self.base_pfn + np.arange(self.nr_windows, dtype=np.int64) * self.window_pages + self.reserve
        following = base + self.alloc + self.align
        pad = -following % alignment
        # Equal sizes need padding only before the first of them.
        touched, counts = _counts(window)
        rank = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts, counts)
        used = (self.alloc + self.align + pad)[window] + (rank + 1) * nr_pages
        misfit = np.flatnonzero(used > self.free)
        if len(misfit):
            window, rank = window[: misfit[0]], rank[: misfit[0]]
            touched, counts = _counts(window)
        self.align[touched] += pad[touched]
        self.alloc[touched] += counts * nr_pages
        start: Array = (following + pad)[window] + rank * nr_pages
        return start

    def free_pages(self, nr_pages: int, window: int = 0) -> None:
        """Take ``nr_pages`` pages back; only the counter changes."""
        self.alloc[window] -= nr_pages

    @property
    def total_alloc(self) -> int:
        """Pages handed out in all windows."""
        return int(self.alloc.sum())


def _counts(ascending: Array) -> tuple[Array, Array]:
    """Return the different values of an ascending array, and how often each is there."""
    heads = np.flatnonzero(np.diff(ascending, prepend=ascending[:1] - 1))
    return ascending[heads], np.diff(heads, append=len(ascending))
