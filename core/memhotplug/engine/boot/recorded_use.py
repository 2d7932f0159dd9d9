"""What a recorded machine's pages in use are for: memmap, page tables, what was never managed, the workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memhotplug.engine.boot.recorded_zones import KnownPages, is_fresh, set_aside
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.slab import SLAB
from memhotplug.engine.sparse_vmemmap import pair_runs
from memhotplug.errors import InputError
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import Runs
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Zone, ZoneKey, ZoneKind
from memhotplug.units import round_down, round_up

__all__ = ["RECORDED", "RECORDED_MOVABLE", "back_memmap", "never_managed", "note_page_tables", "share_out"]

RECORDED = Owner(Use.RECORDED)
"""Who holds the pages that were in use and do not migrate."""
RECORDED_MOVABLE = Owner(Use.RECORDED, "movable")
"""Who holds those that do."""


class InUse(NamedTuple):
    """Pages of a zone that are in use: those that the page allocator gave, and those that it never managed."""

    managed: ExtentSet
    never: ExtentSet


def back_memmap(kernel: Kernel, mappings: MapRuns, used: Mapping[ZoneKey, InUse]) -> None:
    """Back the memmap by pages in use, reserved ones first, from the top of memory down.

    The pages behind a leaf may lie apart: where they are is not known, how far a leaf reaches is.

    Args:
        mappings: what describes all sections, and what shares a leaf with them.
        used: the pages in use of each zone.
    """
    zones = sorted(used, key=_from_the_top)
    reserved = [used[key].never for key in zones]
    first = kernel.state.early  # the memmap of what was hot-added was allocated, as far as that many pages are in use
    memmap = _Memmap(kernel, mappings)
    memmap.back(Source.BOOT, reserved, whose=first)
    if memmap.is_whole:
        return
    allocated, slabs = _allocated(kernel, memmap.largest, {key: used[key].managed for key in zones})
    memmap.back(Source.ALLOCATOR, allocated, whole=True)
    memmap.back(Source.ALLOCATOR, allocated)
    memmap.back(Source.BOOT, reserved)
    memmap.back(Source.ALLOCATOR, slabs)
    if not memmap.is_whole:
        raise InputError("at least as many pages in use as the memmap of the recorded blocks takes", got="fewer")


def _from_the_top(key: ZoneKey) -> tuple[bool, int]:
    """Return by what zones are sorted: Movable last, the others from the top down."""
    return key[1] is ZoneKind.MOVABLE, -key[1]


def _allocated(
    kernel: Kernel, largest: int, managed: Mapping[ZoneKey, ExtentSet]
) -> tuple[list[ExtentSet], list[ExtentSet]]:
    """Return what the page allocator may have given for memmap, and what is too small to have been.

    Args:
        largest: pages of the largest leaf. managed: the pages in use of each zone that the allocator gave.
    """
    allocated, slabs = [], []
    for key, pages in managed.items():
        if is_fresh(kernel, kernel.state.zone(key)):
            pieces = pages.whole(largest)
            allocated.append(pieces)
            slabs.append(pages.difference(pieces))
        else:
            allocated.append(pages)
    return allocated, slabs


class _Memmap:
    """The memmap of a recorded machine while it is being backed.

    Attributes:
        largest: pages of the largest leaf.
    """

    def __init__(self, kernel: Kernel, mappings: MapRuns) -> None:
        self._table = kernel.state.vmemmap
        by_leaf: dict[int, list[tuple[int, int]]] = {}
        for start, end, _, leaf, _ in mappings:
            by_leaf.setdefault(leaf, []).append((start, end))
        self._missing = {leaf: ExtentSet.of(*by_leaf[leaf]) for leaf in sorted(by_leaf, reverse=True)}
        self.largest = max(by_leaf, default=1)
        for missing in self._missing.values():
            missing.difference_update(self._table.mapped)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is backed."""
        return not any(missing.total for missing in self._missing.values())

    def back(
        self, source: Source, pools: Sequence[ExtentSet], *, whose: ExtentSet | None = None, whole: bool = False
    ) -> None:
        """Back what is missing, the largest leaves first, by pages from pools.

        Args:
            whose: only of what describes these pages. whole: only in pieces of a leaf's size, which come back as such.
        """
        per_page = self._table.described_per_page
        for leaf, missing in self._missing.items():
            wanted = missing
            if whose is not None:  # a leaf comes with the first section that it describes
                wanted = wanted.intersection(_widened(whose, leaf * per_page))
            if not wanted.total:
                continue
            backing = self._table.backing()
            room = [pool.difference(backing) for pool in pools]
            if whole:
                wanted = wanted.whole(leaf * per_page)
                room = [pool.whole(leaf) for pool in room]
            size = leaf if whole or source is Source.BOOT else 1
            runs = pair_runs(wanted, Runs.join(list(room)), per_page, size, source)
            if len(runs):
                self._table.insert(runs)
                missing.difference_update(self._table.mapped)


def _widened(pages: ExtentSet, unit: int) -> ExtentSet:
    """Return all aligned pieces of ``unit`` pages that have a page of a set."""
    if pages.few is not None:
        starts, ends = pages.few
        return ExtentSet([round_down(start, unit) for start in starts], [round_up(end, unit) for end in ends])
    return ExtentSet(round_down(pages.starts, unit), round_up(pages.ends, unit))


def never_managed(zone: Zone, used: ExtentSet, known: KnownPages | None, aside: ExtentSet) -> InUse:
    """Tell as many pages in use as were never managed from others: those known as reserved first, then the highest.

    Args:
        aside: what :func:`set_aside` returns.
    """
    if not used.total:
        return InUse(used, used)
    count = zone.present - zone.managed - zone.linked.covered_by(aside)
    if known is None:
        never = used.last(count)
        lowest = never.first_from(0)
        return InUse(used if lowest is None else used.within(0, lowest), never)
    never = known.reserved.intersection(used).last(count)
    if never.total < count:
        never.update(used.difference(known.covered).last(count - never.total))
    if never.total < count:
        never.update(used.difference(never).last(count - never.total))
    return InUse(used.difference(never), never)


def share_out(kernel: Kernel, used: Mapping[ZoneKey, InUse], known: KnownPages | None) -> None:
    """Split zones' pages in use: memmap, reserved ones that were never managed, the recorded workload."""
    state = kernel.state
    memmap, from_boot, aside = state.vmemmap.backing(), state.vmemmap.backing_from(Source.BOOT), set_aside(kernel)
    held: dict[Owner, list[Runs]] = {}
    for key, pages in used.items():
        zone = state.zone(key)
        kernels = held.setdefault(SLAB if is_fresh(kernel, zone) else RECORDED, [])
        movables = held.setdefault(RECORDED_MOVABLE, [])
        left, rest = pages.never.difference(from_boot), pages.managed.difference(memmap)
        boot = pages.never.total - left.total + pages.managed.intersection(from_boot).total
        reserved = left.last(zone.present - zone.managed - boot - zone.linked.covered_by(aside))
        if reserved.total < left.total:
            rest.update(left.difference(memmap).difference(reserved))
        state.reserved.update(reserved)
        if known is not None:
            movable = known.movable.intersection(rest)
            rest.difference_update(movable)
            movables.append(movable)
        kernels.append(rest)
    for owner, parts in held.items():
        joined = Runs.join(parts)
        everywhere = ExtentSet(*(joined.few or joined.arrays))
        state.allocations[owner] = Allocation(owner=owner, movable=owner is RECORDED_MOVABLE, pages=everywhere)


def note_page_tables(kernel: Kernel) -> MapRuns:
    """Note which page tables the recorded memory has, by populating it on a copy; return the mappings of its memmap."""
    trial = kernel.copy()
    trial.state.vmemmap = type(kernel.state.vmemmap)(kernel.geometry.described_per_page)
    trial.tables.boot_altmap = Altmap(0, kernel.geometry.end_pfn)
    for low, high in kernel.state.sections:
        nid = min(kernel.state.nodes)
        trial.vmemmap_populate(low, high - low, nid, None)
        trial.tables.ensure_section_roots(low, high - low, nid)
        if trial.plugins.has(trial.plugins.arch, "create_mapping"):
            trial.plugins.call(
                trial.plugins.arch, "create_mapping", kernel=trial, start_pfn=low, nr_pages=high - low, nid=nid
            )
    kernel.state.page_tables, kernel.state.boot_tables = trial.state.page_tables, trial.state.boot_tables
    return trial.state.vmemmap.runs
