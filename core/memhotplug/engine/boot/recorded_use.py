"""What a recorded machine's pages in use are for: memmap, page tables, what was never managed, the workload."""

from __future__ import annotations

from collections.abc import Mapping

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


def back_memmap(
    kernel: Kernel, mappings: MapRuns, used: Mapping[ZoneKey, ExtentSet], never: Mapping[ZoneKey, ExtentSet]
) -> None:
    """Back the memmap by pages in use, reserved ones first, from the top of memory down.

    The pages behind a leaf may lie apart: where they are is not known, how far a leaf reaches is.

    Args:
        mappings: what describes all sections, and what shares a leaf with them.
        used: the pages in use of each zone. never: those of them that were never managed.
    """
    state = kernel.state
    reserved, allocated, slabs = [], [], []
    largest = int(mappings.leaf.max(initial=1))
    zones = [key for key, pages in used.items() if pages.total]
    for key in sorted(zones, key=lambda key: (key[1] is ZoneKind.MOVABLE, -key[1])):
        reserved.append(never[key])
        managed = used[key].difference(never[key])
        if not is_fresh(kernel, state.zone(key)):
            allocated.append(managed)
            continue
        pieces = managed.whole(largest)
        allocated.append(pieces)
        slabs.append(managed.difference(pieces))  # too small to have been allocated as memmap
    first = state.early  # the memmap of what was hot-added was allocated, as far as that many pages are in use
    rounds = (
        (Source.BOOT, reserved, first, False),
        (Source.ALLOCATOR, allocated, None, True),
        (Source.ALLOCATOR, allocated, None, False),
        (Source.BOOT, reserved, None, False),
        (Source.ALLOCATOR, slabs, None, False),
    )
    leaves = sorted(set(mappings.leaf.tolist()), reverse=True)
    wanted = {leaf: ExtentSet(mappings.start[of := mappings.leaf == leaf], mappings.end[of]) for leaf in leaves}
    for source, pools, whose, whole in rounds:
        for leaf, described in wanted.items():
            missing = described.difference(state.vmemmap.mapped)
            if whose is not None:  # a leaf comes with the first section that it describes
                missing = missing.intersection(_widened(whose, leaf * state.vmemmap.described_per_page))
            if not missing.total:
                continue
            backing = state.vmemmap.backing()
            room = [pool.difference(backing) for pool in pools]
            if whole:  # as it was allocated: pieces of a leaf's size, which come back as such
                missing = missing.whole(leaf * state.vmemmap.described_per_page)
                room = [pool.whole(leaf) for pool in room]
            size = leaf if whole or source is Source.BOOT else 1
            runs = pair_runs(missing, Runs.join(list(room)), state.vmemmap.described_per_page, size, source)
            if len(runs):
                state.vmemmap.insert(runs)
    if state.vmemmap.mapped.total < int((mappings.end - mappings.start).sum()):
        raise InputError("at least as many pages in use as the memmap of the recorded blocks takes", got="fewer")


def _widened(pages: ExtentSet, unit: int) -> ExtentSet:
    """Return all aligned pieces of ``unit`` pages that have a page of a set."""
    return ExtentSet(round_down(pages.starts, unit), round_up(pages.ends, unit))


def never_managed(kernel: Kernel, zone: Zone, used: ExtentSet, known: KnownPages | None) -> ExtentSet:
    """Return as many pages in use as were never managed: those known as reserved first, then from the top down."""
    if not used.total:
        return used
    count = zone.present - zone.managed - zone.linked.covered_by(set_aside(kernel))
    if known is None:
        return used.last(count)
    budget = known.reserved.intersection(used).last(count)
    budget.update(used.difference(known.covered).last(count - budget.total))
    if budget.total < count:
        budget.update(used.difference(budget).last(count - budget.total))
    return budget


def share_out(
    kernel: Kernel,
    used: Mapping[ZoneKey, ExtentSet],
    never: Mapping[ZoneKey, ExtentSet],
    known: KnownPages | None,
) -> None:
    """Split zones' pages in use: memmap, reserved ones that were never managed, the recorded workload."""
    state = kernel.state
    memmap, from_boot, aside = state.vmemmap.backing(), state.vmemmap.backing_from(Source.BOOT), set_aside(kernel)
    for key, pages in used.items():
        zone = state.zone(key)
        if not zone.linked.total:
            for owner in (RECORDED, RECORDED_MOVABLE):
                state.allocations.setdefault(owner, Allocation(owner=owner, movable=owner is RECORDED_MOVABLE))
            continue
        boot, rest = pages.intersection(from_boot), pages.difference(memmap)
        count = zone.present - zone.managed - boot.total - zone.linked.covered_by(aside)
        reserved = never[key].difference(boot).last(count)
        state.reserved.update(reserved)
        rest.difference_update(reserved)
        movable = known.movable.intersection(rest) if known is not None else ExtentSet()
        rest.difference_update(movable)
        kernels = SLAB if is_fresh(kernel, zone) else RECORDED
        for owner, part in ((kernels, rest), (RECORDED_MOVABLE, movable)):
            old = state.allocations.get(owner)
            held = old.pages.union(part) if old else part
            state.allocations[owner] = Allocation(owner=owner, movable=part is movable, pages=held)


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
