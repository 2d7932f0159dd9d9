"""What is read off a machine for a comparison: what the memmap costs, what is usable, how contiguous it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memhotplug.engine.views.document import memmap_totals
from memhotplug.machine import Machine
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import MachineState, Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone

__all__ = ["HUGE", "Measures", "ZoneMeasure", "measure"]

HUGE: Final = 1 << 30
"""Bytes of the huge page whose chances are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneMeasure:
    """One zone; counts in pages.

    Attributes:
        managed: pages handed to the page allocator.
        usable: those that hold neither memmap nor page tables of hot-added memory.
        free: pages in the buddy lists and on per-cpu lists.
        largest_free_run: the longest run of free pages.
        huge_pages: aligned chunks of 1 GiB in which every page is free or can be migrated.
    """

    node: int
    zone: str
    managed: int
    usable: int
    free: int
    largest_free_run: int
    huge_pages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """One machine; memmap counts are in pages and concern hot-added memory only."""

    page_size: int
    memory_block_size: int
    self_hosted: int
    allocated: int
    page_tables: int
    by_node: Mapping[str, int]
    zones: tuple[ZoneMeasure, ...]

    @property
    def largest_free_run(self) -> int:
        """The longest run of free pages in any zone."""
        return max((zone.largest_free_run for zone in self.zones), default=0)

    @property
    def huge_pages(self) -> int:
        """Pages of 1 GiB that could be formed in all zones."""
        return sum(zone.huge_pages for zone in self.zones)


def measure(machine: Machine) -> Measures:
    """Return what a comparison shows of a machine."""
    kernel = machine.kernel
    totals = memmap_totals(kernel)
    taken = _taken(kernel.state)
    return Measures(
        page_size=kernel.geometry.page_size,
        memory_block_size=kernel.geometry.memory_block_size,
        self_hosted=totals["self_hosted_pages"],
        allocated=totals["allocated_pages"],
        page_tables=totals["page_table_pages"],
        by_node=totals["by_node"],
        zones=tuple(
            _zone(kernel.state, zone, taken, max(1, HUGE // kernel.geometry.page_size))
            for zone in kernel.state.zones()
            if zone.spanned
        ),
    )


def _taken(state: MachineState) -> ExtentSet:
    """Return the managed pages that hot-added memory costs wherever they lie."""
    taken = state.vmemmap.backing_from(Source.ALLOCATOR).copy()
    for held in state.allocations.values():
        if held.is_for(Use.PAGE_TABLES) or held.is_for(Use.SECTION_ROOTS):
            taken.update(held.pages)
    return taken


def _zone(state: MachineState, zone: Zone, taken: ExtentSet, huge: int) -> ZoneMeasure:
    return ZoneMeasure(
        node=zone.nid,
        zone=zone.kind.label,
        managed=zone.managed,
        usable=zone.managed - zone.linked.covered_by(taken),
        free=zone.nr_free,
        largest_free_run=zone.free.longest,
        huge_pages=_movable(state, zone).whole(huge).total // huge,
    )


def _movable(state: MachineState, zone: Zone) -> ExtentSet:
    """Return the pages of a zone out of which a large page can be made: free, or held by what can migrate.

    Models: mm/page_alloc.c:alloc_contig_pages(), pfn_range_valid_contig() (v5.5)
    """
    pages = zone.free.copy()
    pages.update(zone.pcp)
    for held in state.allocations.values():
        if held.movable and not held.pinned:
            pages.update(zone.linked.intersection(held.pages))
    return pages
