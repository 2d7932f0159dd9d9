"""The direct map and the vmemmap of arm64.

Models: arch/arm64/mm/mmu.c:arch_add_memory(), vmemmap_populate(), vmemmap_free() (v5.2 to v6.12).
Before hot-remove came (v5.7) vmemmap_free() was empty and page tables stayed too: a removed range
keeps its memmap mapped, and a range that is added there again finds it.

Simplified: the direct map uses the largest leaves that fit, or base pages with ``rodata=full`` on
the command line; tables that the fixed kernel layout brings anyway are not told apart.
"""

from __future__ import annotations

import errno

from memhotplug.plugin import (
    Altmap,
    Geometry,
    Kernel,
    MemoryHotplugError,
    Restrictions,
    div_round_up,
    hookimpl,
    partial_windows,
)

__all__ = ["arch_add_memory", "arch_remove_memory", "create_mapping", "vmemmap_free", "vmemmap_populate"]

_ENTRY = 8  # bytes of a page table entry


def _entries(geometry: Geometry) -> int:
    return geometry.page_size // _ENTRY


@hookimpl
def vmemmap_populate(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """Back the memmap: 2 MiB leaves with 4K pages, base pages with 16K and 64K.

    Raises:
        MemoryHotplugError: ENOMEM. Up to v5.10 nothing replaces a 2 MiB page that cannot be had;
            then base pages of the same source did; since v6.2 only without an altmap.
    """
    geometry = kernel.geometry
    _vmemmap_upper_tables(kernel, start_pfn, start_pfn + nr_pages, nid)
    if geometry.page_size != 4 << 10:
        source = altmap if kernel.has("basepages_from_altmap") else None
        _populate_basepages(kernel, start_pfn, start_pfn + nr_pages, nid, source)
        return
    leaf = geometry.pmd_size // geometry.page_size
    kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=leaf, nid=nid, altmap=altmap)
    missing = kernel.memmap.first_unmapped(start_pfn, nr_pages)
    if missing is None:
        return
    if not kernel.has("vmemmap_falls_back") or (altmap is not None and kernel.has("generic_vmemmap_hugepages")):
        raise MemoryHotplugError(errno.ENOMEM, f"no 2M page for the memmap of pfn {missing:#x}")
    kernel.log("vmemmap_fallback", start_pfn=missing, nr_pages=start_pfn + nr_pages - missing)
    _populate_basepages(kernel, missing, start_pfn + nr_pages, nid, altmap)


@hookimpl
def altmap_serves(kernel: Kernel) -> bool:
    """With 16K and 64K pages not before v5.9, when vmemmap_populate_basepages() takes no altmap."""
    return kernel.geometry.page_size == 4 << 10 or kernel.has("basepages_from_altmap")


def _populate_basepages(kernel: Kernel, start_pfn: int, end_pfn: int, nid: int, altmap: Altmap | None) -> None:
    window = _entries(kernel.geometry) * kernel.geometry.described_per_page
    kernel.memmap.populate_basepages(start_pfn, end_pfn, window=window, nid=nid, altmap=altmap)


def _vmemmap_upper_tables(kernel: Kernel, start_pfn: int, end_pfn: int, nid: int) -> None:
    entries, described = _entries(kernel.geometry), kernel.geometry.described_per_page
    for kind, pages in (("vmemmap-pud", entries**3), ("vmemmap-pmd", entries**2)):
        window = pages * described
        kernel.tables.ensure(kind, start_pfn // window, div_round_up(end_pfn, window), nid=nid)


@hookimpl
def vmemmap_free(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Unmap the memmap and free the tables that are empty now; before v5.7 nothing at all."""
    if not kernel.has("hot_remove"):
        return
    end_pfn = start_pfn + nr_pages
    kernel.unmap([start_pfn], [end_pfn])
    entries, described = _entries(kernel.geometry), kernel.geometry.described_per_page
    for kind, pages in (("vmemmap-pte", entries), ("vmemmap-pmd", entries**2), ("vmemmap-pud", entries**3)):
        kernel.tables.drop_unused(kind, pages * described, start_pfn, end_pfn, kernel.state.vmemmap.mapped)


@hookimpl
def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Map the range, then add its pages; since v5.7 a failure takes the direct map down again."""
    try:
        _map(kernel, start_pfn, nr_pages, nid, restrictions.step)
        kernel.add_pages(start_pfn, nr_pages, nid, restrictions)
    except MemoryHotplugError:
        _remove_mapping(kernel, start_pfn, nr_pages)
        raise


@hookimpl
def create_mapping(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    """Make the direct map's tables. Models: arch/arm64/mm/mmu.c:__create_pgd_mapping()."""
    _map(kernel, start_pfn, nr_pages, nid, 0)


def _map(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, step: int) -> None:
    """Map a range at once, or in steps of ``step`` pages."""
    end_pfn = start_pfn + nr_pages
    entries = _entries(kernel.geometry)
    kernel.tables.ensure("direct-pud", start_pfn // entries**3, div_round_up(end_pfn, entries**3))
    for low, high in _needs_pmd_table(kernel, start_pfn, end_pfn, step):
        kernel.tables.ensure("direct-pmd", low, high)
    if kernel.params.get("rodata") == "full":
        kernel.tables.ensure("direct-pte", start_pfn // entries, div_round_up(end_pfn, entries))


def _needs_pmd_table(kernel: Kernel, start_pfn: int, end_pfn: int, step: int) -> list[tuple[int, int]]:
    """Return the windows of PMD tables that a range needs: with 4K pages a GiB mapped at once is one leaf."""
    window = _entries(kernel.geometry) ** 2
    if kernel.geometry.page_size != 4 << 10 or kernel.params.get("rodata") == "full":
        return [(start_pfn // window, div_round_up(end_pfn, window))]
    return partial_windows(start_pfn, end_pfn, window, step=step)


@hookimpl
def arch_remove_memory(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Remove the pages, then the direct map."""
    kernel.remove_pages(start_pfn, nr_pages)
    _remove_mapping(kernel, start_pfn, nr_pages)


def _remove_mapping(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Models: arch/arm64/mm/mmu.c:__remove_pgd_mapping() (v5.7)."""
    if not kernel.has("hot_remove"):
        return
    entries = _entries(kernel.geometry)
    for kind, window in (("direct-pte", entries), ("direct-pmd", entries**2), ("direct-pud", entries**3)):
        kernel.tables.drop_unused(kind, window, start_pfn, start_pfn + nr_pages, kernel.state.sections)
