"""arm64: sizes, zones, direct map, vmemmap, and the veto on boot memory."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from memhotplug.plugin import (
    ArchTraits,
    Geometry,
    Kernel,
    MemoryEvent,
    MemoryHotplugError,
    MemoryNotify,
    SizingRequest,
    ZoneLimit,
    hookimpl,
    models,
)
from memhotplug_arm64.mapping import (
    altmap_serves,
    arch_add_memory,
    arch_remove_memory,
    create_mapping,
    vmemmap_free,
    vmemmap_populate,
)
from memhotplug_arm64.sizes import BOOT_BASE, geometry_for, zones_of

__all__ = [
    "altmap_serves",
    "arch_add_memory",
    "arch_remove_memory",
    "arch_traits",
    "boot_base",
    "create_mapping",
    "memory_notify",
    "page_sizing",
    "supports_memmap_on_memory",
    "vmemmap_free",
    "vmemmap_populate",
    "zone_limits",
]


@hookimpl
def arch_traits() -> ArchTraits:
    """Pages of three sizes, and a sign of its kernel logs."""
    return ArchTraits(
        aliases=("aarch64",),
        drivers=("acpi",),
        page_sizes=(4 << 10, 16 << 10, 64 << 10),
        config={
            "NUMA": (0, 0),
            "ZONE_DEVICE": (6, 2),
            "MEMORY_FAILURE": (0, 0),
            "NUMA_BALANCING": (0, 0),
            "HUGETLB_PAGE": (0, 0),
            "CMA": (0, 0),
        },
        log_signs=(r"\bpstate: [0-9a-f]{8}", r"\A *Call trace:", r"\bel[01]h?t?_64_sync", r"\b__arm64_sys_"),
    )


@hookimpl
def page_sizing(request: SizingRequest) -> Geometry:
    """Return the sizes of an arm64 machine."""
    return geometry_for(request)


@hookimpl
def zone_limits(geometry: Geometry) -> Sequence[ZoneLimit]:
    """DMA (since v5.5) and DMA32 below 4 GiB, Normal above."""
    return zones_of(geometry)


@hookimpl
def boot_base(geometry: Geometry) -> int:
    """Boot memory begins at 1 GiB."""
    return BOOT_BASE


@models("mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12)")
@hookimpl
def supports_memmap_on_memory(kernel: Kernel, memmap_bytes: int) -> bool:
    """Return whether the memmap fills whole PMD leaves.

    Models: mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12).
    """
    return memmap_bytes % kernel.geometry.pmd_size == 0


@hookimpl
def memory_notify(kernel: Kernel, notify: MemoryNotify) -> None:
    """Refuse to offline boot memory.

    Models: arch/arm64/mm/mmu.c:prevent_bootmem_remove_notifier() (v5.7): NOTIFY_BAD is EPERM.
    """
    if not kernel.has("hot_remove") or notify.event is not MemoryEvent.MEM_GOING_OFFLINE:
        return
    if kernel.state.early.intersects(notify.start_pfn, notify.start_pfn + notify.nr_pages):
        raise MemoryHotplugError(errno.EPERM, "boot memory of arm64 cannot be taken offline")
