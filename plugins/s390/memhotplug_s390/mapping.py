"""The identity mapping and the vmemmap of s390.

Models: arch/s390/mm/init.c:arch_add_memory(), arch_remove_memory();
arch/s390/mm/vmem.c:vmem_add_mapping(), vmemmap_populate(), vmemmap_free() (v5.2 to v6.12).
Simplified: EDAT1 and EDAT2 are always there; page tables, of which two fill a page, come in pairs.
Freeing the memmap and falling back to base pages came with v5.9 and are modelled for all versions.
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
    round_down,
    round_up,
)
from memhotplug_s390.sizes import SEGMENT_SIZE

__all__ = [
    "arch_add_memory",
    "arch_remove_memory",
    "create_mapping",
    "vmemmap_free",
    "vmemmap_populate",
]

"""First kernel that can reach standby memory before it is online."""

_PAGES_PER_SEGMENT = SEGMENT_SIZE >> 12
_TABLE_ORDER = 2  # segment and region tables have 2048 entries of 8 bytes
_PFNS_PER_PAIR = 1 << 15  # two page tables: 2 MiB of memmap
_PFNS_PER_SEGMENT_TABLE = 1 << 25  # 2 GiB of memmap
_PFNS_PER_REGION3_TABLE = 1 << 36  # 4 TiB of memmap
_DIRECT_PFNS_PER_SEGMENT_TABLE = 1 << 19  # 2 GiB, which EDAT2 maps by one entry if whole
_DIRECT_PFNS_PER_REGION3_TABLE = 1 << 30


@hookimpl
def vmemmap_populate(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """Back the memmap with 1 MiB segments, and with base pages of the same source where there is none.

    Raises:
        MemoryHotplugError: ENOMEM.
    """
    end_pfn = start_pfn + nr_pages
    _tables(kernel, "vmemmap-region3", _PFNS_PER_REGION3_TABLE, start_pfn, end_pfn, nid)
    _tables(kernel, "vmemmap-segment", _PFNS_PER_SEGMENT_TABLE, start_pfn, end_pfn, nid)
    kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=_PAGES_PER_SEGMENT, nid=nid, altmap=altmap)
    missing = kernel.memmap.first_unmapped(start_pfn, nr_pages)
    if missing is None:
        return
    kernel.log("vmemmap_fallback", start_pfn=missing, nr_pages=end_pfn - missing)
    kernel.memmap.populate_basepages(missing, end_pfn, window=_PFNS_PER_PAIR, nid=nid, altmap=altmap)


def _tables(kernel: Kernel, kind: str, window: int, start_pfn: int, end_pfn: int, nid: int) -> None:
    kernel.tables.ensure(kind, start_pfn // window, div_round_up(end_pfn, window), nid=nid, order=_TABLE_ORDER)


@hookimpl
def vmemmap_free(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Unmap the memmap and free the tables that are empty now, region tables apart."""
    end_pfn = start_pfn + nr_pages
    kernel.unmap([start_pfn], [end_pfn])
    used = kernel.state.vmemmap.mapped
    kernel.tables.drop_unused("vmemmap-pte", _PFNS_PER_PAIR, start_pfn, end_pfn, used)
    kernel.tables.drop_unused("vmemmap-segment", _PFNS_PER_SEGMENT_TABLE, start_pfn, end_pfn, used, order=_TABLE_ORDER)


@hookimpl
def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Map the range, then add its pages; a failure takes the mapping down again.

    In the 2019 series every flag is cleared: standby memory is accessible only when it is online,
    so it cannot hold its own memmap at the time of the add.

    Raises:
        MemoryHotplugError: EINVAL, an altmap before v6.8; else ENOMEM.
    """
    if not kernel.has("inaccessible_altmap"):
        if restrictions.altmap is not None:
            kernel.warn("s390 cannot use an altmap: the memory is accessible only when it is online")
            raise MemoryHotplugError(errno.EINVAL, "s390 takes no altmap")
        restrictions = Restrictions()
    _map(kernel, start_pfn, nr_pages, nid, restrictions.step)
    try:
        kernel.add_pages(start_pfn, nr_pages, nid, restrictions)
    except MemoryHotplugError:
        _remove_mapping(kernel, start_pfn, nr_pages)
        raise


@hookimpl
def create_mapping(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
    """Make the tables of the identity mapping: a segment table for each 2 GiB that is not wholly mapped."""
    _map(kernel, start_pfn, nr_pages, nid, 0)


def _map(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, step: int) -> None:
    """Map a range at once, or in steps of ``step`` pages."""
    end_pfn = start_pfn + nr_pages
    _tables(kernel, "direct-region3", _DIRECT_PFNS_PER_REGION3_TABLE, start_pfn, end_pfn, nid)
    window = _DIRECT_PFNS_PER_SEGMENT_TABLE
    low, high = round_up(start_pfn, window), round_down(end_pfn, window)
    whole = low < high and not step % window
    runs = ((start_pfn, low), (high, end_pfn)) if whole else ((start_pfn, end_pfn),)
    for first, end in runs:
        if first < end:
            _tables(kernel, "direct-segment", window, first, end, nid)


@hookimpl
def arch_remove_memory(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """Remove the pages, then the mapping."""
    kernel.remove_pages(start_pfn, nr_pages)
    _remove_mapping(kernel, start_pfn, nr_pages)


def _remove_mapping(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    window, used = _DIRECT_PFNS_PER_SEGMENT_TABLE, kernel.state.sections
    kernel.tables.drop_unused("direct-segment", window, start_pfn, start_pfn + nr_pages, used, order=_TABLE_ORDER)
