"""Machines in mid-life: which blocks of a recorded machine were hot-added, by which devices, and host their own memmap.

The kernel's log lists the memory that was there at boot: whatever else is there came later. Where that log was not
kept, nothing says so outright. Boot memory that is contiguous is one line of /proc/iomem, whereas each hot-added
range is a line of its own; memory that a driver manages bears its name (``System RAM (kmem)``). Memory that is wholly
offline or in Movable was added too; only what is offline where the command line may make boot memory Movable. What
was added is what the architecture's usual driver would have added, and so is its memmap, as far as no count
contradicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from memhotplug.engine.boot.groups import join_group
from memhotplug.engine.boot.managed import Told, neighbours, new_device, recognise_drivers
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import usual_driver
from memhotplug.formats.snapshot import RecordedMachine, RecordedZone
from memhotplug.manager import driver_traits
from memhotplug.model.blocks import NO_ZONE, BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import SYSTEM_RAM, Resource
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import ZoneKind
from memhotplug.units import div_round_up, format_blocks, round_up

__all__ = ["adopt", "recognise"]

_BOOT_MOVABLE = ("kernelcore", "movablecore", "movable_node")
_KINDS = {kind.label: kind for kind in ZoneKind}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Range:
    """Hot-added memory: its resource, what that lies in, and its blocks' rows."""

    resource: Resource
    around: Resource | None
    rows: range


class _Seen(NamedTuple):
    """What there is to tell from: the machine with its blocks, and what was recorded of it.

    Attributes:
        online: the rows of the online blocks of each zone, by its node and kind.
        hosts: whether the kernel lets a block host its own memmap.
    """

    kernel: Kernel
    machine: RecordedMachine
    online: Mapping[tuple[int, int], frozenset[int]]
    hosts: bool


def recognise(kernel: Kernel, machine: RecordedMachine, told: Told) -> None:
    """Note which blocks were hot-added, the devices that brought them, and which host their own memmap."""
    hosts = kernel.profile.memmap_on_memory_refusal(kernel, kernel.geometry.memory_block_size) is None
    seen = _Seen(kernel, machine, _online_rows(kernel), hosts)
    shown = _first_pages(kernel, told.covered)
    evident = (_lacking(seen) - shown) | _first_pages(kernel, told.hosted)
    found = list(_added(seen, evident))
    for one in found:
        _not_early(kernel, one.rows)
    own = _hosting(seen, found, evident)
    _host(kernel, own)
    for one in found:
        if one.resource.name == SYSTEM_RAM:
            _device(kernel, f"{usual_driver(kernel.arch)}-{one.resource.start:#x}", one.rows, [one.resource])
    ids = [kernel.state.blocks.value("id", row) for one in found for row in one.rows]
    if ids:
        why = "the log of the boot does not list them" if machine.early else "System RAM of their own says so"
        kernel.warn(f"inferred: memory blocks {format_blocks(ids)} were hot-added: {why}")
    if own:
        where = format_blocks([kernel.state.blocks.value("id", row) for row in sorted(own)])
        kernel.warn(f"inferred: memory blocks {where} host their own memmap: managed pages, parameter and place say so")
    recognise_drivers(
        kernel,
        machine,
        [(one.resource, one.around, one.rows) for one in found if one.resource.name != SYSTEM_RAM],
        _hosted_pages(kernel),
        told,
    )


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
    rows = _range_of(state.blocks.rows(start // pages, (start + size - 1) // pages))
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


def _range_of(rows: slice) -> range:
    return range(rows.start, rows.stop)


def _added(seen: _Seen, evident: Set[int]) -> Iterator[_Range]:
    """Yield each hot-added range.

    Args:
        evident: rows of blocks that host their own memmap, which boot memory never does.
    """
    state, size = seen.kernel.state, seen.kernel.geometry.memory_block_size
    settled = any(word.partition("=")[0] in _BOOT_MOVABLE for word in (seen.machine.cmdline or "").split())
    ends: set[int] = set()
    for around, inner in _tree(state.resources, None):
        if not inner.is_ram:
            continue
        whole = inner.start % size == 0 and (inner.end + 1) % size == 0
        rows = _range_of(state.blocks.rows(inner.start // size, inner.end // size))
        if whole and len(rows) and inner.start:
            came = inner.name != SYSTEM_RAM or _came(seen, inner, rows, joins=inner.start in ends, settled=settled)
            if came or not evident.isdisjoint(rows):
                yield _Range(resource=inner, around=around, rows=rows)
        ends.add(inner.end + 1)


def _came(seen: _Seen, entry: Resource, rows: range, *, joins: bool, settled: bool) -> bool:
    """Return whether a line of System RAM, whole blocks, was hot-added.

    Args:
        joins: whether another line ends where it begins: of boot memory only those of two nodes do.
        settled: as in :func:`_is_away`.
    """
    early = seen.machine.early
    if early:
        was_there = any(start <= entry.end and entry.start < end for start, end in early)
        return not was_there or (joins and all(entry.start != start for start, _ in early))
    return (joins and not _is_boot_of_node(seen, rows)) or _is_away(seen.kernel, rows, settled=settled)


def _tree(entries: Iterable[Resource], around: Resource | None) -> Iterator[tuple[Resource | None, Resource]]:
    """Yield every resource with the one that it lies in."""
    for entry in entries:
        yield around, entry
        yield from _tree(entry.children, entry)


def _is_away(kernel: Kernel, rows: range, *, settled: bool) -> bool:
    """Return whether some blocks are all offline or in Movable.

    Args:
        settled: whether boot memory may be Movable, so that only memory that is offline was added.
    """
    blocks = kernel.state.blocks
    some = slice(rows.start, rows.stop)
    away = blocks.state[some] == BlockState.OFFLINE
    if not settled:
        away |= blocks.zone[some] == int(ZoneKind.MOVABLE)
    return bool(away.all())


def _is_boot_of_node(seen: _Seen, rows: range) -> bool:
    """Return whether memory that adjoins another node's was there at boot, although /proc/iomem has a line for it.

    Where those lines are memblock's regions, each node has its own. Boot memory has reserved pages, so its zone lacks
    more managed pages than memmap of its blocks can be.

    Models: mm/memblock.c:memblock_merge_regions(); arch/powerpc/mm/mem.c:add_system_ram_resources(),
    arch/arm64/kernel/setup.c:request_standard_resources() (v5.10 to v6.12).
    """
    blocks = seen.kernel.state.blocks
    before = blocks.row(blocks.value("id", rows.start) - 1)
    if before is None or blocks.value("nid", before) == blocks.value("nid", rows.start):
        return False
    unit = _hosted_pages(seen.kernel)
    for zone in seen.machine.zones:
        online = seen.online.get(_key(zone), frozenset())
        lacks = zone.present - zone.managed
        if not online.isdisjoint(rows) and lacks:
            odd = lacks % unit != 0 or lacks > len(online) * unit
            return not seen.hosts or odd or not _has_room(seen.kernel, zone, len(online), lacks // unit)
    return False


def _not_early(kernel: Kernel, rows: Iterable[int]) -> None:
    state, pages = kernel.state, kernel.geometry.pages_per_block
    for some in neighbours(rows):
        state.blocks.set(some, early=0)
        start = state.blocks.value("id", some.start) * pages
        state.early.remove(start, (state.blocks.value("id", some.stop - 1) + 1) * pages)


def _lacking(seen: _Seen) -> Set[int]:
    """Return the rows of blocks whose zone lacks just as many managed pages as if each hosted its own memmap.

    Models: mm/memory_hotplug.c:mhp_init_memmap_on_memory() (v5.13 to v6.12): present counts the memmap of a block,
    managed does not. Boot memory that lacks just this, of a node without reserved pages, has its memmap in one place,
    and free chunks where blocks with their own would have none.
    """
    pages, hosted = seen.kernel.geometry.pages_per_block, _hosted_pages(seen.kernel)
    own: Set[int] = frozenset()
    for zone in seen.machine.zones if seen.hosts else ():
        rows = seen.online.get(_key(zone), frozenset())
        whole = rows and zone.present == len(rows) * pages
        exactly = zone.present - zone.managed == len(rows) * hosted
        if whole and exactly and _has_room(seen.kernel, zone, len(rows), len(rows)):
            own |= rows
    return own


def _has_room(kernel: Kernel, zone: RecordedZone, count: int, hosting: int) -> bool:
    """Return whether a zone of so many blocks has room for its free chunks if some begin with their own memmap."""
    larger, hosted = 0, _hosted_pages(kernel)
    for order in reversed(range(len(zone.free_by_order))):
        larger = larger * 2 + zone.free_by_order[order]  # as chunks of this order
        per_block = kernel.geometry.pages_per_block >> order
        if per_block and larger > count * per_block - hosting * div_round_up(hosted, 1 << order):
            return False
    return True


def _hosting(seen: _Seen, found: list[_Range], evident: Set[int]) -> Set[int]:
    """Return the rows of all blocks that host their own memmap: those of which it is evident, and as the driver adds.

    Models: mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12).
    """
    kernel, own = seen.kernel, evident
    if not seen.hosts:
        return own
    for one in found:
        size = one.resource.size
        if one.resource.name != SYSTEM_RAM or kernel.profile.memmap_on_memory_refusal(kernel, size) is not None:
            continue
        if _may_host(seen, one.rows, own):
            own |= set(one.rows)
    # Offline blocks show nothing of it; those above all memory that does not host its own have been hot-added.
    states = [state for _, state, *_ in kernel.state.blocks.records()]
    offline = {row for row, word in enumerate(states) if word == BlockState.OFFLINE}
    if not offline:
        return own
    highest = max((row for row, word in enumerate(states) if word == BlockState.ONLINE and row not in own), default=-1)
    return own | {row for row in offline.difference(*(one.rows for one in found)) if row > highest}


def _may_host(seen: _Seen, rows: range, own: Set[int]) -> bool:
    """Return whether every zone of some blocks lacks as many managed pages as it takes, beside what others host."""
    hosted = _hosted_pages(seen.kernel)
    for zone in seen.machine.zones:
        online = seen.online.get(_key(zone), frozenset())
        here = len(online & set(rows))
        before = len((online & own) - set(rows))
        lacks = zone.present - zone.managed >= (here + before) * hosted
        if here and not (lacks and _has_room(seen.kernel, zone, len(online), here + before)):
            return False
    return True


def _online_rows(kernel: Kernel) -> dict[tuple[int, int], frozenset[int]]:
    """Return the rows of the online blocks of each zone, by its node and kind."""
    found: dict[tuple[int, int], list[int]] = {}
    for row, (_, state, nid, zone, *_) in enumerate(kernel.state.blocks.records()):
        if state == BlockState.ONLINE:
            found.setdefault((nid, zone), []).append(row)
    return {key: frozenset(rows) for key, rows in found.items()}


def _key(zone: RecordedZone) -> tuple[int, int]:
    return zone.node, _KINDS.get(zone.name, NO_ZONE)


def _first_pages(kernel: Kernel, pages: ExtentSet | None) -> Set[int]:
    """Return the rows of blocks of which the first page, which holds memmap if any does, is among some pages."""
    if pages is None or not pages.total:
        return frozenset()
    starts, _ = kernel.state.block_bounds(slice(None))
    return set(np.flatnonzero(pages.covered_many(starts, starts + 1) > 0).tolist())


def _hosted_pages(kernel: Kernel) -> int:
    """Return how many pages of a block hold its memmap, whole pageblocks."""
    geometry = kernel.geometry
    return round_up(geometry.memmap_pages(geometry.pages_per_block), geometry.pageblock_pages)


def _host(kernel: Kernel, rows: Set[int]) -> None:
    """Note that blocks host their own memmap."""
    state, geometry = kernel.state, kernel.geometry
    _not_early(kernel, rows)
    for row in sorted(rows):
        state.blocks.set(slice(row, row + 1), altmap_pages=_hosted_pages(kernel))
        start = state.blocks.value("id", row) * geometry.pages_per_block
        pages = np.array([start], dtype=np.int64), np.array([start + geometry.pages_per_block], dtype=np.int64)
        leaf = geometry.pmd_size // geometry.page_size
        state.vmemmap.insert(MapRuns.make(*pages, pages[0], leaf, Source.ALTMAP))


def _device(kernel: Kernel, name: str, rows: range, resources: list[Resource]) -> None:
    """Make the device that brought some blocks, with its memory group."""
    driver = usual_driver(kernel.arch)
    index = new_device(kernel, name, driver, rows, [(entry.start, entry.size) for entry in resources])
    if driver_traits(driver).static_group:
        join_group(kernel, index)
