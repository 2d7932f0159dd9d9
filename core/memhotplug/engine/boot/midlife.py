"""Machines in mid-life: which blocks of a recorded machine were hot-added, by which devices, and host their own memmap.

Nothing says so outright. Boot memory that is contiguous is one line of /proc/iomem, whereas each hot-added range is a
line of its own; memory that a driver manages bears its name (``System RAM (kmem)``). Memory that is wholly offline or
in Movable was added too, unless the command line makes boot memory Movable. What was added is what the architecture's
usual driver would have added, and so is its memmap, as far as no count contradicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import usual_driver
from memhotplug.formats.snapshot import RecordedMachine, RecordedZone
from memhotplug.manager import driver_traits
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.resources import SYSTEM_RAM, Resource
from memhotplug.model.state import Device
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import ZoneKind
from memhotplug.units import format_blocks, round_up

__all__ = ["adopt", "recognise"]

_BOOT_MOVABLE = ("kernelcore", "movablecore", "movable_node")
_KINDS = {kind.label: kind for kind in ZoneKind}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Range:
    """Hot-added memory: its resource and its blocks' rows."""

    resource: Resource
    rows: Array


def recognise(kernel: Kernel, machine: RecordedMachine, hosted: ExtentSet | None) -> None:
    """Note which blocks were hot-added, the devices that brought them, and which host their own memmap.

    Args:
        hosted: the pages that flags show to be memmap of the block that they lie in; None where no flags were recorded.
    """
    state = kernel.state
    tops = list(state.resources)
    evident = np.union1d(_lacking(kernel, machine), _told(kernel, hosted))
    found = [_Range(resource=tops[at], rows=rows) for at, rows in _added(kernel, machine, tops, evident)]
    for one in found:
        _not_early(kernel, one.rows)
    own = _hosting(kernel, machine, found, evident)
    _host(kernel, own)
    for one in found:
        if one.resource.name == SYSTEM_RAM:
            _device(kernel, f"{usual_driver(kernel.arch)}-{one.resource.start:#x}", one.rows, [one.resource])
    if found:
        ids = format_blocks(np.concatenate([state.blocks.id[one.rows] for one in found]).tolist())
        kernel.warn(f"inferred: memory blocks {ids} were hot-added: System RAM of their own says so")
    if len(own):
        ids = format_blocks(state.blocks.id[own].tolist())
        kernel.warn(f"inferred: memory blocks {ids} host their own memmap: managed pages, parameter and place say so")


def adopt(kernel: Kernel, name: str, start: int, size: int) -> bool:
    """Give the memory of [start, start + size) bytes to a device of that name, if it was recorded and has no name yet.

    Returns:
        Whether there is such memory.
    """
    state = kernel.state
    for index, device in enumerate(state.devices):
        if device.ranges and all(start <= low and low + length <= start + size for low, length in device.ranges):
            if device.name != f"{device.driver}-{device.ranges[0][0]:#x}":
                continue
            if device.size == size:
                state.put_device(index, name=name)
                return True
    pages = kernel.geometry.pages_per_block * kernel.geometry.page_size
    rows = np.arange(len(state.blocks.id))[state.blocks.rows(start // pages, (start + size - 1) // pages)]
    inside = [entry for entry in state.resources.overlapping(start, size) if start <= entry.start]
    inside = [entry for entry in inside if entry.name == SYSTEM_RAM and entry.end < start + size]
    if not len(rows) or not inside:
        return False
    for entry in inside:
        for index, device in enumerate(state.devices):
            if (entry.start, entry.end + 1 - entry.start) in device.ranges:
                state.put_device(index, ranges=())
    _not_early(kernel, rows)
    _device(kernel, name, rows, inside)
    return True


def _added(
    kernel: Kernel, machine: RecordedMachine, tops: list[Resource], evident: Array
) -> Iterator[tuple[int, Array]]:
    """Yield the place of each hot-added range among the top-level resources, and its blocks.

    Args:
        evident: rows of blocks that host their own memmap, which boot memory never does.
    """
    state, size = kernel.state, kernel.geometry.memory_block_size
    settled = any(word.partition("=")[0] in _BOOT_MOVABLE for word in (machine.cmdline or "").split())
    ends: set[int] = set()
    for at, entry in enumerate(tops):
        for inner in (entry, *entry.children):
            named = inner.name.startswith(f"{SYSTEM_RAM} (")
            if inner.name != SYSTEM_RAM and not named:
                continue
            whole = inner.start % size == 0 and (inner.end + 1) % size == 0
            rows = np.arange(len(state.blocks.id))[state.blocks.rows(inner.start // size, inner.end // size)]
            if whole and len(rows) and inner.start:
                away = not settled and _is_away(kernel, rows)
                if named or inner.start in ends or away or len(np.intersect1d(rows, evident)):
                    yield at, rows
            ends.add(inner.end + 1)


def _is_away(kernel: Kernel, rows: Array) -> bool:
    """Return whether some blocks are all offline or in Movable."""
    blocks = kernel.state.blocks
    movable = (blocks.state[rows] == BlockState.OFFLINE) | (blocks.zone[rows] == int(ZoneKind.MOVABLE))
    return bool(movable.all())


def _not_early(kernel: Kernel, rows: Array) -> None:
    state, pages = kernel.state, kernel.geometry.pages_per_block
    for row in rows.tolist():
        state.blocks.set(slice(row, row + 1), early=0)
    starts = state.blocks.id[rows] * pages
    state.early.remove_many(starts, starts + pages)


def _lacking(kernel: Kernel, machine: RecordedMachine) -> Array:
    """Return the rows of blocks whose zone lacks just as many managed pages as if each hosted its own memmap.

    Models: mm/memory_hotplug.c:mhp_init_memmap_on_memory() (v5.13 to v6.12): present counts the memmap of a block,
    managed does not. Zones with boot memory are never whole blocks that lack just this.
    """
    geometry = kernel.geometry
    own = np.empty(0, np.int64)
    if kernel.profile.memmap_on_memory_refusal(kernel, geometry.memory_block_size) is not None:
        return own
    for zone in machine.zones:
        rows = _online_in(kernel, zone)
        whole = len(rows) and zone.present == len(rows) * geometry.pages_per_block
        if whole and zone.present - zone.managed == len(rows) * _hosted_pages(kernel):
            own = np.union1d(own, rows)
    return own


def _hosting(kernel: Kernel, machine: RecordedMachine, found: list[_Range], evident: Array) -> Array:
    """Return the rows of all blocks that host their own memmap: those of which it is evident, and as the driver adds.

    Models: mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12).
    """
    state, profile = kernel.state, kernel.profile
    own = evident
    if profile.memmap_on_memory_refusal(kernel, kernel.geometry.memory_block_size) is not None:
        return own
    for one in found:
        size = one.resource.end + 1 - one.resource.start
        if one.resource.name != SYSTEM_RAM or profile.memmap_on_memory_refusal(kernel, size) is not None:
            continue
        if _may_host(kernel, machine, one.rows, own):
            own = np.union1d(own, one.rows)
    # Offline blocks show nothing of it; those above all memory that does not host its own have been hot-added.
    others = np.setdiff1d(np.flatnonzero(state.blocks.state == BlockState.ONLINE), own)
    offline = np.flatnonzero(state.blocks.state == BlockState.OFFLINE)
    offline = np.setdiff1d(offline, np.concatenate([np.empty(0, np.int64), *(one.rows for one in found)]))
    return np.union1d(own, offline[offline > others.max(initial=-1)])


def _may_host(kernel: Kernel, machine: RecordedMachine, rows: Array, own: Array) -> bool:
    """Return whether every zone of some blocks lacks as many managed pages as it takes, beside what others host."""
    for zone in machine.zones:
        online = _online_in(kernel, zone)
        here = len(np.intersect1d(online, rows))
        before = len(np.setdiff1d(np.intersect1d(online, own), rows))
        if here and zone.present - zone.managed < (here + before) * _hosted_pages(kernel):
            return False
    return True


def _online_in(kernel: Kernel, zone: RecordedZone) -> Array:
    blocks = kernel.state.blocks
    chosen = (blocks.state == BlockState.ONLINE) & (blocks.nid == zone.node)
    return np.flatnonzero(chosen & (blocks.zone == _KINDS.get(zone.name, -1)))


def _told(kernel: Kernel, hosted: ExtentSet | None) -> Array:
    """Return the rows of blocks of which the first page holds their own memmap."""
    if hosted is None:
        return np.empty(0, np.int64)
    starts, _ = kernel.state.block_bounds(slice(None))
    return np.flatnonzero(hosted.covered_many(starts, starts + 1) > 0)


def _hosted_pages(kernel: Kernel) -> int:
    """Return how many pages of a block hold its memmap, whole pageblocks."""
    geometry = kernel.geometry
    return round_up(geometry.memmap_pages(geometry.pages_per_block), geometry.pageblock_pages)


def _host(kernel: Kernel, rows: Array) -> None:
    """Note that blocks host their own memmap."""
    state, geometry = kernel.state, kernel.geometry
    _not_early(kernel, rows)
    for row in rows.tolist():
        state.blocks.set(slice(row, row + 1), altmap_pages=_hosted_pages(kernel))
        start = int(state.blocks.id[row]) * geometry.pages_per_block
        pages = np.array([start], dtype=np.int64), np.array([start + geometry.pages_per_block], dtype=np.int64)
        leaf = geometry.pmd_size // geometry.page_size
        state.vmemmap.insert(MapRuns.make(*pages, pages[0], leaf, Source.ALTMAP))


def _device(kernel: Kernel, name: str, rows: Array, resources: list[Resource]) -> None:
    """Make the device that brought some blocks, with its memory group."""
    state, pages = kernel.state, kernel.geometry.pages_per_block
    driver, nid = usual_driver(kernel.arch), int(state.blocks.nid[rows[0]])
    group = -1
    if driver_traits(driver).static_group and kernel.has("memory_groups"):
        online = state.blocks.state[rows] == BlockState.ONLINE
        movable = int((online & (state.blocks.zone[rows] == int(ZoneKind.MOVABLE))).sum()) * pages
        counts = {"present_kernel": int(online.sum()) * pages - movable, "present_movable": movable}
        counts = {key: count for key, count in counts.items() if count}
        group = kernel.profile.register_group(kernel, nid, max_pages=len(rows) * pages, **counts)
    ranges = tuple((entry.start, entry.end + 1 - entry.start) for entry in resources)
    state.devices.append(Device(name=name, driver=driver, nid=nid, ranges=ranges, group=group, closed=True))
    for row in rows.tolist():
        state.blocks.set(slice(row, row + 1), device=len(state.devices) - 1, group=group)
