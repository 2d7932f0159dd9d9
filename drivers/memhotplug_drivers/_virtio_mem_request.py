"""virtio-mem: the device that a request asks for, checked, before anything is changed."""

from __future__ import annotations

import errno
from typing import Final

from memhotplug.plugin import AddRequest, InputError, Kernel, MemoryHotplugError, is_power_of_two, round_up
from memhotplug_drivers._virtio_mem_device import Region, Sizes, all_regions, choose_sizes, region_of

__all__ = ["DEFAULT_BLOCK", "wanted", "with_request"]

DEFAULT_BLOCK: Final = 2 << 20
"""Bytes of a device block where nobody says."""

_FIXED: Final = ("device_size", "block_size", "force_bbm", "bbm_block_size")


def wanted(kernel: Kernel, request: AddRequest) -> Region:
    """Return the device as the request wants it, without changing anything."""
    if "resize" in request.options:
        return _resized(kernel, request)
    return _new_region(kernel, request)


def _resized(kernel: Kernel, request: AddRequest) -> Region:
    name = str(request.options["resize"])
    region = with_request(kernel, name, request.size)
    given = [key for key in _FIXED if key in request.options]
    given += [key for key, value in (("address", request.address), ("node", request.nid)) if value is not None]
    if given:
        raise InputError(f"no {given[0]} with resize; it is fixed when the device is made", got=given[0])
    return region._replace(unplug_online=_flag(request, "unplug_online", default=region.unplug_online))


def with_request(kernel: Kernel, name: str, size: int) -> Region:
    """Return a device with another requested size."""
    region = region_of(kernel, name)
    if region is None:
        raise MemoryHotplugError(errno.ENODEV, f"there is no virtio-mem device {name!r}")
    if region.broken:
        raise MemoryHotplugError(errno.EIO, f"{name}: an unknown error has marked the device broken")
    _check_size(size, region.sizes, region.size)
    return region._replace(requested=size)


def _new_region(kernel: Kernel, request: AddRequest) -> Region:
    block = _bytes(request, "block_size") or DEFAULT_BLOCK
    if not is_power_of_two(block) or block < kernel.geometry.page_size:
        raise MemoryHotplugError(
            errno.EINVAL, f"block_size {block:#x} is not a power of two of at least {kernel.geometry.page_size:#x}"
        )
    force, big = _flag(request, "force_bbm", default=False), _bytes(request, "bbm_block_size")
    sizes = choose_sizes(kernel, block, force_bbm=force, bbm_block_size=big)
    room = _bytes(request, "device_size")
    start = request.address
    if start is None:
        own = (request.driver, request.name)
        start = kernel.state.first_free_address(
            room or round_up(request.size, sizes.unit), align=sizes.unit, besides=own
        )
    size = room or round_up(start + request.size, sizes.unit) - start
    if start % block or size % block:
        raise MemoryHotplugError(
            errno.EINVAL, f"the region {start:#x}+{size:#x} is not made of device blocks of {block:#x} bytes"
        )
    _check_size(request.size, sizes, size)
    nid = kernel.node_of_address(start) if request.nid is None else request.nid
    region = Region(
        name=request.name,
        driver=request.driver,
        start=start,
        size=size,
        requested=request.size,
        nid=nid,
        sizes=sizes,
        unplug_online=_flag(request, "unplug_online", default=True),
        options=request.options,
    )
    _check_free(kernel, region)
    return region


def _check_size(requested: int, sizes: Sizes, device_size: int) -> None:
    if requested % sizes.device_block:
        raise MemoryHotplugError(
            errno.EINVAL,
            f"requested size {requested:#x} is not a multiple of the device block size {sizes.device_block:#x}",
        )
    if requested > device_size:
        raise MemoryHotplugError(
            errno.EINVAL, f"requested size {requested:#x} exceeds the device size {device_size:#x}"
        )


def _check_free(kernel: Kernel, region: Region) -> None:
    """Models: drivers/virtio/virtio_mem.c:virtio_mem_create_resource()."""
    others = [other for other in all_regions(kernel) if other.name != region.name]
    taken = any(other.start < region.end and region.start < other.end for other in others)
    if taken or kernel.state.resources.overlapping(region.start, region.size):
        where = kernel.describe(region.start, region.size)
        raise MemoryHotplugError(errno.EBUSY, f"{region.name}: could not reserve device region {where}")


def _bytes(request: AddRequest, key: str) -> int | None:
    value = request.options.get(key)
    return value if isinstance(value, int) else None


def _flag(request: AddRequest, key: str, *, default: bool) -> bool:
    return bool(request.options.get(key, default))
