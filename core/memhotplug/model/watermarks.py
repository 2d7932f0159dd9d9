"""Watermarks and lowmem reserves of all zones, recomputed when memory comes or goes.

Models: mm/page_alloc.c:init_per_zone_wmark_min(), __setup_per_zone_wmarks(),
setup_per_zone_lowmem_reserve(); mm/khugepaged.c:set_recommended_min_free_kbytes() (v5.2 to v6.12).
"""

from __future__ import annotations

from math import isqrt

import numpy as np

from memhotplug.model.extents import EMPTY, Array
from memhotplug.model.state import MachineState
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["setup_watermarks"]

_MIN_FREE_KBYTES = (128, 262144)  # v5.5 and later; up to v5.4 the upper bound was 65536
_WATERMARK_SCALE = 10  # of 10000, vm.watermark_scale_factor
_RESERVE_RATIO = {ZoneKind.DMA: 256, ZoneKind.DMA32: 256, ZoneKind.NORMAL: 32}
_THP_MIN_RAM = 512 << 20  # bytes; transparent huge pages stay off below
_REMEMBERED = 32  # blocks; each forgets nine tenths of the difference that the history makes


def setup_watermarks(state: MachineState, zone: Zone | None = None, changes: Array = EMPTY) -> None:
    """Set min, low, high and the lowmem reserve of every zone from what it manages now.

    The kernel does so after every block, and each result depends a little on the one before.

    Args:
        zone: a zone that several blocks have just come to or gone from.
        changes: pages that each of them added to what the zone manages, ascending by time; int64.
    """
    if zone is not None:
        managed = zone.managed
        pending = np.cumsum(changes[::-1])[::-1][1:][-_REMEMBERED:]
        for missing in pending.tolist():
            zone.managed = managed - missing
            _setup_marks(state)
        zone.managed = managed
    _setup_marks(state)
    for node in state.nodes.values():
        _setup_lowmem_reserve(list(node.zones.values()))


def _setup_marks(state: MachineState) -> None:
    lowmem = [zone for zone in state.zones() if zone.kind < ZoneKind.MOVABLE and zone.managed]
    total = sum(zone.managed for zone in lowmem)
    pages_min = _pages_min(state, lowmem)
    for zone in state.zones():
        share = pages_min * zone.managed // total if total else 0
        least = share
        if zone.kind is ZoneKind.MOVABLE:
            least = min(max(zone.managed // 1024, 32), 128)
        gap = max(share // 4, zone.managed * _WATERMARK_SCALE // 10000)
        zone.wmark = (least, least + gap, least + 2 * gap)


def _pages_min(state: MachineState, lowmem: list[Zone]) -> int:
    page_kbytes = state.geometry.page_size >> 10
    buffers = sum(max(zone.managed - zone.wmark[2], 0) for zone in lowmem)
    low, high = _MIN_FREE_KBYTES
    kbytes = min(max(isqrt(buffers * page_kbytes * 16), low), high)
    if state.boot_pages * state.geometry.page_size >= _THP_MIN_RAM:
        recommended = len(lowmem) * state.geometry.pageblock_pages * 11
        kbytes = max(kbytes, min(recommended, buffers // 20) * page_kbytes)
    return kbytes // page_kbytes


def _setup_lowmem_reserve(zones: list[Zone]) -> None:
    for zone in zones:
        ratio = _RESERVE_RATIO.get(zone.kind, 0)
        reserve = [0, 0, 0, 0]
        above = 0
        for other in zones[zone.kind + 1 :]:
            above += other.managed
            reserve[other.kind] = above // ratio if ratio and zone.managed else 0
        zone.protection = (reserve[0], reserve[1], reserve[2], reserve[3])
