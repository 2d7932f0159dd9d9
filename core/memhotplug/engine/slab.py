"""What a running kernel takes for itself from memory that has just come.

Models: mm/page_alloc.c:get_page_from_freelist(), mm/slub.c:allocate_slab() (v5.2 to v7.2): GFP_KERNEL begins at the
highest kernel zone of the node whose CPU asks, or of the next one that has any. A zone that was empty has the cheapest
pages there are, and the next slab that any cache needs comes from it: never again can its first block go offline.
Simplified: one slab at once; what a kernel takes later depends on what it does, and which CPU does it. Lately each
CPU has objects in store, so that the slab may come long after the memory.

A node without a CPU asks for nothing, but gets threads of its own with its first memory: mm/vmscan.c:kswapd_run(),
mm/compaction.c:kcompactd_run(), from mm/memory_hotplug.c:online_pages(). Since v6.14 their task_struct lies there.
"""

from __future__ import annotations

from memhotplug.engine.kernel import Kernel
from memhotplug.model.buddy import first_pages, largest_order
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.zones import Zone, ZoneKey, ZoneKind

__all__ = [
    "SLAB",
    "THREADS",
    "attracts_slab",
    "comes_late",
    "first_zones",
    "give_up_slab",
    "slab_in",
    "slab_pages",
    "take_first_slab",
]

SLAB = Owner(Use.SLAB)
"""Who holds the pages of the first slab that some cache needs."""

THREADS = Owner(Use.SLAB, "of threads")
"""Who holds those of a node's own threads, which are taken at once in any case."""

_OWNERS = (SLAB, THREADS)

_SLAB_BYTES = 32 << 10  # PAGE_ALLOC_COSTLY_ORDER pages of 4 KiB, as most caches of a kernel take them


def first_zones(kernel: Kernel) -> set[ZoneKey]:
    """Return the zones in which requests for kernel memory begin, one for each node with a CPU.

    That is the highest kernel zone of the node itself, or of the next one that has any.
    """
    state = kernel.state
    lists = (state.zonelist(nid, ZoneKind.NORMAL) for nid, node in state.nodes.items() if node.has_cpu)
    return {zone.key for zone in (next(zones, None) for zones in lists) if zone is not None}


def attracts_slab(kernel: Kernel, zone: Zone) -> bool:
    """Return whether requests for kernel memory begin in a zone, from some CPU."""
    return zone.kind <= ZoneKind.NORMAL and zone.key in first_zones(kernel)


def comes_late(kernel: Kernel) -> bool:
    """Return whether nobody can know when the first slab is taken: several CPUs may ask, or have objects in store."""
    return kernel.has("slab_sheaves") or len(first_zones(kernel)) > 1


def take_first_slab(kernel: Kernel, zone: Zone, *, is_first_of_node: bool = False) -> None:
    """Let the kernel put slabs into a kernel zone that was empty a moment ago.

    The first lies at the start of the lowest free chunk of the highest order. Pages that can be reclaimed come from
    pageblocks of their own (mm/page_alloc.c:find_suitable_fallback()): where the first slab has broken the only chunk
    of that order, the second one breaks what else is left of whole pageblocks.

    Args:
        is_first_of_node: whether the node had no memory at all, so that its threads are started.
    """
    threads = is_first_of_node and zone.kind <= ZoneKind.NORMAL and kernel.has("node_threads")
    if not threads and not attracts_slab(kernel, zone):
        return
    highest = kernel.geometry.max_order
    order = largest_order(zone.free, highest)
    if order < 0:
        return  # nothing but memmap, or pages that a driver withholds
    _take_slab(kernel, zone, order, THREADS if threads else SLAB)
    left = largest_order(zone.free, highest)
    if kernel.geometry.pageblock_order <= left < highest:
        _take_slab(kernel, zone, left, SLAB)


def _take_slab(kernel: Kernel, zone: Zone, order: int, owner: Owner) -> None:
    """Take one slab from the lowest chunk of an order."""
    (low, _), *_ = first_pages(zone.free, order, 1, kernel.geometry.max_order)
    pages = min(kernel.geometry.pfn(_SLAB_BYTES) or 1, 1 << order)
    high = low + pages
    zone.free.remove(low, high)
    held = kernel.state.allocations.get(owner, Allocation(owner=owner))
    taken = held.pages.copy()
    taken.add(low, high)
    kernel.state.allocations[owner] = held._replace(pages=taken)
    kernel.log("slab", start_pfn=low, nr_pages=pages, node=zone.nid, zone=zone.kind.label)


def give_up_slab(kernel: Kernel, zone: Zone, start_pfn: int, end_pfn: int) -> None:
    """Free what is assumed to be slab in a range, where something better is known of it."""
    for owner in _OWNERS:
        held = kernel.state.allocations.get(owner)
        if held is None or not held.pages.intersects(start_pfn, end_pfn):
            continue
        inside = held.pages.within(start_pfn, end_pfn)
        zone.free.update(inside)
        kernel.state.allocations[owner] = held._replace(pages=held.pages.difference(inside))


def slab_in(kernel: Kernel, start_pfn: int, end_pfn: int) -> int:
    """Return how many pages of a range the kernel has taken for itself since they came."""
    found = [kernel.state.allocations.get(owner) for owner in _OWNERS]
    return sum([held.pages.covered(start_pfn, end_pfn) for held in found if held is not None])


def slab_pages(kernel: Kernel) -> int:
    """Return how many pages the kernel has taken for itself from memory that came."""
    found = [kernel.state.allocations.get(owner) for owner in _OWNERS]
    return sum([held.pages.total for held in found if held is not None])
