"""Mapping the memmap: leaves from the page allocator or an altmap, and back again.

Models: mm/sparse-vmemmap.c (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from memhotplug.engine.page_tables import PageTables
from memhotplug.errors import MemoryHotplugError
from memhotplug.lazy import np
from memhotplug.model.allocator import alloc_pages, give_back, own
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import Array, ExtentSet, distinct
from memhotplug.model.runs import FEW, Runs
from memhotplug.model.state import Owner, Use
from memhotplug.model.vmemmap import MapRuns, Row, Source
from memhotplug.units import div_round_up, round_down, round_up

__all__ = ["SparseVmemmap", "pair_runs"]

_BOOT: Final = Source.BOOT
_ALLOCATOR: Final = Source.ALLOCATOR
_ALTMAP: Final = Source.ALTMAP
_PTE = "vmemmap-pte"
_LEAVES = 1 << 20  # that are taken at a time, which bounds the memory that takes


class SparseVmemmap:
    """The part of a kernel that backs the memmap.

    Args:
        tables: those that the memmap is mapped with; they say whose state it is, and whether the machine boots.
    """

    __slots__ = ("state", "tables")

    def __init__(self, tables: PageTables) -> None:
        self.state = tables.state
        self.tables = tables

    def first_unmapped(self, start_pfn: int, nr_pages: int) -> int | None:
        """Return the first pfn of a range whose struct page is not backed, None if all are."""
        end_pfn, mapped = start_pfn + nr_pages, self.state.vmemmap.mapped
        return None if mapped.contains(start_pfn, end_pfn) else next(iter(mapped.gaps(start_pfn, end_pfn)))[0]

    def unused_leaves(self, start_pfn: int, nr_pages: int) -> ExtentSet:
        """Return the pfns whose memmap can be unmapped once the sections of a range are gone.

        A leaf may describe many sections: it comes with the first of them and can go with the last.
        Leaves of which a section is still there are left out, and those at the ends are whole.

        Models: arch/powerpc/mm/init_64.c:vmemmap_populated(), which vmemmap_free() asks about each leaf.
        """
        low, high = self._leaf(start_pfn)[0], self._leaf(start_pfn + nr_pages - 1)[1]
        unused = ExtentSet.of((low, high))
        for first, end in self.state.sections.within(low, high):
            unused.remove(self._leaf(first)[0], self._leaf(end - 1)[1])
        return unused

    def _leaf(self, pfn: int) -> tuple[int, int]:
        """Return the pfns that the leaf which describes a pfn describes, only that pfn without one."""
        row = self.state.vmemmap.row_of(pfn)
        if row is None:
            return pfn, pfn + 1
        span = row[3] * self.state.geometry.described_per_page
        return round_down(pfn, span), round_down(pfn, span) + span

    def populate(self, start_pfn: int, nr_pages: int, *, leaf_pages: int, nid: int, altmap: Altmap | None) -> None:
        """Back the memmap of a range with leaves of ``leaf_pages`` pages, ascending, as far as memory goes.

        Leaves are naturally aligned in the memmap, so the first and the last may describe pfns
        outside the range. A leaf of which any part is mapped already is left alone. Ask
        :meth:`first_unmapped` afterwards whether anything is missing.
        """
        vmemmap = self.state.vmemmap
        span = leaf_pages * vmemmap.described_per_page
        low, high = round_down(start_pfn, span), round_up(start_pfn + nr_pages, span)
        wanted = vmemmap.mapped.gaps(low, high).whole(span)
        if not wanted.total:
            return
        boot_altmap = self.tables.boot_altmap
        source = altmap if boot_altmap is None else boot_altmap
        if source is None:
            pages = alloc_pages(self.state, leaf_pages.bit_length() - 1, wanted.total // span, nid=nid)
            runs = pair_runs(wanted, pages, vmemmap.described_per_page, leaf_pages, _ALLOCATOR)
        else:
            kind = _ALTMAP if boot_altmap is None else _BOOT
            runs = _from_altmap(wanted, leaf_pages, span, source, start_pfn, kind)
        if len(runs):
            vmemmap.insert(runs)

    def populate_basepages(
        self, start_pfn: int, end_pfn: int, *, window: int, nid: int, altmap: Altmap | None, falls_back: bool = False
    ) -> None:
        """Back what of the memmap of a range is not yet, page by page, one page table after the other.

        Args:
            window: pfns whose memmap one page table maps.
            falls_back: whether the page allocator gives what an altmap has no more.

        Models: mm/sparse-vmemmap.c:vmemmap_populate_basepages().
        Raises: MemoryHotplugError: ENOMEM; what was mapped stays.
        """
        if self.first_unmapped(start_pfn, end_pfn - start_pfn) is None:
            return
        source = self.tables.boot_altmap or altmap
        if source is None:
            step = max(_LEAVES * self.state.vmemmap.described_per_page // window, 1) * window
            for low in range(round_down(start_pfn, window), end_pfn, step):
                self._basepages_at_once(max(low, start_pfn), min(low + step, end_pfn), window, nid)
            return
        if self._all_from(source, start_pfn, end_pfn, window, nid):
            return
        first = self.first_unmapped(start_pfn, end_pfn - start_pfn)
        while first is not None:
            stop = min((first // window + 1) * window, end_pfn)
            self.tables.ensure(_PTE, first // window, first // window + 1, nid=nid)
            self.populate(first, stop - first, leaf_pages=1, nid=nid, altmap=altmap)
            if falls_back:
                self.populate(first, stop - first, leaf_pages=1, nid=nid, altmap=None)
            missing = self.first_unmapped(first, stop - first)
            if missing is not None:
                raise MemoryHotplugError(errno.ENOMEM, f"vmemmap alloc failure: order:0, for pfn {missing:#x}")
            first = self.first_unmapped(stop, end_pfn - stop) if stop < end_pfn else None

    def _all_from(self, altmap: Altmap, start_pfn: int, end_pfn: int, window: int, nid: int) -> bool:
        """Do the same at once where the altmap has all the pages, which no table can change; else return False.

        Raises: MemoryHotplugError: ENOMEM; there is no page for a table, and what comes before it is mapped.
        """
        vmemmap, align, alloc = self.state.vmemmap.copy(), altmap.align.copy(), altmap.alloc.copy()
        tables = self._tables_of_gaps(start_pfn, end_pfn, window)

        def from_altmap(end: int) -> bool:
            self.populate(start_pfn, end - start_pfn, leaf_pages=1, nid=nid, altmap=altmap)
            return self.first_unmapped(start_pfn, end - start_pfn) is None

        def undo() -> None:
            self.state.vmemmap, altmap.align, altmap.alloc = vmemmap, align, alloc

        if not from_altmap(end_pfn):
            undo()
            return False
        for table in tables.tolist():
            try:
                self.tables.ensure(_PTE, table, table + 1, nid=nid)
            except MemoryHotplugError:
                undo()
                if table * window > start_pfn:
                    from_altmap(table * window)
                raise
        return True

    def _tables_of_gaps(self, start_pfn: int, end_pfn: int, window: int) -> Array:
        """Return the windows of a range in which any struct page is not backed, ascending; int64."""
        tables = np.arange(start_pfn // window, div_round_up(end_pfn, window))
        gaps = self.state.vmemmap.mapped.gaps(start_pfn, end_pfn)
        found: Array = tables[gaps.covered_many(tables * window, (tables + 1) * window) > 0]
        return found

    def _basepages_at_once(self, start_pfn: int, end_pfn: int, window: int, nid: int) -> None:
        """Do what one page table after the other does, each before its pages, with a single request for all of them."""
        vmemmap, per_page = self.state.vmemmap, self.state.vmemmap.described_per_page
        have = self.state.page_tables.setdefault(_PTE, ExtentSet())
        tables = self._tables_of_gaps(start_pfn, end_pfn, window)
        if not len(tables):
            return
        gaps = vmemmap.mapped.gaps(round_down(start_pfn, per_page), round_up(end_pfn, per_page)).whole(per_page)
        lacking = have.covered_many(tables, tables + 1) == 0
        sizes = gaps.covered_many(tables * window, (tables + 1) * window) // per_page + lacking
        total, places = int(sizes.sum()), (np.cumsum(sizes) - sizes)[lacking]
        pages = _one_by_one(*alloc_pages(self.state, 0, total, nid=nid).arrays)
        is_table = np.zeros(total, dtype=bool)
        is_table[places] = True
        made = tables[lacking][: int(np.searchsorted(places, len(pages)))]
        if len(made):
            taken = pages[is_table[: len(pages)]]
            own(self.state, Owner(Use.PAGE_TABLES, _PTE), Runs.of_arrays(taken, taken + 1), 0)
            self.state.page_tables[_PTE] = have.union(Runs.of_arrays(made, made + 1))
        leaves = Runs.of_arrays(*_runs_of(pages[~is_table[: len(pages)]]))
        runs = pair_runs(gaps, leaves, per_page, 1, _ALLOCATOR)
        if len(runs):
            vmemmap.insert(runs)
        if len(pages) == total:
            return
        if is_table[len(pages)]:
            raise MemoryHotplugError(errno.ENOMEM, f"no page for a page table ({_PTE}, order 0)")
        missing = self.first_unmapped(start_pfn, end_pfn - start_pfn)
        raise MemoryHotplugError(errno.ENOMEM, f"vmemmap alloc failure: order:0, for pfn {missing or 0:#x}")

    def free(self, runs: MapRuns, *, spare: ExtentSet | None = None) -> None:
        """Give the pages behind mappings back: to the page allocator, and those from boot for the first time.

        Args:
            spare: pages that are not to be freed.

        Models: arch/x86/mm/init_64.c:free_pagetable() (free_pages(), free_reserved_page() for boot memory).
        """
        for source in (_ALLOCATOR, _ALTMAP, _BOOT):
            own = runs.of(source)
            if not len(own):
                continue
            pages = self.state.vmemmap.backing(own)
            if spare is not None:
                pages.difference_update(spare)
            if not pages.total:
                continue
            give_back(self.state, pages)
            if source is _BOOT:
                for zone in self.state.zones():
                    zone.managed += zone.linked.covered_by(pages)


def _one_by_one(starts: Array, ends: Array) -> Array:
    """Return the pages of runs, in the order of the runs."""
    lengths = ends - starts
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


def _runs_of(pages: Array) -> tuple[Array, Array]:
    """Return pages as runs, in their order."""
    heads = np.flatnonzero(np.concatenate(([True], np.diff(pages) != 1))[: len(pages)])
    tails = np.append(heads[1:], len(pages))[: len(heads)] - 1
    return pages[heads], pages[tails] + 1


def pair_runs(wanted: Runs, pages: Runs, described_per_page: int, leaf: int, source: Source) -> MapRuns:
    """Lay runs of pages, in order, behind runs of pfns to describe, in order; fewer pfns if there are fewer pages.

    Args:
        leaf: pages that one leaf maps.

    Struct pages of 192 pfns and, behind a hole, of 64 more, 64 to a page, from two free pages and from three others,
    as rows of first and last pfn (not included), first page, pages of a leaf, source:

    >>> wanted, pages = ExtentSet.of((0, 192), (256, 320)), ExtentSet.of((10, 12), (50, 53))
    >>> [row[:3] for row in pair_runs(wanted, pages, 64, 1, Source.ALLOCATOR)]
    [(0, 128, 10), (128, 192, 50), (256, 320, 51)]
    """
    if wanted.few is not None and pages.few is not None:
        needed = [(start, end) for start, end in wanted if not (end - start) % described_per_page]
        if len(needed) == len(wanted):
            pieces = _paired(needed, iter(pages), described_per_page)
            return MapRuns([(start, end, page, leaf, int(source)) for start, end, page in pieces])
    (starts, ends), (low, high) = wanted.arrays, pages.arrays
    need = np.cumsum(ends - starts) // described_per_page
    have = np.cumsum(high - low)
    if not len(have) or not len(need) or not need[-1]:
        return MapRuns([])
    if len(need) == 1:
        count = min(int(need[0]), int(have[-1]))
        last = int(have.searchsorted(count))
        low, sizes, have = low[: last + 1], (high - low)[: last + 1], have[: last + 1]
        described = starts[0] + (have - sizes) * described_per_page
        sizes[-1] += count - have[-1]
        return MapRuns.make(described, described + sizes * described_per_page, low, leaf, source)
    cuts = distinct(np.concatenate(([0], need, have)))
    cuts = cuts[cuts <= min(int(need[-1]), int(have[-1]))]
    first, counts = cuts[:-1], np.diff(cuts)
    in_need = np.searchsorted(need, first, side="right")
    in_have = np.searchsorted(have, first, side="right")
    described = starts[in_need] + (first - (need - (ends - starts) // described_per_page)[in_need]) * described_per_page
    backing = low[in_have] + first - (have - (high - low))[in_have]
    return MapRuns.make(described, described + counts * described_per_page, backing, leaf, source)


def _paired(
    wanted: list[tuple[int, int]], pages: Iterator[tuple[int, int]], described_per_page: int
) -> Iterator[tuple[int, int, int]]:
    """Yield described start and end, and first page, of each piece; all that is wanted are whole pages of memmap."""
    page = end_page = 0
    for start, end in wanted:
        low = start
        while low < end:
            if page == end_page:
                page, end_page = next(pages, (0, 0))
                if page == end_page:
                    return
            count = min((end - low) // described_per_page, end_page - page)
            yield low, low + count * described_per_page, page
            low, page = low + count * described_per_page, page + count


def _from_altmap(
    wanted: ExtentSet, leaf_pages: int, span: int, altmap: Altmap, start_pfn: int, kind: Source
) -> MapRuns:
    """Take each leaf of some runs from the window of the altmap that its first pfn of the range lies in."""
    if wanted.total // span <= FEW:
        return MapRuns(_few_from_altmap(wanted, leaf_pages, span, altmap, start_pfn, kind))
    starts, ends = wanted.arrays
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
    return MapRuns.make(low_pfns, high_pfns, pages, leaf_pages, kind)


def _few_from_altmap(
    wanted: ExtentSet, leaf_pages: int, span: int, altmap: Altmap, start_pfn: int, kind: Source
) -> list[Row]:
    """Return the leaves as rows of the table, until the altmap has no more; those that follow one another as one."""
    rows: list[Row] = []
    source, behind = int(kind), -1
    for start, end in wanted:
        for low in range(start, end, span):
            window = 0 if altmap.nr_windows == 1 else (max(low, start_pfn) - altmap.base_pfn) // altmap.window_pages
            page = altmap.alloc_block_buf(leaf_pages, window)
            if page is None:
                return rows
            if page == behind and rows[-1][1] == low:
                rows[-1] = (rows[-1][0], low + span, rows[-1][2], leaf_pages, source)
            else:
                rows.append((low, low + span, page, leaf_pages, source))
            behind = page + leaf_pages
    return rows


def _joined(described: Array, span: int, backing: Array, leaf_pages: int) -> tuple[Array, Array, Array]:
    """Return leaves that follow one another, both in what they describe and in what backs them, as runs."""
    apart = (np.diff(described) != span) | (np.diff(backing) != leaf_pages)
    heads = np.flatnonzero(np.concatenate((np.ones(min(len(described), 1), dtype=bool), apart)))
    tails = np.append(heads[1:], len(described))[: len(heads)] - 1
    return described[heads], described[tails] + span, backing[heads]
