"""Isolating and emptying a range that is to go offline.

Models: mm/page_isolation.c:has_unmovable_pages(); mm/memory_hotplug.c:do_migrate_range(),
new_node_page(); mm/migrate.c:alloc_migration_target() (v5.2 to v6.12). Simplified: a movable page always
migrates unless it is pinned or no page is left to move it to; the kernel would then retry until a signal arrives.
"""

from __future__ import annotations

import errno

from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError, UntilInterruptedError
from memhotplug.model.allocator import alloc_pages
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug.units import div_round_up

__all__ = ["drain_per_cpu_lists", "isolate", "migrate", "unisolate", "unmovable_pages"]


def unmovable_pages(kernel: Kernel, zone: Zone, pages: ExtentSet) -> int:
    """Return how many of the pages are neither free nor movable nor given up as broken, or lie in a CMA area.

    Whatever is in a CMA area could move, but only the owner of the area may isolate it: a block with a part of one
    stays online (has_unmovable_pages(): is_migrate_cma_page(), v5.2 to v6.12).
    """
    state = kernel.state
    area = zone.cma_pages.covered_by(pages)
    if area:
        pages = pages.copy()
        pages.difference_update(zone.cma_pages)
        return area + unmovable_pages(kernel, zone, pages)
    usable = pages.covered_by(zone.free) + pages.covered_by(zone.pcp)
    movable = sum([pages.covered_by(held.pages) for held in state.allocations.values() if held.movable])
    return pages.total - usable - movable - pages.covered_by(state.poisoned)


def drain_per_cpu_lists(zone: Zone) -> None:
    """Put what waits on a zone's per-cpu lists back on its free lists, as an offline does whatever comes of it.

    Models: mm/page_alloc.c:zone_pcp_disable() (v5.12 to v6.12), before it drain_all_pages(zone).
    """
    if zone.pcp.total:
        zone.free.update(zone.pcp)
        zone.pcp = ExtentSet()


def isolate(kernel: Kernel, zone: Zone, pages: ExtentSet) -> ExtentSet:
    """Take the free pages of a range off the free lists and return them.

    Raises:
        MemoryHotplugError: EBUSY, some page is unmovable; only the per-cpu lists have been drained.
    """
    drain_per_cpu_lists(zone)
    taken = zone.free.intersection(pages)
    all_free = taken.total == pages.total and not zone.cma_pages.total
    unmovable = 0 if all_free else unmovable_pages(kernel, zone, pages)
    if unmovable:
        raise MemoryHotplugError(
            errno.EBUSY, f"failure to isolate range: {unmovable} of {pages.total} pages are unmovable"
        )
    zone.free.difference_update(pages)  # a block is one run, however many of its pages are free
    return taken


def unisolate(zone: Zone, taken: ExtentSet) -> None:
    """Put isolated free pages back on the free lists."""
    zone.free.update(taken)


def migrate(kernel: Kernel, zone: Zone, pages: ExtentSet) -> None:
    """Move every movable page out of an isolated range, to another node if there is one with memory.

    Pages of a kernel zone stay in kernel zones (alloc_migration_target(): __GFP_HIGHMEM only if the source
    zone is highmem or Movable), however much room there is in Movable.

    Raises:
        UntilInterruptedError: a page cannot move; what moved before stays moved.
    """
    vacated: list[ExtentSet] = []
    try:
        for held in list(kernel.state.allocations.values()):
            if held.movable and pages.covered_by(held.pages):
                vacated.append(_migrate_one(kernel, zone, pages, held))
    except MemoryHotplugError:
        # The range stays online, so what others left behind in it is free again.
        for left in vacated:
            zone.free.update(left)
        raise


def _migrate_one(kernel: Kernel, zone: Zone, pages: ExtentSet, held: Allocation) -> ExtentSet:
    """Move one owner's pages; return the pages that they vacated."""
    inside = held.pages.intersection(pages)
    if held.pinned:
        raise UntilInterruptedError(f"{inside.total} pages of {held.name!r} are pinned")
    others = any(node.nid != zone.nid and node.present for node in kernel.state.nodes.values())
    count = div_round_up(inside.total, 1 << held.order)
    fresh = alloc_pages(
        kernel.state,
        held.order,
        count,
        nid=zone.nid,
        movable=zone.kind is ZoneKind.MOVABLE,
        avoid=zone.nid if others else None,
    )
    left = inside.last(inside.total - fresh.total)
    kept = held.pages.copy()
    kept.difference_update(pages)
    kept.update(fresh)
    kept.update(left)
    kernel.state.allocations[held.owner] = held._replace(pages=kept)
    if left.total:
        _settle(zone, inside, left)
        raise UntilInterruptedError(f"no memory to move {left.total} pages of {held.name!r} to")
    return inside


def _settle(zone: Zone, inside: ExtentSet, left: ExtentSet) -> None:
    """Free the pages of a range whose contents did move although others did not."""
    vacated = inside.copy()
    vacated.difference_update(left)
    zone.free.update(vacated)
