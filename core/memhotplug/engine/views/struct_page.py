"""struct page on demand: what the page structures of a range say, derived from the state.

Models: include/linux/mm_types.h:struct page; fs/proc/page.c:stable_page_flags().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ForwardRef, TypeAlias

from memhotplug.contracts import PageFlag
from memhotplug.lazy import np
from memhotplug.model.blocks import BlockState
from memhotplug.model.buddy import chunk_runs
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone
from memhotplug.units import round_up

if TYPE_CHECKING:
    import numpy.typing as npt

    from memhotplug.engine.kernel import Kernel

    PageArray: TypeAlias = npt.NDArray[Any]
else:
    PageArray = ForwardRef("npt.NDArray[Any]")

__all__ = ["PageArray", "project_pages"]


def project_pages(kernel: Kernel, start_pfn: int, nr_pages: int) -> PageArray:
    """Return the struct pages of a range.

    Returns:
        Structured array of PAGE_DTYPE, shape (nr_pages,), a fresh copy.
    """
    from memhotplug.engine.views.page_dtype import PAGE_DTYPE

    pages = np.zeros(nr_pages, dtype=PAGE_DTYPE)
    pages["flags"] = PageFlag.NOPAGE
    for name in ("head", "zone", "node", "backing"):
        pages[name] = -1
    end_pfn = start_pfn + nr_pages
    _backing(kernel, pages, start_pfn, end_pfn)
    online = _online(kernel, start_pfn, end_pfn)
    for low, high in zip(*online.clip(start_pfn, end_pfn), strict=True):
        part = pages[low - start_pfn : high - start_pfn]
        part["flags"], part["refcount"] = 0, 1
    for zone in kernel.state.zones():
        _zone(kernel, pages, start_pfn, zone)
    _owners(kernel, pages, start_pfn, online)
    kernel.profile.project(kernel, pages, start_pfn)
    return pages


def _online(kernel: Kernel, start_pfn: int, end_pfn: int) -> ExtentSet:
    """Return the pfns of a range that lie in online blocks and exist."""
    per_block = kernel.geometry.pages_per_block
    rows = kernel.state.blocks.rows(start_pfn // per_block, (end_pfn - 1) // per_block)
    starts, ends = kernel.state.block_bounds(rows)
    chosen = kernel.state.blocks.state[rows] != BlockState.OFFLINE
    online = ExtentSet(starts[chosen], ends[chosen])
    online.remove_many(kernel.state.holes.starts, kernel.state.holes.ends)
    return online


def _backing(kernel: Kernel, pages: PageArray, start_pfn: int, end_pfn: int) -> None:
    per_page = kernel.geometry.described_per_page
    runs = kernel.state.vmemmap.clip(start_pfn, end_pfn)
    whole = kernel.state.vmemmap.runs
    rows = np.searchsorted(whole.end, runs.start, side="right")
    for row, low, high in zip(rows.tolist(), runs.start.tolist(), runs.end.tolist(), strict=True):
        described = np.arange(low, high) - int(whole.start[row])
        pages["backing"][low - start_pfn : high - start_pfn] = int(whole.backing[row]) + described // per_page


def _zone(kernel: Kernel, pages: PageArray, start_pfn: int, zone: Zone) -> None:
    end_pfn = start_pfn + len(pages)
    for low, high in zip(*zone.linked.clip(start_pfn, end_pfn), strict=True):
        part = pages[low - start_pfn : high - start_pfn]
        part["zone"], part["node"] = zone.kind, zone.nid
    for free in (zone.free, zone.pcp):
        for low, high in zip(*free.clip(start_pfn, end_pfn), strict=True):
            part = pages[low - start_pfn : high - start_pfn]
            part["refcount"] = 0
            part["flags"] = PageFlag.BUDDY if free is zone.free else 0
    if not zone.free.intersects(start_pfn, end_pfn):
        return
    top = kernel.geometry.max_order
    for order in range(top + 1):
        starts, ends = chunk_runs(zone.free, order, top)
        near = (ends > start_pfn) & (starts < end_pfn)
        for low, high in zip(starts[near].tolist(), ends[near].tolist(), strict=True):
            first = max(low, round_up(start_pfn, 1 << order))
            pages["private"][first - start_pfn : min(high, end_pfn) - start_pfn : 1 << order] = order


def _owners(kernel: Kernel, pages: PageArray, start_pfn: int, online: ExtentSet) -> None:
    state = kernel.state
    _mark(pages, start_pfn, state.reserved, PageFlag.RESERVED, online)
    _mark(pages, start_pfn, state.vmemmap.backing_from(Source.BOOT), PageFlag.RESERVED, online)
    _mark(pages, start_pfn, state.withheld, PageFlag.OFFLINE, online)
    _mark(pages, start_pfn, state.poisoned, PageFlag.HWPOISON, online)
    for held in state.allocations.values():
        if held.movable:
            _mark(pages, start_pfn, held.pages, PageFlag.LRU | PageFlag.ANON, online)
        elif held.is_for(Use.PAGE_TABLES):
            _mark(pages, start_pfn, held.pages, PageFlag.PGTABLE, online)


def _mark(pages: PageArray, start_pfn: int, which: ExtentSet, flags: PageFlag, online: ExtentSet) -> None:
    shown = online.clip_many(which.starts, which.ends)
    for low, high in zip(*ExtentSet(*shown).clip(start_pfn, start_pfn + len(pages)), strict=True):
        pages["flags"][low - start_pfn : high - start_pfn] = flags
