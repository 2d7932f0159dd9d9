"""Moving the model's own pages out of a block that the recording shows to be clean.

Where a running kernel puts memmap and page tables among equally good pages is not the model's to
know. If the recorded page flags say that none of them lies in a block, the model's are moved to
other free pages of the same zone before the block is to go offline; no count changes.
"""

from __future__ import annotations

from functools import cached_property

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
    room = _Room(kernel, zone, low, high, avoid)
    _move_memmap(room)
    _move_reserved(room)
    if zone.cma_pages.intersects(low, high):  # where a CMA area lies was inferred, too; one cannot leave a block
        zone.cma_pages = zone.cma_pages.copy()
        zone.cma_pages.remove(low, high)
    for held in list(kernel.state.allocations.values()):
        if not held.kernel or held.movable or not held.pages.intersects(low, high):
            continue
        inside = held.pages.within(low, high)
        moved = room.take(held.order, inside.total)
        if moved is None:
            continue
        pages = held.pages.copy()
        pages.remove(low, high)
        pages.update(moved)
        kernel.state.allocations[held.owner] = held._replace(pages=pages)
        zone.free.update(inside)


class _Room:
    """What is free in a zone beside the pages that are to be emptied; looked for when something has to be moved."""

    def __init__(self, kernel: Kernel, zone: Zone, low: int, high: int, avoid: ExtentSet | None) -> None:
        self.kernel, self.zone, self.low, self.high = kernel, zone, low, high
        self._avoid = avoid

    @cached_property
    def _free(self) -> ExtentSet:
        free = self.zone.free.copy()
        free.remove(self.low, self.high)
        if self._avoid is not None:
            free.difference_update(self._avoid)
        return free

    def take(self, order: int, pages: int) -> Runs | None:
        """Take free pages; None, and nothing taken, if there are too few."""
        found = first_pages(self._free, order, div_round_up(pages, 1 << order), self.kernel.geometry.max_order)
        if found.total != pages:
            return None
        self.zone.free.difference_update(found)
        self._free.difference_update(found)
        return found


def _move_memmap(room: _Room) -> None:
    vmemmap, low, high = room.kernel.state.vmemmap, room.low, room.high
    if not any(vmemmap.backing_from(source).intersects(low, high) for source in (Source.ALLOCATOR, Source.BOOT)):
        return
    described = vmemmap.described_per_page
    runs = vmemmap.runs
    inside = runs[(runs.backing < high) & (runs.backing + (runs.end - runs.start) // described > low)]
    for source in (Source.ALLOCATOR, Source.BOOT):
        for leaf in sorted({*inside.leaf[inside.source == source].tolist()}):
            chosen = vmemmap.runs[(vmemmap.runs.source == source) & (vmemmap.runs.leaf == leaf)]
            lows, highs, index = _overlaps(chosen, low, high, described)
            starts = chosen.start[index] + (lows - chosen.backing[index]) * described
            ends = starts + (highs - lows) * described
            order = leaf.bit_length() - 1 if source == Source.ALLOCATOR else 0  # boot's may lie apart
            moved = room.take(order, int((highs - lows).sum())) if len(lows) else None
            if moved is None:
                continue
            vmemmap.delete(starts, ends)
            vmemmap.insert(pair_runs(Runs.of_arrays(starts, ends), moved, described, leaf, source))
            room.zone.free.add_many(lows, highs)


def _move_reserved(room: _Room) -> None:
    """Move pages that boot kept for itself: of a boot block whose flags were not recorded, they were inferred."""
    reserved = room.kernel.state.reserved
    if not reserved.intersects(room.low, room.high):
        return
    inside = reserved.within(room.low, room.high).intersection(room.zone.linked)
    moved = room.take(0, inside.total) if inside.total else None
    if moved is None:
        return
    reserved.difference_update(inside)
    reserved.update(moved)
    room.zone.free.update(inside)


def _overlaps(runs: MapRuns, low: int, high: int, described: int) -> tuple[Array, Array, Array]:
    """Return the backing pages inside [low, high) and the index of the run of each, by what they describe."""
    ends = runs.backing + (runs.end - runs.start) // described
    order = np.argsort(runs.backing, kind="stable")
    bounds = np.array([low], dtype=np.int64), np.array([high], dtype=np.int64)
    lows, highs, in_sorted, _ = intersect(runs.backing[order], ends[order], *bounds)
    index = order[in_sorted]
    back = np.argsort(runs.start[index], kind="stable")
    return lows[back], highs[back], index[back]
