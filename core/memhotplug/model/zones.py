"""Zones and nodes: what they span, what is present, managed, free.

Models: include/linux/mmzone.h:struct zone, struct pglist_data.
"""

from __future__ import annotations

from enum import IntEnum

from memhotplug.model.extents import ExtentSet

__all__ = ["Node", "Zone", "ZoneKey", "ZoneKind"]


_LABELS = ("DMA", "DMA32", "Normal", "Movable")


class ZoneKind(IntEnum):
    """A zone's type, in the order of enum zone_type.

    Attributes:
        label: the name as /proc/zoneinfo and valid_zones print it.
    """

    DMA = 0
    DMA32 = 1
    NORMAL = 2
    MOVABLE = 3

    def __init__(self, number: int) -> None:
        self.label = _LABELS[number]


ZoneKey = tuple[int, ZoneKind]
"""A zone's identity: node id and type."""


class Zone:
    """One zone of one node. All counts are in pages.

    Attributes:
        start_pfn, spanned: the span; both 0 for an empty zone.
        present, present_early: pages that exist; those of boot sections.
        managed: pages handed to the page allocator.
        cma: managed pages that belong to CMA.
        free: pfns on the buddy lists.
        pcp: free pfns that wait on per-cpu lists, in no buddy list; replaced, never changed in place.
        cma_pages: pfns that CMA owns: as long as they are free, only movable requests get them; replaced.
        barred: pfns that no ordinary request gets while they are free: high-atomic and isolated pageblocks; replaced.
        highatomic: pages that the high-atomic reserve takes off the watermark check, free or not.
        linked: pfns whose struct page says that they belong to this zone.
        wmark: watermarks min, low, high in pages.
        protection: lowmem reserve in pages, by the type of the highest zone that may be used.
    """

    __slots__ = (
        "barred", "cma", "cma_pages", "free", "highatomic", "kind", "linked", "managed", "nid", "pcp", "present",
        "present_early", "protection", "spanned", "start_pfn", "wmark",
    )  # fmt: skip

    def __init__(self, nid: int, kind: ZoneKind) -> None:
        self.nid = nid
        self.kind = kind
        self.start_pfn = 0
        self.spanned = 0
        self.present = 0
        self.present_early = 0
        self.managed = 0
        self.cma = 0
        self.free = ExtentSet()
        self.pcp = ExtentSet()
        self.cma_pages = ExtentSet()
        self.barred = ExtentSet()
        self.highatomic = 0
        self.linked = ExtentSet()
        self.wmark = (0, 0, 0)
        self.protection = (0, 0, 0, 0)

    def __repr__(self) -> str:
        return (
            f"<Zone {self.nid} {self.kind.label}: {self.managed} of {self.present} pages managed, {self.nr_free} free>"
        )

    @property
    def key(self) -> ZoneKey:
        """Node id and type."""
        return self.nid, self.kind

    @property
    def title(self) -> str:
        """The zone as messages call it."""
        return f"node {self.nid} zone {self.kind.label}"

    @property
    def end_pfn(self) -> int:
        """First pfn behind the span."""
        return self.start_pfn + self.spanned

    @property
    def nr_free(self) -> int:
        """Free pages, those on per-cpu lists included."""
        return self.free.total + self.pcp.total

    def open_to(self, *, movable: bool) -> ExtentSet:
        """Return the pages on the buddy lists that a request may be given; read it, it may be the zone's own set.

        Models: mm/page_alloc.c:gfp_to_alloc_flags_cma(), __rmqueue() (v5.8 to v6.12): MIGRATE_CMA serves movable
        requests alone, MIGRATE_HIGHATOMIC and MIGRATE_ISOLATE are no fallback of anybody.
        """
        if not self.barred.total and (movable or not self.cma_pages.total):
            return self.free
        found = self.free.copy()
        found.difference_update(self.barred)
        if not movable:
            found.difference_update(self.cma_pages)
        return found

    def unusable(self, *, movable: bool) -> int:
        """Return the free pages that the watermark check does not count for a request.

        Models: mm/page_alloc.c:__zone_watermark_unusable_free() (v5.8 to v6.12).
        """
        if not self.barred.total and (movable or not self.cma_pages.total):
            return self.highatomic
        reserve = max(self.highatomic, self.free.covered_by(self.barred))
        return reserve if movable else reserve + self.free.covered_by(self.cma_pages)

    def intersects(self, start_pfn: int, end_pfn: int) -> bool:
        """Return whether the span overlaps [start_pfn, end_pfn).

        Models: include/linux/mmzone.h:zone_intersects().
        """
        return self.spanned > 0 and self.start_pfn < end_pfn and start_pfn - self.start_pfn < self.spanned

    def grow_span(self, start_pfn: int, end_pfn: int) -> None:
        """Extend the span so that it covers [start_pfn, end_pfn).

        Models: mm/memory_hotplug.c:resize_zone_range().
        """
        low, high = start_pfn, end_pfn
        if self.spanned:
            low, high = min(low, self.start_pfn), max(high, self.end_pfn)
        self.start_pfn, self.spanned = low, high - low

    def set_span(self, start_pfn: int, end_pfn: int) -> None:
        """Set the span; an empty one is 0/0."""
        self.start_pfn, self.spanned = (start_pfn, end_pfn - start_pfn) if end_pfn > start_pfn else (0, 0)

    def copy(self) -> Zone:
        """Return an independent zone that shares the extents' arrays."""
        # Spelled out: this is most of what a copy of a machine costs.
        twin = Zone.__new__(Zone)
        twin.nid, twin.kind = self.nid, self.kind
        twin.start_pfn, twin.spanned = self.start_pfn, self.spanned
        twin.present, twin.present_early, twin.managed = self.present, self.present_early, self.managed
        twin.free, twin.linked = self.free.copy(), self.linked.copy()
        twin.pcp, twin.cma_pages, twin.barred = self.pcp, self.cma_pages, self.barred
        twin.cma, twin.highatomic = self.cma, self.highatomic
        twin.wmark, twin.protection = self.wmark, self.protection
        return twin


class Node:
    """One NUMA node: its zones and whether it is online.

    Attributes:
        nid: node id.
        online: whether the node is in the online mask.
        has_cpu: whether a present CPU belongs to it, which keeps it online without memory.
        zones: the zones that exist on it, ascending by type.
    """

    __slots__ = ("has_cpu", "nid", "online", "zones")

    def __init__(self, nid: int, *, online: bool = True, has_cpu: bool = False) -> None:
        self.nid = nid
        self.online = online
        self.has_cpu = has_cpu
        self.zones: dict[ZoneKind, Zone] = {kind: Zone(nid, kind) for kind in ZoneKind}

    @property
    def span(self) -> tuple[int, int]:
        """The hull of the zones' spans, half-open; (0, 0) if all are empty.

        Models: mm/memory_hotplug.c:update_pgdat_span() (v5.5).
        """
        spanned = [zone for zone in self.zones.values() if zone.spanned]
        if not spanned:
            return 0, 0
        return min([zone.start_pfn for zone in spanned]), max([zone.start_pfn + zone.spanned for zone in spanned])

    @property
    def present(self) -> int:
        """Present pages of all zones."""
        return sum(zone.present for zone in self.zones.values())

    def copy(self) -> Node:
        """Return an independent node that shares the extents' arrays."""
        twin = Node.__new__(Node)
        twin.nid, twin.online, twin.has_cpu = self.nid, self.online, self.has_cpu
        twin.zones = {kind: zone.copy() for kind, zone in self.zones.items()}
        return twin
