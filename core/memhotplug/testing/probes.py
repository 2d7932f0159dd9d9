"""Small questions to a machine, and fragmentation on purpose, for tests of plugins."""

from __future__ import annotations

from typing import Any

import numpy as np

from memhotplug.engine.views.document import memmap_totals
from memhotplug.machine import Machine
from memhotplug.model.allocator import free_pages as give_back
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.model.vmemmap import Source

__all__ = ["free_pages", "heads", "memmap_pages", "page_table_pages", "populate", "shatter"]


def free_pages(machine: Machine) -> int:
    """Return the free pages of all zones."""
    return sum(zone.nr_free for zone in machine.kernel.state.zones())


def memmap_pages(machine: Machine) -> tuple[int, int]:
    """Return the pages of hot-added memmap that are self-hosted, and those from the page allocator."""
    totals = memmap_totals(machine.kernel)
    return totals["self_hosted_pages"], totals["allocated_pages"]


def page_table_pages(machine: Machine) -> int:
    """Return the pages that page tables of hot-added memory take."""
    return memmap_totals(machine.kernel)["page_table_pages"]


def heads(machine: Machine) -> list[tuple[int, int, int]]:
    """Return (pfn, refcount, private) of each head page, ascending."""
    entries: list[dict[str, Any]] = list(machine.kernel.profile.heads(machine.kernel))
    return [(entry["start_pfn"], entry["refcount"], entry["private"]) for entry in entries]


def populate(machine: Machine, address: int, size: int, altmap: Altmap | None = None) -> list[tuple[int, int, str]]:
    """Populate the memmap of a range of bytes.

    Returns:
        (pfns described, pages a leaf, name of the source) of what is mapped now and was not, ascending;
        neighbours of one leaf size and source are one entry.
    """
    kernel = machine.kernel
    before = kernel.state.vmemmap.mapped.copy()
    kernel.vmemmap_populate(kernel.geometry.pfn(address), kernel.geometry.pfn(size), 0, altmap)
    runs = kernel.state.vmemmap.runs
    new: list[tuple[int, int, str]] = []
    for start, end, leaf, source in zip(
        *(column.tolist() for column in (runs.start, runs.end, runs.leaf, runs.source)), strict=True
    ):
        fresh = end - start - before.covered(start, end)
        label = Source(source).name.lower()
        if fresh and new and new[-1][1:] == (leaf, label):
            new[-1] = (new[-1][0] + fresh, leaf, label)
        elif fresh:
            new.append((fresh, leaf, label))
    return new


def shatter(machine: Machine, order: int) -> None:
    """Take every second chunk of an order: half of memory stays free and no larger chunk can be had."""
    kernel, held = machine.kernel, ExtentSet()
    low, high = kernel.alloc(order + 1, 1 << 30, 0)
    while len(low):  # the watermarks hold a few chunks back the first time
        chunks = np.concatenate([np.arange(a, b, 2 << order) for a, b in zip(low, high, strict=True)])
        held.add_many(chunks, chunks + (1 << order))
        give_back(kernel.state, chunks + (1 << order), chunks + (2 << order))
        low, high = kernel.alloc(order + 1, 1 << 30, 0)
    kernel.state.allocations["shattered"] = Allocation(owner="shattered", order=order, pages=held)
