"""The linear map of powerpc, and what adds and removes memory around it.

With the hash MMU the linear map lies in the hash table and takes no page tables. With radix 64K
pages a table is a fragment of a page; 16 neighbouring tables share one here, where the kernel
hands fragments out in the order of demand.

Models: arch/powerpc/mm/mem.c:arch_add_memory(), arch_remove_memory();
book3s64/radix_pgtable.c:create_physical_mapping() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno

from memhotplug.plugin import Kernel, MemoryHotplugError, Restrictions, div_round_up, hookimpl, round_down, round_up
from memhotplug_powerpc.mapping import layout

__all__ = ["arch_add_memory", "arch_remove_memory", "create_mapping"]

# In pfns the windows of both page sizes are alike: 1 GiB at 4K pages, 16 GiB (16 fragments) at 64K.
_PFNS_PER_PMD_TABLE = 1 << 18
_PFNS_PER_PUD_TABLE = 1 << 27
_GIB = 1 << 30


@hookimpl
def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Map the range, then add its pages; since v5.11 a failure takes the linear map down again.

    Raises:
        MemoryHotplugError: EFAULT, the range cannot be mapped; else what ``kernel.add_pages()`` raised.
    """
    try:
        create_mapping(kernel, start_pfn, nr_pages, nid)
    except MemoryHotplugError as problem:
        raise MemoryHotplugError(
            errno.EFAULT, f"the linear mapping of pfn {start_pfn:#x} failed: {problem.reason}"
        ) from problem
    try:
        kernel.add_pages(start_pfn, nr_pages, nid, restrictions)
    except MemoryHotplugError:
        if kernel.has("linear_map_rolls_back"):
            _remove_mapping(kernel, start_pfn, nr_pages)
        raise


@hookimpl
def create_mapping(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    """Make the linear map's tables, all or none: a GiB that cannot be one leaf takes a PMD table."""
    if not layout(kernel).radix:
        return
    end_pfn = start_pfn + nr_pages
    kernel.tables.ensure("direct-pud", start_pfn // _PFNS_PER_PUD_TABLE, div_round_up(end_pfn, _PFNS_PER_PUD_TABLE))
    for low, high in _without_gib_leaf(kernel, start_pfn, end_pfn):
        kernel.tables.ensure("direct-pmd", low // _PFNS_PER_PMD_TABLE, div_round_up(high, _PFNS_PER_PMD_TABLE))


def _without_gib_leaf(kernel: Kernel, start_pfn: int, end_pfn: int) -> list[tuple[int, int]]:
    """Return the pfn runs of a range that leaves of 1 GiB cannot map."""
    gib = _GIB // kernel.geometry.page_size
    low, high = round_up(start_pfn, gib), round_down(end_pfn, gib)
    small = kernel.has("block_sized_leaves") and kernel.geometry.memory_block_size < _GIB
    if small or low >= high:
        return [(start_pfn, end_pfn)]
    return [(first, last) for first, last in ((start_pfn, low), (high, end_pfn)) if first < last]


@hookimpl
def arch_remove_memory(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Remove the pages, then the linear map."""
    kernel.remove_pages(start_pfn, nr_pages)
    _remove_mapping(kernel, start_pfn, nr_pages)


def _remove_mapping(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Models: book3s64/radix_pgtable.c:remove_pagetable(), which keeps the PUD tables."""
    if layout(kernel).radix:
        end_pfn = start_pfn + nr_pages
        kernel.tables.drop_unused("direct-pmd", _PFNS_PER_PMD_TABLE, start_pfn, end_pfn, kernel.state.sections)
