"""The page allocator that the memmap, page tables and workloads draw from.

An allocation walks the zonelist twice, as the kernel does: first against the low watermarks,
then, on the slow path, against the min watermarks. A request for many equal chunks gives exactly
what that many single requests would give, at the cost of one.

Models: mm/page_alloc.c:get_page_from_freelist(), __zone_watermark_ok(), __alloc_pages_slowpath(),
__alloc_pages_direct_reclaim() (v5.2 to v6.12). Simplified: no reclaim, no compaction, no per-cpu caching of what is
freed. Without reclaim the lists of CPUs are not drained for the sake of an allocation: the kernel does that only after
reclaim has got something.
"""

from __future__ import annotations

from typing import Final

from memhotplug.model.buddy import first_pages
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.runs import Runs
from memhotplug.model.state import Allocation, MachineState, Owner
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["alloc_pages", "allocatable_chunks", "disown", "free_pages", "give_back", "own"]

_NORMAL: Final = ZoneKind.NORMAL
_MOVABLE: Final = ZoneKind.MOVABLE


def alloc_pages(
    state: MachineState, order: int, count: int, *, nid: int, movable: bool = False, avoid: int | None = None
) -> Runs:
    """Allocate up to ``count`` chunks of 2**order pages.

    Args:
        nid: the node to start at; other nodes follow when it has no more.
        avoid: a node that must not be used.
        movable: whether Movable zones may be used (GFP_HIGHUSER_MOVABLE instead of GFP_KERNEL).

    Returns:
        The pages in allocation order; fewer than asked for when memory ran out. Each run
        is a whole number of chunks, and the first chunk of a run is naturally aligned.
    """
    if state.fail_allocation is not None:  # fault injection cuts what it does not let through
        count = min(count, state.fail_allocation)
        state.fail_allocation -= count
    if count <= 0:
        return Runs()
    taken: list[Runs] = []
    highest = _MOVABLE if movable else _NORMAL
    for mark in (1, 0):  # low first, min on the slow path
        for zone in state.zonelist(nid, highest):
            chunks = 0 if zone.nid == avoid else allocatable_chunks(zone, order, highest, mark)
            if chunks <= 0:
                continue
            pages = _take(state, zone, order, min(count, chunks), movable)
            count -= pages.total >> order
            taken.append(pages)
            if count <= 0:
                return taken[0] if len(taken) == 1 else Runs.join(taken)
    return Runs.join(taken)


def allocatable_chunks(zone: Zone, order: int, highest: ZoneKind, mark: int) -> int:
    """Return how many chunks the zone's watermark lets go, fragmentation aside.

    Pages on per-cpu lists do not count: no watermark counts them, and each serves one type of request alone. Of what
    type they are nobody can tell from a count, and to take all of them for the right ones would promise too much.

    Args:
        highest: type of the highest zone that the request may use; lower zones keep a reserve from it.
        mark: 0 for the min watermark, 1 for low.
    """
    unusable = zone.unusable(movable=highest is _MOVABLE)
    spare = zone.free.total - unusable - zone.wmark[mark] - zone.protection[highest]
    return max(spare, 0) >> order


def _take(state: MachineState, zone: Zone, order: int, count: int, movable: bool) -> Runs:
    max_order = state.geometry.max_order
    pages = first_pages(zone.open_to(movable=movable), order, count, max_order)
    if pages.total < count << order and zone.pcp.total:
        # Free pages there are, but in pieces: compaction drains the per-cpu lists before it gives up.
        # Below the watermark it is not even tried. Models: mm/compaction.c:compact_zone() (v5.2 to v6.12).
        zone.free.update(zone.pcp)
        zone.pcp = ExtentSet()
        pages = first_pages(zone.open_to(movable=movable), order, count, max_order)
    zone.free.difference_update(pages)
    return pages


def free_pages(state: MachineState, starts: Array, ends: Array) -> int:
    """Give pages back to the zones that their struct pages name.

    Returns:
        The pages freed; those that lie in no zone (any more) are lost.
    """
    return give_back(state, ExtentSet(starts, ends))


def give_back(state: MachineState, pages: ExtentSet) -> int:
    """Do what :func:`free_pages` does with a set."""
    freed = 0
    for zone in state.zones():
        if not zone.linked.total:
            continue
        own = pages.intersection(zone.linked)
        if own.total:
            zone.free.update(own)
            freed += own.total
        if freed == pages.total:  # no page is in two zones
            break
    return freed


def own(state: MachineState, owner: Owner, pages: Runs, order: int = 0) -> None:
    """Note that a part of the kernel has pages of one more allocation."""
    old = state.allocations.get(owner)
    held = old.pages.copy() if old else ExtentSet()
    held.update(pages)
    state.allocations[owner] = Allocation(owner=owner, order=order, pages=held)


def disown(state: MachineState, owner: Owner, count: int) -> None:
    """Free the ``count`` youngest (highest) pages that an owner has; boot's own tables are not tracked."""
    old = state.allocations.get(owner)
    if old is None or count <= 0:
        return
    youngest = old.pages.last(count)
    give_back(state, youngest)
    held = old.pages.copy()
    held.difference_update(youngest)
    state.allocations[owner] = Allocation(owner=owner, order=old.order, pages=held)
