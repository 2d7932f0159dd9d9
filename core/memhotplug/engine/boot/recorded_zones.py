"""The zones of a recorded machine: counts as recorded, and where its free pages may lie.

Free chunks are placed as low as their orders allow, pages on per-cpu lists apart from the buddy lists; what page flags
show is taken from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.slab import attracts_slab
from memhotplug.formats.snapshot import RecordedMachine, RecordedZone
from memhotplug.formats.snapshot.placement import place_free
from memhotplug.model.blocks import BlockState
from memhotplug.model.buddy import chunks_of, free_by_order
from memhotplug.model.extents import ExtentSet, empty
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["KnownPages", "RecordedZones", "is_fresh", "note_holes", "set_aside"]


_TYPES = tuple(kind.label for kind in ZoneKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPages:
    """What page flags show of some pages, so that it need not be inferred.

    Attributes:
        covered: the pfns that the flags cover.
        free: in a buddy list. waiting: on a per-cpu list. reserved: never managed, or in use as such.
        movable: user pages. hosted: memmap of the block that it lies in. offline: kept by a driver in an online block.
        broken: given up for that.
        Whatever else is covered belongs to the kernel.
    """

    covered: ExtentSet
    free: ExtentSet
    waiting: ExtentSet
    reserved: ExtentSet
    movable: ExtentSet
    hosted: ExtentSet = field(default_factory=ExtentSet)
    offline: ExtentSet = field(default_factory=ExtentSet)
    broken: ExtentSet = field(default_factory=ExtentSet)


def set_aside(kernel: Kernel) -> ExtentSet:
    """Return the pages that are in no zone's books but present: self-hosted memmap, and what a driver withholds."""
    return kernel.state.vmemmap.backing_from(Source.ALTMAP).union(kernel.state.withheld)


def _protection(recorded: RecordedZone, types: Sequence[str]) -> tuple[int, int, int, int]:
    """Return the lowmem reserve by zone type; recorded are only the types that the kernel is built with."""
    if not any(recorded.protection):
        return 0, 0, 0, 0
    told = dict(zip(types, recorded.protection, strict=False))
    dma, dma32, normal, movable = [told.get(name, 0) for name in _TYPES]
    return dma, dma32, normal, movable


class RecordedZones:
    """Takes over the zones of a recorded machine, one after the other.

    Attributes:
        aside: what :func:`set_aside` returns.

    Args:
        kernel: the machine so far, with its blocks. known: what is known of single pages.
    """

    def __init__(self, kernel: Kernel, machine: RecordedMachine, known: KnownPages | None) -> None:
        self._kernel, self._machine, self._known = kernel, machine, known
        self.aside = set_aside(kernel)
        self._types: dict[int, list[str]] = {}  # of each node, those that the kernel is built with
        for zone in machine.zones:
            self._types.setdefault(zone.node, []).append(zone.name)

    @cached_property
    def _image(self) -> ExtentSet:
        return ExtentSet.of(*self._machine.kernel_image)

    def take_over(self, recorded: RecordedZone, zone: Zone) -> ExtentSet:
        """Take over one zone's counts and place its free pages; return its pages that are in use."""
        pages = ExtentSet.of(*recorded.extents)
        zone.start_pfn, zone.spanned = recorded.start_pfn or 0, recorded.spanned
        zone.present = recorded.present
        zone.managed, zone.cma = recorded.managed, recorded.cma
        zone.wmark = (recorded.min, recorded.low, recorded.high)
        zone.protection = _protection(recorded, self._types[recorded.node])
        zone.linked = pages
        zone.present_early = max(zone.present - pages.total + pages.covered_by(self._kernel.state.early), 0)
        if not pages.total and not any(recorded.free_by_order):
            _keep_chunks(zone, recorded, self._machine.max_order)
            return pages
        known = self._known
        free = known.free.intersection(pages) if known is not None else pages
        left = _left(recorded, pages, known, free) if known is not None else None
        if known is not None and left is not None:
            return _known_zone(recorded, zone, known, free, left, self.aside)
        return self._placed_zone(recorded, zone)

    def _placed_zone(self, recorded: RecordedZone, zone: Zone) -> ExtentSet:
        """Place all free pages of a zone."""
        room, max_order = zone.linked.difference(self.aside), self._machine.max_order
        if is_fresh(self._kernel, zone):
            avoid = _first_slabs(room, recorded, max_order)
        else:
            memmap = zone.linked.last(self._kernel.geometry.memmap_pages(zone.linked.total))
            avoid = self._image.union(memmap)
        zone.free = _placed(room, recorded.free_by_order, max_order, recorded.title, avoid)
        _keep_chunks(zone, recorded, max_order)
        zone.pcp, others = _lonely(room.difference(zone.free), recorded.pcp_pages)
        return others


def _placed(
    room: ExtentSet, counts: Sequence[int], max_order: int, title: str, avoid: ExtentSet | None = None
) -> ExtentSet:
    """Return free pages of a zone, of which as many chunks as recorded are of each order."""
    if not room.total and not any(counts):
        return ExtentSet()
    kept = None if avoid is None else avoid.few or avoid.arrays
    return ExtentSet(*place_free(room.few or room.arrays, counts, max_order, avoid=kept, place=title))


def is_fresh(kernel: Kernel, zone: Zone) -> bool:
    """Return whether a zone was empty when the kernel had booted, and its pages are those that the kernel takes first.

    What is in use there is the kernel's slab, and it begins in the first block that came.
    """
    return not zone.present_early and bool(zone.linked.total) and attracts_slab(kernel, zone)


def _first_slabs(room: ExtentSet, recorded: RecordedZone, max_order: int) -> ExtentSet:
    """Return the lowest pages of a zone, as many as are not in whole chunks of the highest order."""
    return _first(room, room.total - (recorded.free_by_order[max_order] << max_order))


def _left(recorded: RecordedZone, pages: ExtentSet, known: KnownPages, free: ExtentSet) -> list[int] | None:
    """Return how many free chunks of each order are not known; None if what is known contradicts the recorded counts.

    Args:
        free: pages of the zone that are known to be free.
    """
    if not free.total:
        return None
    counts = free_by_order(free, len(recorded.free_by_order) - 1)
    left = [whole - part for whole, part in zip(recorded.free_by_order, counts, strict=True)]
    room = pages.total - pages.covered_by(known.covered)
    return left if min(left) >= 0 and sum(count << order for order, count in enumerate(left)) <= room else None


def _known_zone(
    recorded: RecordedZone, zone: Zone, known: KnownPages, free: ExtentSet, left: Sequence[int], aside: ExtentSet
) -> ExtentSet:
    """Take free pages from where they are known, and place the others outside of what is known."""
    max_order = len(left) - 1
    rest = zone.linked.difference(known.covered).difference(aside)
    zone.free = free.union(_placed(rest, left, max_order, recorded.title))
    _keep_chunks(zone, recorded, max_order)
    used = zone.linked.difference(zone.free).difference(aside)
    waiting = known.waiting.intersection(used)
    elsewhere, here = used.difference(known.covered), used.intersection(known.covered)
    lonely, others = _lonely(elsewhere, recorded.pcp_pages - waiting.total)
    zone.pcp = waiting.union(lonely)
    return others.union(here.difference(waiting))


def _keep_chunks(zone: Zone, recorded: RecordedZone, max_order: int) -> None:
    """Choose which of the free chunks are not for everybody: of each order the highest."""
    zone.highatomic = recorded.kept.highatomic
    for counts, owner in ((recorded.kept.cma, zone.cma_pages), (recorded.kept.barred, zone.barred)):
        for order, count in enumerate(counts) if any(counts) else ():
            if not count:
                continue
            chunks = chunks_of(zone.free, order, max_order)
            for taken in (zone.cma_pages, zone.barred):
                chunks.difference_update(taken)
            owner.update(chunks.last(count << order))


def _lonely(pages: ExtentSet, count: int) -> tuple[ExtentSet, ExtentSet]:
    """Return ``count`` pages, the lowest that merge with nothing when they are freed while there are such; the others.

    Nothing tells where pages on per-cpu lists lie. Were they neighbours, draining the lists would make chunks of
    them that nobody has seen: here each is one of a pair whose other page is in use.
    """
    if count <= 0 or not pages.total:
        return ExtentSet(), pages
    parts, left = [empty()], count
    for start, end in pages.whole(2):
        taken = min(end - start >> 1, left)
        parts.append(np.arange(start, start + 2 * taken, 2, dtype=np.int64))
        left -= taken
        if not left:
            break
    firsts = np.concatenate(parts)
    singles = ExtentSet.of_arrays(firsts, firsts + 1)  # no two of which touch
    # They lie in runs and apart, so that the borders of both are those of the others.
    starts = np.sort(np.concatenate((pages.starts, singles.ends)), kind="stable")
    ends = np.sort(np.concatenate((singles.starts, pages.ends)), kind="stable")
    filled = ends > starts
    others = ExtentSet.of_arrays(starts[filled], ends[filled])
    if not left:
        return singles, others
    more = _first(others, left)
    return singles.union(more), others.difference(more)


def _first(pages: ExtentSet, count: int) -> ExtentSet:
    """Return the lowest ``count`` pages of a set."""
    return pages.difference(pages.last(pages.total - max(count, 0)))


def note_holes(kernel: Kernel) -> None:
    """Note what online blocks lack: where no zone has a page."""
    state = kernel.state
    state.holes = state.blocks.runs_with("state", BlockState.ONLINE).times(kernel.geometry.pages_per_block)
    for zone in state.zones():
        state.holes.difference_update(zone.linked)
