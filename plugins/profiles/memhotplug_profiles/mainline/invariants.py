"""What mainline keeps besides the invariants of the core, and sentences about what it does not.

The names I6, I7 … are those of docs/model.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from memhotplug.plugin import (
    NO_ZONE,
    Array,
    BlockState,
    ExtentSet,
    Kernel,
    Source,
    ZoneKind,
    format_blocks,
    np,
    round_up,
)
from memhotplug_profiles.mainline.params import state_of
from memhotplug_profiles.mainline.spans import pages_of_zone

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["violations"]


def violations(kernel: Kernel) -> Iterator[str]:
    """Yield every broken invariant, in a fixed order."""
    for check in _CHECKS:
        yield from check(kernel)


def _ids(kernel: Kernel, rows: Array | npt.NDArray[np.bool_]) -> str:
    return format_blocks(kernel.state.blocks.id[rows].tolist())


def _early(kernel: Kernel) -> Iterator[str]:
    """I6: present_early counts boot memory only."""
    state = kernel.state
    boot = state.early.intersection(state.pages_with("state", BlockState.ONLINE))
    boot.difference_update(state.holes)
    for zone in state.zones():
        early = zone.linked.covered_by(boot)
        if early != zone.present_early:
            yield f"I6: {zone.title}: present_early is {zone.present_early}, {early} of its pages are boot memory"


def _groups(kernel: Kernel) -> Iterator[str]:
    """I7: a memory group's present pages are those of its online blocks."""
    groups, per_block = state_of(kernel).groups, kernel.geometry.pages_per_block
    if not groups:
        return
    counted = [[0, 0] for _ in groups]
    for (index, state, zone), count in kernel.state.blocks.tally("group", "state", "zone").items():
        if 0 <= index < len(groups) and state == BlockState.ONLINE:
            counted[index][zone == ZoneKind.MOVABLE] += count * per_block
    for index, group in enumerate(groups):
        here = counted[index]
        if here != [group.present_kernel, group.present_movable]:
            yield (
                f"I7: memory group {index} counts {group.present_kernel} kernel and {group.present_movable} movable "
                f"pages, its online blocks have {here[0]} and {here[1]}"
            )


def _self_hosted(kernel: Kernel) -> Iterator[str]:
    """I8: the reserved pages of an online block are in its zone, whole pageblocks, on no free list."""
    state, geometry = kernel.state, kernel.geometry
    if state.blocks.values("altmap_pages") <= {0}:
        return
    hosting = (state.blocks.altmap_pages > 0) & (state.blocks.state == BlockState.ONLINE)
    starts = state.block_bounds(slice(None))[0][hosting]
    ends = starts + state.blocks.altmap_pages[hosting]
    reserved = ExtentSet(starts, ends)
    if ((ends - starts) % geometry.pageblock_pages).any():
        yield f"I8: blocks {_ids(kernel, hosting)}: the reserved pages are not whole pageblocks"
    nids, kinds = state.blocks.nid[hosting], state.blocks.zone[hosting]
    for zone in state.zones():
        chosen = (nids == zone.nid) & (kinds == zone.kind)
        own = ExtentSet(starts[chosen], ends[chosen])
        if zone.linked.covered_by(own) != own.total or zone.linked.covered_by(reserved) != own.total:
            yield f"I8: {zone.title}: reserved pages of self-hosted blocks are in another zone than their block"
        free = zone.free.covered_by(reserved) + zone.pcp.covered_by(reserved)
        if free:
            yield f"I8: {zone.title}: {free} reserved pages of self-hosted blocks are free"


def _altmaps(kernel: Kernel) -> Iterator[str]:
    """I9, I10: memmap from an altmap lies in the block that it describes, within what that block reserves."""
    state, per_block = kernel.state, kernel.geometry.pages_per_block
    runs = state.vmemmap.runs.of(Source.ALTMAP)
    if not len(runs) and state.blocks.values("altmap_pages") <= {0}:
        return
    last = runs.backing + (runs.end - runs.start) // kernel.geometry.described_per_page - 1
    home = runs.backing // per_block
    # ppc64 with 64K pages: the page that holds the last of a block's struct pages may be shared within the block only
    foreign = (last // per_block != home) | (runs.start // per_block != home) | ((runs.end - 1) // per_block != home)
    for row in np.flatnonzero(foreign).tolist():
        pfn, at = int(runs.start[row]), int(runs.backing[row])
        yield f"I10: the memmap of pfn {pfn:#x} lies outside of its block, at pfn {at:#x}"
    starts, _ = state.block_bounds(slice(None))
    backing = state.vmemmap.backing_from(Source.ALTMAP)
    reserved = backing.covered_many(starts, starts + state.blocks.altmap_pages)
    stray = backing.total - int(reserved.sum())
    if stray:
        yield f"I9: {stray} pages of memmap from altmaps are in pages that no block reserves"
    needed = kernel.geometry.memmap_pages(per_block)
    held = reserved + _shared(kernel)
    short = (state.blocks.altmap_pages > 0) & (held != needed) & kernel.altmap_serves(per_block)
    if short.any():
        yield f"I9: blocks {_ids(kernel, short)}: the altmap does not hold the {needed} pages of their memmap"


def _shared(kernel: Kernel) -> Array:
    """Return how many pages of each block's memmap lie in a leaf that describes more than one block (ppc64, 64K).

    Whoever is added first brings the whole leaf, be it with an altmap or without.
    """
    state, described = kernel.state, kernel.geometry.described_per_page
    starts, ends = state.block_bounds(slice(None))
    runs = state.vmemmap.runs.of(Source.BOOT, Source.ALLOCATOR)
    runs = runs[runs.leaf * described > kernel.geometry.pages_per_block]
    pages: Array = ExtentSet(runs.start, runs.end).covered_many(starts, ends) // described
    return pages


_SETTLED: Final = {BlockState.ONLINE, BlockState.OFFLINE}


def _states(kernel: Kernel) -> Iterator[str]:
    """I12, I13: a block is online, in one zone; or offline, and in none; nothing is on its way."""
    state = kernel.state
    blocks = state.blocks
    if not blocks.values("state") <= _SETTLED:
        moving = (blocks.state != BlockState.ONLINE) & (blocks.state != BlockState.OFFLINE)
        yield f"I13: blocks {_ids(kernel, moving)} are between online and offline"
    if any(_contradicts(*values) for values in blocks.tally("state", "zone", "early")):
        online = blocks.state == BlockState.ONLINE
        lost = ((online & ~blocks.early) & (blocks.zone == NO_ZONE)) | (~online & (blocks.zone != NO_ZONE))
        yield f"I12: blocks {_ids(kernel, lost)}: state and zone contradict each other"
    offline = state.pages_of()
    offline.difference_update(state.pages_with("state", BlockState.ONLINE))
    for zone in state.zones():
        held = zone.linked.covered_by(offline)
        if held:
            yield f"I12: {zone.title}: holds {held} pages of offline blocks"


def _contradicts(state: int, zone: int, early: int) -> bool:
    """Return whether a block is online in no zone, which boot memory may be in several of, or offline in one."""
    if state == BlockState.ONLINE:
        return zone == NO_ZONE and not early
    return zone != NO_ZONE


def _ratio(kernel: Kernel) -> Iterator[str]:
    """I20: a block that hosts its memmap reserves its pages, or those rounded up to whole pageblocks."""
    blocks, geometry = kernel.state.blocks, kernel.geometry
    memmap = geometry.memmap_pages(geometry.pages_per_block)
    padded = round_up(memmap, geometry.pageblock_pages)
    if not blocks.values("altmap_pages") <= {0, memmap, padded}:
        wrong = (blocks.altmap_pages > 0) & (blocks.altmap_pages != memmap) & (blocks.altmap_pages != padded)
        yield f"I20: blocks {_ids(kernel, wrong)}: not the {memmap} pages of their memmap are reserved for it"


def _nodes(kernel: Kernel) -> Iterator[str]:
    """I21: a node with a block device, a spanned page or a CPU is online."""
    nids = kernel.state.blocks.values("nid")
    for nid in sorted(nids - set(kernel.state.nodes)):
        yield f"I21: node {nid} has memory blocks and does not exist"
    for node in kernel.state.nodes.values():
        needed = node.has_cpu or node.nid in nids or node.span != (0, 0)
        if needed and not node.online:
            yield f"I21: node {node.nid} has memory blocks, spanned pages or a CPU and is offline"


def _movable_spans(kernel: Kernel) -> Iterator[str]:
    """I23: a Movable zone's span begins and ends in memory that was onlined movable."""
    for zone in kernel.state.zones():
        if zone.kind is not ZoneKind.MOVABLE or not zone.spanned:
            continue
        edges = ((zone.start_pfn, zone.start_pfn + 1), (zone.end_pfn - 1, zone.end_pfn))
        own = pages_of_zone(kernel, zone)
        if not all(own.intersects(low, high) for low, high in edges):
            yield f"I23: {zone.title}: the span {zone.start_pfn:#x}-{zone.end_pfn:#x} has an edge that is not its own"


_CHECKS: tuple[Callable[[Kernel], Iterator[str]], ...] = (
    _early, _groups, _self_hosted, _altmaps, _states, _ratio, _nodes, _movable_spans,
)  # fmt: skip
