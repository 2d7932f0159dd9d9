"""dax/kmem: the range of a device-dax instance as memory, trimmed to whole memory blocks.

The driver first reserves the trimmed range under the device's own name, so a range that somebody
has is EBUSY before add_memory() is called. What add_memory() then puts inside that reservation is
what this model shows in iomem: ``System RAM``, since 5.8 ``System RAM (kmem)``.

Models: drivers/dax/kmem.c:dev_dax_kmem_probe(), dev_dax_kmem_remove() (v5.2 to v6.12); removal as of
v5.3, which the 2019 series sits right below. Simplified: the reservation itself is not kept as a parent.
The device stays when the driver leaves it, and shows below /sys/bus/dax.
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
    SysfsFile,
    format_blocks,
    format_range,
    format_size,
    hookimpl,
    models,
    remove_memory,
    round_down,
    round_up,
)
from memhotplug_drivers import _dax_instances as dax
from memhotplug_drivers._groups import register_static_group

__all__ = ["driver_add", "driver_eject", "driver_keys", "driver_ranges", "driver_traits", "mhp_flags", "sysfs_files"]

_REGIONS = ("cxl", "hmem", "pmem", "dynamic")
_MODES = ("system-ram", "devdax")


@models("drivers/dax/kmem.c:dev_dax_kmem_probe() (v5.2 to v6.12)")
@hookimpl
def driver_traits() -> DriverTraits:
    """Device-dax instances, which any architecture may have: they come from firmware, a CXL region or pmem."""
    return DriverTraits(
        aliases=("kmem", "device_dax", "dax_kmem", "cxl"),
        windows=("CXL Window", "Persistent Memory"),
        advising_windows=("CXL Window",),
        devices=(r"dax\d+\.\d+$",),
        static_group=True,
        managed_name="System RAM (kmem)",
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """An instance may have several ranges, and since 6.8 says itself whether it hosts its memmap."""
    return {
        "ranges": KeySpec("size_list", "sizes of the device's ranges, one after the other", replaces_size=True),
        "memmap_on_memory": KeySpec(
            "bool", "the device's attribute memmap_on_memory (Linux 6.8 and later); default true for a CXL region"
        ),
        "region": KeySpec("word", "what the device's region is; default dynamic", choices=_REGIONS),
        "mode": KeySpec(
            "word",
            "system-ram (default), or devdax: a character device, of which writes to /sys can make memory",
            choices=_MODES,
        ),
    }


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """Each range, its start rounded up and its end rounded down; empty ones are left out.

    All are on the device's target node; if the firmware names none, it is that of the first address.

    Raises:
        MemoryHotplugError: EINVAL no range holds a whole block, or the target node is negative;
            ENOENT the kernel has no attribute memmap_on_memory, EOPNOTSUPP it cannot be set;
            EEXIST the device is a character device already.
    """
    held = _instance(kernel, request.name)
    if held is not None and held.driver == dax.DEVDAX:
        raise MemoryHotplugError(errno.EEXIST, f"there is a character device {held.device} already")
    if request.nid is not None and request.nid < 0:
        raise MemoryHotplugError(errno.EINVAL, f"rejecting DAX region with invalid node: {request.nid}")
    _check_attribute(kernel, request)
    if request.options.get("mode") == "devdax":
        return ()
    block_size = kernel.geometry.memory_block_size
    nid = request.nid
    ranges = []
    for start, size in _untrimmed(kernel, request):
        low, high = round_up(start, block_size), round_down(start + size, block_size)
        if low < high:
            nid = kernel.node_of_address(low) if nid is None else nid
            ranges.append(PhysRange(start=low, size=high - low, nid=nid))
    if not ranges:
        error = MemoryHotplugError(errno.EINVAL, f"no range holds a whole memory block of {format_size(block_size)}")
        error.driver_result = _stranded(kernel, request, ranges)
        raise error
    return ranges


def _check_attribute(kernel: Kernel, request: AddRequest) -> None:
    """Refuse what a write to the device's attribute refuses. Models: drivers/dax/bus.c:memmap_on_memory_store()."""
    wanted = request.options.get("memmap_on_memory")
    if wanted is not None and not kernel.has("device_attribute"):
        raise MemoryHotplugError(errno.ENOENT, "a dax device has no attribute memmap_on_memory before Linux 6.8")
    held = _instance(kernel, request.name)
    if held is not None and held.driver is None and held.hosts == wanted:
        return  # it was written before, and is not written again
    rule = kernel.profile.memmap_on_memory_refusal(kernel) if wanted else None
    if rule is not None:
        raise MemoryHotplugError(errno.EOPNOTSUPP, f"memmap_on_memory: {rule}")


def _untrimmed(kernel: Kernel, request: AddRequest) -> list[tuple[int, int]]:
    """Return first byte and bytes of each range of the device."""
    told = request.options.get("ranges")
    sizes = told if isinstance(told, tuple) else (request.size,)
    start = request.address
    if start is None:
        start = kernel.state.first_free_address(sum(sizes))
    found = []
    for size in sizes:
        found.append((start, size))
        start += size
    return found


@models("drivers/dax/kmem.c:dev_dax_kmem_probe() (v5.2 to v6.12)")
@hookimpl
def mhp_flags(kernel: Kernel, request: AddRequest) -> int:
    """None in the 2019 series; MHP_NID_IS_MGID since 5.15, MHP_MEMMAP_ON_MEMORY since 6.8 if the attribute says so.

    The attribute is set for CXL regions to begin with, whether or not the kernel supports it then.
    """
    hosts = _hosts(kernel, request)
    flags = kernel.flag("on_memory") if hosts else 0
    if kernel.has("memory_groups"):
        flags |= kernel.flag("MHP_NID_IS_MGID")
    return flags


def _hosts(kernel: Kernel, request: AddRequest) -> bool:
    hosts = request.options.get("memmap_on_memory")
    if hosts is None:
        return request.options.get("region") == "cxl" and kernel.has("device_attribute")
    return bool(hosts)


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Add the ranges; the probe fails if the first cannot be had, later ones are skipped.

    Raises:
        MemoryHotplugError: EBUSY, somebody has the first range.
    """
    notes = []
    held = dax.new_instance(
        kernel, request, _untrimmed(kernel, request), hosts=_hosts(kernel, request), driver=dax.KMEM
    )
    if request.options.get("mode") == "devdax":
        dax.bound_to_devdax(kernel, held)
        return f"{held.device} is a character device of {format_size(held.size)}, and no memory"
    dax.put(kernel, held)
    lost = _stranded(kernel, request, ranges)
    register_static_group(kernel, request, ranges)
    mapped = 0
    for phys_range in ranges:
        try:
            _add(kernel, request, phys_range)
        except MemoryHotplugError as problem:
            where = format_range(phys_range.start, phys_range.size)
            if not mapped:
                dax.put(kernel, held._replace(driver=None))
                problem.driver_result = f"probe failed: {problem.name} for {where}"
                raise
            notes.append(f"{where} skipped ({problem.name}), and the probe succeeds")
            continue
        mapped += 1
    dax.put(kernel, held)
    return "; ".join([*([lost] if lost else []), *notes]) or None


def _add(kernel: Kernel, request: AddRequest, phys_range: PhysRange) -> None:
    taken = kernel.state.resources.overlapping(phys_range.start, phys_range.size)
    if taken:
        where = format_range(phys_range.start, phys_range.size)
        raise MemoryHotplugError(errno.EBUSY, f"could not reserve region {where}: {taken[0].name} has part of it")
    # Models: mm/memory_hotplug.c:add_memory_driver_managed() (v5.8).
    name = "System RAM (kmem)" if kernel.has("driver_managed_ram") else "System RAM"
    kernel.add_range(request, phys_range, name=name)


def _stranded(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Return what alignment costs, None if nothing."""
    lost = request.size - sum(phys_range.size for phys_range in ranges)
    if not lost:
        return None
    block_size = kernel.geometry.memory_block_size
    ids = format_blocks(
        block
        for phys_range in ranges
        for block in range(phys_range.start // block_size, (phys_range.start + phys_range.size) // block_size)
    )
    have = f"blocks {ids} ({format_size(request.size - lost)})" if ranges else "no block"
    unit = format_size(block_size)
    return f"{have} of {format_size(request.size)}; {format_size(lost)} stranded outside whole blocks of {unit}"


@hookimpl
def driver_eject(kernel: Kernel, name: str) -> str | None:
    """Unbind: remove every range; the driver offlines nothing, and there is no second try.

    Raises:
        MemoryHotplugError: EBUSY, some block is not offline, and its range stays until reboot;
            ENODEV, the driver was unbound before.
    """
    held = _instance(kernel, name)
    if held is not None and held.driver is None:
        raise MemoryHotplugError(errno.ENODEV, f"{name!r} is unbound; what could not be removed stays until reboot")
    if held is not None:
        dax.put(kernel, held._replace(driver=None))
    index = kernel.state.device_index(name)
    problem: MemoryHotplugError | None = None
    kept = 0
    for start, size in kernel.state.devices[index].ranges if index is not None else ():
        try:
            remove_memory(kernel, start, size)
        except MemoryHotplugError as refused:
            problem, kept = problem or refused, kept + size
    if problem is None:
        return None
    problem.driver_result = (
        f"unbound, but {format_size(kept)} cannot be hot-removed until the next reboot; "
        "the driver offlines nothing, so take all blocks offline first"
    )
    raise problem


def _instance(kernel: Kernel, name: str) -> dax.Instance | None:
    return next((item for item in dax.instances(kernel) if item.name == name), None)


@hookimpl
def sysfs_files(kernel: Kernel) -> Sequence[SysfsFile]:
    """The dax bus, its drivers and devices. Models: drivers/dax/bus.c (v5.1 to v6.12)."""
    from memhotplug_drivers import _dax_bus

    return list(_dax_bus.files(kernel, driver_eject))
