"""acme64: an architecture that lives outside of memhotplug; its sizes are those of riscv64.

Memory begins at 2 GiB, sections have 128 MiB, the vmemmap is made of 2 MiB leaves and falls back to
base pages where the page allocator has no order-9 page.

Models: arch/riscv/include/asm/sparsemem.h, arch/riscv/mm/init.c (v6.12), in outline.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from memhotplug.plugin import (
    Altmap,
    Geometry,
    InputError,
    Kernel,
    MemoryHotplugError,
    Restrictions,
    SizingRequest,
    ZoneKind,
    ZoneLimit,
    div_round_up,
    format_size,
    hookimpl,
    is_power_of_two,
    np,
)

PAGE_SIZE = 4 << 10
SECTION_SIZE = 128 << 20
PMD_SIZE = 2 << 20
BASE = 2 << 30
ADDRESS_BITS = 56

_LEAF = PMD_SIZE // PAGE_SIZE
_PFNS_PER_PTE_TABLE = 1 << 15  # 512 pages of memmap
_PFNS_PER_PMD_TABLE = 1 << 24  # 512 leaves of memmap
_PFNS_PER_GIB = 1 << 18


@hookimpl
def page_sizing(request: SizingRequest) -> Geometry:
    """Return the sizes of an acme64 machine."""
    if request.page_size not in (None, PAGE_SIZE):
        got = format_size(request.page_size or 0)
        raise InputError("4K, the only page size of acme64", got=got, path="machine.page_size")
    block = request.memory_block_size or SECTION_SIZE
    if not is_power_of_two(block) or not SECTION_SIZE <= block <= BASE:
        raise InputError("a power of two from 128M to 2G", got=format_size(block), path="machine.memory_block_size")
    bits = request.physical_address_bits or ADDRESS_BITS
    if not 34 <= bits <= ADDRESS_BITS:
        raise InputError(f"34 to {ADDRESS_BITS} address bits", got=bits, path="machine.physical_address_bits")
    return Geometry(
        page_size=PAGE_SIZE,
        section_size=SECTION_SIZE,
        memory_block_size=block,
        pageblock_order=9,
        max_order=10,
        pmd_size=PMD_SIZE,
        physical_address_bits=bits,
        hotplug_base=BASE,
    )


@hookimpl
def zone_limits(geometry: Geometry) -> Sequence[ZoneLimit]:
    """DMA32 below 4 GiB, Normal above."""
    return (
        ZoneLimit(kind=ZoneKind.DMA32, end_pfn=geometry.pfn(4 << 30)),
        ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=geometry.end_pfn),
    )


@hookimpl
def boot_base() -> int:
    """Boot memory begins at 2 GiB."""
    return BASE


@hookimpl
def supports_memmap_on_memory(memmap_bytes: int) -> bool:
    """Return whether the memmap fills whole 2 MiB leaves."""
    return memmap_bytes % PMD_SIZE == 0


@hookimpl
def vmemmap_populate(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """Back the memmap with 2 MiB leaves; without an altmap fall back to base pages."""
    end_pfn = start_pfn + nr_pages
    window = _PFNS_PER_PMD_TABLE
    kernel.tables.ensure("vmemmap-pmd", start_pfn // window, div_round_up(end_pfn, window), nid=nid)
    kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=_LEAF, nid=nid, altmap=altmap)
    missing = kernel.memmap.first_unmapped(start_pfn, nr_pages)
    if missing is not None and altmap is None:
        kernel.memmap.populate_basepages(missing, end_pfn, window=_PFNS_PER_PTE_TABLE, nid=nid, altmap=None)
    elif missing is not None:
        raise MemoryHotplugError(errno.ENOMEM, f"no page for the memmap of pfn {missing:#x}")


@hookimpl
def vmemmap_free(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Unmap the memmap and free the tables that are empty now."""
    end_pfn = start_pfn + nr_pages
    kernel.unmap(np.array([start_pfn]), np.array([end_pfn]))
    for kind, window in (("vmemmap-pte", _PFNS_PER_PTE_TABLE), ("vmemmap-pmd", _PFNS_PER_PMD_TABLE)):
        kernel.tables.drop_unused(kind, window, start_pfn, end_pfn, kernel.state.vmemmap.mapped)


@hookimpl
def create_mapping(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    """Make the tables of the direct map: one for each GiB, in 2 MiB leaves."""
    window = _PFNS_PER_GIB
    kernel.tables.ensure("direct-pmd", start_pfn // window, div_round_up(start_pfn + nr_pages, window), nid=nid)


@hookimpl
def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Map the range, then add its pages; a failure takes the mapping down again."""
    create_mapping(kernel, start_pfn, nr_pages, nid)
    try:
        kernel.add_pages(start_pfn, nr_pages, nid, restrictions)
    except MemoryHotplugError:
        _remove_mapping(kernel, start_pfn, nr_pages)
        raise


@hookimpl
def arch_remove_memory(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Remove the pages, then the direct map."""
    kernel.remove_pages(start_pfn, nr_pages)
    _remove_mapping(kernel, start_pfn, nr_pages)


def _remove_mapping(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    kernel.tables.drop_unused("direct-pmd", _PFNS_PER_GIB, start_pfn, start_pfn + nr_pages, kernel.state.sections)
