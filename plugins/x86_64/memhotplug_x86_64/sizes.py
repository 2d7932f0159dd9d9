"""Sections, memory blocks and address bits of x86_64."""

from __future__ import annotations

from memhotplug.plugin import Geometry, InputError, SizingRequest, format_size, is_power_of_two, parse_size

__all__ = ["HOLE_END", "geometry_for", "probe_memory_block_size"]

_PAGE_SIZE = 4 << 10
_SECTION_SIZE = 128 << 20  # arch/x86/include/asm/sparsemem.h:SECTION_SIZE_BITS
_PMD_SIZE = 2 << 20
HOLE_END = 4 << 30  # where the hole for PCI devices ends on every PC
_ADDRESS_BITS = 52  # MAX_PHYSMEM_BITS with 5-level paging
_LARGEST_FORCED = 64 << 30  # arch/x86/mm/init_64.c:set_memory_block_size_order()


def geometry_for(request: SizingRequest) -> Geometry:
    """Return the sizes of a machine.

    Raises:
        InputError: a page or block size, or a number of address bits, that x86_64 does not have.
    """
    if request.page_size not in (None, _PAGE_SIZE):
        got = format_size(request.page_size or 0)
        raise InputError("4K, the only page size of x86_64", got=got, path="machine.page_size")
    bits = request.physical_address_bits or _ADDRESS_BITS
    if not 32 <= bits <= _ADDRESS_BITS:
        raise InputError(f"32 to {_ADDRESS_BITS} address bits", got=bits, path="machine.physical_address_bits")
    return Geometry(
        page_size=_PAGE_SIZE,
        section_size=_SECTION_SIZE,
        memory_block_size=_memory_block_size(request),
        pageblock_order=9,
        max_order=10,
        pmd_size=_PMD_SIZE,
        physical_address_bits=bits,
        hotplug_base=4 << 30,
        hotplug_limit=_memory_limit(request) if request.has("mem_limits_hotplug") else None,
    )


def _memory_block_size(request: SizingRequest) -> int:
    forced = request.memory_block_size
    if forced is None:
        return probe_memory_block_size(
            _boot_end(request),
            bare_metal=not request.hypervisor and request.has("bare_metal_blocks"),
            advised=request.advised_block_size if request.has("advised_blocks") else None,
        )
    if not is_power_of_two(forced) or not _SECTION_SIZE <= forced <= _LARGEST_FORCED:
        raise InputError("a power of two from 128M to 64G", got=format_size(forced), path="machine.memory_block_size")
    return forced


def _boot_end(request: SizingRequest) -> int:
    """Return the first byte behind boot memory."""
    size = sum(size for _, size in request.memory)
    end = size + request.hole if size > HOLE_END - request.hole else size
    return min(end, _memory_limit(request) or end)


def _memory_limit(request: SizingRequest) -> int | None:
    """Return where mem= makes boot memory end; a word that is no size is refused elsewhere.

    Models: arch/x86/kernel/e820.c:parse_memopt() (v5.2).
    """
    try:
        return parse_size(request.cmdline.get("mem", ""))
    except ValueError:
        return None


def probe_memory_block_size(boot_end: int, *, bare_metal: bool, advised: int | None = None) -> int:
    """Return the memory block size in bytes that the kernel chooses.

    128 MiB below 64 GiB of boot memory; above it, on bare metal (since v5.10) 2 GiB, else the largest power of two up
    to 2 GiB that divides the end of boot memory. Where firmware advises a size (since v6.15), that one stands for the
    2 GiB, and the end of memory counts on bare metal too.

    Models: arch/x86/mm/init_64.c:probe_memory_block_size() (v5.2, v6.12, v6.15).
    """
    if boot_end < 64 << 30:
        return _SECTION_SIZE
    if bare_metal and advised is None:
        return 2 << 30
    size = max(min(advised or 2 << 30, 2 << 30), _SECTION_SIZE)
    while size > _SECTION_SIZE and boot_end % size:
        size >>= 1
    return size
