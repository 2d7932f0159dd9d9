"""The direct map and the vmemmap of x86_64.

Models: arch/x86/mm/init_64.c:arch_add_memory(), vmemmap_populate(), vmemmap_free() and
remove_pagetable() (v5.2 to v6.12). Simplified: direct-map tables are counted as if 1 GiB leaves
were used wherever a whole aligned GiB is mapped.
"""

from __future__ import annotations

import errno

from memhotplug.plugin import (
    Altmap,
    Kernel,
    MemoryHotplugError,
    Restrictions,
    div_round_up,
    hookimpl,
    partial_windows,
)

__all__ = ["arch_add_memory", "arch_remove_memory", "create_mapping", "vmemmap_free", "vmemmap_populate"]

_PAGES_PER_PMD_LEAF = 512
_PFNS_PER_GIB = 1 << 18
_PFNS_PER_PTE_TABLE = 1 << 15  # 512 pages of memmap
_PFNS_PER_PMD_TABLE = 1 << 24  # 1 GiB of memmap
_PFNS_PER_PUD_TABLE = 1 << 33  # 512 GiB of memmap
_DIRECT_PFNS_PER_PUD_TABLE = 1 << 27
_FOUR_LEVEL_BITS = 46  # MAX_PHYSMEM_BITS


@hookimpl
def vmemmap_populate(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """Back the memmap with 2 MiB leaves; without an altmap fall back to base pages.

    Models: vmemmap_populate_hugepages(): no fallback with an altmap, ENOMEM instead.
    """
    _vmemmap_tables(kernel, start_pfn, nr_pages, nid)
    kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=_PAGES_PER_PMD_LEAF, nid=nid, altmap=altmap)
    missing = kernel.memmap.first_unmapped(start_pfn, nr_pages)
    if missing is None:
        return
    if altmap is not None:
        raise MemoryHotplugError(errno.ENOMEM, f"the altmap has no 2M left for the memmap of pfn {missing:#x}")
    kernel.log("vmemmap_fallback", start_pfn=missing, nr_pages=start_pfn + nr_pages - missing)
    kernel.memmap.populate_basepages(missing, start_pfn + nr_pages, window=_PFNS_PER_PTE_TABLE, nid=nid, altmap=None)


def _vmemmap_tables(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    end_pfn = start_pfn + nr_pages
    for kind, window in (("vmemmap-pud", _PFNS_PER_PUD_TABLE), ("vmemmap-pmd", _PFNS_PER_PMD_TABLE)):
        kernel.tables.ensure(kind, start_pfn // window, div_round_up(end_pfn, window), nid=nid)


@hookimpl
def vmemmap_free(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Unmap the memmap and free the tables that are empty now, PUD tables only of five levels."""
    kernel.unmap([start_pfn], [start_pfn + nr_pages])
    end_pfn, mapped = start_pfn + nr_pages, kernel.state.vmemmap.mapped
    for kind, window in (("vmemmap-pte", _PFNS_PER_PTE_TABLE), ("vmemmap-pmd", _PFNS_PER_PMD_TABLE)):
        kernel.tables.drop_unused(kind, window, start_pfn, end_pfn, mapped)
    if _has_five_levels(kernel):
        kernel.tables.drop_unused("vmemmap-pud", _PFNS_PER_PUD_TABLE, start_pfn, end_pfn, mapped)


def _has_five_levels(kernel: Kernel) -> bool:
    """Return whether page tables have five levels; with four, an empty PUD table is never freed.

    Models: arch/x86/mm/init_64.c:remove_p4d_table() (v5.2 to v6.12).
    """
    return kernel.geometry.physical_address_bits > _FOUR_LEVEL_BITS


@hookimpl
def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Map the range, then add its pages; a failure leaves the direct map in place, as the kernel does."""
    _map(kernel, start_pfn, nr_pages, nid, restrictions.step)
    kernel.add_pages(start_pfn, nr_pages, nid, restrictions)


@hookimpl
def create_mapping(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    """Make the direct map's tables: one PMD table for each GiB that is not wholly mapped.

    Models: arch/x86/mm/init.c:init_memory_mapping().
    """
    _map(kernel, start_pfn, nr_pages, nid, 0)


def _map(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, step: int) -> None:
    """Map a range at once, or in steps of ``step`` pages, which are no leaf of 1 GiB if they are smaller."""
    end_pfn = start_pfn + nr_pages
    window = _DIRECT_PFNS_PER_PUD_TABLE
    kernel.tables.ensure("direct-pud", start_pfn // window, div_round_up(end_pfn, window))
    for low, high in partial_windows(start_pfn, end_pfn, _PFNS_PER_GIB, step=step):
        kernel.tables.ensure("direct-pmd", low, high)


@hookimpl
def arch_remove_memory(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Remove the pages, then the direct map; a table goes when nothing that it maps is left."""
    kernel.remove_pages(start_pfn, nr_pages)
    end_pfn, used = start_pfn + nr_pages, kernel.state.sections
    kernel.tables.drop_unused("direct-pmd", _PFNS_PER_GIB, start_pfn, end_pfn, used)
    if _has_five_levels(kernel):
        kernel.tables.drop_unused("direct-pud", _DIRECT_PFNS_PER_PUD_TABLE, start_pfn, end_pfn, used)
