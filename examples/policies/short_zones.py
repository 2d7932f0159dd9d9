"""Added memory hosts its own memmap only while the kernel zones are short of memory.

The question: a memmap from the page allocator leaves the new memory whole (1 GiB pages, blocks without holes), as
long as the machine can afford it; when it cannot, the add must not fail for want of it.
"""

from memhotplug.plugin import AddRequest, Kernel, PhysRange, ZoneKind, hookimpl

SHARE = 2
"""The memmap may take at most 1/SHARE of what the kernel zones have free above their low watermarks."""


@hookimpl
def policy_mhp_flags(kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
    """Self-host if the memmap would take too much of what is free."""
    zones = [zone for zone in kernel.state.zones() if zone.kind <= ZoneKind.NORMAL]
    spare = sum(max(zone.free.total - zone.wmark[1], 0) for zone in zones)
    needed = kernel.geometry.pfn(phys_range.size) // kernel.geometry.described_per_page
    hosting = kernel.flag("on_memory") or kernel.flag("memblock")
    return driver_flags | hosting if needed * SHARE > spare else driver_flags & ~hosting
