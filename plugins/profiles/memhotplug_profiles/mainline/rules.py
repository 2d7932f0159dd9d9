"""What differs between mainline releases, one field each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Rules"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """One release of mainline Linux; the defaults are those of v5.13.

    Attributes:
        version: (major, minor).
        auto_movable: memory groups (MHP_NID_IS_MGID), online_policy, auto_movable_ratio and
            auto_movable_numa_aware exist (e83a437faa62, 3fcebf90209a, v5.15); before, a plain online
            goes by contig-zones.
        counts_poison: a block counts its broken pages and does not go online with them (v6.2).
        force: memory_hotplug.memmap_on_memory also takes ``force``, which pads the reserved pages
            to whole pageblocks, and a range that cannot self-host is added plainly
            (2d1f649c7c08, v6.6); before, add_memory() refused with EINVAL.
        split: a range of several blocks gets one altmap a block (6b8f0798b85a, v6.8); before,
            only a range of exactly one block could self-host, and be removed again.
        prepare_online: MEM_PREPARE_ONLINE, MEM_FINISH_OFFLINE and MHP_OFFLINE_INACCESSIBLE exist
            (c5f1e2d18909, v6.8; removed again by ce2071e02d84, v6.19).
        offline_pages: hot-plugged pages start as PageOffline (v6.11); before, as Reserved, and so
            did self-hosted memmap.
        movable_shares_marks: Movable zones have their share of min_free_kbytes like the others, which all zones then
            have less of (mm/page_alloc.c:__setup_per_zone_wmarks()); measured on 6.1, and no more on 6.12.
        nopage_flag: /proc/kpageflags shows NOPAGE for a pfn that is offline or absent (up to 7.1).
    """

    version: tuple[int, int]
    auto_movable: bool = False
    counts_poison: bool = False
    force: bool = False
    split: bool = False
    prepare_online: bool = False
    offline_pages: bool = False
    movable_shares_marks: bool = True
    nopage_flag: bool = True
