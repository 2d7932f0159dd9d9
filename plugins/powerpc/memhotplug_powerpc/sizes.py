"""Pages, sections, memory blocks, MMU and address bits of powerpc (book3s64)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memhotplug.plugin import Geometry, InputError, SizingRequest, format_size, is_power_of_two, kstrtobool

__all__ = ["PowerpcGeometry", "geometry_for", "probe_memory_block_size"]

_SECTION_SIZE = 16 << 20  # arch/powerpc/include/asm/sparsemem.h:SECTION_SIZE_BITS
_HUGE = 16 << 20  # MMU_PAGE_16M
_PMD_SIZE = 2 << 20  # MMU_PAGE_2M
_LARGEST_BLOCK = 1 << 30
_LARGEST_FORCED = 32 << 30  # what 36 address bits, the fewest, can still hold
_HUGE_VMEMMAP_MEMORY = 1 << 30
_ADDRESS_BITS = 51
_HASH_4K_ADDRESS_BITS = 46


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerpcGeometry(Geometry):
    """The sizes of a powerpc machine.

    Attributes:
        radix: whether the MMU uses radix trees rather than a hash table.
        vmemmap_psize: bytes that one mapping of the vmemmap covers (mmu_vmemmap_psize).
    """

    radix: bool = True
    vmemmap_psize: int = _PMD_SIZE


# By page size and MMU (radix or not): max_order (inclusive) and pageblock_order.
# Models: arch/powerpc/Kconfig:FORCE_MAX_ZONEORDER (v5.2, exclusive: 13 and 9), HUGETLB_PAGE_ORDER.
_ORDERS: Final[Mapping[tuple[int, bool], tuple[int, int]]] = {
    (4 << 10, True): (12, 9),
    (4 << 10, False): (12, 12),
    (64 << 10, True): (8, 5),
    (64 << 10, False): (8, 8),
}


def geometry_for(request: SizingRequest) -> PowerpcGeometry:
    """Return the sizes of a machine.

    Raises:
        InputError: a page or block size, or a number of address bits, that powerpc does not have.
    """
    page_size = request.page_size or 64 << 10
    radix = not _disable_radix(request.cmdline)
    if (page_size, radix) not in _ORDERS:
        raise InputError("4K or 64K, the page sizes of powerpc", got=format_size(page_size), path="machine.page_size")
    max_order, pageblock_order = _ORDERS[page_size, radix]
    return PowerpcGeometry(
        page_size=page_size,
        section_size=_SECTION_SIZE,
        memory_block_size=_memory_block_size(request),
        pageblock_order=pageblock_order,
        max_order=max_order,
        pmd_size=_PMD_SIZE if radix or page_size == 4 << 10 else _HUGE,
        physical_address_bits=_address_bits(request, radix or page_size != 4 << 10),
        radix=radix,
        vmemmap_psize=_vmemmap_psize(request, page_size, radix=radix),
    )


def _disable_radix(cmdline: Mapping[str, str]) -> bool:
    """Return whether the command line asks for the hash MMU.

    Models: arch/powerpc/mm/init_64.c:parse_disable_radix(): without a value it is true, with one a boolean.
    """
    value = cmdline.get("disable_radix")
    if value is None:
        return False
    return value == "" or kstrtobool(value) is True


def _vmemmap_psize(request: SizingRequest, page_size: int, *, radix: bool) -> int:
    """Return the bytes of one vmemmap mapping.

    Models: arch/powerpc/mm/book3s64/radix_pgtable.c:radix__early_init_mmu() (2 MiB) and
    hash_utils.c:htab_init_page_sizes() (v5.2): 16 MiB from 1 GiB of boot memory on, else a base page. A hypervisor
    may not offer such pages (QEMU does not by itself, PowerVM does): then there is no default huge page either
    (arch/powerpc/mm/hugetlbpage.c:hugetlbpage_init_defaultsize()).
    """
    if radix:
        return _PMD_SIZE
    memory = sum(size for _, size in request.memory)
    offered = request.huge_page_size is None or request.huge_page_size >= _HUGE
    return _HUGE if offered and memory >= _HUGE_VMEMMAP_MEMORY else page_size


def _address_bits(request: SizingRequest, wide: bool) -> int:
    largest = _ADDRESS_BITS if wide else _HASH_4K_ADDRESS_BITS
    bits = request.physical_address_bits or largest
    if not 36 <= bits <= largest:
        raise InputError(f"36 to {largest} address bits", got=bits, path="machine.physical_address_bits")
    return bits


def _memory_block_size(request: SizingRequest) -> int:
    forced = request.memory_block_size
    if forced is None:
        return probe_memory_block_size([size for _, size in request.memory])
    if not is_power_of_two(forced) or not _SECTION_SIZE <= forced <= _LARGEST_FORCED:
        expected = f"a power of two from 16M (the LMB size) to {format_size(_LARGEST_FORCED)}"
        raise InputError(expected, got=format_size(forced), path="machine.memory_block_size")
    return forced


def probe_memory_block_size(sizes: list[int]) -> int:
    """Return the memory block size in bytes that follows from the sizes of the boot memory nodes.

    It begins at 1 GiB and is divided by four, down to 16 MiB, while a node's size has the block's
    bit set: a test of a single bit, not of divisibility.

    >>> [probe_memory_block_size([size << 20]) >> 20 for size in (2048, 3072, 1280)]
    [1024, 256, 64]

    Models: arch/powerpc/mm/init_64.c:probe_memory_block_size() (v6.12), without
    ibm,dynamic-reconfiguration-memory.
    """
    block = _LARGEST_BLOCK
    for size in sizes:
        while block > _SECTION_SIZE and size & block:
            block >>= 2
    return block
