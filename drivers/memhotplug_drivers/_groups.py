"""Memory groups of the drivers whose devices come and go as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import AddRequest, Kernel, PhysRange

__all__ = ["numa_off", "register_static_group"]


def numa_off(kernel: Kernel) -> bool:
    """Return whether the command line turns NUMA off: what the firmware says about nodes counts for nothing then.

    Models: arch/x86/mm/numa.c:numa_setup(), drivers/base/arch_numa.c:numa_parse_early_param(),
    arch/powerpc/mm/numa.c:early_numa() (v5.2 to v6.12).
    """
    return kernel.params.get("numa", "").startswith("off")


def register_static_group(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> None:
    """Make the device one static memory group, where it knows its node and the kernel has groups.

    Models: drivers/base/memory.c:memory_group_register_static() (v5.15).
    """
    if not kernel.has("memory_groups"):
        return
    nid = ranges[0].nid
    if nid is not None:
        pages = sum(kernel.geometry.pfn(phys_range.size) for phys_range in ranges)
        kernel.register_group(request, nid, max_pages=pages)
