"""powerpc, book3s64: sizes, MMU, zones, linear map and vmemmap."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import ArchTraits, Geometry, Kernel, SizingRequest, ZoneKind, ZoneLimit, hookimpl, models
from memhotplug_powerpc.linear import arch_add_memory, arch_remove_memory, create_mapping
from memhotplug_powerpc.mapping import altmap_serves, layout, vmemmap_free, vmemmap_populate
from memhotplug_powerpc.sizes import geometry_for

__all__ = [
    "altmap_serves",
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
    """Pages of two sizes, and two MMUs, of which the command line chooses one."""
    return ArchTraits(
        aliases=("ppc64le", "ppc64el", "powerpc64le", "ppc64"),
        drivers=("pseries",),
        page_sizes=(64 << 10, 4 << 10),
        mmus={"radix": "", "hash": "disable_radix"},
        config={
            "NUMA": (0, 0),
            "ZONE_DEVICE": (6, 2),
            "MEMORY_FAILURE": (0, 0),
            "NUMA_BALANCING": (0, 0),
            "HUGETLB_PAGE": (0, 0),
            "CMA": (0, 0),
        },
        log_signs=(
            r"\bNIP:? +\[?[0-9a-f]{16}",
            r"\A *\[?c000[0-9a-f]{12}\] ",
            r"\bsystem_call_(?:exception|vectored_common)\b",
            r"\bHardware name: .*\b(?:pSeries|PowerNV)\b",
        ),
    )


@hookimpl
def page_sizing(request: SizingRequest) -> Geometry:
    """Return the sizes of a powerpc machine."""
    return geometry_for(request)


@hookimpl
def zone_limits(geometry: Geometry) -> Sequence[ZoneLimit]:
    """All memory is Normal. Models: arch/powerpc/mm/mem.c:paging_init() without ZONE_DMA."""
    return (ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=geometry.end_pfn),)


@hookimpl
def boot_base(geometry: Geometry) -> int:
    """Boot memory begins at address 0."""
    return 0


@models("arch/powerpc/include/asm/pgtable.h:arch_supports_memmap_on_memory() (v6.6)")
@hookimpl
def supports_memmap_on_memory(kernel: Kernel, memmap_bytes: int) -> bool:
    """Return whether a block may host its memmap: never with the hash MMU, always with 64K pages.

    Models: arch/powerpc/include/asm/pgtable.h:arch_supports_memmap_on_memory() (v6.6); from v5.13 to
    v6.5 the architecture did not take part at all. The MMU is only known at boot, the parameter is built in.
    """
    if kernel.has("self_hosting") and not kernel.has("radix_vmemmap"):
        return False
    if not layout(kernel).radix:
        return memmap_bytes == 0
    return kernel.geometry.page_size != 4 << 10 or memmap_bytes % kernel.geometry.pmd_size == 0


@hookimpl
def arch_report_meminfo(kernel: Kernel) -> str:
    """Return how much is mapped by leaves of each size, which only the radix MMU counts.

    Models: arch/powerpc/mm/book3s64/pgtable.c:arch_report_meminfo() (v6.12). Simplified: all leaves have 2 MiB.
    """
    if not layout(kernel).radix:
        return ""
    kilobytes = kernel.state.sections.total * kernel.geometry.page_size >> 10
    return (
        f"DirectMap4k:    {0:8} kB\nDirectMap64k:    {0:8} kB\n"
        f"DirectMap2M:    {kilobytes:8} kB\nDirectMap1G:    {0:8} kB\n"
    )
