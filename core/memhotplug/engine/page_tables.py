"""Page tables of the direct map and the vmemmap, counted by the windows that have one.

Models: arch/x86/mm/init_64.c and its like; mm/sparse.c:sparse_index_init() for the section roots.
"""

from __future__ import annotations

import errno

from memhotplug.errors import MemoryHotplugError
from memhotplug.model.allocator import alloc_pages, disown, free_pages, own
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import MachineState, Owner, Use
from memhotplug.units import div_round_up

__all__ = ["PageTables"]

_SECTION_ROOTS = "mem_section"
_MEM_SECTION_SIZE = 16  # bytes of a struct mem_section without page extensions


class PageTables:
    """The part of a kernel that makes and frees page tables.

    Args:
        state: of the machine whose tables these are.
        boot_altmap: where boot memmap comes from while the machine boots, when page tables cost nothing; else None.
    """

    __slots__ = ("boot_altmap", "state")

    def __init__(self, state: MachineState, boot_altmap: Altmap | None = None) -> None:
        self.state = state
        self.boot_altmap = boot_altmap

    def ensure(self, kind: str, first: int, end: int, *, nid: int | None = None, order: int = 0) -> None:
        """Make sure that page tables of one kind exist for windows [first, end), all or none.

        Page tables come from the page allocator, never from an altmap.

        Args:
            kind: name of the level, such as ``vmemmap-pmd``; each kind has windows of its own size.
            nid: the node that they are wanted on; None for that of the CPU that asks, as tables of the direct map are.
            order: order of one table.

        Raises:
            MemoryHotplugError: ENOMEM.
        """
        have = self.state.page_tables.get(kind)
        if have is None:
            have = self.state.page_tables[kind] = ExtentSet()
        elif have.contains(first, end):
            return
        missing = have.gaps(first, end)
        if self.boot_altmap is None:
            wanted = self.state.asking_node() if nid is None else nid
            pages = alloc_pages(self.state, order, missing.total, nid=wanted)
            if pages.total < missing.total << order:
                free_pages(self.state, *pages.arrays)
                raise MemoryHotplugError(errno.ENOMEM, f"no page for a page table ({kind}, order {order})")
            own(self.state, _owner(kind), pages, order)
        else:
            self.state.boot_tables[kind] = self.state.boot_tables.get(kind, ExtentSet()).union(missing)
        self.state.page_tables[kind] = have.union(missing)

    def order_of(self, kind: str) -> int:
        """Return the order of the tables of one kind; 0 where the page allocator gave none yet."""
        held = self.state.allocations.get(_owner(kind))
        return held.order if held is not None else 0

    def ensure_section_roots(self, start_pfn: int, nr_pages: int, nid: int) -> None:
        """Make sure that the roots of mem_section exist for a range (SPARSEMEM_EXTREME); they stay for good.

        Models: mm/sparse.c:sparse_index_init(). Raises: MemoryHotplugError: ENOMEM.
        """
        geometry = self.state.geometry
        per_root = geometry.page_size // _MEM_SECTION_SIZE * geometry.pages_per_section
        self.ensure(_SECTION_ROOTS, start_pfn // per_root, div_round_up(start_pfn + nr_pages, per_root), nid=nid)

    def drop(self, kind: str, first: int, end: int, *, order: int = 0) -> None:
        """Free the page tables of one kind in windows [first, end)."""
        have = self.state.page_tables.get(kind)
        if have is None or end <= first:
            return
        gone = have.within(first, end)
        if not gone.total:
            return
        self.state.page_tables[kind] = have.difference(gone)
        boot = self.state.boot_tables.get(kind)
        if boot is not None:
            self.state.boot_tables[kind] = boot.difference(gone)
            gone.difference_update(boot)
        count = gone.total << order
        if count:
            disown(self.state, _owner(kind), count)

    def drop_unused(
        self, kind: str, window: int, start_pfn: int, end_pfn: int, used: ExtentSet, *, order: int = 0
    ) -> None:
        """Free the page tables of a pfn range whose windows hold nothing that is still used.

        Only the windows at the two ends can be shared with memory that stays.

        Args:
            window: pfns that one table of this kind serves.
            used: the pfns that still need their table.
        """
        low, high = start_pfn // window, div_round_up(end_pfn, window)
        low += used.intersects(low * window, (low + 1) * window)
        high -= high > low and used.intersects((high - 1) * window, high * window)
        self.drop(kind, low, high, order=order)


def _owner(kind: str) -> Owner:
    """Return who holds the tables of one kind; the roots of mem_section are tables of no address space."""
    return Owner(Use.SECTION_ROOTS) if kind == _SECTION_ROOTS else Owner(Use.PAGE_TABLES, kind)
