"""Watermarks and lowmem reserves of all zones, recomputed when memory comes or goes.

What somebody wrote to vm.min_free_kbytes counts until the kernel's own figure is larger: that one replaces it, and what
huge pages want raises it for good, so that a small value lasts until the next block goes online or offline.

Models: mm/page_alloc.c:init_per_zone_wmark_min(), calculate_min_free_kbytes(), __setup_per_zone_wmarks(),
setup_per_zone_lowmem_reserve(); mm/khugepaged.c:set_recommended_min_free_kbytes() (v5.2 to v6.12).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import isqrt

from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import MachineState
from memhotplug.model.vm_sysctls import HugePages
from memhotplug.model.zones import Zone, ZoneKind

__all__ = [
    "huge_pages_of",
    "recommended_kbytes",
    "settle_watermarks",
    "setup_lowmem_reserve",
    "setup_per_zone_wmarks",
    "setup_watermarks",
    "small_kbytes",
    "switch_huge_pages",
]

_MIN_FREE_KBYTES = (128, 262144)  # v5.5 and later; up to v5.4 the upper bound was 65536
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
    setup_lowmem_reserve(state)


def setup_per_zone_wmarks(state: MachineState) -> None:
    """Set min, low and high of every zone from what vm.min_free_kbytes and vm.watermark_scale_factor are now."""
    zones = list(state.zones())
    total = _sharing(state, zones, _lowmem(zones))
    _share_out(state, zones, total, state.min_free_kbytes // (state.geometry.page_size >> 10))


def switch_huge_pages(state: MachineState, mode: HugePages, *, recalculates: bool) -> None:
    """Set whether there are transparent huge pages, and the marks that follow.

    Models: mm/khugepaged.c:start_stop_khugepaged(), set_recommended_min_free_kbytes() (v5.2 to v6.12).

    Args:
        recalculates: whether the kernel takes back what huge pages had raised when they are switched off.
    """
    state.huge_pages = mode
    zones, page_kbytes = list(state.zones()), state.geometry.page_size >> 10
    lowmem = _lowmem(zones)
    if mode is not HugePages.NEVER:
        total = _sharing(state, zones, lowmem)
        wanted = _recommended(state, lowmem, total, state.min_free_kbytes // page_kbytes) * page_kbytes
        state.min_free_kbytes = max(state.min_free_kbytes, wanted)
    elif recalculates:
        state.min_free_kbytes = _calculated(state, lowmem, page_kbytes)
    setup_per_zone_wmarks(state)


def setup_lowmem_reserve(state: MachineState) -> None:
    """Set the lowmem reserve of every zone from what the zones above it manage now."""
    for node in state.nodes.values():
        _setup_lowmem_reserve(state.vm.lowmem_reserve_ratio, *node.zones.values())


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
    total = _sharing(state, zones, lowmem)
    _share_out(state, zones, total, _min_free(state, lowmem, total))


def _sharing(state: MachineState, zones: list[Zone], lowmem: list[Zone]) -> int:
    """Return the managed pages of the zones among which min_free_kbytes is shared out."""
    return sum([zone.managed for zone in (zones if state.movable_shares_marks else lowmem)])


def _share_out(state: MachineState, zones: Iterable[Zone], total: int, pages: int) -> None:
    """Set the marks of some zones; ``pages`` are those that zones with ``total`` pages share."""
    shares, scale = state.movable_shares_marks, state.vm.watermark_scale_factor
    for zone in zones:
        managed, own = zone.managed, zone.kind is _MOVABLE and not shares
        if not managed:
            zone.wmark = _OWN_MARKS if own else _NO_MARKS
            continue
        share = pages * managed // total if total else 0
        least = min(max(managed // 1024, 32), 128) if own else share
        gap = max(share // 4, managed * scale // 10000)
        zone.wmark = (least, least + gap, least + 2 * gap)


def _lowmem(zones: Iterable[Zone]) -> list[Zone]:
    return [zone for zone in zones if zone.managed and zone.kind is not _MOVABLE]


def _min_free(state: MachineState, lowmem: list[Zone], total: int) -> int:
    """Return the pages that zones share, in two steps: what huge pages want is capped by what the small marks leave."""
    page_kbytes = state.geometry.page_size >> 10
    kbytes = _calculated(state, lowmem, page_kbytes)
    if huge_pages_of(state) is not HugePages.NEVER:
        kbytes = max(kbytes, _recommended(state, lowmem, total, kbytes // page_kbytes) * page_kbytes)
    state.min_free_kbytes = kbytes
    return kbytes // page_kbytes


def _calculated(state: MachineState, lowmem: list[Zone], page_kbytes: int) -> int:
    """Return the kernel's own figure if it is larger than what was written; else that, or what it was raised to since.

    Models: mm/page_alloc.c:calculate_min_free_kbytes() (v5.16 to v6.12), init_per_zone_wmark_min() before.
    """
    kbytes = _own_kbytes(lowmem, page_kbytes)
    return _clamped(kbytes) if kbytes > state.vm.user_min_free_kbytes else state.min_free_kbytes


def _recommended(state: MachineState, lowmem: list[Zone], total: int, pages: int) -> int:
    """Return the pages that huge pages want kept free, where zones share ``pages`` before."""
    left, scale = 0, state.vm.watermark_scale_factor
    for zone in lowmem:
        share = pages * zone.managed // total
        above = zone.managed - share - 2 * max(share // 4, zone.managed * scale // 10000)
        left += above if above > 0 else 0
    return min(len(lowmem) * state.geometry.pageblock_pages * 11, left // 20)


def _own_kbytes(lowmem: list[Zone], page_kbytes: int) -> int:
    return isqrt(_buffers(lowmem) * page_kbytes * 16)


def _clamped(kbytes: int) -> int:
    low, high = _MIN_FREE_KBYTES
    return min(max(kbytes, low), high)


def small_kbytes(state: MachineState) -> int:
    """Return what vm.min_free_kbytes is if nobody writes it, of a kernel without transparent huge pages."""
    return _clamped(_own_kbytes(_lowmem(state.zones()), state.geometry.page_size >> 10))


def recommended_kbytes(state: MachineState) -> int:
    """Return the same of a kernel with transparent huge pages."""
    zones, page_kbytes = list(state.zones()), state.geometry.page_size >> 10
    lowmem, small = _lowmem(zones), small_kbytes(state)
    wanted = _recommended(state, lowmem, _sharing(state, zones, lowmem), small // page_kbytes)
    return max(small, wanted * page_kbytes)


def _buffers(lowmem: list[Zone]) -> int:
    """Return the pages above the high marks. Models: mm/page_alloc.c:nr_free_buffer_pages()."""
    found = 0
    for zone in lowmem:
        above = zone.managed - zone.wmark[2]
        found += above if above > 0 else 0
    return found


def huge_pages_of(state: MachineState) -> HugePages:
    """Return for whom there are transparent huge pages. Models: mm/huge_memory.c:hugepage_init()."""
    if state.huge_pages is not None:
        return state.huge_pages
    return HugePages.ALWAYS if state.boot_pages * state.geometry.page_size >= _THP_MIN_RAM else HugePages.NEVER


def _setup_lowmem_reserve(ratio: tuple[int, ...], *zones: Zone) -> None:
    """Let each zone of a node keep a part of what is managed in the zones from the next one up to the one asked for."""
    for zone in zones:
        zone.protection = _NO_RESERVE
    dma, dma32, normal, movable = zones
    highest = movable.managed
    high = normal.managed + highest
    if normal.managed and ratio[2]:
        normal.protection = (0, 0, 0, highest // ratio[2])
    if dma32.managed and ratio[1]:
        dma32.protection = (0, 0, normal.managed // ratio[1], high // ratio[1])
    if dma.managed and ratio[0]:
        below = dma32.managed
        dma.protection = (0, below // ratio[0], (below + normal.managed) // ratio[0], (below + high) // ratio[0])
