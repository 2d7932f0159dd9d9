"""Pages, sections, memory blocks, address bits and zones of arm64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from memhotplug.plugin import Geometry, InputError, SizingRequest, ZoneKind, ZoneLimit, format_size

__all__ = ["BOOT_BASE", "Arm64Geometry", "geometry_for", "zones_of"]

BOOT_BASE: Final = 0x4000_0000
"""Physical address in bytes at which boot memory begins, as on QEMU's virt machine."""

_LARGEST_BITS = 52  # CONFIG_ARM64_PA_BITS_52
_DEFAULT_BITS = 48
_DMA32_END = 4 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm64Geometry(Geometry):
    """The sizes of an arm64 machine.

    Attributes:
        dma_end: first byte behind zone DMA, 0 for kernels without that zone.
    """

    dma_end: int = 0


class _Granule(NamedTuple):
    """What follows from the page size: all orders inclusive, sizes in bytes."""

    max_order: int
    pageblock_order: int
    pmd_size: int
    section_size: int


# Models: arch/arm64/Kconfig:FORCE_MAX_ZONEORDER (v5.2, exclusive: 11, 12, 14) and
# ARCH_FORCE_MAX_ORDER (v6.12, inclusive); arch/arm64/include/asm/sparsemem.h (v5.12).
_GRANULES: Final[Mapping[int, _Granule]] = {
    4 << 10: _Granule(10, 9, 2 << 20, 128 << 20),
    16 << 10: _Granule(11, 11, 32 << 20, 128 << 20),
    64 << 10: _Granule(13, 13, 512 << 20, 512 << 20),
}
_OLD_SECTION_SIZE = 1 << 30  # SECTION_SIZE_BITS was 30 for every page size before v5.12


def geometry_for(request: SizingRequest) -> Arm64Geometry:
    """Return the sizes of a machine.

    Raises:
        InputError: a page or block size, or a number of address bits, that arm64 does not have.
    """
    page_size = request.page_size or 4 << 10
    granule = _GRANULES.get(page_size)
    if granule is None:
        raise InputError(
            "4K, 16K or 64K, the page sizes of arm64", got=format_size(page_size), path="machine.page_size"
        )
    section_size = granule.section_size if request.has("sections_by_granule") else _OLD_SECTION_SIZE
    if request.memory_block_size not in (None, section_size):
        raise InputError(
            f"{format_size(section_size)}: a memory block of arm64 is one section",
            got=format_size(request.memory_block_size or 0),
            path="machine.memory_block_size",
        )
    bits = request.physical_address_bits or _DEFAULT_BITS
    if not 36 <= bits <= _LARGEST_BITS:
        raise InputError(f"36 to {_LARGEST_BITS} address bits", got=bits, path="machine.physical_address_bits")
    return Arm64Geometry(
        page_size=page_size,
        section_size=section_size,
        memory_block_size=section_size,
        pageblock_order=granule.pageblock_order,
        max_order=granule.max_order,
        pmd_size=granule.pmd_size,
        physical_address_bits=bits,
        hotplug_base=BOOT_BASE,
        dma_end=_dma_end(request),
    )


def _dma_end(request: SizingRequest) -> int:
    """Return the first byte behind zone DMA, 0 without the zone; no device asks for a smaller limit.

    Models: arch/arm64/mm/init.c:max_zone_phys(): 30 bits above the start of memory from v5.5 to
    v5.10, the devices' limit since v5.11.
    """
    if not request.has("dma_zone_of_30_bits"):
        return 0
    return _DMA32_END if request.has("dma_zone_by_devices") else BOOT_BASE + (1 << 30)


def zones_of(geometry: Geometry) -> Sequence[ZoneLimit]:
    """Return the kernel zones; DMA32 is empty where DMA reaches to 4 GiB already.

    Models: arch/arm64/mm/init.c:zone_sizes_init().
    """
    limits = [
        ZoneLimit(kind=ZoneKind.DMA32, end_pfn=geometry.pfn(_DMA32_END)),
        ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=geometry.end_pfn),
    ]
    if isinstance(geometry, Arm64Geometry) and geometry.dma_end:
        limits.insert(0, ZoneLimit(kind=ZoneKind.DMA, end_pfn=geometry.pfn(geometry.dma_end)))
    return limits
