"""riscv64: sizes, zones, direct map and vmemmap of 64-bit RISC-V, since memory hotplug came to it."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import ArchTraits, Geometry, Kernel, SizingRequest, ZoneKind, ZoneLimit, hookimpl, models
from memhotplug_riscv64.mapping import (
    arch_add_memory,
    arch_remove_memory,
    create_mapping,
    vmemmap_free,
    vmemmap_populate,
)
from memhotplug_riscv64.sizes import BASE, geometry_for

__all__ = [
    "arch_add_memory",
    "arch_remove_memory",
    "arch_traits",
    "boot_base",
    "create_mapping",
    "page_sizing",
    "supports_memmap_on_memory",
    "vmemmap_free",
    "vmemmap_populate",
    "zone_limits",
]

_DMA32_END = 4 << 30


@hookimpl
def arch_traits() -> ArchTraits:
    """Who adds memory here, and how large a leaf of the direct map may be.

    Models: drivers/virtio/Kconfig:VIRTIO_MEM (v6.11), which has riscv64 since it can hot-add.
    """
    return ArchTraits(aliases=("riscv", "rv64"), drivers=("virtio_mem", "dax", "acpi"), largest_leaf=512 << 30)


@hookimpl
def page_sizing(request: SizingRequest) -> Geometry:
    """Return the sizes of a riscv64 machine."""
    return geometry_for(request)


@hookimpl
def zone_limits(geometry: Geometry) -> Sequence[ZoneLimit]:
    """DMA32 below 4 GiB, Normal above. Models: arch/riscv/mm/init.c:zone_sizes_init() (v6.12)."""
    return (
        ZoneLimit(kind=ZoneKind.DMA32, end_pfn=geometry.pfn(_DMA32_END)),
        ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=geometry.end_pfn),
    )


@hookimpl
def boot_base() -> int:
    """Boot memory begins at 2 GiB."""
    return BASE


@models("mm/memory_hotplug.c:arch_supports_memmap_on_memory() (v6.12)")
@hookimpl
def supports_memmap_on_memory(kernel: Kernel, memmap_bytes: int) -> bool:
    """Return whether the memmap fills whole 2 MiB leaves.

    riscv64 selects ARCH_MHP_MEMMAP_ON_MEMORY_ENABLE and has no rule of its own.

    Models: mm/memory_hotplug.c:arch_supports_memmap_on_memory() (v6.12); arch/riscv/Kconfig.
    """
    return memmap_bytes % kernel.geometry.pmd_size == 0
