"""The direct map and the vmemmap of riscv64.

The tables right below the root exist from boot on, so that every process's page tables share them
(arch/riscv/mm/init.c:preallocate_pgd_pages_range()): PMD tables with Sv39, PUD tables with Sv48.
Tables below those are made when memory comes and freed when it goes.

Models: arch/riscv/mm/init.c:arch_add_memory(), arch_remove_memory(), create_linear_mapping_range(),
vmemmap_populate(), vmemmap_free(), remove_pgd_mapping() (v6.11 to v6.12).
Simplified: a page table of the direct map that cannot be had is ENOMEM (kernel: BUG_ON()).
"""

from __future__ import annotations

import errno
from typing import Final

from memhotplug.plugin import (
    Altmap,
    Kernel,
    MemoryHotplugError,
    Restrictions,
    div_round_up,
    format_size,
    hookimpl,
    np,
    partial_windows,
)
from memhotplug_riscv64.sizes import layout

__all__ = ["arch_add_memory", "arch_remove_memory", "create_mapping", "vmemmap_free", "vmemmap_populate"]

_LEAF: Final = 512  # pages of memmap that a 2 MiB leaf maps: those of one section
_VMEMMAP_PTE: Final = 1 << 15  # pfns that one table of each kind serves
_VMEMMAP: Final = {"vmemmap-pud": 1 << 33, "vmemmap-pmd": 1 << 24}
_DIRECT: Final = {"direct-pud": 1 << 27, "direct-pmd": 1 << 18}
_LEVELS_WITH: Final = {"pud": 5, "pmd": 4}  # levels from which on tables of a kind are not there from boot


def _windows(kernel: Kernel, all_kinds: dict[str, int]) -> list[tuple[str, int]]:
    """Return kind and window of the tables that come and go on this machine, upper levels first."""
    levels = layout(kernel).levels
    return [(kind, window) for kind, window in all_kinds.items() if levels >= _LEVELS_WITH[kind.rpartition("-")[2]]]


@hookimpl
def vmemmap_populate(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """Back the memmap with 2 MiB leaves; base pages replace them only without an altmap.

    Models: mm/sparse-vmemmap.c:vmemmap_populate_hugepages() (v6.12).
    Raises: MemoryHotplugError: ENOMEM.
    """
    end_pfn = start_pfn + nr_pages
    for kind, window in _windows(kernel, _VMEMMAP):
        kernel.tables.ensure(kind, start_pfn // window, div_round_up(end_pfn, window), nid=nid)
    kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=_LEAF, nid=nid, altmap=altmap)
    missing = kernel.memmap.first_unmapped(start_pfn, nr_pages)
    if missing is None:
        return
    if altmap is not None:
        raise MemoryHotplugError(errno.ENOMEM, f"no 2M page for the memmap of pfn {missing:#x}")
    kernel.log("vmemmap_fallback", start_pfn=missing, nr_pages=end_pfn - missing)
    kernel.memmap.populate_basepages(missing, end_pfn, window=_VMEMMAP_PTE, nid=nid, altmap=None)


@hookimpl
def vmemmap_free(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Unmap the memmap and free the tables that are empty now; a leaf describes one section, never more."""
    end_pfn = start_pfn + nr_pages
    kernel.unmap(np.array([start_pfn]), np.array([end_pfn]))
    for kind, window in (("vmemmap-pte", _VMEMMAP_PTE), *reversed(_windows(kernel, _VMEMMAP))):
        kernel.tables.drop_unused(kind, window, start_pfn, end_pfn, kernel.state.vmemmap.mapped)


@hookimpl
def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Map the range, then add its pages; a failure takes the mapping down again.

    Raises:
        MemoryHotplugError: E2BIG beyond the direct map (mhp_range_allowed()), else ENOMEM.
    """
    end = kernel.geometry.address(start_pfn + nr_pages)
    if end > layout(kernel).mappable_end:
        reach = format_size(layout(kernel).mappable_end)
        raise MemoryHotplugError(errno.E2BIG, f"{end:#x} is beyond the direct map, which ends at {reach}")
    try:
        _map(kernel, start_pfn, nr_pages, nid, restrictions.step)
        kernel.add_pages(start_pfn, nr_pages, nid, restrictions)
    except MemoryHotplugError:
        _remove_mapping(kernel, start_pfn, nr_pages)
        raise


@hookimpl
def create_mapping(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    """Make the tables of the direct map of boot memory."""
    _map(kernel, start_pfn, nr_pages, nid, 0)


def _map(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, step: int) -> None:
    """Map a range at once, or in steps of ``step`` pages, with the largest leaves that fit. Models: best_map_size()."""
    for kind, window in _windows(kernel, _DIRECT):
        for low, high in partial_windows(start_pfn, start_pfn + nr_pages, window, step=step):
            kernel.tables.ensure(kind, low, high, nid=nid)


@hookimpl
def arch_remove_memory(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Remove the pages, then the direct map."""
    kernel.remove_pages(start_pfn, nr_pages)
    _remove_mapping(kernel, start_pfn, nr_pages)


def _remove_mapping(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Models: arch/riscv/mm/init.c:remove_linear_mapping()."""
    for kind, window in reversed(_windows(kernel, _DIRECT)):
        kernel.tables.drop_unused(kind, window, start_pfn, start_pfn + nr_pages, kernel.state.sections)
