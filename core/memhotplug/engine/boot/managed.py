"""Devices of a recorded machine whose driver says in /proc/iomem which memory is its.

A driver that manages its memory calls it ``System RAM (DRIVER)`` and puts it into a range that it claimed under the
device's own name: that is the device, and it is handed to the driver as it is.
Models: mm/memory_hotplug.c:add_memory_driver_managed() (v5.8 to v6.12).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memhotplug.contracts import RecordedDevice
from memhotplug.engine.boot.groups import join_group
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import managing_driver, region_drivers
from memhotplug.formats.snapshot import RecordedMachine
from memhotplug.manager import driver_traits
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import Resource
from memhotplug.model.state import Device
from memhotplug.model.zones import ZoneKey, ZoneKind
from memhotplug.units import format_range

__all__ = ["DeviceLog", "Told", "neighbours", "new_device", "recognise_drivers"]

_KINDS = {kind.label: kind for kind in ZoneKind}
DeviceLog = Mapping[str, Mapping[str, int]]
"""Numbers by device and by the words before the colon."""

_Found = tuple[Resource, Resource | None, range]
_Withheld = tuple[dict[ZoneKey, int], ExtentSet | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What is known of a recorded machine beside its files.

    Attributes:
        hosted: pages that flags show to be memmap of the block that they lie in; None without flags.
        offline: those that they show as PageOffline. covered: those whose flags were recorded.
        log: returns what the kernel's log says of devices.
    """

    hosted: ExtentSet | None = None
    offline: ExtentSet | None = None
    covered: ExtentSet | None = None
    log: Callable[[], DeviceLog] = dict


def new_device(
    kernel: Kernel, name: str, driver: str, rows: Sequence[int], ranges: Sequence[tuple[int, int]],
    *, nid: int | None = None,
) -> int:  # fmt: skip
    """Make the device that brought some blocks; return its place among the machine's devices."""
    state = kernel.state
    if nid is None:
        nid = state.blocks.value("nid", rows[0]) if rows else min(state.nodes)
    state.devices.append(Device(name=name, driver=driver, nid=nid, ranges=tuple(ranges), closed=True))
    for some in neighbours(rows):
        state.blocks.set(some, device=len(state.devices) - 1)
    return len(state.devices) - 1


def neighbours(rows: Iterable[int]) -> Iterator[slice]:
    """Yield some rows of blocks, each run of them that are neighbours as one slice, ascending."""
    for low, high in ExtentSet.of(*((row, row + 1) for row in rows)):
        yield slice(low, high)


def recognise_drivers(
    kernel: Kernel, machine: RecordedMachine, found: Sequence[_Found], hosted_pages: int, told: Told
) -> None:
    """Make a device of all memory that a driver has in one range of its own, and hand it to the driver.

    Args:
        found: memory with a driver's name, what it lies in, and its blocks' rows.
        hosted_pages: pages of a block that hold its memmap, where it hosts it.
    """
    regions: dict[tuple[str, int], list[_Found]] = {}
    for memory, around, rows in found:
        driver = managing_driver(kernel.arch, memory.name)
        if driver is not None:
            regions.setdefault((driver, (around or memory).start), []).append((memory, around, rows))
    claimed = {start for _, start in regions}  # a region is one driver's, however many could have it
    for driver, named in region_drivers(kernel.arch):
        for entry in list(kernel.state.resources):
            if named.match(entry.name) and entry.start not in claimed:
                claimed.add(entry.start)
                regions[driver, entry.start] = [(entry, entry, range(0))]
    ordered = sorted(regions.items(), key=lambda item: item[0][1])
    asked = [kernel.plugins.has(kernel.plugins.driver(driver), "driver_recognise") for (driver, _), _ in ordered]
    blocks = [_rows(parts) if is_asked else [] for (_, parts), is_asked in zip(ordered, asked, strict=True)]
    withheld = _withheld(kernel, machine, blocks, hosted_pages, told)
    for ((driver, _), parts), is_asked, kept in zip(ordered, asked, withheld, strict=True):
        _hand_over(kernel, driver, parts, told, kept if is_asked else None)


def _rows(parts: Sequence[_Found]) -> list[int]:
    return [row for _, _, held in parts for row in held]


def _hand_over(kernel: Kernel, driver: str, parts: Sequence[_Found], told: Told, withheld: _Withheld | None) -> None:
    """Make a device; where its driver takes over recorded ones, ``withheld`` is what :func:`_withheld` says of it."""
    around, rows = parts[0][1], _rows(parts)
    region = around or Resource(start=parts[0][0].start, end=parts[-1][0].end, name=f"{driver}-{parts[0][0].start:#x}")
    ranges = [(memory.start, memory.size) for memory, _, held in parts if held]
    nid = told.log().get(region.name, {}).get("nid") if not rows else None
    index = new_device(kernel, region.name, driver, rows, ranges, nid=nid)
    device = kernel.state.devices[index]
    where = format_range(region.start, region.size)
    kernel.warn(f"inferred: {where} is {region.name}, a device of {driver}: /proc/iomem names it")
    if withheld is None:
        if driver_traits(driver).static_group and rows:
            join_group(kernel, index)
        return
    if around is not None:  # the region is the driver's own affair, and /proc/iomem shows it
        kernel.state.resources.release(around.start, around.size)
        claim = Resource(start=around.start, end=around.end, name=around.name)
        kernel.state.claims[driver, region.name] = (claim,)
        for memory, _, held in parts:
            if held:
                kernel.state.resources.request(memory)
    lacking, offline = withheld
    recorded = RecordedDevice(
        name=region.name, driver=driver, nid=device.nid, start=region.start, size=region.size, index=index,
        log=told.log().get(region.name, {}), lacking=lacking, offline=offline,
    )  # fmt: skip
    key = kernel.plugins.driver(driver)
    assumed: str | None = kernel.plugins.call(key, "driver_recognise", kernel=kernel, device=recorded)
    if assumed:
        kernel.warn(f"inferred: {region.name}: {assumed}")


def _withheld(
    kernel: Kernel, machine: RecordedMachine, devices: Sequence[Sequence[int]], hosted_pages: int, told: Told
) -> list[_Withheld]:
    """Return what online blocks lack by zone, and which pages flags show as kept, for each device by its blocks' rows.

    A zone tells only where all its blocks were hot-added: boot memory lacks what was reserved.
    """
    state, pages = kernel.state, kernel.geometry.pages_per_block
    online = state.blocks.state == BlockState.ONLINE
    offline = [_flagged(kernel, [row for row in rows if online[row]], told) for rows in devices]
    lacking: list[dict[ZoneKey, int]] = [{} for _ in devices]
    for zone in machine.zones:
        if zone.name not in _KINDS or not zone.present:
            continue
        here = np.flatnonzero(online & (state.blocks.nid == zone.node) & (state.blocks.zone == int(_KINDS[zone.name])))
        owned = [sorted(set(rows).intersection(here.tolist())) for rows in devices]
        if zone.present != len(here) * pages or not any(owned):
            continue
        hosting = int((state.blocks.altmap_pages[here] > 0).sum()) * hosted_pages
        lacks = max(zone.present - zone.managed - hosting, 0)
        for index, share in _shares(kernel, zone.title, lacks, owned, offline).items():
            lacking[index][zone.node, _KINDS[zone.name]] = share
    return list(zip(lacking, offline, strict=True))


def _shares(
    kernel: Kernel, zone: str, lacks: int, owned: Sequence[Sequence[int]], offline: Sequence[ExtentSet | None]
) -> dict[int, int]:
    """Return how many of the pages that a zone lacks each device's blocks lack.

    As flags show, if they show all of them; else the highest block of the last device lacks as many as its driver can
    withhold, less than the whole block, then that of the device before it, and so on: a driver fills a block before it
    begins another.

    Args:
        owned: for each device, the rows of its online blocks in the zone. offline: what flags show of each.
    """
    here = {index: rows for index, rows in enumerate(owned) if rows}
    if len(here) == 1:
        return dict.fromkeys(here, lacks)
    shown = {index: _pages_in(kernel, offline[index], rows) for index, rows in here.items()}
    if sum(shown.values()) == lacks:
        return shown
    kernel.warn(f"inferred: {zone} lacks {lacks} pages of several devices: the last of them lack first")
    shares, most = dict.fromkeys(here, 0), kernel.geometry.pages_per_block - kernel.geometry.pageblock_pages
    rounds = range(max(map(len, here.values())))
    for index in (index for count in rounds for index in reversed(here) if count < len(here[index])):
        taken = min(lacks, most)
        shares[index] += taken
        lacks -= taken
    return shares


def _pages_in(kernel: Kernel, pages: ExtentSet | None, rows: Sequence[int]) -> int:
    if pages is None:
        return 0
    starts = kernel.state.blocks.id[np.array(rows, np.int64)] * kernel.geometry.pages_per_block
    return int(pages.covered_many(starts, starts + kernel.geometry.pages_per_block).sum())


def _flagged(kernel: Kernel, rows: Sequence[int], told: Told) -> ExtentSet | None:
    """Return which pages of some blocks flags show as PageOffline; None where they do not cover them all."""
    if told.offline is None or told.covered is None or not rows:
        return None
    pages = kernel.geometry.pages_per_block
    starts = kernel.state.blocks.id[np.array(rows, np.int64)] * pages
    if int(told.covered.covered_many(starts, starts + pages).sum()) < len(rows) * pages:
        return None
    return ExtentSet(*told.offline.clip_many(starts, starts + pages))
