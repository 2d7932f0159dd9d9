"""The vmemmap of powerpc: mappings that may describe many sections at once.

One mapping of mmu_vmemmap_psize describes 2 GiB (radix) or 16 GiB (hash) at 64K pages, and
sections have 16 MiB: so a mapping comes with the first section that it describes and goes with the
last one, wherever the pages behind it lie.

Models: arch/powerpc/mm/init_64.c:vmemmap_populate(), vmemmap_free() (v5.2), and
book3s64/radix_pgtable.c:radix__vmemmap_populate() (v6.6 to v6.12).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from memhotplug.plugin import Altmap, Kernel, MemoryHotplugError, div_round_up, format_size, hookimpl, round_up
from memhotplug_powerpc.sizes import PowerpcGeometry

__all__ = ["layout", "vmemmap_free", "vmemmap_populate"]


def layout(kernel: Kernel) -> PowerpcGeometry:
    """Return the machine's sizes with what only powerpc has."""
    geometry = kernel.geometry
    if not isinstance(geometry, PowerpcGeometry):
        raise TypeError("the machine's geometry does not come from this plugin's page_sizing")
    return geometry


@hookimpl
def vmemmap_populate(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """Back the memmap by mappings of mmu_vmemmap_psize; what is mapped already is left alone.

    Raises:
        MemoryHotplugError: ENOMEM. There is no smaller page to fall back to, except with radix since
            v6.6, and nothing behind an altmap before v5.4.
    """
    geometry = layout(kernel)
    if geometry.radix:
        _upper_tables(kernel, start_pfn, start_pfn + nr_pages, nid)
        if kernel.has("radix_vmemmap"):
            _populate_radix(kernel, start_pfn, start_pfn + nr_pages, nid, altmap)
            return
    leaf = geometry.vmemmap_psize // geometry.page_size
    falls_back = kernel.has("altmap_borders")
    if altmap is not None and not (falls_back and _crosses(kernel, altmap, leaf)):
        kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=leaf, nid=nid, altmap=altmap)
    if altmap is None or falls_back:
        kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=leaf, nid=nid, altmap=None)
    missing = kernel.memmap.first_unmapped(start_pfn, nr_pages)
    if missing is not None:
        size, order = format_size(geometry.vmemmap_psize), leaf.bit_length() - 1
        raise MemoryHotplugError(errno.ENOMEM, f"no {size} page (order {order}) for the memmap of pfn {missing:#x}")


@hookimpl
def altmap_serves(kernel: Kernel, nr_pages: int) -> bool:
    """Since v5.4 not where one page of the vmemmap, of the smallest size, describes more than the altmap.

    Models: arch/powerpc/mm/init_64.c:altmap_cross_boundary() (v5.4).
    """
    geometry = layout(kernel)
    if not kernel.has("altmap_borders"):
        return True
    of_base_pages = geometry.radix and kernel.has("radix_vmemmap")
    leaf = 1 if of_base_pages else geometry.vmemmap_psize // geometry.page_size
    return leaf * geometry.described_per_page <= nr_pages


def _crosses(kernel: Kernel, altmap: Altmap, leaf_pages: int) -> bool:
    """Return whether a mapping describes more than an altmap serves. Models: altmap_cross_boundary() (v5.4)."""
    return leaf_pages * kernel.geometry.described_per_page > altmap.window_pages


def _populate_radix(kernel: Kernel, start_pfn: int, end_pfn: int, nid: int, altmap: Altmap | None) -> None:
    """Use a PMD leaf wherever a section begins one that is free, and base pages elsewhere.

    A leaf is taken whole even if only its first section comes now. Base pages are also what
    replaces a leaf that cannot be had, and what a window goes on with that has some already.
    """
    geometry = kernel.geometry
    leaf = geometry.pmd_size // geometry.page_size
    aligned = round_up(start_pfn, leaf * geometry.described_per_page)
    if aligned < end_pfn and not (altmap is not None and _crosses(kernel, altmap, leaf)):
        kernel.memmap.populate(aligned, end_pfn - aligned, leaf_pages=leaf, nid=nid, altmap=altmap)
    source = None if altmap is not None and _crosses(kernel, altmap, 1) else altmap
    window = _windows(geometry.page_size)["vmemmap-pte"]
    kernel.memmap.populate_basepages(start_pfn, end_pfn, window=window, nid=nid, altmap=source, falls_back=True)


@cache
def _windows(page_size: int) -> Mapping[str, int]:
    """Return how many pfns of memory one page of radix tables of each kind serves, lowest level first.

    With 64K pages tables are fragments: 256 PTE tables, 16 PMD or 16 PUD tables fill a page.
    """
    factors = (1, 1) if page_size == 4 << 10 else (256, 16)
    windows = {
        "vmemmap-pte": (1 << 15) * factors[0],
        "vmemmap-pmd": (1 << 24) * factors[1],
        "vmemmap-pud": (1 << 33) * factors[1],
    }
    return MappingProxyType(windows)


def _upper_tables(kernel: Kernel, start_pfn: int, end_pfn: int, nid: int) -> None:
    windows = _windows(kernel.geometry.page_size)
    for kind in ("vmemmap-pud", "vmemmap-pmd"):
        kernel.tables.ensure(kind, start_pfn // windows[kind], div_round_up(end_pfn, windows[kind]), nid=nid)


@hookimpl
def vmemmap_free(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Unmap what no section that is still there is described by.

    Models: vmemmap_populated(), which vmemmap_free() asks about each mapping.
    """
    unused = kernel.memmap.unused_leaves(start_pfn, nr_pages)
    if not unused.total:
        return
    kernel.unmap(*(unused.few or unused.arrays))
    if layout(kernel).radix:
        # PUD tables stay.
        windows = _windows(kernel.geometry.page_size)
        for low, high in unused:
            for kind in ("vmemmap-pte", "vmemmap-pmd"):
                kernel.tables.drop_unused(kind, windows[kind], low, high, kernel.state.vmemmap.mapped)
