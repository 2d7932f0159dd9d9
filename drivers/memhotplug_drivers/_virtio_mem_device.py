"""What the virtio-mem driver knows of a device, and what it reads off the machine's blocks.

A subblock is plugged if its memory block exists and its pages are not withheld, so block states are
never stored: they follow from the blocks and from ``state.withheld``.

Models: drivers/virtio/virtio_mem.c:struct virtio_mem, virtio_mem_init_hotplug() (v5.13 to v6.12).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from memhotplug.plugin import (
    AddRequest,
    Array,
    BlockState,
    ExtentSet,
    Kernel,
    Resource,
    ZoneKind,
    is_power_of_two,
    np,
    round_down,
    round_up,
)

__all__ = [
    "Region",
    "SbmState",
    "Sizes",
    "all_regions",
    "bbm_refusal",
    "block_pages",
    "blocks_in",
    "choose_sizes",
    "device_index",
    "drop_references",
    "has_withheld",
    "offline_size",
    "open_device",
    "own_blocks",
    "plugged_size",
    "put_region",
    "region_of",
    "take_references",
    "unit_ids",
    "zone_kind",
]

_STATE = __name__  # where the driver keeps what it remembers
_DROPPED = f"{__name__} dropped"
_ONLINE = BlockState.ONLINE
_DEFAULT_OFFLINE_THRESHOLD = 1 << 30  # VIRTIO_MEM_DEFAULT_OFFLINE_THRESHOLD


class SbmState(IntEnum):
    """State of a memory block that is there, in subblock mode (enum virtio_mem_sbm_mb_state, PLUGGED apart)."""

    OFFLINE = 2
    OFFLINE_PARTIAL = 3
    KERNEL = 4
    KERNEL_PARTIAL = 5
    MOVABLE = 6
    MOVABLE_PARTIAL = 7


_KERNEL = (ZoneKind.DMA, ZoneKind.DMA32, ZoneKind.NORMAL)
_MOVABLE = (ZoneKind.MOVABLE,)
_IN_STATE: Final[Mapping[SbmState, tuple[tuple[int | None, ...], bool]]] = {
    SbmState.OFFLINE: ((None,), False),
    SbmState.OFFLINE_PARTIAL: ((None,), True),
    SbmState.KERNEL: (_KERNEL, False),
    SbmState.KERNEL_PARTIAL: (_KERNEL, True),
    SbmState.MOVABLE: (_MOVABLE, False),
    SbmState.MOVABLE_PARTIAL: (_MOVABLE, True),
}
"""The zones that a block of each state is in, None: it is offline; and whether subblocks of it are withheld."""


class Sizes(NamedTuple):
    """The granularity of a device, in bytes.

    Attributes:
        device_block: what the hypervisor plugs at once.
        unit: what is added to Linux at once: a memory block in subblock mode, else a big block.
        step: what the driver plugs and unplugs at once: a subblock, else a big block.
        threshold: most memory that may be added and not yet online.
    """

    device_block: int
    unit: int
    step: int
    threshold: int

    @property
    def in_sbm(self) -> bool:
        """Whether the driver is in subblock mode (SBM) rather than big block mode (BBM)."""
        return self.step < self.unit


class Region(NamedTuple):
    """One virtio-mem device: its part of the physical address space, in bytes.

    Attributes:
        name: the device's name.
        driver: what the driver is called that it belongs to.
        start, size: the region, all of which is usable.
        requested: the requested size.
        nid: node id.
        sizes: its granularity.
        options: the driver's own keys that the device was made with.
        group: id of its dynamic memory group, -1 before 5.15.
        unplug_online: whether memory that is online may be unplugged.
        broken: whether an unknown error has stopped the driver for good.
    """

    name: str
    driver: str
    start: int
    size: int
    requested: int
    nid: int
    sizes: Sizes
    options: Mapping[str, object]
    group: int = -1
    unplug_online: bool = True
    broken: bool = False

    @property
    def end(self) -> int:
        """First byte behind the region."""
        return self.start + self.size


def choose_sizes(kernel: Kernel, device_block: int, *, force_bbm: bool, bbm_block_size: int | None) -> Sizes:
    """Return the granularity for a device block of ``device_block`` bytes.

    Subblock mode needs at least two subblocks in a memory block. A ``bbm_block_size`` that does not
    fit is ignored, as the module parameter is; :func:`bbm_refusal` says why.
    """
    geometry = kernel.geometry
    memory_block = geometry.memory_block_size
    contig = geometry.pageblock_pages
    if not kernel.has("pageblock_ranges"):
        contig = max(contig, 1 << geometry.max_order)
    subblock = max(device_block, contig * geometry.page_size)
    threshold = max(2 * memory_block, _DEFAULT_OFFLINE_THRESHOLD)
    if subblock < memory_block and not force_bbm:
        return Sizes(device_block=device_block, unit=memory_block, step=subblock, threshold=threshold)
    big = max(device_block, memory_block)
    if bbm_block_size is not None and bbm_refusal(big, bbm_block_size) is None:
        big = bbm_block_size
    return Sizes(device_block=device_block, unit=big, step=big, threshold=max(2 * big, threshold))


def bbm_refusal(smallest: int, bbm_block_size: int) -> str | None:
    """Return what the kernel prints of a ``bbm_block_size`` that it ignores, None if it takes it."""
    if not is_power_of_two(bbm_block_size):
        return "bbm_block_size is not a power of 2"
    return "bbm_block_size is too small" if bbm_block_size < smallest else None


# ---- what the driver remembers ----


def all_regions(kernel: Kernel) -> Iterator[Region]:
    """Yield the devices, in the order in which they came."""
    for value in kernel.state.driver_state.get(_STATE, {}).values():
        if isinstance(value, Region):
            yield value


def region_of(kernel: Kernel, name: str) -> Region | None:
    """Return the device of that name."""
    return next((region for region in all_regions(kernel) if region.name == name), None)


def put_region(kernel: Kernel, region: Region) -> None:
    """Remember a device, in place of what was known of it; its region is claimed, and open for its memory.

    Models: drivers/virtio/virtio_mem.c:virtio_mem_create_resource() (v5.8 to v6.12).
    """
    known = kernel.state.driver_state.get(_STATE, {})
    kernel.state.driver_state[_STATE] = {**known, region.name: region}
    owner = (region.driver, region.name)
    last = known.get(region.name)
    if isinstance(last, Region) and (last.start, last.size) == (region.start, region.size):
        return
    if last is None and owner in kernel.state.claims:  # a recorded device, which /proc/iomem names
        return
    name = _resource_name(kernel, region)
    kernel.state.claims[owner] = (Resource(start=region.start, end=region.end - 1, name=name),)


def _resource_name(kernel: Kernel, region: Region) -> str:
    """Return what /proc/iomem calls a region: its virtio device."""
    if re.fullmatch(r"virtio\d+", region.name):
        return region.name
    taken = {claim.name for claims in kernel.state.claims.values() for claim in claims}
    return next(name for number in itertools.count() if (name := f"virtio{number}") not in taken)


def drop_references(kernel: Kernel, start_pfn: int, end_pfn: int) -> None:
    """Let go of the PageOffline pages of a range, so that it can go offline with them in it."""
    if not kernel.state.withheld.intersects(start_pfn, end_pfn):
        return
    dropped = _dropped(kernel).copy()
    _move(kernel.state.withheld, start_pfn, end_pfn, dropped)
    kernel.state.driver_state[_DROPPED] = {"pages": dropped}


def take_references(kernel: Kernel, start_pfn: int, end_pfn: int) -> None:
    """Withhold again what :func:`drop_references` let go of in a range."""
    if not _dropped(kernel).intersects(start_pfn, end_pfn):
        return
    dropped = _dropped(kernel).copy()
    _move(dropped, start_pfn, end_pfn, kernel.state.withheld)
    kernel.state.driver_state[_DROPPED] = {"pages": dropped}


def _move(source: ExtentSet, start_pfn: int, end_pfn: int, target: ExtentSet) -> None:
    target.update(source.within(start_pfn, end_pfn))
    source.remove(start_pfn, end_pfn)


def _dropped(kernel: Kernel) -> ExtentSet:
    """Return what was let go of; read it, copies of the machine share it."""
    pages = kernel.state.driver_state.get(_DROPPED, {}).get("pages")
    return pages if isinstance(pages, ExtentSet) else ExtentSet()


def open_device(kernel: Kernel, region: Region) -> tuple[int, AddRequest]:
    """Return the index of the device's entry, open for more ranges, and the request to add them with."""
    request = AddRequest(
        driver=region.driver, name=region.name, size=region.requested, nid=region.nid, options=region.options
    )
    index = device_index(kernel, region)
    if index is None:
        index = kernel.open_device(request)
    kernel.state.put_device(index, closed=False, group=region.group, nid=region.nid)
    return index, request


def device_index(kernel: Kernel, region: Region) -> int | None:
    """Return the index of the youngest entry of a device, whether it has memory or not."""
    devices = kernel.state.devices
    for index in range(len(devices) - 1, -1, -1):
        if devices[index].name == region.name and devices[index].driver == region.driver:
            return index
    return None


# ---- what follows from the blocks ----


def unit_ids(kernel: Kernel, region: Region) -> tuple[int, int]:
    """Return the first unit of a region, and the first behind the last, by number (address / unit).

    Units that lie only in part in the region or beyond what can be addressed are unusable.
    """
    unit = region.sizes.unit
    end = min(region.end, 1 << kernel.geometry.physical_address_bits)
    return round_up(region.start, unit) // unit, round_down(end, unit) // unit


def own_blocks(kernel: Kernel, region: Region) -> Array:
    """Return the ids of the device's memory blocks, ascending; int64, shape (n,)."""
    blocks = kernel.state.blocks
    rows, index = _rows_of(kernel, region)
    if blocks.common("device", rows) == index:
        return blocks.id[rows]
    found: Array = blocks.id[rows][blocks.device[rows] == index]
    return found


def _rows_of(kernel: Kernel, region: Region) -> tuple[slice, int]:
    """Return the rows of the blocks in the device's region, and the index that those of the device have."""
    size = kernel.geometry.memory_block_size
    index = device_index(kernel, region)
    rows = kernel.state.blocks.rows(region.start // size, (region.end - 1) // size)
    return rows, -2 if index is None else index


def plugged_size(kernel: Kernel, region: Region) -> int:
    """Return the bytes that are plugged."""
    blocks, withheld, pages = kernel.state.blocks, kernel.state.withheld, kernel.geometry.pages_per_block
    rows, index = _rows_of(kernel, region)
    count = rows.stop - rows.start
    if not count:
        return 0
    start_pfn, end_pfn = blocks.value("id", rows.start) * pages, (blocks.value("id", rows.stop - 1) + 1) * pages
    if end_pfn - start_pfn == count * pages and blocks.common("device", rows) == index:
        return kernel.geometry.address(count * pages - withheld.covered(start_pfn, end_pfn))
    ids = own_blocks(kernel, region)
    held = int(withheld.covered_many(ids * pages, (ids + 1) * pages).sum())
    return kernel.geometry.address(len(ids) * pages - held)


def offline_size(kernel: Kernel, region: Region) -> int:
    """Return the bytes that are added and not online."""
    blocks = kernel.state.blocks
    rows, index = _rows_of(kernel, region)
    if blocks.common("device", rows) == index:
        offline: int = rows.stop - rows.start - blocks.count("state", rows, _ONLINE)
    else:
        offline = int(np.count_nonzero((blocks.state[rows] != _ONLINE) & (blocks.device[rows] == index)))
    return offline * kernel.geometry.memory_block_size


def has_withheld(kernel: Kernel, region: Region) -> bool:
    """Return whether any subblock of a block that is there is not plugged."""
    return kernel.state.withheld.intersects(kernel.geometry.pfn(region.start), kernel.geometry.pfn(region.end))


def blocks_in(kernel: Kernel, region: Region, state: SbmState) -> list[int]:
    """Return the ids of the device's memory blocks that are in one state of subblock mode, ascending."""
    zones, is_partial = _IN_STATE[state]
    withheld, pages = kernel.state.withheld, kernel.geometry.pages_per_block
    if is_partial and not has_withheld(kernel, region):
        return []
    rows, own = _rows_of(kernel, region)
    columns = [kernel.state.blocks.listed(name, rows) for name in ("id", "device", "state", "zone")]
    return [
        block
        for block, device, online, zone in zip(*columns, strict=True)
        if device == own
        and (zone if online == _ONLINE else None) in zones
        and withheld.intersects(block * pages, (block + 1) * pages) is is_partial
    ]


def zone_kind(kernel: Kernel, row: int) -> ZoneKind | None:
    """Return the zone type of a block, None if it is offline."""
    blocks = kernel.state.blocks
    return ZoneKind(blocks.value("zone", row)) if blocks.value("state", row) == _ONLINE else None


def block_pages(kernel: Kernel, block: int) -> tuple[int, int]:
    """Return the first pfn of a memory block and the first behind it."""
    pages = kernel.geometry.pages_per_block
    return block * pages, (block + 1) * pages
