"""virtio-mem grows: subblocks of partly plugged blocks first, then blocks that are not there yet.

Models: drivers/virtio/virtio_mem.c:virtio_mem_sbm_plug_request(), virtio_mem_sbm_plug_any_sb(),
virtio_mem_sbm_plug_and_add_mb(), virtio_mem_bbm_plug_request() (v5.13 to v6.12).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from itertools import islice

from memhotplug.plugin import (
    AddRequest,
    Kernel,
    LazyRanges,
    MemoryHotplugError,
    PhysRange,
    div_round_up,
    format_size,
)
from memhotplug_drivers._virtio_mem_device import (
    Region,
    SbmState,
    block_pages,
    blocks_in,
    has_withheld,
    offline_size,
    open_device,
    own_blocks,
    plugged_size,
    unit_ids,
)
from memhotplug_drivers.withheld import release

__all__ = ["RESOURCE", "log_change", "new_ranges", "plug"]

RESOURCE = "System RAM (virtio_mem)"
_PARTIAL = (SbmState.KERNEL_PARTIAL, SbmState.MOVABLE_PARTIAL, SbmState.OFFLINE_PARTIAL)


def new_ranges(kernel: Kernel, region: Region) -> Sequence[PhysRange]:
    """Return the units that are to be added once partly plugged blocks are full, ascending.

    A range ends where its unit does; what is not plugged of it is withheld. There may be fewer than
    the requested size takes, if the region has no more.
    """
    unit, size = region.sizes.unit, kernel.geometry.memory_block_size
    blocks = set(own_blocks(kernel, region).tolist())
    plugged = plugged_size(kernel, region)
    left = _steps(region, plugged) * region.sizes.step - (len(blocks) * size - plugged)
    needed = max(div_round_up(left, unit), 0)
    first, end = unit_ids(kernel, region)
    numbers: Sequence[int] = range(first, max(min(end, first + needed), first))
    if blocks:
        free = (number for number in range(first, end) if number * (unit // size) not in blocks)
        numbers = list(islice(free, needed))

    def make(place: int) -> PhysRange:
        plugged = min(left - place * unit, unit)
        partly = plugged if plugged < unit else None
        return PhysRange(start=numbers[place] * unit, size=unit, nid=region.nid, backed=partly, withheld=unit - plugged)

    return LazyRanges(range(len(numbers)), make)


def _steps(region: Region, plugged: int) -> int:
    """Return how many subblocks (big blocks) are to be plugged, of which ``plugged`` bytes are."""
    return max(region.requested - plugged, 0) // region.sizes.step


def plug(kernel: Kernel, region: Region, ranges: Sequence[PhysRange]) -> MemoryHotplugError | None:
    """Plug what the requested size asks for; return why that stopped early, None if it did not."""
    if region.sizes.in_sbm:
        _fill_partial_blocks(kernel, region)
    index, request = open_device(kernel, region)
    plugged = plugged_size(kernel, region)
    try:
        for phys_range in ranges:
            plugged += phys_range.size - phys_range.withheld
            problem = _add_unit(kernel, region, request, phys_range, plugged)
            if problem is not None:
                return problem
    finally:
        kernel.state.put_device(index, ranges=_joined(kernel.state.devices[index].ranges))
    left = _steps(region, plugged_size(kernel, region)) * region.sizes.step
    if left:
        return MemoryHotplugError(
            errno.ENOSPC, f"{region.name}: the device's region has no whole block left for {format_size(left)}"
        )
    return None


def _fill_partial_blocks(kernel: Kernel, region: Region) -> None:
    """Plug subblocks of blocks that are there, ascending; those of online blocks go to the page allocator."""
    if not has_withheld(kernel, region):
        return
    left = _steps(region, plugged_size(kernel, region)) * kernel.geometry.pfn(region.sizes.step)
    for state in _PARTIAL:
        for block in blocks_in(kernel, region, state):
            if left <= 0:
                return
            for low, high in kernel.state.withheld.within(*block_pages(kernel, block)):
                taken = min(high - low, left)
                if taken <= 0:
                    break
                release(kernel, low, low + taken)
                log_change(kernel, region, "virtio_mem_plugged", low, taken)
                left -= taken


def _add_unit(
    kernel: Kernel, region: Region, request: AddRequest, phys_range: PhysRange, plugged: int
) -> MemoryHotplugError | None:
    """Plug and add one unit, with which ``plugged`` bytes are, unless too much memory is offline already."""
    threshold = region.sizes.threshold
    waiting = offline_size(kernel, region)
    if waiting + phys_range.size > threshold:
        return MemoryHotplugError(
            errno.ENOSPC,
            f"{region.name}: {format_size(waiting)} are added and not online, "
            f"no more than {format_size(threshold)} may be",
        )
    try:
        kernel.add_range(request, phys_range, name=RESOURCE)
    except MemoryHotplugError as problem:
        return problem
    start, pages = kernel.geometry.pfn(phys_range.start), kernel.geometry.pfn(phys_range.size - phys_range.withheld)
    log_change(kernel, region, "virtio_mem_plugged", start, pages, plugged)
    return None


def log_change(
    kernel: Kernel, region: Region, event: str, start_pfn: int, nr_pages: int, plugged: int | None = None
) -> None:
    """Record one request to the hypervisor, with what is plugged since, in bytes: None to look for it."""
    kernel.log(
        event,
        device=region.name,
        start=kernel.geometry.address(start_pfn),
        size_bytes=kernel.geometry.address(nr_pages),
        plugged_size_bytes=plugged_size(kernel, region) if plugged is None else plugged,
        requested_size_bytes=region.requested,
    )


def _joined(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Return ascending ranges of (first byte, bytes) with neighbours made one."""
    joined: list[tuple[int, int]] = []
    for start, size in ranges:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((start, size))
    return tuple(joined)
