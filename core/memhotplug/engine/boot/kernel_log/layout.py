"""Where the zones of a machine lie of which only the counts are known.

Memory is put as the architecture's firmware and boot usually have it: from its base up, every zone from its
lower limit on, one node after the other, Movable zones on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from memhotplug.contracts import ArchTraits, SizingRequest, ZoneLimit
from memhotplug.engine.profile_plugin import profile_in
from memhotplug.errors import InputError
from memhotplug.formats.snapshot.extents import Extents, merge
from memhotplug.formats.snapshot.freetypes import KeptChunks
from memhotplug.formats.snapshot.records import RecordedBlock, RecordedNode, RecordedZone
from memhotplug.formats.snapshot.source import Source
from memhotplug.formats.snapshot.zoneinfo import Pageset
from memhotplug.manager import Plugins
from memhotplug.model.geometry import Geometry
from memhotplug.model.zones import ZoneKind
from memhotplug.naming import choose_profile, first_mainline
from memhotplug.units import div_round_up, format_size, round_up

__all__ = ["Layout", "LoggedZone", "max_order", "place", "refused"]

_KINDS: Final = {kind.label: kind for kind in ZoneKind}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedZone:
    """One zone as a report shows it.

    Attributes:
        line: where, from 1.
        pages: counts in pages by their name in the report; ``free_pcp`` and ``free_cma`` may be 0.
        protection: lowmem reserve in pages, None if it was not shown.
        by_order: free chunks by order; empty if none were shown. kept: those that are not for everybody.
    """

    node: int
    name: str
    line: int
    pages: Mapping[str, int]
    protection: tuple[int, ...] | None
    by_order: tuple[int, ...]
    kept: KeptChunks = field(default_factory=KeptChunks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Zones, blocks and nodes with their places; ``assumed`` says what was taken for granted."""

    zones: tuple[RecordedZone, ...]
    blocks: tuple[RecordedBlock, ...]
    nodes: tuple[RecordedNode, ...]
    block_size: int
    assumed: tuple[str, ...]


@dataclass(slots=True)
class _Places:
    """Hands out pfns from below; ``top`` is the first that is not taken."""

    floors: Mapping[ZoneKind, int]
    ceilings: Mapping[ZoneKind, int]
    block_pages: int
    page_size: int
    top: int = 0
    node: int | None = None

    def take(self, zone: LoggedZone, kind: ZoneKind) -> int:
        """Return the first pfn of a zone and take its present pages."""
        start = max(self.top, self.floors.get(kind, 0))
        if kind is ZoneKind.MOVABLE or self.node not in (None, zone.node):
            start = round_up(start, self.block_pages)
        self.node = zone.node
        self.top = start + zone.pages["present"]
        return start


def refused(source: Source, expected: str, *, got: object, line: int | None = None) -> InputError:
    """Return the error to raise about a line of a log."""
    return InputError(expected, got=got, file=source.file, line=line)


def place(zones: Sequence[LoggedZone], *, arch: str, release: str | None, page_size: int, source: Source) -> Layout:
    """Return where zones lie of which a kernel log shows the counts.

    Args:
        page_size: bytes.

    Raises:
        InputError: a zone that this architecture does not have, or is more than can be there.
        PluginError: there is no such architecture.
    """
    for zone in zones:
        if zone.name not in _KINDS:
            raise refused(source, "the zones of a 64-bit kernel", got=f"zone {zone.name}", line=zone.line)
    plugins = Plugins(arch, _profile(release))
    geometry = _geometry(plugins, zones, page_size)
    places = _places(plugins, geometry)
    found: dict[tuple[int, str], Extents] = {}
    for kind in ZoneKind:
        for zone in sorted(zones, key=lambda zone: zone.node):
            if zone.name == kind.label and zone.pages["present"]:
                found[zone.node, zone.name] = _extents(zone, kind, places, plugins.arch_traits, source)
    records = tuple(_record(zone, found.get((zone.node, zone.name), ()), zones) for zone in zones)
    assumed = [
        f"zones where {arch} usually has them: their places are in no log",
        f"memory blocks of {format_size(geometry.memory_block_size)}, online wherever there is memory",
    ]
    if any(zone.protection is None for zone in zones):
        assumed.append("lowmem reserve 0 where the log shows none")
    return Layout(
        zones=records,
        blocks=tuple(_blocks(records, geometry.pages_per_block)),
        nodes=tuple(_nodes(records)),
        block_size=geometry.memory_block_size,
        assumed=tuple(assumed),
    )


def max_order(arch: str, release: str | None, zones: Sequence[LoggedZone], page_size: int) -> int | None:
    """Return the highest order of the buddy lists that an architecture has with pages of so many bytes.

    None if it has no such machine, as one whose kernels cannot hot-add before some release, or is broken.
    """
    try:
        return _geometry(Plugins(arch, _profile(release)), zones, page_size).max_order
    except InputError:
        return None


def _profile(release: str | None) -> str:
    """Return the profile whose sizes count; the oldest for a kernel that is older, or unknown."""
    try:
        return choose_profile(release)
    except InputError:
        return first_mainline()


def _geometry(plugins: Plugins, zones: Sequence[LoggedZone], page_size: int) -> Geometry:
    profile = profile_in(plugins)
    boot = sum(zone.pages["present"] for zone in zones if zone.name != "Movable") * page_size
    request = SizingRequest(version=profile.version, asks=profile.has, memory=((0, boot),), page_size=page_size)
    geometry: Geometry = plugins.ask(plugins.arch, "page_sizing", Geometry, request=request)
    return geometry


def _places(plugins: Plugins, geometry: Geometry) -> _Places:
    """Return each zone's lowest pfn: the limit of the zone below, or the base of memory."""
    limits: Sequence[ZoneLimit] = plugins.ask(plugins.arch, "zone_limits", Sequence, geometry=geometry)
    base: int = plugins.ask(plugins.arch, "boot_base", int, geometry=geometry)
    floors, ceilings = {}, {}
    low = geometry.pfn(base)
    for limit in limits:
        floors[limit.kind], ceilings[limit.kind] = low, limit.end_pfn
        low = max(low, limit.end_pfn)
    floors[ZoneKind.MOVABLE] = geometry.pfn(max(base, geometry.hotplug_base))
    return _Places(floors=floors, ceilings=ceilings, block_pages=geometry.pages_per_block, page_size=geometry.page_size)


def _extents(zone: LoggedZone, kind: ZoneKind, places: _Places, traits: ArchTraits, source: Source) -> Extents:
    present = zone.pages["present"]
    fixed = next(((low, high) for name, low, high in traits.zones if name == zone.name), None)
    parts = None if fixed is None else _between(traits.firmware_holes, *fixed)
    if parts is not None:
        page = places.page_size
        low, high = ((start // page, end // page) for start, end in parts)
        return _around_a_hole(zone, places, kind, low, high, source)
    start = places.take(zone, kind)
    ceiling = places.ceilings.get(kind)
    if ceiling is not None and start + present > ceiling and fixed is not None:
        room = max(0, ceiling - start)
        raise refused(source, f"at most {room} present pages in zone {zone.name}", got=present, line=zone.line)
    return ((start, start + present),)


def _between(holes: Sequence[tuple[int, int]], start: int, end: int) -> Sequence[tuple[int, int]] | None:
    """Return the two parts of a range, in bytes, that holes leave of it; None if there is none, or more than one."""
    found, low = [], start
    for first, last in (*holes, (end, end)):
        if not start <= first <= last <= end:
            return None
        if low < first:
            found.append((low, first))
        low = last
    return found if len(found) == 2 else None


def _around_a_hole(
    zone: LoggedZone, places: _Places, kind: ZoneKind, low: tuple[int, int], high: tuple[int, int], source: Source
) -> Extents:
    """Return the extents of a zone with a hole in it, pfns: all above the hole, and below it what is left.

    Models: arch/x86/kernel/setup.c:trim_bios_range(), trim_low_memory_range() (v5.2)
    """
    present = zone.pages["present"]
    places.take(zone, kind)
    places.top = max(places.top, high[1])
    if present > high[1] - 1:
        raise refused(source, f"at most {high[1] - 1} present pages in zone {zone.name}", got=present, line=zone.line)
    rest = present - (high[1] - high[0])
    if rest <= 0:
        return ((high[1] - present, high[1]),)
    if rest > low[1] - low[0]:
        return merge(((1, 1 + rest), high)) if 1 + rest < high[0] else ((high[1] - present, high[1]),)
    return ((low[0], low[0] + rest), high)


def _record(zone: LoggedZone, extents: Extents, zones: Sequence[LoggedZone]) -> RecordedZone:
    pages = zone.pages
    orders = max(len(other.by_order) for other in zones)
    cached = pages["free_pcp"]
    return RecordedZone(
        node=zone.node, name=zone.name, free=pages["free"],
        free_by_order=zone.by_order + (0,) * (orders - len(zone.by_order)),
        boost=pages["boost"], min=pages["min"], low=pages["low"], high=pages["high"], promo=0,
        spanned=extents[-1][1] - extents[0][0] if extents else 0,
        present=pages["present"], managed=pages["managed"], cma=0, free_cma=pages.get("free_cma", 0),
        protection=zone.protection or (), start_pfn=extents[0][0] if extents else None, extents=extents,
        pagesets=(Pageset(cpu=0, count=cached, high=0, batch=0),) if cached else (), kept=_padded(zone.kept, orders),
    )  # fmt: skip


def _padded(kept: KeptChunks, orders: int) -> KeptChunks:
    """Return the same chunks with a number for each order."""
    cma, barred = ((*counts, *(0,) * (orders - len(counts))) for counts in (kept.cma, kept.barred))
    return replace(kept, cma=cma, barred=barred)


def _blocks(zones: Sequence[RecordedZone], pages: int) -> list[RecordedBlock]:
    """Return the blocks that hold a page of a zone; one that several zones share belongs to none."""
    owners: dict[int, list[RecordedZone]] = {}
    for zone in zones:
        for start, end in zone.extents:
            for block in range(start // pages, div_round_up(end, pages)):
                if zone not in owners.setdefault(block, []):
                    owners[block].append(zone)
    return [_block(block, owners[block]) for block in sorted(owners)]


def _block(block: int, owners: Sequence[RecordedZone]) -> RecordedBlock:
    names = (owners[0].name,) if len(owners) == 1 else ()
    return RecordedBlock(
        id=block, state="online", zone=names[0] if names else None, valid_zones=names, removable=None,
        phys_index=None, phys_device=None, node=min(zone.node for zone in owners),
    )  # fmt: skip


def _nodes(zones: Sequence[RecordedZone]) -> list[RecordedNode]:
    nodes = []
    for node in sorted({zone.node for zone in zones}):
        names = {zone.name for zone in zones if zone.node == node and zone.present}
        nodes.append(
            RecordedNode(
                id=node,
                online=True,
                has_memory=bool(names),
                has_normal_memory=bool(names - {"Movable"}),
                mem_total=None,
                mem_free=None,
            )
        )
    return nodes
