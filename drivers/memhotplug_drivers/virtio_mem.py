"""virtio-mem: a device whose requested size the hypervisor changes, in subblocks or big blocks.

``add`` without ``resize`` makes a device: ``size`` is its requested size, ``device_size`` how much
memory it could have at most, which is also the room in the address space that is kept for it.
``add`` with ``resize: NAME`` makes no device but changes the requested size of the one that NAME
names to ``size``; the driver then plugs what is missing or unplugs what is too much, and whatever it
adds belongs to NAME. A resize to the same size is the driver's next try. ``eject`` asks for size 0.

Subblock mode (SBM): the driver adds single memory blocks and plugs and unplugs subblocks of them.
Unplugged subblocks of a block that is there stay PageOffline: present, withheld from the page
allocator. Big block mode (BBM), where a subblock would be a whole memory block or with ``force_bbm``:
it adds and removes big blocks of one or more memory blocks.

Models: drivers/virtio/virtio_mem.c (v5.8 to v6.12). Simplified: the hypervisor accepts every
request; what the driver would retry by a timer or when memory goes online waits for the next
``resize``.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Final

from memhotplug.plugin import (
    AddRequest,
    DriverTraits,
    Kernel,
    KeySpec,
    MemoryEvent,
    MemoryHotplugError,
    MemoryNotify,
    PhysRange,
    RecordedDevice,
    format_size,
    hookimpl,
    join_group,
    models,
)
from memhotplug_drivers._virtio_mem_device import (
    Region,
    all_regions,
    bbm_refusal,
    choose_sizes,
    device_index,
    drop_references,
    own_blocks,
    plugged_size,
    put_region,
    region_of,
    take_references,
)
from memhotplug_drivers._virtio_mem_plug import RESOURCE, new_ranges, plug
from memhotplug_drivers._virtio_mem_recorded import note_unplugged
from memhotplug_drivers._virtio_mem_request import DEFAULT_BLOCK, wanted, with_request
from memhotplug_drivers._virtio_mem_unplug import clean_up, unplug

__all__ = [
    "driver_add",
    "driver_eject",
    "driver_keys",
    "driver_ranges",
    "driver_recognise",
    "driver_resize",
    "driver_traits",
    "memory_notify",
    "mhp_flags",
]

_RETRIED: Final = (errno.ENOSPC, errno.EBUSY, errno.ENOMEM)
_PROPERTIES = {"requested-size": "size", "memdev": "device_size", "block-size": "block_size"}


@models("drivers/virtio/Kconfig:VIRTIO_MEM (v5.8, v5.18, v6.14)")
@hookimpl
def driver_traits() -> DriverTraits:
    """What VIRTIO_MEM depends on, and since when."""
    return DriverTraits(
        qemu_devices=dict.fromkeys(("virtio-mem-pci", "virtio-mem-ccw"), _PROPERTIES),
        aliases=("virtio-mem", "virtio_mem_pci"),
        arches={"arm64": (5, 18), "s390": (6, 14), "x86_64": (5, 8)},
        absence="VIRTIO_MEM cannot be configured there",
        waits=True,
        own_unit=True,
        room_key="device_size",
        managed_name=RESOURCE,
        regions=(r"virtio\d+$",),
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """The properties of the device, the driver's module parameters, and ``resize``."""
    return {
        "resize": KeySpec("word", "make no device, but change the requested size of the device of this name to size"),
        "device_size": KeySpec("size", "most memory that the device can have; default the requested size, rounded up"),
        "block_size": KeySpec("size", "device block size, the hypervisor's unit; default 2M"),
        "force_bbm": KeySpec("bool", "big block mode even where subblock mode is possible; default false"),
        "bbm_block_size": KeySpec("size", "size of a big block; default the larger of device and memory block"),
        "unplug_online": KeySpec("bool", "whether memory that is online may be unplugged; default true"),
    }


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """The memory blocks or big blocks that are to be added, ascending; none if the device shrinks.

    Raises:
        MemoryHotplugError: ENODEV no such device, EINVAL sizes that the
            hypervisor refuses, EBUSY the region is taken, EIO the driver has given up on the device.
        InputError: a resize that gives what is fixed when a device is made.
    """
    return new_ranges(kernel, wanted(kernel, request))


@models("drivers/virtio/virtio_mem.c (v5.8 to v6.12)")
@hookimpl
def mhp_flags(kernel: Kernel) -> int:
    """MHP_MERGE_RESOURCE, and MHP_NID_IS_MGID since 5.15; never MHP_MEMMAP_ON_MEMORY."""
    flags = kernel.flag("MHP_MERGE_RESOURCE")
    return flags | kernel.flag("MHP_NID_IS_MGID") if kernel.has("memory_groups") else flags


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str:
    """Plug or unplug until the requested size is reached, or as far as that goes."""
    region = wanted(kernel, request)
    if "resize" not in request.options:
        _warn(kernel, region)
        region = _with_group(kernel, request, region)
    return _run(kernel, region, ranges)


@hookimpl
def driver_resize(kernel: Kernel, name: str, size: int) -> str:
    """Change the requested size. Models: drivers/virtio/virtio_mem.c:virtio_mem_config_changed().

    Raises:
        MemoryHotplugError: ENODEV no such device, EINVAL a size that the hypervisor refuses, EIO the device is broken;
            ENOSPC, EBUSY, ENOMEM it stops on the way.
    """
    region = with_request(kernel, name, size)
    return _run(kernel, region, new_ranges(kernel, region))


@models("drivers/virtio/virtio_mem.c:virtio_mem_init_hotplug() (v5.8 to v6.12)")
@hookimpl
def driver_recognise(kernel: Kernel, device: RecordedDevice) -> str | None:
    """A device of a recorded machine: its region, its dynamic group, and which subblocks are not plugged."""
    block = device.log.get("device block size", DEFAULT_BLOCK)
    sizes = choose_sizes(kernel, block, force_bbm=False, bbm_block_size=None)
    unit = kernel.geometry.pfn(sizes.unit)
    region = Region(
        name=device.name, driver=device.driver, start=device.start, size=device.size, requested=0, nid=device.nid,
        sizes=sizes, options={}, group=join_group(kernel, device.index, unit_pages=unit),
    )  # fmt: skip
    put_region(kernel, region)
    if kernel.flag("MHP_MERGE_RESOURCE"):
        for start, _ in kernel.state.devices[device.index].ranges:
            kernel.state.merge_system_ram(start)
    guessed = note_unplugged(kernel, region, device) if sizes.in_sbm else None
    requested = device.log.get("requested size", 0)
    if not requested or abs(requested - plugged_size(kernel, region)) >= sizes.unit:
        requested = plugged_size(kernel, region)  # what the log says is of another time
    put_region(kernel, region._replace(requested=requested))
    assumed = [] if "device block size" in device.log else [f"device blocks of {format_size(block)}"]
    return " and ".join([*assumed, *([guessed] if guessed else [])]) or None


@hookimpl
def driver_eject(kernel: Kernel, name: str) -> str:
    """Request size 0.

    Raises:
        MemoryHotplugError: EBUSY, some memory stays plugged.
    """
    region = region_of(kernel, name)
    if region is None:
        raise MemoryHotplugError(errno.ENODEV, f"there is no virtio-mem device {name!r}")
    before = own_blocks(kernel, region).tolist()
    try:
        verdict = _run(kernel, region._replace(requested=0), ())
        left = plugged_size(kernel, region)
        if left:
            problem = MemoryHotplugError(errno.EBUSY, f"{name}: {format_size(left)} are online and stay plugged")
            problem.driver_result = verdict
            raise problem
    except MemoryHotplugError as problem:
        after = own_blocks(kernel, region).tolist()
        problem.blocks_done = tuple(block for block in before if block not in after)
        raise
    return verdict


@hookimpl
def memory_notify(kernel: Kernel, notify: MemoryNotify) -> None:
    """Watch the device's own memory, and refuse what is not onlined as it was added.

    A run of whole neighbouring blocks counts as several notifications.

    Models: drivers/virtio/virtio_mem.c:virtio_mem_memory_notifier_cb().
    Raises:
        MemoryHotplugError: EPERM, subblock mode and not exactly a memory block (one that hosts its
            own memmap), or a block in the region that another driver added.
    """
    first, end = notify.start_pfn, notify.start_pfn + notify.nr_pages
    for region in all_regions(kernel):
        low, high = kernel.geometry.pfn(region.start), kernel.geometry.pfn(region.end)
        if end <= low or high <= first:
            continue
        if region.sizes.in_sbm:
            _check_granularity(kernel, region, notify)
            if notify.event == MemoryEvent.MEM_GOING_ONLINE:
                _check_own(kernel, region, max(first, low), min(end, high))
        if notify.event == MemoryEvent.MEM_GOING_OFFLINE:
            drop_references(kernel, max(first, low), min(end, high))
        elif notify.event in (MemoryEvent.MEM_CANCEL_OFFLINE, MemoryEvent.MEM_OFFLINE):
            take_references(kernel, max(first, low), min(end, high))


def _check_granularity(kernel: Kernel, region: Region, notify: MemoryNotify) -> None:
    pages = kernel.geometry.pages_per_block
    if notify.altmap_pages or notify.start_pfn % pages or notify.nr_pages % pages:
        raise MemoryHotplugError(
            errno.EPERM, f"{region.name}: the range is not exactly one memory block of {pages:#x} pages"
        )


def _check_own(kernel: Kernel, region: Region, low: int, high: int) -> None:
    blocks, pages = kernel.state.blocks, kernel.geometry.pages_per_block
    rows = blocks.rows(low // pages, (high - 1) // pages)
    if blocks.common("device", rows) != device_index(kernel, region):
        raise MemoryHotplugError(errno.EPERM, f"{region.name}: memory block onlining denied")


# ---- a run of the driver ----


def _run(kernel: Kernel, region: Region, ranges: Sequence[PhysRange]) -> str:
    """Remember the request and meet it; return requested and plugged size.

    Models: drivers/virtio/virtio_mem.c:virtio_mem_run_wq(), virtio_mem_refresh_config().
    Raises:
        MemoryHotplugError: ENOSPC, EBUSY, ENOMEM the driver would try again; any other error breaks the device.
    """
    put_region(kernel, region)
    _log_config(kernel, region)
    stuck = clean_up(kernel, region)
    if region.requested > plugged_size(kernel, region):
        problem = plug(kernel, region, ranges)
    else:
        problem = unplug(kernel, region)
        stuck = stuck or _has_unplugged(kernel, region)
    _close(kernel, region)
    if problem is None and stuck:
        problem = MemoryHotplugError(errno.EBUSY, f"{region.name}: a block without plugged memory stays online")
    notes = [_sizes_text(kernel, region)]
    if problem is not None:
        if problem.errno not in _RETRIED:
            put_region(kernel, region._replace(broken=True))
            notes.append(f"unknown error, marking device broken: {-(problem.errno or 0)}")
        problem.driver_result = "; ".join(notes)
        raise problem
    return "; ".join(notes)


def _log_config(kernel: Kernel, region: Region) -> None:
    plugged = plugged_size(kernel, region)
    kernel.log(
        "virtio_mem_config",
        device=region.name,
        plugged_size_bytes=plugged,
        requested_size_bytes=region.requested,
        text=[f"plugged size: {plugged:#x}", f"requested size: {region.requested:#x}"],
    )


def _sizes_text(kernel: Kernel, region: Region) -> str:
    plugged = plugged_size(kernel, region)
    told = f"requested {format_size(region.requested)}, plugged {format_size(plugged)}"
    if plugged == region.requested:
        return told
    return f"{told} (requested size: {region.requested:#x}, plugged size: {plugged:#x})"


def _has_unplugged(kernel: Kernel, region: Region) -> bool:
    if not region.sizes.in_sbm:
        return False
    starts = own_blocks(kernel, region) * kernel.geometry.pages_per_block
    held = kernel.state.withheld.covered_many(starts, starts + kernel.geometry.pages_per_block)
    return bool((held == kernel.geometry.pages_per_block).any())


def _close(kernel: Kernel, region: Region) -> None:
    index = device_index(kernel, region)
    if index is not None and kernel.state.devices[index].ranges:
        kernel.state.put_device(index, closed=True)


def _warn(kernel: Kernel, region: Region) -> None:
    """Say what the driver says of a device that is set up badly. Models: virtio_mem_init_hotplug()."""
    block = kernel.geometry.memory_block_size
    for what, address in (("start", region.start), ("end", region.end)):
        if address % block:
            kernel.warn(f"{region.name}: The alignment of the physical {what} address can make some memory unusable.")
    if region.end > 1 << kernel.geometry.physical_address_bits:
        kernel.warn(
            f"{region.name}: Some device memory is not addressable/pluggable. This can make some memory unusable."
        )
    big = region.options.get("bbm_block_size")
    if isinstance(big, int) and not region.sizes.in_sbm:
        refusal = bbm_refusal(max(region.sizes.device_block, block), big)
        if refusal is not None:
            kernel.warn(f"{region.name}: {refusal}")


def _with_group(kernel: Kernel, request: AddRequest, region: Region) -> Region:
    """Put a new device into one dynamic group. Models: memory_group_register_dynamic() (v5.15)."""
    if kernel.has("memory_groups"):
        kernel.register_group(request, region.nid, unit_pages=kernel.geometry.pfn(region.sizes.unit))
        return region._replace(group=kernel.state.devices[kernel.open_device(request)].group)
    return region
