"""Sections, memory blocks and address bits of s390."""

from __future__ import annotations

from memhotplug.plugin import Geometry, InputError, SizingRequest, format_size, is_power_of_two

__all__ = ["SEGMENT_SIZE", "geometry_for"]

SEGMENT_SIZE = 1 << 20
"""Bytes that one segment table entry maps (EDAT1)."""

_PAGE_SIZE = 4 << 10
_OLD_SECTION_SIZE = 256 << 20
_SECTION_SIZE = 128 << 20  # since v6.14
_DEFAULT_BITS = 46  # CONFIG_MAX_PHYSMEM_BITS
_BITS = range(42, 54)
_LARGEST_BLOCK = 1 << 41  # what 42 address bits, the fewest, can still hold


def geometry_for(request: SizingRequest) -> Geometry:
    """Return the sizes of a machine.

    Raises:
        InputError: a page, block or increment size, or a number of address bits, that s390 does not have.
    """
    if request.page_size not in (None, _PAGE_SIZE):
        raise InputError(
            "4K, the only page size of s390", got=format_size(request.page_size or 0), path="machine.page_size"
        )
    bits = request.physical_address_bits or _DEFAULT_BITS
    if bits not in _BITS:
        raise InputError(f"{_BITS[0]} to {_BITS[-1]} address bits", got=bits, path="machine.physical_address_bits")
    section_size = _SECTION_SIZE if request.has("smaller_sections") else _OLD_SECTION_SIZE
    block_size = _memory_block_size(request, section_size)
    return Geometry(
        page_size=_PAGE_SIZE,
        section_size=section_size,
        memory_block_size=block_size,
        pageblock_order=8,
        max_order=10,
        pmd_size=SEGMENT_SIZE,
        physical_address_bits=bits,
        increment_size=_increment(request) or block_size,
    )


def _increment(request: SizingRequest) -> int | None:
    value = request.options.get("rzm")
    return value if isinstance(value, int) else None


def _memory_block_size(request: SizingRequest, section_size: int) -> int:
    """Return the larger of a section and a storage increment, in bytes.

    Models: arch/s390/mm/init.c:memory_block_size_bytes() (v5.2 to v6.12).
    """
    rzm, asked = _increment(request), request.memory_block_size
    if rzm is not None and not (is_power_of_two(rzm) and rzm >= SEGMENT_SIZE):
        raise InputError("a power of two of at least 1M", got=format_size(rzm), path="machine.rzm")
    if rzm is None and asked is not None and is_power_of_two(asked) and section_size <= asked <= _LARGEST_BLOCK:
        return asked  # as if the increment had that size
    probed = max(section_size, rzm or 0)
    if asked not in (None, probed):
        raise InputError(
            f"{format_size(probed)}: a memory block of s390 is the larger of a section and an increment (rzm)"
            if rzm is not None
            else f"a power of two from {format_size(section_size)} to {format_size(_LARGEST_BLOCK)}",
            got=format_size(asked or 0),
            path="machine.memory_block_size",
        )
    return probed
