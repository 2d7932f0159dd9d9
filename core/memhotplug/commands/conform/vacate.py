"""Moving the model's own pages out of a block that the recording shows to be clean.

Where a running kernel puts memmap and page tables among equally good pages is not the model's to
know. If the recorded page flags say that none of them lies in a block, the model's are moved to
other free pages of the same zone before the block is to go offline; no count changes.
"""

from __future__ import annotations

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.sparse_vmemmap import pair_runs
from memhotplug.model.buddy import first_pages
from memhotplug.model.extents import Array, ExtentSet, intersect
from memhotplug.model.runs import Runs
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Zone
from memhotplug.units import div_round_up

__all__ = ["vacate"]


def vacate(kernel: Kernel, zone: Zone, low: int, high: int, avoid: ExtentSet | None = None) -> None:
    """Move memmap and page tables out of [low, high) as far as the zone has room elsewhere.

    Args:
        avoid: what they must not land in either: blocks that are to go offline in the same operation.
    """
    room = zone.free.copy()
    room.remove(low, high)
    if avoid is not None:
        room.remove_many(avoid.starts, avoid.ends)
    for source in (Source.ALLOCATOR, Source.BOOT):
        _move_memmap(kernel, zone, low, high, room, source)
    _move_reserved(kernel, zone, low, high, room)
    if zone.cma_pages.intersects(low, high):  # where a CMA area lies was inferred, too; one cannot leave a block
        zone.cma_pages = zone.cma_pages.copy()
        zone.cma_pages.remove(low, high)
    for held in list(kernel.state.allocations.values()):
        inside = ExtentSet(*held.pages.clip(low, high))
        if not held.kernel or held.movable or not inside.total:
            continue
        moved = _take(kernel, zone, room, held.order, inside.total)
        if moved is None:
            continue
        pages = held.pages.copy()
        pages.remove(low, high)
        pages.update(moved)
        kernel.state.allocations[held.owner] = held._replace(pages=pages)
        zone.free.add_many(inside.starts, inside.ends)


def _move_memmap(kernel: Kernel, zone: Zone, low: int, high: int, room: ExtentSet, source: Source) -> None:
    vmemmap = kernel.state.vmemmap
    described = vmemmap.described_per_page
    for leaf in sorted({int(leaf) for leaf in vmemmap.runs.leaf[vmemmap.runs.source == source]}):
        chosen = vmemmap.runs[(vmemmap.runs.source == source) & (vmemmap.runs.leaf == leaf)]
        lows, highs, index = _overlaps(chosen, low, high, described)
        starts = chosen.start[index] + (lows - chosen.backing[index]) * described
        ends = starts + (highs - lows) * described
        order = leaf.bit_length() - 1 if source == Source.ALLOCATOR else 0  # boot's may lie apart
        moved = _take(kernel, zone, room, order, int((highs - lows).sum())) if len(lows) else None
        if moved is None:
            continue
        vmemmap.delete(starts, ends)
        vmemmap.insert(pair_runs(Runs.of_arrays(starts, ends), moved, described, leaf, source))
        zone.free.add_many(lows, highs)


def _move_reserved(kernel: Kernel, zone: Zone, low: int, high: int, room: ExtentSet) -> None:
    """Move pages that boot kept for itself: of a boot block whose flags were not recorded, they were inferred."""
    reserved = kernel.state.reserved
    inside = ExtentSet(*reserved.clip(low, high)).intersection(zone.linked)
    moved = _take(kernel, zone, room, 0, inside.total) if inside.total else None
    if moved is None:
        return
    reserved.difference_update(inside)
    reserved.update(moved)
    zone.free.update(inside)


def _overlaps(runs: MapRuns, low: int, high: int, described: int) -> tuple[Array, Array, Array]:
    """Return the backing pages inside [low, high) and the index of the run of each, by what they describe."""
    ends = runs.backing + (runs.end - runs.start) // described
    order = np.argsort(runs.backing, kind="stable")
    bounds = np.array([low], dtype=np.int64), np.array([high], dtype=np.int64)
    lows, highs, in_sorted, _ = intersect(runs.backing[order], ends[order], *bounds)
    index = order[in_sorted]
    back = np.argsort(runs.start[index], kind="stable")
    return lows[back], highs[back], index[back]


def _take(kernel: Kernel, zone: Zone, room: ExtentSet, order: int, pages: int) -> Runs | None:
    """Take pages of a zone from those that are free in ``room``; None, and nothing taken, if there are too few."""
    found = first_pages(room, order, div_round_up(pages, 1 << order), kernel.geometry.max_order)
    if found.total != pages:
        return None
    zone.free.difference_update(found)
    room.difference_update(found)
    return found
