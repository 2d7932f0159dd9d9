"""cxl_region: the extents of a CXL region as memory, through a dax device that kmem drives.

Models: drivers/dax/cxl.c:cxl_dax_region_probe() (v6.8 to v6.12), drivers/dax/kmem.c:dev_dax_kmem_probe().
Simplified: an extent that is not made of whole memory blocks is refused (kernel: trimmed).
What the kernel does not do is a key of its own, off by default: ``atomic``, ``host_from``, ``locked``.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import (
    AddRequest,
    DriverTraits,
    Kernel,
    KeySpec,
    MemoryHotplugError,
    PhysRange,
    format_size,
    hookimpl,
    models,
)
from memhotplug_cxl.extents import add_all_or_none, add_what_can_be, release
from memhotplug_cxl.lock import memory_notify

__all__ = ["driver_add", "driver_eject", "driver_keys", "driver_ranges", "driver_traits", "memory_notify", "mhp_flags"]

_ATTRIBUTE = (6, 8)  # dev_dax_data.memmap_on_memory


@hookimpl
def driver_traits() -> DriverTraits:
    """CXL is wherever PCIe is; its windows are in /proc/iomem."""
    return DriverTraits(windows=("CXL Window",))


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """What a region says of itself, beside size, address and node."""
    return {
        "extents": KeySpec("size_list", "sizes of the region's extents, ascending in memory", replaces_size=True),
        "gap": KeySpec("size", "bytes between two extents; default none", minimum=0),
        "memmap_on_memory": KeySpec("bool", "the dax device's attribute memmap_on_memory; default true"),
        "host_from": KeySpec("size", "only extents of at least this size host their memmap", minimum=0),
        "atomic": KeySpec("bool", "whether all extents are added or none; default false: what can be is"),
        "locked": KeySpec("bool", "whether the device is locked, so that no block of it goes online; default false"),
    }


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """One range an extent; the node is the firmware's, else the one whose span holds the first address.

    Raises:
        MemoryHotplugError: EINVAL, an extent or a gap is not made of whole memory blocks.
    """
    block = kernel.geometry.memory_block_size
    sizes = request.options.get("extents") or (request.size,)
    gap = request.options.get("gap", 0)
    assert isinstance(sizes, tuple)
    assert isinstance(gap, int)
    for size in (*sizes, gap):
        if size % block:
            raise MemoryHotplugError(errno.EINVAL, f"{format_size(size)} is not made of blocks of {format_size(block)}")
    start = kernel.state.first_free_address(request.size) if request.address is None else request.address
    nid = kernel.node_of_address(start) if request.nid is None else request.nid
    ranges = []
    for size in sizes:
        ranges.append(PhysRange(start=start, size=size, nid=nid))
        start += size + gap
    return ranges


@models("drivers/dax/kmem.c:dev_dax_kmem_probe() (v6.8)")
@hookimpl
def mhp_flags(kernel: Kernel, request: AddRequest, phys_range: PhysRange) -> int:
    """MHP_MEMMAP_ON_MEMORY as the attribute says, but for extents that are too small; always the memory group.

    Models: drivers/dax/kmem.c:dev_dax_kmem_probe() (v6.8): MHP_NID_IS_MGID, and the attribute's flag.
    """
    flags = kernel.flag("MHP_NID_IS_MGID")
    host_from = request.options.get("host_from", 0)
    assert isinstance(host_from, int)
    hosts = request.options.get("memmap_on_memory", True) and phys_range.size >= host_from
    if hosts and kernel.version >= _ATTRIBUTE:
        flags |= kernel.flag("on_memory")
    return flags


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Register the memory group and add the extents."""
    pages = sum(phys_range.size for phys_range in ranges) // kernel.geometry.page_size
    nid = ranges[0].nid
    kernel.register_group(request, 0 if nid is None else nid, max_pages=pages)
    add = add_all_or_none if request.options.get("atomic") else add_what_can_be
    return add(kernel, request, ranges)


@hookimpl
def driver_eject(kernel: Kernel, name: str) -> str | None:
    """Release the extents, the highest first."""
    return release(kernel, name)
