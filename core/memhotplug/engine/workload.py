"""Workloads: named allocations that a scenario makes and gives back."""

from __future__ import annotations

import errno

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.allocator import alloc_pages, allocatable_chunks, free_pages
from memhotplug.model.buddy import largest_order
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug.units import div_round_up, format_size

__all__ = ["allocate", "release"]


def allocate(
    kernel: Kernel, name: str, size: int, *, movable: bool, nid: int, order: int, pinned: bool, scatter: bool
) -> int:
    """Let a workload take ``size`` bytes in chunks of 2**order pages; return the pages taken.

    Args:
        movable: user pages that migrate and may lie in Movable zones, rather than kernel pages.
        nid: the node to start at.
        pinned: the pages cannot migrate for now.
        scatter: take every second chunk of that order, so that no free chunk of a higher order
            remains where the workload passed; external fragmentation on purpose.

    Raises:
        MemoryHotplugError: ENOMEM, nothing was taken; EEXIST the name is in use; EINVAL no such order.
    """
    state = kernel.state
    if name in state.allocations:
        raise MemoryHotplugError(errno.EEXIST, f"the name {name!r} is in use")
    if nid not in state.nodes:
        raise MemoryHotplugError(errno.EINVAL, f"there is no node {nid}")
    if order > kernel.geometry.max_order:
        raise MemoryHotplugError(errno.EINVAL, f"order {order} is above the highest, {kernel.geometry.max_order}")
    chunk = kernel.geometry.page_size << order
    count = div_round_up(size, chunk)
    pages = ExtentSet()
    if scatter:
        pages.add_many(*_every_second(kernel, order, count, nid, movable=movable))
    else:
        pages.update(alloc_pages(state, order, count, nid=nid, movable=movable))
    if pages.total < count << order:
        free_pages(state, pages.starts, pages.ends)
        had = format_size(pages.total * kernel.geometry.page_size)
        raise MemoryHotplugError(
            errno.ENOMEM, f"no memory for {name!r}: {format_size(size)} asked for, {had} to be had at order {order}"
        )
    state.allocations[name] = Allocation(owner=name, movable=movable, pinned=pinned, order=order, pages=pages)
    kernel.log("allocated", name=name, nr_pages=pages.total, order=order)
    return pages.total


def _every_second(kernel: Kernel, order: int, count: int, nid: int, *, movable: bool) -> tuple[Array, Array]:
    """Take the chunks with an even index, zone by zone, lowest first, down to the min watermarks."""
    highest = ZoneKind.MOVABLE if movable else ZoneKind.NORMAL
    found: list[Array] = []
    for zone in kernel.state.zonelist(nid, highest):
        if largest_order(zone.free, kernel.geometry.max_order) < order:
            continue
        even = _even_chunks(zone, order)[: min(count, allocatable_chunks(zone, order, highest, 0))]
        zone.free.remove_many(even, even + (1 << order))
        count -= len(even)
        found.append(even)
    starts = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    return starts, starts + (1 << order)


def _even_chunks(zone: Zone, order: int) -> Array:
    """Return the first pfns of the free, aligned chunks with an even index; int64, ascending."""
    pair = 2 << order
    first, last = div_round_up(zone.free.starts, pair), (zone.free.ends - (1 << order)) // pair + 1
    counts = np.maximum(last - first, 0)
    before = np.cumsum(counts) - counts
    index = np.repeat(np.arange(len(counts)), counts)
    chunks: Array = (first[index] + np.arange(int(counts.sum())) - before[index]) * pair
    return chunks


def release(kernel: Kernel, name: str) -> None:
    """Let a workload give its pages back.

    Raises:
        MemoryHotplugError: ENOENT, there is no such workload.
    """
    held = kernel.state.allocations.get(name)
    if held is None:
        raise MemoryHotplugError(errno.ENOENT, f"there is no workload {name!r}")
    del kernel.state.allocations[name]
    free_pages(kernel.state, held.pages.starts, held.pages.ends)
    kernel.log("released", name=name, nr_pages=held.pages.total)
