"""Watermarks and lowmem reserves of all zones, recomputed when memory comes or goes.

Models: mm/page_alloc.c:init_per_zone_wmark_min(), __setup_per_zone_wmarks(),
setup_per_zone_lowmem_reserve(); mm/khugepaged.c:set_recommended_min_free_kbytes() (v5.2 to v6.12).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import isqrt

from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import MachineState
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["settle_watermarks", "setup_watermarks", "small_marks"]

_MIN_FREE_KBYTES = (128, 262144)  # v5.5 and later; up to v5.4 the upper bound was 65536
_WATERMARK_SCALE = 10  # of 10000, vm.watermark_scale_factor
_RESERVE_RATIO = (256, 256, 32)  # by type of zone; nothing lies above Movable
_NO_RESERVE = (0, 0, 0, 0)
_NO_MARKS = (0, 0, 0)
_OWN_MARKS = (32, 32, 32)  # of a Movable zone that gets no share
_THP_MIN_RAM = 512 << 20  # bytes; transparent huge pages stay off below
_MOVABLE = ZoneKind.MOVABLE
_REMEMBERED = 32  # blocks; each forgets nine tenths of the difference that the history makes


def setup_watermarks(state: MachineState) -> None:
    """Set min, low, high and the lowmem reserve of every zone from what it manages now.

    The kernel does so after every block, and each result depends a little on the one before.
    """
    _setup_marks(state, list(state.zones()))
    for node in state.nodes.values():
        _setup_lowmem_reserve(*node.zones.values())


def settle_watermarks(state: MachineState, zone: Zone, rows: slice, pages: ExtentSet, sign: int = 1) -> None:
    """Set them as they are once neighbouring blocks have come one after the other, or (``sign`` -1) have gone.

    Args:
        zone: where they came to or went from.
        pages: what the page allocator got of the blocks, or gave.
    """
    earlier = min(rows.stop - rows.start - 1, _REMEMBERED)
    if not earlier:
        setup_watermarks(state)
        return
    zones, managed = list(state.zones()), zone.managed
    block, (_, end_pfn) = state.geometry.pages_per_block, state.span_of(rows)
    if zone.kind is _MOVABLE and not state.movable_shares_marks:
        # What comes to this zone changes no other zone's marks, so that they only have to settle.
        kernel_zones = _lowmem(zones)
        for _ in range(earlier):
            before = [other.wmark for other in kernel_zones]
            _setup_marks(state, kernel_zones)
            if [other.wmark for other in kernel_zones] == before:
                break
    else:
        changes = [
            sign * pages.covered(end_pfn - at * block, end_pfn - (at - 1) * block) for at in range(1, earlier + 1)
        ]
        for missing in reversed(list(accumulate(changes))):
            zone.managed = managed - missing
            _setup_marks(state, zones)
        zone.managed = managed
    setup_watermarks(state)


def _setup_marks(state: MachineState, zones: list[Zone]) -> None:
    lowmem = _lowmem(zones)
    shares = state.movable_shares_marks
    total = sum([zone.managed for zone in (zones if shares else lowmem)])
    pages = _min_free(state, lowmem, total)
    for zone in zones:
        managed, own = zone.managed, zone.kind is _MOVABLE and not shares
        if not managed:
            zone.wmark = _OWN_MARKS if own else _NO_MARKS
            continue
        share = pages * managed // total if total else 0
        least = min(max(managed // 1024, 32), 128) if own else share
        gap = max(share // 4, managed * _WATERMARK_SCALE // 10000)
        zone.wmark = (least, least + gap, least + 2 * gap)


def _lowmem(zones: Iterable[Zone]) -> list[Zone]:
    return [zone for zone in zones if zone.managed and zone.kind is not _MOVABLE]


def _min_free(state: MachineState, lowmem: list[Zone], total: int) -> int:
    """Return the pages that zones share, in two steps: what huge pages want is capped by what the small marks leave."""
    page_kbytes = state.geometry.page_size >> 10
    pages = _small_kbytes(lowmem, page_kbytes) // page_kbytes
    if not lowmem or not _huge_pages(state):
        return pages
    left = 0
    for zone in lowmem:
        share = pages * zone.managed // total
        above = zone.managed - share - 2 * max(share // 4, zone.managed * _WATERMARK_SCALE // 10000)
        left += above if above > 0 else 0
    return max(pages, min(len(lowmem) * state.geometry.pageblock_pages * 11, left // 20))


def _small_kbytes(lowmem: list[Zone], page_kbytes: int) -> int:
    low, high = _MIN_FREE_KBYTES
    return min(max(isqrt(_buffers(lowmem) * page_kbytes * 16), low), high)


def small_marks(state: MachineState) -> int:
    """Return the sum of the kernel zones' min marks, in pages, of a kernel without transparent huge pages."""
    page_kbytes = state.geometry.page_size >> 10
    return _small_kbytes(_lowmem(state.zones()), page_kbytes) // page_kbytes


def _buffers(lowmem: list[Zone]) -> int:
    """Return the pages above the high marks. Models: mm/page_alloc.c:nr_free_buffer_pages()."""
    found = 0
    for zone in lowmem:
        above = zone.managed - zone.wmark[2]
        found += above if above > 0 else 0
    return found


def _huge_pages(state: MachineState) -> bool:
    """Return whether khugepaged runs. Models: mm/huge_memory.c:hugepage_init(), hugepage_flags_enabled()."""
    if state.huge_pages is not None:
        return state.huge_pages
    return state.boot_pages * state.geometry.page_size >= _THP_MIN_RAM


def _setup_lowmem_reserve(dma: Zone, dma32: Zone, normal: Zone, movable: Zone) -> None:
    """Let each zone of a node keep a part of what is managed in the zones from the next one up to the one asked for."""
    ratio = _RESERVE_RATIO
    highest = movable.managed
    high = normal.managed + highest
    movable.protection = dma.protection = dma32.protection = normal.protection = _NO_RESERVE
    if normal.managed:
        normal.protection = (0, 0, 0, highest // ratio[2])
    if dma32.managed:
        dma32.protection = (0, 0, normal.managed // ratio[1], high // ratio[1])
    if dma.managed:
        below = dma32.managed
        dma.protection = (0, below // ratio[0], (below + normal.managed) // ratio[0], (below + high) // ratio[0])
