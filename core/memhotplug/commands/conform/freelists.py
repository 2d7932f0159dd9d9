"""In which block memmap must lie that a recorded kernel allocated after the last look at its pages.

Where single pages are nobody can know, but the order of the lists they come from is the kernel's rule. A request for
kernel memory is met from free chunks of the unmovable type, the smallest that is large enough. Only where there is
none left, a whole chunk of the highest order is taken over from the movable type, the first of its list, and its rest
is of the unmovable type from then on. /proc/pagetypeinfo counts the chunks of each type; blocks that come online join
the list of the highest order, all of them movable.

Models: mm/page_alloc.c:__rmqueue(), find_suitable_fallback(), steal_suitable_fallback(), __free_one_page();
mm/page_isolation.c:unset_migratetype_isolate() (v5.2 to v6.12): a block's chunks go to the tail of the list, lowest
first; since v6.10, where a chunk has four pageblocks or more, each is split and put together again, and that puts it
at the head. Simplified: what the guest itself allocates between two looks is not known. When an offline drains
per-cpu lists that hold as much as a pageblock, chunks come together that were not counted: as long as those that were
counted last, nothing is taken over; from then on nobody can know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from memhotplug.commands.conform.facts import StepFacts
from memhotplug.engine.kernel import Kernel
from memhotplug.model.extents import ExtentSet, intersect
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import ZoneKey, ZoneKind
from memhotplug.units import div_round_up

__all__ = ["FreeLists", "at_head"]

_OLD = -1  # a chunk of memory that no operation is about
_ANYWHERE = -2
_COSTLY_ORDER = 3  # PAGE_ALLOC_COSTLY_ORDER: chunks up to here wait on per-cpu lists


@dataclass(slots=True)
class _Lists:
    """One zone's free chunks that kernel memory comes from, each by the block that it lies in."""

    unmovable: list[list[int]]
    top: list[int] = field(default_factory=list)  # movable ones of the highest order, the next one last
    old: int = 0  # how many of those there were at the look
    waiting: int = 0  # pages on per-cpu lists
    drained: bool = False  # whether chunks have come that were not counted
    sure: bool = True

    def take(self, order: int) -> int:
        """Take a chunk and return its block, as far as that can be known."""
        larger = next((order for order in range(order, len(self.unmovable)) if self.unmovable[order]), None)
        if larger is not None and self.sure and not (self.drained and self.unmovable[larger][-1] != _OLD):
            return self._expand(self.unmovable[larger].pop(), larger, order)
        unseen = self.drained or (self.waiting and order <= _COSTLY_ORDER)
        if larger is not None or not self.top or unseen:
            self.sure = False  # there may have been one more that nothing tells of
        return self._expand(self.top.pop(), len(self.unmovable) - 1, order) if self.sure else _ANYWHERE

    def _expand(self, block: int, larger: int, order: int) -> int:
        for rest in range(order, larger):
            self.unmovable[rest].append(block)
        return block


def at_head(kernel: Kernel) -> bool:
    """Return whether the chunks of a block that comes online are the next ones to be taken, and not the last."""
    geometry = kernel.geometry
    return geometry.max_order - geometry.pageblock_order >= 2 and kernel.has("hygienic_freelists")


class FreeLists:
    """The lists of all zones, followed from one look at the machine on.

    Args:
        facts: the step at which the machine was looked at.
        came: hot-added blocks in the order in which they came online until then, with their zones.
        there: all blocks that there were.
    """

    def __init__(self, kernel: Kernel, facts: StepFacts, came: Mapping[int, ZoneKey], there: Iterable[int]) -> None:
        geometry = kernel.geometry
        self._at_head = at_head(kernel)
        self._chunks = max(geometry.pages_per_block >> geometry.max_order, 1)
        self._zones: dict[ZoneKey, _Lists] = {}
        self._placed: dict[int, list[tuple[ZoneKey, int, int]]] = {}
        self._seen = set(there)
        self._early, self._pages_per_block = kernel.state.early.copy(), geometry.pages_per_block
        self._linked: dict[ZoneKey, ExtentSet] = {}  # pages of each zone at the look
        self._end = geometry.end_pfn
        self._ordered: set[int] = set()  # blocks whose chunks have a known place in the lists
        self._orders, self._pageblock_order = geometry.max_order + 1, geometry.pageblock_order
        known = facts.zones or {}
        self._there = {(nid, name) for (nid, name), zone in known.items() if zone.present}
        self._told = facts.types is not None and facts.zones is not None
        if facts.types is None:
            return
        orders = self._orders
        for zone in kernel.state.zones():
            row = facts.types.free.get((zone.nid, zone.kind.label, "Unmovable"), ())
            movable = facts.types.free.get((zone.nid, zone.kind.label, "Movable"), ())
            if zone.kind is ZoneKind.MOVABLE or len(row) != orders or len(movable) != orders:
                continue
            lists = _Lists(unmovable=[[_OLD] * count for count in row], top=[_OLD] * movable[-1], old=movable[-1])
            self._zones[zone.key], self._linked[zone.key] = lists, zone.linked.copy()
            lists.waiting = facts.waiting(zone.nid, zone.kind.label)
        self._ordered.update(came)
        for block, key in came.items():
            lists_of = self._zones.get(key)
            if lists_of is not None:
                for _ in range(min(self._chunks, lists_of.top.count(_OLD))):
                    lists_of.top.remove(_OLD)
                self._push(key, block)

    def _push(self, key: ZoneKey, block: int) -> None:
        self._ordered.add(block)
        # A zone that was not there at the last look has nothing but what came since; of any other nothing is known.
        sure = self._told and (key[0], key[1].label) not in self._there
        fresh = _Lists(unmovable=[[] for _ in range(self._orders)], sure=sure)
        lists = self._zones.setdefault(key, fresh)
        chunks = [block] * self._chunks
        lists.top = [*lists.top, *chunks] if self._at_head else [*chunks, *lists.top]

    def follow(
        self, kernel: Kernel, facts: StepFacts, came: Mapping[int, ZoneKey], fresh: Iterable[int],
        drained: Iterable[ZoneKey], *, one_by_one: bool,
    ) -> None:  # fmt: skip
        """Follow one operation that has been done.

        Args:
            came: the blocks that are online, with their zones.
            fresh: those of them that came online by it, in order.
            drained: zones whose per-cpu lists it has put into the free lists.
            one_by_one: whether each block was online before the next was added.
        """
        for key in drained:
            if key in self._zones and self._zones[key].waiting >> self._pageblock_order:
                self._zones[key].drained = True
        if facts.op.kind == "hog":
            self._work(kernel)
        fresh = list(fresh)
        there = kernel.state.blocks.id.tolist()
        for block in [block for block in self._placed if block not in there]:
            for key, order, where in self._placed.pop(block):
                self._zones[key].unmovable[order].append(max(where, _OLD))
        for key, lists in self._zones.items():
            lists.top = [block for block in lists.top if block == _OLD or came.get(block) == key]
            lists.unmovable = [[b for b in row if b == _OLD or came.get(b) == key] for row in lists.unmovable]
        if facts.op.kind in ("offline", "remove"):
            for block in facts.op.blocks:
                self._again(came, block)
        for block in there:
            if block not in self._seen:
                self._place(kernel, block)
                if one_by_one and block in fresh:
                    self._push(came[block], block)
        for block in fresh if not one_by_one else [block for block in fresh if block in self._seen]:
            self._push(came[block], block)
        self._seen = set(there)

    def _work(self, kernel: Kernel) -> None:
        """Forget the order of the lists of zones that a workload has taken pages from: chunk after chunk, as they come.

        Models: mm/page_alloc.c:__rmqueue_smallest() (v5.2 to v7.2): of the movable type, the same list that unmovable
        requests fall back to.
        """
        workloads = [held.pages for name, held in kernel.state.allocations.items() if isinstance(name, str)]
        for key, lists in self._zones.items():
            if workloads and kernel.state.zone(key).linked.covered_by(workloads[-1]):
                lists.sure = False

    def _again(self, came: Mapping[int, ZoneKey], block: int) -> None:
        """Put the chunks of a block that stayed online where they go when its isolation is undone."""
        lists = self._zones.get(came[block]) if block in came else None
        if lists is None:
            return
        lists.unmovable = [[other for other in row if other != block] for row in lists.unmovable]  # movable again
        if self._at_head:
            count = lists.top.count(block)
            lists.top = [*(other for other in lists.top if other != block), *([block] * count)]

    def _place(self, kernel: Kernel, block: int) -> None:
        """Take the memmap of a new block from the lists, leaf by leaf."""
        vmemmap, pages = kernel.state.vmemmap, kernel.geometry.pages_per_block
        runs = vmemmap.runs
        bounds = np.array([block * pages]), np.array([(block + 1) * pages])
        low, high, index, _ = intersect(runs.start, runs.end, *bounds)
        placed = []
        for first, end, run in zip(low.tolist(), high.tolist(), index.tolist(), strict=True):
            if runs.source[run] != Source.ALLOCATOR:
                continue
            leaf = int(runs.leaf[run])
            window = leaf * vmemmap.described_per_page
            backing = int(runs.backing[run]) + (first - int(runs.start[run])) // vmemmap.described_per_page
            zone = kernel.state.zone_of(backing)
            if zone is None or zone.key not in self._zones:
                continue
            # A leaf that reaches below the block was there before it.
            count = (end - 1) // window - (first - 1) // window if first % window else div_round_up(end - first, window)
            order = leaf.bit_length() - 1
            placed += [(zone.key, order, self._zones[zone.key].take(order)) for _ in range(count)]
        self._placed[block] = placed

    def holds_memmap(self, block: int, key: ZoneKey) -> bool | None:
        """Return whether memmap that came since the last look lies in a block of a zone; None: nobody can know."""
        if key not in self._zones:
            return None
        places = [where for chunks in self._placed.values() for zone, _, where in chunks if zone == key]
        if block in places:
            return True
        open_ = _ANYWHERE in places or (_OLD in places and self._may_be_reached(block, key))
        return None if open_ else False

    def _may_be_reached(self, block: int, key: ZoneKey) -> bool:
        """Return whether chunks may have been taken from a block that was there before the lists were looked at.

        Boot memory is freed in ascending order, each chunk to the tail of its list, so that the highest are the last.

        Models: mm/memblock.c:memblock_free_all(), mm/page_alloc.c:__free_pages_core() (v5.10 to v7.2).
        """
        if block in self._ordered:
            return False
        lists, first = self._zones[key], block * self._pages_per_block
        if not self._early.intersects(first, first + self._pages_per_block):
            return True
        above = int(self._linked[key].covered(first, self._end)) >> (self._orders - 1)
        return lists.old - lists.top.count(_OLD) > max(lists.old - above, 0)
