"""x86_64: sizes, zones, direct map and vmemmap."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import ArchTraits, Geometry, Kernel, SizingRequest, ZoneKind, ZoneLimit, hookimpl, models
from memhotplug_x86_64.mapping import (
    arch_add_memory,
    arch_remove_memory,
    create_mapping,
    vmemmap_free,
    vmemmap_populate,
)
from memhotplug_x86_64.sizes import HOLE_END, geometry_for

__all__ = [
    "arch_add_memory",
    "arch_remove_memory",
    "arch_report_meminfo",
    "arch_traits",
    "boot_base",
    "create_mapping",
    "page_sizing",
    "supports_memmap_on_memory",
    "vmemmap_free",
    "vmemmap_populate",
    "zone_limits",
]


@hookimpl
def arch_traits() -> ArchTraits:
    """Zones end where they do on every PC, and the video memory and ROMs below 1 MiB are memory on none;
    firmware keeps page 0 and the EBDA too.

    Models: arch/x86/mm/init.c:zone_sizes_init(), arch/x86/kernel/setup.c:trim_bios_range() (v5.2).
    """
    return ArchTraits(
        aliases=("amd64", "x86-64", "x64"),
        drivers=("acpi",),
        zones=(("DMA", 0, 16 << 20), ("DMA32", 16 << 20, 4 << 30), ("Normal", 4 << 30, 1 << 64)),
        boot_holes=((0xA0000, 0x100000),),
        firmware_holes=((0, 0x1000), (0x9F000, 0x100000)),
        hole_end=HOLE_END,
        config={
            "NUMA": (0, 0),
            "ZONE_DEVICE": (0, 0),
            "MEMORY_FAILURE": (0, 0),
            "NUMA_BALANCING": (0, 0),
            "HUGETLB_PAGE": (0, 0),
            "UNACCEPTED_MEMORY": (6, 5),
            "CMA": (7, 0),
            "CRASH_HOTPLUG": (6, 6),
        },
        log_signs=(r"RIP: 00[0-9a-f]{2}:", r"\bentry_SYSCALL_64", r"\bx64_sys_call\b", r"\b__x64_sys_"),
        is_assumed=True,
    )


@hookimpl
def page_sizing(request: SizingRequest) -> Geometry:
    """Return the sizes of an x86_64 machine."""
    return geometry_for(request)


@hookimpl
def zone_limits(geometry: Geometry) -> Sequence[ZoneLimit]:
    """DMA below 16 MiB, DMA32 below 4 GiB. Models: arch/x86/mm/init.c:zone_sizes_init() (v5.2)."""
    return (
        ZoneLimit(kind=ZoneKind.DMA, end_pfn=geometry.pfn(16 << 20)),
        ZoneLimit(kind=ZoneKind.DMA32, end_pfn=geometry.pfn(4 << 30)),
        ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=geometry.end_pfn),
    )


@hookimpl
def boot_base(geometry: Geometry) -> int:
    """Boot memory begins at address 0."""
    return 0


@models("mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12)")
@hookimpl
def supports_memmap_on_memory(memmap_bytes: int) -> bool:
    """Return whether the memmap fills whole PMD leaves.

    Models: mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12).
    """
    return memmap_bytes % (2 << 20) == 0


@hookimpl
def arch_report_meminfo(kernel: Kernel) -> str:
    """Return how much is mapped by 4 KiB and by 2 MiB leaves. Models: arch/x86/mm/pat/set_memory.c (v6.12).

    Simplified: all of the direct map has large leaves, none of which was ever split.
    """
    kilobytes = kernel.state.sections.total * kernel.geometry.page_size >> 10
    return f"DirectMap4k:    {0:8} kB\nDirectMap2M:    {kilobytes:8} kB\n"
