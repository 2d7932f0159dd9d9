"""Pages, sections, address bits and page table levels of riscv64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memhotplug.plugin import Geometry, InputError, Kernel, SizingRequest, format_size

__all__ = ["BASE", "Riscv64Geometry", "geometry_for", "layout"]

BASE: Final = 2 << 30
"""Physical address in bytes at which memory begins, as on QEMU's virt machine."""

_HOTPLUG: Final = (6, 11)  # arch/riscv/Kconfig:ARCH_ENABLE_MEMORY_HOTPLUG
_PAGE_SIZE: Final = 4 << 10
_SECTION_SIZE: Final = 128 << 20  # arch/riscv/include/asm/sparsemem.h:SECTION_SIZE_BITS
_PMD_SIZE: Final = 2 << 20
_PA_BITS: Final = 56  # arch/riscv/Kconfig:PA_BITS, which is MAX_PHYSMEM_BITS
_FEWEST_BITS: Final = 34

# Models: arch/riscv/include/asm/page.h:PAGE_OFFSET_L3 to _L5 and asm/kasan.h:KASAN_SHADOW_START (v6.12),
# between which the direct map lies: arch/riscv/mm/init.c:arch_get_mappable_range().
_MAPPABLE: Final[Mapping[int, int]] = {3: 132 << 30, 4: 64 << 40, 5: 127 << 48}


@dataclass(frozen=True, kw_only=True, slots=True)
class Riscv64Geometry(Geometry):
    """The sizes of a riscv64 machine.

    Attributes:
        levels: levels of page tables: 3 (Sv39), 4 (Sv48) or 5 (Sv57).
        mappable_end: first byte that the direct map cannot reach.
    """

    levels: int = 5
    mappable_end: int = BASE + _MAPPABLE[5]


def layout(kernel: Kernel) -> Riscv64Geometry:
    """Return a machine's sizes with what only riscv64 has."""
    geometry = kernel.geometry
    if not isinstance(geometry, Riscv64Geometry):
        raise TypeError("the machine's geometry does not come from this plugin's page_sizing")
    return geometry


def geometry_for(request: SizingRequest) -> Riscv64Geometry:
    """Return the sizes of a machine.

    Raises:
        InputError: a kernel without memory hotplug, or a size that riscv64 does not have.
    """
    if request.version < _HOTPLUG:
        got = "{}.{}".format(*request.version)
        raise InputError("Linux 6.11 or later, which can hot-add on riscv64", got=got, path="machine.kernel")
    if request.page_size not in (None, _PAGE_SIZE):
        raise InputError(
            "4K, the only page size of riscv64", got=format_size(request.page_size or 0), path="machine.page_size"
        )
    if request.memory_block_size not in (None, _SECTION_SIZE):
        raise InputError(
            "128M: a memory block of riscv64 is one section",
            got=format_size(request.memory_block_size or 0),
            path="machine.memory_block_size",
        )
    bits = request.physical_address_bits or _PA_BITS
    if not _FEWEST_BITS <= bits <= _PA_BITS:
        raise InputError(f"{_FEWEST_BITS} to {_PA_BITS} address bits", got=bits, path="machine.physical_address_bits")
    levels = _levels(request.cmdline)
    return Riscv64Geometry(
        page_size=_PAGE_SIZE,
        section_size=_SECTION_SIZE,
        memory_block_size=_SECTION_SIZE,
        pageblock_order=9,
        max_order=10,
        pmd_size=_PMD_SIZE,
        physical_address_bits=bits,
        hotplug_base=BASE,
        levels=levels,
        mappable_end=BASE + _MAPPABLE[levels],
    )


def _levels(cmdline: Mapping[str, str]) -> int:
    """Models: arch/riscv/kernel/pi/cmdline_early.c:match_noXlvl(); the hardware is taken to have Sv57."""
    if "no4lvl" in cmdline:
        return 3
    return 4 if "no5lvl" in cmdline else 5
