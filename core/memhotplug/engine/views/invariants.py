"""What must hold whenever no operation is in progress, and sentences about what does not.

The names I1, I2 … are those of docs/model.md. A profile adds its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import Runs
from memhotplug.model.vmemmap import Source
from memhotplug.units import div_round_up, format_blocks

__all__ = ["violations"]


def violations(kernel: Kernel) -> list[str]:
    """Return every broken invariant, in a fixed order; empty if all is well."""
    found = [text for check in _CHECKS for text in check(kernel)]
    return found + list(kernel.profile.violations(kernel))


def _online(kernel: Kernel) -> ExtentSet:
    online = kernel.state.pages_with("state", BlockState.ONLINE)
    online.difference_update(kernel.state.holes)
    return online


def _counters(kernel: Kernel) -> Iterator[str]:
    for zone in kernel.state.zones():
        chain = (zone.spanned, zone.present, zone.managed, zone.nr_free)
        if not chain[0] >= chain[1] >= chain[2] >= chain[3] >= 0 or zone.cma > zone.managed:
            yield f"I1: {zone.title}: spanned, present, managed, free do not descend: {', '.join(map(str, chain))}"
    for node in kernel.state.nodes.values():
        low, high = node.span
        spans = [(zone.start_pfn, zone.end_pfn) for zone in node.zones.values() if zone.spanned]
        outside = any(not low <= start < end <= high for start, end in spans)
        if outside or node.present != sum(zone.present for zone in node.zones.values()):
            yield f"I2: node {node.nid}: its span or its present pages are not those of its zones"


def _present(kernel: Kernel) -> Iterator[str]:
    online = _online(kernel)
    state = kernel.state
    memmap = [state.vmemmap.backing_from(source) for source in (Source.BOOT, Source.ALTMAP)]
    withheld = ExtentSet()
    for kept in (state.reserved, state.withheld, *memmap):
        withheld.update(kept)
    if state.blocks.values("altmap_pages") > {0}:
        hosting = state.blocks.altmap_pages > 0
        starts = state.blocks.id[hosting] * state.geometry.pages_per_block
        withheld.add_many(starts, starts + state.blocks.altmap_pages[hosting])
    for zone in state.zones():
        there = zone.linked.intersection(online)
        if there.total != zone.present:
            yield f"I4: {zone.title}: {zone.present} pages present, {there.total} in online blocks"
        managed = there.total - there.covered_by(withheld)
        if managed != zone.managed:
            yield f"I5: {zone.title}: {zone.managed} pages managed, {managed} expected"


def _allocator(kernel: Kernel) -> Iterator[str]:
    state = kernel.state
    memmap = state.vmemmap.backing()
    allocated = state.vmemmap.backing_from(Source.ALLOCATOR)
    owned = [allocated, *[owned.pages for owned in state.allocations.values()]]
    held = _counted_once([*owned, _broken(kernel, memmap, owned)] if state.poisoned.total else owned)
    for zone in state.zones():
        for free in (zone.free, zone.pcp):
            shared = free.covered_by(memmap)
            if shared:
                yield f"I11: {zone.title}: {shared} free pages hold memmap that is in use"
        used = sum([zone.linked.covered_by(pages) for pages in held])
        if zone.nr_free + used != zone.managed:
            yield f"I3: {zone.title}: {zone.managed} pages managed, {zone.nr_free} free and {used} allocated"


def _broken(kernel: Kernel, memmap: ExtentSet, owned: list[ExtentSet]) -> ExtentSet:
    """Return the online pages that were given up as broken and that nobody has: the kernel keeps what it uses."""
    broken = kernel.state.poisoned.intersection(_online(kernel))
    for pages in (memmap, kernel.state.reserved, kernel.state.withheld, *owned):
        broken.difference_update(pages)
    return broken


def _counted_once(sets: list[ExtentSet]) -> list[ExtentSet]:
    """Return some sets as one, in which pages are counted faster, or as they are if they have a page in common."""
    together = ExtentSet()
    together.update(Runs.join([*sets]))
    return [together] if together.total == sum([pages.total for pages in sets]) else sets


def _memmap(kernel: Kernel) -> Iterator[str]:
    state = kernel.state
    missing = state.sections.copy()
    missing.difference_update(state.vmemmap.mapped)
    if missing.total:
        yield f"I11: {missing.total} pages of present sections have no memmap (first pfn {int(missing.starts[0]):#x})"
    backing = state.vmemmap.backing()
    backing.difference_update(state.sections)
    if not backing.total:
        return
    runs = state.vmemmap.runs
    per_page = kernel.geometry.described_per_page
    ends = runs.backing + (runs.end - runs.start) // per_page
    lost = (ends - runs.backing) != state.sections.covered_many(runs.backing, ends)
    for index in np.flatnonzero(lost).tolist():
        row = runs[index : index + 1]
        gone = state.vmemmap.backing(row)
        gone.difference_update(state.sections)
        victims = _described_by(kernel, row.start[0], row.backing[0], gone)
        victims = state.sections.intersection(victims)
        if victims.total:
            ids = sorted({block for first, end in _block_runs(kernel, victims) for block in range(first, end)})
            yield f"I11: the memmap of blocks {format_blocks(ids)} lies in removed memory ({gone.total} pages)"


def _left_behind(kernel: Kernel) -> Iterator[str]:
    """What a failed add left behind may host its memmap in memory that no block device ever had."""
    state = kernel.state
    lonely = state.sections.copy()
    lonely.difference_update(state.pages_of())
    if not lonely.total:
        return
    memmap = state.vmemmap.backing_from(Source.ALTMAP)
    pages = lonely.intersection(memmap)
    if pages.total:
        first = int(pages.starts[0])
        yield f"I11: {pages.total} pages of memmap lie in memory that was never added (first pfn {first:#x})"


def _described_by(kernel: Kernel, start: int, backing: int, pages: ExtentSet) -> ExtentSet:
    per_page = kernel.geometry.described_per_page
    return ExtentSet(start + (pages.starts - backing) * per_page, start + (pages.ends - backing) * per_page)


def _block_runs(kernel: Kernel, pages: ExtentSet) -> Iterator[tuple[int, int]]:
    per_block = kernel.geometry.pages_per_block
    for low, high in pages:
        yield low // per_block, div_round_up(high, per_block)


def _blocks(kernel: Kernel) -> Iterator[str]:
    state = kernel.state
    blocks = state.blocks
    if not blocks.is_ascending():
        yield "I22: block ids are not unique"
    size = kernel.geometry.memory_block_size
    late = blocks.runs_with("early", False)
    for first, end in late:
        if state.resources.ram_bytes(first * size, (end - first) * size) != (end - first) * size:
            yield f"I14: no resource covers all of blocks {format_blocks(range(first, end))}"
    here = blocks.id_runs()
    for entry in state.resources:
        if entry.hotplugged and entry.is_ram and not here.contains(entry.start // size, (entry.end + 1) // size):
            yield f"I14: the resource at {entry.start:#x} has no blocks"


_CHECKS: tuple[Callable[[Kernel], Iterator[str]], ...] = (
    _counters,
    _present,
    _allocator,
    _memmap,
    _left_behind,
    _blocks,
)
