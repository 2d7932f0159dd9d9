"""acpi_memhotplug: DIMMs, one memory resource each as the firmware describes them.

Taking a device out is the core's default: two passes offline its blocks, then each range is removed.

Models: drivers/acpi/acpi_memhotplug.c:acpi_memory_enable_device(), acpi_memory_get_resource();
drivers/acpi/scan.c:acpi_scan_hot_remove() (v5.2 to v6.12). Simplified: all resources have the same
caching attributes, and blocks that were there already are not bound to the device.
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
from memhotplug_drivers._groups import numa_off, register_static_group

__all__ = ["driver_add", "driver_keys", "driver_ranges", "driver_traits", "mhp_flags"]


@models("drivers/acpi/Kconfig:ACPI_HOTPLUG_MEMORY (v5.2 to v6.12)")
@hookimpl
def driver_traits() -> DriverTraits:
    """Where firmware describes memory by ACPI."""
    return DriverTraits(
        qemu_devices={"pc-dimm": {"memdev": "size"}},
        aliases=("acpi_memhotplug",),
        static_group=True,
        arches={"arm64": (0, 0), "x86_64": (0, 0)},
        absence="its firmware does not describe memory by ACPI",
        boot_words=("acpi_no_memhotplug",),
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """A device may have several memory resources."""
    return {
        "resources": KeySpec(
            "size_list", "sizes of the device's memory resources, one after the other", replaces_size=True
        )
    }


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """Each memory resource of the device, whole.

    The node is the device's proximity domain; without one, or with ``numa=off``
    (drivers/acpi/numa/srat.c:acpi_map_pxm_to_node()), that of the first resource's address counts for
    all. Neighbouring resources become one range in mainline; the 2019 series describes one
    __add_memory() a resource, and its profile keeps them apart.

    Raises:
        MemoryHotplugError: ENODEV, the command line says acpi_no_memhotplug.
    """
    if "acpi_no_memhotplug" in kernel.params:
        raise MemoryHotplugError(errno.ENODEV, "acpi_no_memhotplug: the driver takes no memory device")
    sizes = _resources(request)
    start = kernel.state.first_free_address(sum(sizes)) if request.address is None else request.address
    nid = kernel.node_of_address(start) if request.nid is None or numa_off(kernel) else request.nid
    if kernel.has("merged_resources"):
        sizes = (sum(sizes),)
    ranges = []
    for size in sizes:
        ranges.append(PhysRange(start=start, size=size, nid=nid))
        start += size
    return ranges


def _resources(request: AddRequest) -> tuple[int, ...]:
    sizes = request.options.get("resources")
    return sizes if isinstance(sizes, tuple) else (request.size,)


@models("drivers/acpi/acpi_memhotplug.c:acpi_memory_enable_device()")
@hookimpl
def mhp_flags(kernel: Kernel, phys_range: PhysRange) -> int:
    """MHP_MEMMAP_DEVICE in the 2019 series, MHP_MEMMAP_ON_MEMORY in mainline.

    Up to 6.5 the driver asks mhp_supports_memmap_on_memory() for the very range first (v5.13); later
    kernels fall back by themselves. MHP_NID_IS_MGID since 5.15.
    """
    flags = kernel.flag("device")
    if (
        kernel.has("self_hosting_falls_back")
        or kernel.profile.memmap_on_memory_refusal(kernel, phys_range.size) is None
    ):
        flags |= kernel.flag("on_memory")
    if kernel.has("memory_groups"):
        flags |= kernel.flag("MHP_NID_IS_MGID")
    return flags


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Add every resource that can be added; the device works if one of them does.

    Memory that is there already (EEXIST) counts as enabled: firmware describes boot memory as
    devices too. Since 6.9 the news of a device has the whole bus scanned again, and so every device that failed
    before is tried once more, slot by slot, if it is still plugged in: so it is in a recorded machine, while a
    scenario's step that fails takes its device back (``failed_devices_stay``).

    Models: drivers/acpi/scan.c:acpi_scan_device_check(), acpi_scan_rescan_bus(), acpi_bus_scan() (v6.9 to v7.2).
    """
    waiting = [] if not kernel.has("bus_rescan") else _waiting(kernel, request.driver)
    slot = kernel.state.free_slot(request.driver)
    _try_again(kernel, [index for index in waiting if kernel.state.devices[index].slot < slot])
    verdict, errors = _enable(kernel, request, ranges), kernel.step.add_errors.copy()
    _try_again(kernel, [index for index in waiting if kernel.state.devices[index].slot > slot])
    kernel.step.add_errors[:] = errors
    return verdict


def _enable(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    register_static_group(kernel, request, ranges)
    present: list[str] = []
    failed: list[str] = []
    leftovers: list[tuple[int, int]] = []
    for number, phys_range in enumerate(ranges):
        try:
            kernel.add_range(request, phys_range)
        except MemoryHotplugError as problem:
            told = f"resource {number} ({format_size(phys_range.size)}): {problem.name}"
            (present if problem.errno == errno.EEXIST else failed).append(told)
            if (
                problem.errno == errno.EEXIST
                and kernel.has("enabled_resources")
                and not _has_blocks(kernel, phys_range)
            ):
                leftovers.append((phys_range.start, phys_range.size))
    waits = kernel.state.failed_devices_stay and kernel.has("bus_rescan") and len(failed) == len(ranges)
    waiting = tuple((phys_range.start, phys_range.size) for phys_range in ranges) if waits else ()
    if waiting or leftovers:
        device, nid = kernel.open_device(request), ranges[0].nid or 0
        kernel.state.put_device(device, nid=nid, enabled=tuple(leftovers), waiting=waiting)
    return _verdict(len(ranges), present, failed)


def _has_blocks(kernel: Kernel, phys_range: PhysRange) -> bool:
    size = kernel.geometry.memory_block_size
    first, last = phys_range.start // size, (phys_range.start + phys_range.size - 1) // size
    return bool(((kernel.state.blocks.id >= first) & (kernel.state.blocks.id <= last)).any())


def _waiting(kernel: Kernel, driver: str) -> list[int]:
    """Return the places of the devices that wait, ascending by slot."""
    devices = kernel.state.devices
    found = [index for index, device in enumerate(devices) if device.driver == driver and device.waiting]
    return sorted(found, key=lambda index: devices[index].slot)


def _try_again(kernel: Kernel, waiting: Sequence[int]) -> None:
    """Enable devices that wait; what becomes of them is not the result of the device that is new."""
    for index in waiting:
        device = kernel.state.devices[index]
        start, size = device.waiting[0][0], sum(length for _, length in device.waiting)
        request = AddRequest(
            driver=device.driver, name=device.name, size=size, address=start, nid=device.nid, options=device.options
        )
        kernel.state.put_device(index, waiting=(), closed=False)
        _enable(kernel, request, [PhysRange(start=low, size=length, nid=device.nid) for low, length in device.waiting])
        kernel.state.put_device(index, closed=True)
        kernel.step.add_errors.clear()


def _verdict(total: int, present: list[str], failed: list[str]) -> str | None:
    """What becomes of the device. The firmware hears of success even where no driver took it.

    Models: drivers/acpi/scan.c:acpi_device_hotplug(), acpi_scan_device_check() (v5.2 to v6.12).
    """
    if not present and not failed:
        return None
    if len(failed) == total:
        reasons = ", ".join(failed)
        return f"no resource enabled, so the device fails with EINVAL, yet the firmware is told success: {reasons}"
    notes = [f"{total - len(failed)} of {total} resources enabled; the firmware is told success"]
    if present:
        notes.append(f"counted as enabled because memory is there already: {', '.join(present)}")
    if failed:
        notes.append(f"skipped: {', '.join(failed)}")
    return "; ".join(notes)
