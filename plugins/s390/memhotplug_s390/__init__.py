"""s390: sizes, zones, identity mapping and vmemmap."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import (
    ArchTraits,
    Geometry,
    Kernel,
    KeySpec,
    MemoryEvent,
    MemoryHotplugError,
    MemoryNotify,
    SizingRequest,
    ZoneKind,
    ZoneLimit,
    hookimpl,
    models,
    parse_size,
)
from memhotplug_s390.mapping import (
    arch_add_memory,
    arch_remove_memory,
    create_mapping,
    vmemmap_free,
    vmemmap_populate,
)
from memhotplug_s390.sizes import SEGMENT_SIZE, geometry_for

__all__ = [
    "altmap_serves",
    "arch_add_memory",
    "arch_remove_memory",
    "arch_report_meminfo",
    "arch_traits",
    "boot_base",
    "create_mapping",
    "machine_keys",
    "memory_notify",
    "page_sizing",
    "supports_memmap_on_memory",
    "vmemmap_free",
    "vmemmap_populate",
    "zone_limits",
]


@hookimpl
def arch_traits() -> ArchTraits:
    """Leaves of 2 GiB in the direct map, and a sign of its kernel logs."""
    return ArchTraits(
        aliases=("s390x",),
        drivers=("sclp",),
        resident=("sclp",),
        largest_leaf=2 << 30,
        config={"ZONE_DEVICE": (6, 13), "CMA": (0, 0)},
        log_signs=(
            r"\bKrnl PSW : ",
            r"\[<0000[0-9a-f]{12}>\]",
            r"\b__s390x?_sys_",
            r"\bHardware name: IBM \d{4} \w+ \w+ \((?:LPAR|z/VM|KVM)",
        ),
    )


@hookimpl
def machine_keys() -> Mapping[str, KeySpec]:
    """The increment is what the service processor says; without it, it is as large as a memory block."""
    return {"rzm": KeySpec("size", "the increment of standby memory", power_of_two=True)}


@hookimpl
def page_sizing(request: SizingRequest) -> Geometry:
    """Return the sizes of an s390 machine."""
    return geometry_for(request)


@hookimpl
def zone_limits(geometry: Geometry) -> Sequence[ZoneLimit]:
    """DMA below 2 GiB, Normal above. Models: arch/s390/mm/init.c:paging_init() (v5.2)."""
    return (
        ZoneLimit(kind=ZoneKind.DMA, end_pfn=geometry.pfn(2 << 30)),
        ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=geometry.end_pfn),
    )


@hookimpl
def boot_base(geometry: Geometry) -> int:
    """Boot memory begins at address 0."""
    return 0


@models("mm/memory_hotplug.c:arch_supports_memmap_on_memory() (v6.8)")
@hookimpl
def supports_memmap_on_memory(kernel: Kernel, memmap_bytes: int) -> bool:
    """Return whether the memmap fills whole segments; never before v6.8.

    Models: mm/memory_hotplug.c:arch_supports_memmap_on_memory() (v6.8).
    """
    return kernel.has("inaccessible_altmap") and memmap_bytes % SEGMENT_SIZE == 0


@hookimpl
def altmap_serves(kernel: Kernel) -> bool:
    """Never before v6.8, when arch_add_memory() refuses an altmap."""
    return kernel.has("inaccessible_altmap")


@hookimpl
def memory_notify(kernel: Kernel, notify: MemoryNotify) -> None:
    """Refuse to offline what a crash kernel is swapped with: as much memory from 0 on as it has.

    Models: arch/s390/kernel/setup.c:kdump_mem_notifier() (v5.2 to v6.12): NOTIFY_BAD is EPERM. Simplified:
    only crashkernel=SIZE, whose own memory is not set aside.
    """
    if notify.event is not MemoryEvent.MEM_GOING_OFFLINE or "crashkernel" not in kernel.params:
        return
    try:
        size = parse_size(kernel.params["crashkernel"].partition("@")[0])
    except ValueError:
        return
    if notify.start_pfn < kernel.geometry.pfn(size):
        raise MemoryHotplugError(errno.EPERM, "the range is kept for a crash kernel")


@hookimpl
def arch_report_meminfo(kernel: Kernel) -> str:
    """Return how much is mapped by leaves of each size. Models: arch/s390/mm/pageattr.c:arch_report_meminfo() (v6.12).

    Simplified: all leaves of the identity mapping have 1 MiB.
    """
    kilobytes = kernel.state.sections.total * kernel.geometry.page_size >> 10
    return f"DirectMap4k:    {0:8} kB\nDirectMap1M:    {kilobytes:8} kB\nDirectMap2G:    {0:8} kB\n"
