"""Mapping the memmap: leaves from the page allocator or an altmap, and back again.

Models: mm/sparse-vmemmap.c (v5.2 to v6.12).
"""

from __future__ import annotations

import errno

import numpy as np

from memhotplug.engine.page_tables import PageTables
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.allocator import alloc_pages, free_pages
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import Array, ExtentSet, distinct
from memhotplug.model.vmemmap import MapRuns, Source

__all__ = ["SparseVmemmap", "pair_runs"]

_LEAVES = 1 << 20  # that are taken from an altmap at a time, which bounds the memory that takes


class SparseVmemmap(PageTables):
    """The part of a kernel that backs the memmap."""

    def first_unmapped(self, start_pfn: int, nr_pages: int) -> int | None:
        """Return the first pfn of a range whose struct page is not backed, None if all are."""
        starts, _ = self.state.vmemmap.mapped.gaps(start_pfn, start_pfn + nr_pages)
        return int(starts[0]) if len(starts) else None

    def populate(self, start_pfn: int, nr_pages: int, *, leaf_pages: int, nid: int, altmap: Altmap | None) -> None:
        """Back the memmap of a range with leaves of ``leaf_pages`` pages, ascending, as far as memory goes.

        Leaves are naturally aligned in the memmap, so the first and the last may describe pfns
        outside the range. A leaf of which any part is mapped already is left alone. Ask
        :meth:`first_unmapped` afterwards whether anything is missing.
        """
        vmemmap = self.state.vmemmap
        span = leaf_pages * vmemmap.described_per_page
        low, high = start_pfn // span * span, -(-(start_pfn + nr_pages) // span) * span
        starts, ends = vmemmap.mapped.gaps(low, high)
        starts, ends = -(-starts // span) * span, ends // span * span
        kept = ends > starts
        starts, ends = starts[kept], ends[kept]
        if not len(starts):
            return
        source = altmap if self.boot_altmap is None else self.boot_altmap
        if source is None:
            count = int((ends - starts).sum()) // span
            order = leaf_pages.bit_length() - 1
            runs = pair_runs(starts, ends, *alloc_pages(self.state, order, count, nid=nid), vmemmap.described_per_page)
            kind = Source.ALLOCATOR
        else:
            runs = _from_altmap(starts, ends, span, leaf_pages, source, start_pfn)
            kind = Source.BOOT if self.boot_altmap is not None else Source.ALTMAP
        if len(runs[0]):
            vmemmap.insert(MapRuns.make(*runs, leaf_pages, kind))

    def populate_basepages(self, start_pfn: int, end_pfn: int, *, window: int, nid: int, altmap: Altmap | None) -> None:
        """Back the memmap of a range page by page, one page table after the other.

        Args:
            window: pfns whose memmap one page table maps.

        Models: mm/sparse-vmemmap.c:vmemmap_populate_basepages().
        Raises: MemoryHotplugError: ENOMEM; what was mapped stays.
        """
        for table in range(start_pfn // window, -(-end_pfn // window)):
            first = max(table * window, start_pfn)
            count = min((table + 1) * window, end_pfn) - first
            self.ensure_tables("vmemmap-pte", table, table + 1, nid=nid)
            self.populate(first, count, leaf_pages=1, nid=nid, altmap=altmap)
            missing = self.first_unmapped(first, count)
            if missing is not None:
                raise MemoryHotplugError(errno.ENOMEM, f"vmemmap alloc failure: order:0, for pfn {missing:#x}")

    def free_memmap(self, runs: MapRuns, *, spare: ExtentSet | None = None) -> None:
        """Give the pages behind mappings back: to the page allocator, and those from boot for the first time.

        Args:
            spare: pages that are not to be freed.

        Models: arch/x86/mm/init_64.c:free_pagetable() (free_pages(), free_reserved_page() for boot memory).
        """
        for source in (Source.ALLOCATOR, Source.ALTMAP, Source.BOOT):
            pages = self.state.vmemmap.backing(runs[runs.source == source])
            if spare is not None:
                pages.remove_many(spare.starts, spare.ends)
            if not pages.total:
                continue
            free_pages(self.state, pages.starts, pages.ends)
            if source is Source.BOOT:
                for zone in self.state.zones():
                    zone.managed += int(zone.linked.covered_many(pages.starts, pages.ends).sum())


def pair_runs(
    starts: Array, ends: Array, low: Array, high: Array, described_per_page: int
) -> tuple[Array, Array, Array]:
    """Lay runs of pages, in order, behind runs of pfns to describe, in order.

    Returns:
        Described start and end, and first page, of each piece; fewer pfns if there are fewer pages.
    """
    need = np.cumsum(ends - starts) // described_per_page
    have = np.cumsum(high - low)
    if not len(have) or not len(need):
        return starts[:0], ends[:0], low[:0]
    cuts = distinct(np.concatenate(([0], need, have)))
    cuts = cuts[cuts <= min(int(need[-1]), int(have[-1]))]
    first, pages = cuts[:-1], np.diff(cuts)
    in_need = np.searchsorted(need, first, side="right")
    in_have = np.searchsorted(have, first, side="right")
    described = starts[in_need] + (first - (need - (ends - starts) // described_per_page)[in_need]) * described_per_page
    backing = low[in_have] + first - (have - (high - low))[in_have]
    return described, described + pages * described_per_page, backing


def _from_altmap(
    starts: Array, ends: Array, span: int, leaf_pages: int, altmap: Altmap, start_pfn: int
) -> tuple[Array, Array, Array]:
    """Take each leaf of some runs from the window of the altmap that its first pfn of the range lies in."""
    last = np.cumsum((ends - starts) // span)
    pieces = []
    for low in range(0, int(last[-1]), _LEAVES):
        number = np.arange(low, min(low + _LEAVES, int(last[-1])))
        index = np.searchsorted(last, number, side="right")
        described = ends[index] - (last[index] - number) * span
        if altmap.nr_windows == 1:
            window = np.zeros(len(described), dtype=np.int64)
        else:
            window = (np.maximum(described, start_pfn) - altmap.base_pfn) // altmap.window_pages
        backing = altmap.alloc_leaves(window, leaf_pages)
        pieces.append(_joined(described[: len(backing)], span, backing, leaf_pages))
        if len(backing) < len(described):
            break
    low_pfns, high_pfns, pages = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return low_pfns, high_pfns, pages


def _joined(described: Array, span: int, backing: Array, leaf_pages: int) -> tuple[Array, Array, Array]:
    """Return leaves that follow one another, both in what they describe and in what backs them, as runs."""
    apart = (np.diff(described) != span) | (np.diff(backing) != leaf_pages)
    heads = np.flatnonzero(np.concatenate((np.ones(min(len(described), 1), dtype=bool), apart)))
    tails = np.append(heads[1:], len(described))[: len(heads)] - 1
    return described[heads], described[tails] + span, backing[heads]
