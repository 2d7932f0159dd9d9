"""What a snapshot does not say, worked out of what it does; each function reports what it assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from memhotplug.errors import InputError
from memhotplug.formats.snapshot.arches import Architectures
from memhotplug.formats.snapshot.buddyinfo import FreeCounts
from memhotplug.formats.snapshot.extents import Extents, intersect, merge, size
from memhotplug.formats.snapshot.records import RecordedBlock, RecordedZone
from memhotplug.formats.snapshot.source import Note, Source
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo
from memhotplug.reserves import RESERVES
from memhotplug.units import div_round_up, format_size

__all__ = [
    "DEFAULT_MAX_ORDER",
    "blocks_of_zones",
    "blocks_over",
    "estimate_free",
    "infer_block_size",
    "infer_page_size",
    "infer_zones",
    "inferred",
    "zone_extents",
]

DEFAULT_MAX_ORDER = 10
_PAGE_SIZES = tuple(1 << shift for shift in range(12, 17))
_BLOCK_SIZES = tuple(1 << shift for shift in range(24, 41))
_MAX_BLOCKS = 1 << 21
_DISTRIBUTION = "distro"
_DESCRIBED = 64  # pages that a page of memmap describes

FixedZones: TypeAlias = Sequence[tuple[str, int, int]]
"""Zones by physical address, in bytes: where a boot block belongs that shows no zone of its own."""


def inferred(text: str) -> Note:
    """Return a note of what was assumed."""
    return Note(kind="inferred", text=text)


def infer_page_size(
    arch: str | None, arches: Architectures, zones: Sequence[ZoneInfo], mem_total: int | None
) -> tuple[int, list[Note]]:
    """Return the page size in bytes: fixed by the architecture, or what makes managed pages MemTotal, or 4 KiB."""
    offered = arches.page_sizes(arch)
    if len(offered) == 1:
        return offered[0], [inferred(f"page size {format_size(offered[0])}, the only one of {arch}")]
    managed = sum(zone.managed for zone in zones)
    for page_size in _PAGE_SIZES:
        if mem_total and managed and abs(managed * page_size - mem_total) * 256 < mem_total:
            return page_size, [inferred(f"page size {format_size(page_size)}, from MemTotal over the managed pages")]
    return 4096, [inferred("page size 4K, as nothing recorded tells")]


def infer_block_size(ids: Sequence[int], memory: Extents, page_size: int, source: Source) -> tuple[int, list[Note]]:
    """Return the one memory block size, in bytes, with which the blocks ``ids`` cover ``memory`` (pfns).

    Raises:
        InputError: no size does, or several do.
    """
    fitting = [
        size_ for size_ in _BLOCK_SIZES if memory and _touched(memory, size_ // page_size, len(ids)) == list(ids)
    ]
    if len(fitting) == 1:
        return fitting[0], [inferred(f"memory block size {format_size(fitting[0])}, from the blocks' numbers")]
    found = ", ".join(format_size(size_) for size_ in fitting) or "no size"
    raise source.error("a memory block size (block_size_bytes)", got=f"none recorded, and {found} fits the blocks")


def blocks_over(memory: Extents, pages: int, node: int | None, source: Source) -> tuple[RecordedBlock, ...]:
    """Return online blocks of ``pages`` pages over ``memory`` (pfns), for a snapshot that holds none.

    Raises:
        InputError: there would be absurdly many.
    """
    ids = _touched(memory, pages, _MAX_BLOCKS)
    if len(ids) > _MAX_BLOCKS:
        raise source.error(f"memory of at most {_MAX_BLOCKS} blocks of {pages} pages", got=f"{size(memory)} pages")
    return tuple(
        RecordedBlock(
            id=block,
            state="online",
            zone=None,
            valid_zones=(),
            removable=None,
            phys_index=None,
            phys_device=None,
            node=node,
        )
        for block in ids
    )


def blocks_of_zones(zones: Sequence[RecordedZone], pages: int, file: str) -> tuple[RecordedBlock, ...]:
    """Return online blocks of ``pages`` pages where zones have pages; one in two zones is in none, as after boot.

    Raises:
        InputError: there would be absurdly many.
    """
    found: dict[int, RecordedBlock] = {}
    for zone in zones:
        for block in blocks_over(zone.extents, pages, zone.node, Source(file=file)):
            first = found.get(block.id)
            found[block.id] = block._replace(zone=zone.name) if first is None else first._replace(zone=None)
    return tuple(found[block] for block in sorted(found))


def _touched(memory: Extents, pages: int, at_most: int) -> list[int]:
    """Return the ids of the blocks that hold a page of ``memory``; stops once there are more than ``at_most``."""
    ids: list[int] = []
    for start, end in memory:
        first = max(start // pages, ids[-1] + 1 if ids else 0)
        last = div_round_up(end, pages)
        ids.extend(range(first, min(last, first + at_most + 1)))
        if len(ids) > at_most:
            break
    return ids


def zone_extents(
    zone: ZoneInfo, blocks: Sequence[RecordedBlock], block_pages: int | None, ram: Extents
) -> tuple[tuple[int, int], ...]:
    """Return the present pfns of a zone: its span, where there is RAM, in its own online blocks.

    Args:
        ram: whole pages of System RAM; empty when it is not known.
        block_pages: pages of a block, None when there are no blocks.
    """
    if zone.start_pfn is None or not zone.present:
        return ()
    extents: Extents = ((zone.start_pfn, zone.start_pfn + zone.spanned),)
    if ram:
        extents = intersect(extents, ram)
    if blocks and block_pages:
        own = (block for block in blocks if block.state == "online" and _may_hold(block, zone.node, zone.name))
        extents = intersect(extents, merge((block.id * block_pages, (block.id + 1) * block_pages) for block in own))
    return extents


def _may_hold(block: RecordedBlock, node: int, zone: str) -> bool:
    if block.zone is None:
        return True  # across zones, or across nodes
    return block.zone == zone and block.node in (None, node)


def estimate_free(extents: Extents, free: int, max_order: int) -> tuple[int, ...]:
    """Return free chunks by order for ``free`` pages from the top of ``extents``, hardly fragmented."""
    counts = [0] * (max_order + 1)
    left = free
    for start, end in reversed(extents):
        low = max(start, end - left)
        left -= end - low
        while low < end:
            order = min(max_order, (low & -low).bit_length() - 1 if low else max_order, (end - low).bit_length() - 1)
            chunks = (end - low) >> order if order == max_order else 1
            counts[order] += chunks
            low += chunks << order
        if not left:
            break
    return tuple(counts)


def infer_zones(
    free: Sequence[FreeCounts],
    blocks: Sequence[RecordedBlock],
    block_pages: int | None,
    memory: Extents,
    *,
    fixed: FixedZones,
    page_size: int,
    mem_total: int | None,
    source: Source,
) -> tuple[tuple[ZoneInfo, ...], list[Note]]:
    """Return zones for a snapshot that has free chunks but no zoneinfo.

    Spans follow the blocks' zones, and the ``fixed`` limits of an architecture that has such. What
    MemTotal lacks of the present pages is missing from the used ones of each zone in proportion; watermarks
    cannot be told and are zero.

    Raises:
        InputError: there is nothing to tell the zones' places from.
    """
    spans = [_zone_memory(zone, free, blocks, block_pages, memory, fixed, page_size) for zone in free]
    total = sum(map(size, spans))
    if not total:
        raise source.error("proc/zoneinfo, or memory blocks with zones and proc/iomem", got="neither")
    managed_total = total if mem_total is None else min(total, mem_total // page_size)
    free_total = sum(zone.pages for zone in free)
    share = max(0, managed_total - free_total), max(1, total - free_total)
    zones = []
    for zone, span in zip(free, spans, strict=True):
        if size(span) < zone.pages:
            raise _too_many(zone, size(span), source)
        zones.append(_zone(zone, span, zone.pages + (size(span) - zone.pages) * share[0] // share[1]))
    note = "zones' spans from memory blocks and System RAM, managed pages from MemTotal, watermarks 0: no proc/zoneinfo"
    return tuple(zones), [inferred(note)]


def zones_after_boot(
    blocks: Sequence[RecordedBlock], block_pages: int, *, fixed: FixedZones, page_size: int
) -> tuple[tuple[ZoneInfo, ...], list[Note]]:
    """Return zones for a snapshot that has memory blocks and nothing else: free is what is free after boot at most.

    A kernel zone lacks the memmap of its memory; the first zone that is large enough, what a distribution's kernel
    takes besides. Watermarks are 0 here: they follow from the zones, as after boot.
    """
    spans: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for block in blocks:
        run = (block.id * block_pages, (block.id + 1) * block_pages)
        if block.state != "online":
            continue
        own = [(block.zone, run)] if block.zone else _by_address(run, fixed, page_size)
        for name, part in own:
            spans.setdefault((block.node or 0, name), []).append(part)
    kept = (RESERVES[_DISTRIBUTION].image + RESERVES[_DISTRIBUTION].early) // page_size
    zones = []
    for (node, name), parts in sorted(spans.items(), key=lambda item: (item[0][0], item[1])):
        span = merge(parts)
        memmap = 0 if name == "Movable" else div_round_up(size(span), _DESCRIBED)
        taken = kept if name != "Movable" and size(span) >= 4 * kept else 0
        kept -= taken
        free = FreeCounts(node=node, zone=name, by_order=(size(span) - memmap - taken,))
        zones.append(_zone(free, span, size(span) - memmap))
    note = "free memory and watermarks as after boot at most: neither proc/zoneinfo nor proc/buddyinfo"
    return tuple(zones), [inferred(note)]


def _by_address(run: tuple[int, int], fixed: FixedZones, page_size: int) -> list[tuple[str, tuple[int, int]]]:
    """Return the zones that a block of several lies in, as the architecture has them; Normal where it has none."""
    found = []
    for name, start, end in fixed:
        low, high = max(run[0], start // page_size), min(run[1], end // page_size)
        if low < high:
            found.append((name, (low, high)))
    return found or [("Normal", run)]


def _zone_memory(
    zone: FreeCounts,
    zones: Sequence[FreeCounts],
    blocks: Sequence[RecordedBlock],
    block_pages: int | None,
    memory: Extents,
    fixed: FixedZones,
    page_size: int,
) -> Extents:
    if fixed:
        low, high = next(((start, end) for name, start, end in fixed if name == zone.zone), (0, 1 << 64))
    else:
        first = next(other for other in zones if other.node == zone.node)
        low, high = 0, 1 << 64 if first is zone else 0  # a block that shows no zone belongs to the node's first
    limits = ((low // page_size, high // page_size),) if high else ()
    if not blocks or not block_pages:
        return intersect(memory, limits)
    named: list[tuple[int, int]] = []
    unnamed: list[tuple[int, int]] = []
    for block in blocks:
        if block.state != "online" or block.node not in (None, zone.node):
            continue
        if block.zone in (None, zone.zone):
            (named if block.zone else unnamed).append((block.id * block_pages, (block.id + 1) * block_pages))
    mine = merge((*merge(named), *intersect(merge(unnamed), limits if zone.zone != "Movable" else ())))
    return intersect(mine, memory) if memory else mine


def _zone(zone: FreeCounts, span: Extents, managed: int) -> ZoneInfo:
    present = size(span)
    return ZoneInfo(
        node=zone.node,
        name=zone.zone,
        free=zone.pages,
        boost=0,
        min=0,
        low=0,
        high=0,
        promo=0,
        spanned=span[-1][1] - span[0][0] if span else 0,
        present=present,
        managed=managed if present else 0,
        cma=0,
        protection=(),
        start_pfn=span[0][0] if span else None,
        pagesets=(),
    )


def _too_many(zone: FreeCounts, room: int, source: Source) -> InputError:
    where = f"node {zone.node} zone {zone.zone}"
    return source.error(f"at most {room} free pages in {where}, which is all its memory", got=zone.pages)
