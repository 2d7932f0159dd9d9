"""Moving the model's own pages out of a block that the recording shows to be clean.

Where a running kernel puts memmap and page tables among equally good pages is not the model's to
know. If the recorded page flags say that none of them lies in a block, the model's are moved to
other free pages before the block is to go offline: of the same zone, so that no count changes, unless hot-added blocks
that are to go are all that it has.
"""

from __future__ import annotations

from functools import cached_property

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.sparse_vmemmap import pair_runs
from memhotplug.model.buddy import first_pages
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import Runs
from memhotplug.model.vmemmap import Row, Source, VmemmapTable
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug.units import div_round_up

__all__ = ["one_of", "vacate"]

_MOVED = (Source.ALLOCATOR, Source.BOOT)
"""Where memmap comes from that may as well lie elsewhere, in the order in which it is moved."""


def vacate(kernel: Kernel, zone: Zone, low: int, high: int, avoid: ExtentSet | None = None) -> None:
    """Move memmap and page tables out of the block [low, high) as far as there is room elsewhere.

    Args:
        avoid: what they must not land in either: blocks that are to go offline in the same operation.
    """
    if zone.cma_pages.intersects(low, high):  # where a CMA area lies was inferred, too; one cannot leave a block
        zone.cma_pages = zone.cma_pages.copy()
        zone.cma_pages.remove(low, high)
    if zone.free.contains(low + _hosted_pages(kernel, low), high):
        return
    room = _Room(kernel, zone, low, high, avoid)
    _move_memmap(room)
    _move_reserved(room)
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


def _hosted_pages(kernel: Kernel, low: int) -> int:
    """Return how many pages a block that begins at ``low`` reserves for its own memmap, which never leaves it."""
    row = kernel.state.blocks.row(kernel.state.block_of(low))
    return 0 if row is None else kernel.state.blocks.value("altmap_pages", row)


class _Room:
    """What is free in a zone beside the pages that are to be emptied; looked for when something has to be moved."""

    def __init__(self, kernel: Kernel, zone: Zone, low: int, high: int, avoid: ExtentSet | None) -> None:
        self.kernel, self.zone, self.low, self.high = kernel, zone, low, high
        self._avoid = avoid

    @cached_property
    def _zones(self) -> list[tuple[Zone, ExtentSet]]:
        """The zones that may have room, with what is free there for this: the same one, or all if it has none."""
        free = self._free(self.zone)
        if free.total or self.zone.present_early:
            return [(self.zone, free)]
        return [(zone, self._free(zone)) for zone in self.kernel.state.zonelist(self.zone.nid, ZoneKind.NORMAL)]

    def _free(self, zone: Zone) -> ExtentSet:
        free = zone.free.copy()
        free.remove(self.low, self.high)
        if self._avoid is not None:
            free.difference_update(self._avoid)
        return free

    def take(self, order: int, pages: int) -> Runs | None:
        """Take free pages; None, and nothing taken, if no zone has as many."""
        for zone, free in self._zones:
            found = first_pages(free, order, div_round_up(pages, 1 << order), self.kernel.geometry.max_order)
            if found.total == pages:
                zone.free.difference_update(found)
                free.difference_update(found)
                return found
        return None


def _move_memmap(room: _Room) -> None:
    vmemmap = room.kernel.state.vmemmap
    described = vmemmap.described_per_page
    inside = _backed_inside(vmemmap, room.low, room.high)
    for leaf, source in sorted({row[3:] for row in inside if row[4] in _MOVED}, key=_turn):
        rows = [row for row in inside if row[3:] == (leaf, source)]
        order = leaf.bit_length() - 1 if source == Source.ALLOCATOR else 0  # boot's may lie apart
        moved = room.take(order, sum([row[1] - row[0] for row in rows]) // described)
        if moved is None:
            continue
        starts, ends = [row[0] for row in rows], [row[1] for row in rows]
        vmemmap.delete(starts, ends)
        vmemmap.insert(pair_runs(Runs.of_few(starts, ends), moved, described, leaf, Source(source)))
        for start, end, page, _, _ in rows:
            room.zone.free.add(page, page + (end - start) // described)


def _turn(kind: tuple[int, int]) -> tuple[int, int]:
    """Return when mappings of a leaf size and a source have their turn."""
    leaf, source = kind
    return _MOVED.index(Source(source)), leaf


def _backed_inside(vmemmap: VmemmapTable, low: int, high: int) -> list[Row]:
    """Return the mappings that pages of [low, high) back, cut to what these back."""
    described, runs, found = vmemmap.described_per_page, vmemmap.runs, []
    if runs.rows is None:
        runs = runs[(runs.backing < high) & (runs.backing + (runs.end - runs.start) // described > low)]
    for start, end, page, leaf, source in runs:
        behind = page + (end - start) // described
        if page < high and low < behind:
            first = max(page, low)
            start += (first - page) * described
            found.append((start, start + (min(behind, high) - first) * described, first, leaf, source))
    return found


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


def one_of(pages: ExtentSet) -> ExtentSet:
    """Return one page of a set, the first of its last run; none of an empty set."""
    if not pages.total:
        return pages
    *_, (low, _) = pages
    return ExtentSet.of((low, low + 1))
