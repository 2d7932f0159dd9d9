"""What the recorded guest did by itself: input for a replay, read from before each step.

A running kernel allocates slab pages, page tables and buffers whenever it likes. Whether such a
page sits in a block that is to go offline is not the model's to predict; it is read from the page
flags recorded *before* the step.
"""

from __future__ import annotations

from collections.abc import Container
from copy import copy, deepcopy

from memhotplug.commands.conform.baseline import Baseline
from memhotplug.commands.conform.endangered import endangered
from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.freelists import FreeLists, at_head
from memhotplug.commands.conform.vacate import one_of, vacate
from memhotplug.engine.boot.recorded import RECORDED, RECORDED_MOVABLE
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.page_isolation import drain_per_cpu_lists
from memhotplug.engine.slab import SLAB, attracts_slab, comes_late, give_up_slab, slab_in
from memhotplug.formats.snapshot import RecordedOp
from memhotplug.machine import Machine
from memhotplug.model.allocator import allocatable_chunks
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone, ZoneKey, ZoneKind

__all__ = ["Guest"]

_KINDS = tuple(ZoneKind)
_ONLINE = int(BlockState.ONLINE)
_ALLOCATOR = int(Source.ALLOCATOR)
_NEVER = (-1, -1)
_STATES_ALONE = frozenset(("online", "offline", "hog"))
"""Operations that neither make nor remove a block."""


class Guest:
    """What is known of the guest's own pages, and where they are put while an operation is under way.

    A covered block with pages of the kernel, or with more flagless pages that are not free than its zone keeps on
    per-cpu lists, cannot go offline; any other block is clean. Where a step's
    flags were not recorded, the latest ones before it count for every block that has stayed online
    since. Of a block that came online in between nothing was recorded, and what the model says of it holds:
    the kernel takes a slab at once from the first block of a kernel zone that was empty.
    """

    def __init__(self, machine: Machine, boot: StepFacts, baseline: Baseline) -> None:
        self._baseline = baseline
        self._facts = boot
        self._made = dict.fromkeys(machine.kernel.state.blocks.id.tolist(), _NEVER)  # when each block came to be
        self._came: dict[int, tuple[int, int]] = {}  # when it came online
        self._online = self._online_blocks(machine)
        self._unseen: set[int] = set()
        self._stirred: dict[ZoneKey, tuple[int, int]] = {}  # when a zone's chunks last came into another order
        self._looked = boot  # the last step that was read
        self._lists: FreeLists | None = None  # what the kernel's lists have become since

    def copy(self, baseline: Baseline) -> Guest:
        """Return an independent copy that goes by a baseline of its own."""
        twin = copy(self)
        twin._baseline, twin._lists = baseline, deepcopy(self._lists)
        twin._made, twin._came, twin._unseen = self._made.copy(), self._came.copy(), self._unseen.copy()
        twin._stirred = self._stirred.copy()
        return twin

    @staticmethod
    def _online_blocks(machine: Machine) -> dict[int, ZoneKey]:
        rows = machine.kernel.state.blocks.records()
        return {row[0]: (row[2], _KINDS[row[3]]) for row in rows if row[1] == _ONLINE and row[3] >= 0}

    def settle(self, machine: Machine, op: RecordedOp) -> bool:
        """Put what the guest holds into the blocks that may go offline; return whether earlier page flags had a say."""
        if op.kind == "resize":
            return False  # the device itself knows what it can take back
        blocks = endangered(machine, op)
        leaving = self._baseline.pages_of([block for block in blocks if not self._stays(machine.kernel, block)])
        told = [self._settle_block(machine.kernel, block, leaving) for block in blocks]
        return any(told)

    def _stays(self, kernel: Kernel, block: int) -> bool:
        """Return whether something is known to lie in a block that cannot leave it."""
        key = self._online.get(block)
        if key is None or self._holds_memmap(block, key):
            return key is not None
        return block not in self._unseen and self._held(block, kernel.state.zone(key)).total > 0

    def _settle_block(self, kernel: Kernel, block: int, leaving: ExtentSet) -> bool:
        """Put what the guest holds into one block; return whether page flags had a say in it."""
        key, bounds = self._online.get(block), self._bounds(block)
        if key is None or kernel.state.holes.intersects(*bounds):
            return False  # EINVAL before anybody looks at its pages
        zone = kernel.state.zone(key)
        memmap = self._holds_memmap(block, key)
        if memmap or self._has_image(block):
            self._hold(kernel, block, zone, ExtentSet.of(bounds), one=True)
            return False
        if block in self._unseen:
            if memmap is False and not slab_in(kernel, *bounds):
                vacate(kernel, zone, *bounds, leaving)
            return False  # what else the model says of it holds
        held = self._held(block, zone)
        give_up_slab(kernel, zone, *bounds)
        endless = self._is_overlooked(kernel, held)
        if endless or not held.total:
            vacate(kernel, zone, *bounds, leaving)
        if held.total:
            self._hold(kernel, block, zone, held, endless=endless)
        self._clear(kernel, bounds)
        return self._covers(block)

    def _covers(self, block: int) -> bool:
        return self._facts.flags is not None and self._facts.flags.covered.contains(*self._bounds(block))

    def _holds_memmap(self, block: int, key: ZoneKey) -> bool | None:
        """Return whether memmap that was allocated since the last look lies in a block; None: nobody can know."""
        if key[1] is ZoneKind.MOVABLE:
            return False
        return self._lists.holds_memmap(block, key) if self._lists is not None else None

    def _has_image(self, block: int) -> bool:
        """Return whether some of the kernel itself lies in a block: /proc/iomem shows where it does."""
        return self._baseline.image.intersects(*self._bounds(block))

    def _has_slab(self, kernel: Kernel, block: int) -> bool:
        """Return whether the kernel's first slab lies in a block."""
        slab = kernel.state.allocations.get(SLAB)
        return slab is not None and slab.pages.intersects(*self._bounds(block))

    def undetermined(self, machine: Machine, op: RecordedOp) -> tuple[int, ...]:
        """Return the blocks of an operation of which nobody can say whether they may go offline.

        They came online after the last flags that were recorded, and their kernel zone holds memmap that was
        allocated since: where in the zone it lies is not known, unless the kernel's lists tell (:class:`FreeLists`). A
        block with the first slab stays anyhow, where one node alone has CPUs; one that nothing has been taken from yet
        may get it at any moment. Of boot memory whose flags were never recorded nothing is known, and pages without a
        flag may wait on per-cpu lists or hold memmap. Or they are Movable, and there is just about as much room as
        their pages need. Or a device shrinks that has the first slab: how many more lie in its block is the guest's
        own.
        """
        return tuple([block for block in endangered(machine, op) if self._is_undetermined(machine.kernel, op, block)])

    def _is_undetermined(self, kernel: Kernel, op: RecordedOp, block: int) -> bool:
        key, bounds = self._online.get(block), self._bounds(block)
        if op.kind == "resize":
            return self._has_slab(kernel, block)
        if key is None or kernel.state.holes.intersects(*bounds) or self._has_image(block):
            return False  # EINVAL before anybody looks at its pages, or EBUSY
        if key[1] is ZoneKind.MOVABLE:
            return self._at_the_edge(kernel, *bounds, key) or self._may_be_reserved(kernel, block, key)
        late = block in self._unseen and comes_late(kernel)
        if slab_in(kernel, *bounds):
            return late and self._has_slab(kernel, block)
        zone = kernel.state.zone(key)
        return (late and self._may_get_slab(kernel, block, zone)) or self._is_open(kernel, block, zone)

    def _may_be_reserved(self, kernel: Kernel, block: int, key: ZoneKey) -> bool:
        """Return whether boot may have kept pages of a Movable block: of unseen boot memory whose zone lacks some.

        Models: mm/memblock.c:memblock_alloc_range_nid() (v5.2 to v7.2), from the top of memory down, before there
        are zones.
        """
        zone = kernel.state.zone(key)
        lacks = zone.managed < zone.present
        return lacks and not self._covers(block) and kernel.state.early.intersects(*self._bounds(block))

    def _may_get_slab(self, kernel: Kernel, block: int, zone: Zone) -> bool:
        """Return whether the first slab of a zone may lie in a block: it comes when a CPU asks, from the list's head.

        Where blocks that come later go to the tail of that list, it is always the first block of those that are there,
        until a block that stays all the same goes to its tail, or a workload takes chunks and has page tables.
        """
        if zone.key in self._baseline.early or not attracts_slab(kernel, zone):
            return False
        if at_head(kernel) or self._stirred.get(zone.key, _NEVER) > self._came.get(block, _NEVER):
            return True
        return block == self._first(zone) and not self._zone_has_slab(kernel, zone)

    def _zone_has_slab(self, kernel: Kernel, zone: Zone) -> bool:
        """Return whether a slab has been taken from a zone since it was empty."""
        return any(slab_in(kernel, *self._bounds(block)) for block, key in self._online.items() if key == zone.key)

    def _first(self, zone: Zone) -> int:
        """Return the block of a zone that came online first."""
        mine = [other for other, key in self._online.items() if key == zone.key]
        return min(mine, key=lambda other: self._came.get(other, _NEVER))

    def _is_open(self, kernel: Kernel, block: int, zone: Zone) -> bool:
        """Return whether nobody can know if a block of a kernel zone may go offline."""
        if self._holds_memmap(block, zone.key):
            return False
        if block in self._unseen:
            return self._holds_memmap(block, zone.key) is None and self._younger_memmap(kernel, block, zone)
        if not self._covers(block):
            return kernel.state.early.intersects(*self._bounds(block))
        later = self._lists is not None and self._holds_memmap(block, zone.key) is None
        if later and not self._held(block, zone).total:
            return self._younger_memmap(kernel, block, zone)
        fresh = self._is_fresh(kernel, block, zone)
        return fresh or self._may_wait(block, zone) or self._may_be_memmap(kernel, block, zone)

    def _may_wait(self, block: int, zone: Zone) -> bool:
        """Return whether more pages have no flag than waited when another file was read, and may wait all the same.

        Several CPUs go on while the files of a step are read one after the other.
        """
        flags, bounds = self._facts.flags, self._bounds(block)
        info = (self._facts.zones or {}).get((zone.nid, zone.kind.label))
        if flags is None or info is None or len(info.pagesets) < 2 or zone.key in self._baseline.early:
            return False
        bare = flags.bare.within(*bounds).total
        most = sum(pageset.high for pageset in info.pagesets)
        hard = flags.hard.intersects(*bounds)
        return not hard and self._facts.waiting(zone.nid, zone.kind.label) < bare <= most

    def _is_fresh(self, kernel: Kernel, block: int, zone: Zone) -> bool:
        """Return whether a block is the next of which the kernel takes a slab, and has not been touched yet."""
        if zone.key in self._baseline.early or not attracts_slab(kernel, zone):
            return False
        info = (self._facts.zones or {}).get((zone.nid, zone.kind.label))
        if info is None or info.free + self._facts.waiting(zone.nid, zone.kind.label) < info.managed:
            return False
        return block == self._first(zone)

    def _may_be_memmap(self, kernel: Kernel, block: int, zone: Zone) -> bool:
        """Return whether pages without a flag are as likely memmap as pages that wait: whole leaves of it."""
        flags, bounds = self._facts.flags, self._bounds(block)
        if flags is None or flags.hard.intersects(*bounds):
            return False
        bare = flags.bare.within(*bounds)
        if not 0 < bare.total <= self._facts.waiting(zone.nid, zone.kind.label):
            return False
        leaf = max([row[3] for row in kernel.state.vmemmap.runs if row[4] == _ALLOCATOR], default=1)
        whole = not any(start % leaf or end % leaf for start, end in bare)
        backing = kernel.state.vmemmap.backing_from(Source.ALLOCATOR)
        return leaf > 1 and whole and zone.linked.intersection(backing).total > 0

    def _younger_memmap(self, kernel: Kernel, block: int, zone: Zone) -> bool:
        """Return whether a zone holds allocated memmap of blocks that were made after one of its blocks came online."""
        younger = [other for other, made in self._made.items() if made > self._came.get(block, _NEVER)]
        vmemmap, described = kernel.state.vmemmap, self._baseline.pages_of(younger)
        backing = (vmemmap.backing(vmemmap.clip(low, high).of(Source.ALLOCATOR)) for low, high in described)
        return any(zone.linked.covered_by(pages) for pages in backing)

    @staticmethod
    def _at_the_edge(kernel: Kernel, low: int, high: int, key: ZoneKey) -> bool:
        """Return whether what has to move out of a Movable block finds just about as much room as it needs.

        Pages on per-cpu lists count for no watermark and serve one type of request each: which they are
        decides then, and is not recorded.
        """
        state = kernel.state
        need = sum(int(held.pages.covered(low, high)) for held in state.allocations.values() if held.movable)
        if not need:
            return False
        inside = state.zone(key).free.covered(low, high)
        zones = list(state.zonelist(key[0], ZoneKind.MOVABLE))
        room = sum(max(allocatable_chunks(zone, 0, ZoneKind.MOVABLE, 0), 0) for zone in zones) - inside
        return abs(room - need) < sum(zone.pcp.total for zone in zones)

    def go_by(self, machine: Machine, blocks: tuple[int, ...], busy: Container[int]) -> None:
        """Put allocated memmap where it must lie if some of the blocks stay that are undetermined, and others go."""
        leaving = self._baseline.pages_of([block for block in blocks if block not in busy])
        for block in blocks:
            zone, bounds = machine.kernel.state.zone(self._online[block]), self._bounds(block)
            if block in busy:
                self._hold(machine.kernel, block, zone, ExtentSet.of(bounds), one=True)
            else:
                give_up_slab(machine.kernel, zone, *bounds)
                vacate(machine.kernel, zone, *bounds, leaving)
                if zone.kind is ZoneKind.MOVABLE:
                    for other in machine.kernel.state.zonelist(zone.nid, ZoneKind.MOVABLE):
                        drain_per_cpu_lists(other)  # what waits makes the room that its pages need

    def _bounds(self, block: int) -> tuple[int, int]:
        return block * self._baseline.pages_per_block, (block + 1) * self._baseline.pages_per_block

    def _held(self, block: int, zone: Zone) -> ExtentSet:
        """Return the pages of a block that cannot leave it."""
        low, high = self._bounds(block)
        flags = self._facts.flags
        if flags is None or not flags.covered.contains(low, high):
            return ExtentSet()
        held = flags.hard.within(low, high)
        bare = flags.bare.within(low, high)
        may_hold = zone.kind is not ZoneKind.MOVABLE  # the kernel takes nothing for itself there
        if may_hold and bare.total > self._facts.waiting(zone.nid, zone.kind.label):
            held.update(bare)
        return held

    def _is_overlooked(self, kernel: Kernel, held: ExtentSet) -> bool:
        """Return whether isolation takes all of these pages for free ones: the offline then tries until a signal comes.

        Models: mm/page_isolation.c:page_is_unmovable(), mm/memory_hotplug.c:do_migrate_range() (v6.14 to v7.2).
        """
        flags = self._facts.flags
        if flags is None or not kernel.has("frozen_slabs"):
            return False
        return held.covered_by(flags.overlooked) == held.total

    def _hold(
        self, kernel: Kernel, block: int, zone: Zone, held: ExtentSet, *, one: bool = False, endless: bool = False
    ) -> None:
        pages = ExtentSet() if one else zone.free.intersection(held)
        if not pages.total:
            pages = one_of(zone.free.within(*self._bounds(block)))  # any page will do
        if not pages.total:
            pages = self._taken_from_a_process(kernel, block)
        zone.free.difference_update(pages)
        owner = Owner(Use.GUEST, f"block {block}")
        boot = self._has_image(block) or self._may_be_reserved(kernel, block, zone.key)
        pinned = endless or (one and zone.kind is ZoneKind.MOVABLE and not boot)  # the others move away, as they do
        kernel.state.allocations[owner] = Allocation(owner=owner, pages=pages, movable=pinned, pinned=pinned)

    def _taken_from_a_process(self, kernel: Kernel, block: int) -> ExtentSet:
        """Take one page of a block that is full from whoever has it."""
        allocations = kernel.state.allocations
        for name, held in list(allocations.items()):
            page = one_of(held.pages.within(*self._bounds(block))) if held.movable else ExtentSet()
            if page.total:
                allocations[name] = held._replace(pages=held.pages.difference(page))
                return page
        return ExtentSet()

    def _clear(self, kernel: Kernel, bounds: tuple[int, int]) -> None:
        """Let the inferred pages of the boot kernel in a range migrate: the recording says that they can."""
        state, (low, high) = kernel.state, bounds
        old = state.allocations.get(RECORDED)
        if old is None or not old.pages.intersects(low, high):
            return
        inside = old.pages.within(low, high)
        state.allocations[RECORDED] = old._replace(pages=old.pages.difference(inside))
        known = state.allocations.get(RECORDED_MOVABLE, Allocation(owner=RECORDED_MOVABLE, movable=True))
        state.allocations[RECORDED_MOVABLE] = known._replace(pages=known.pages.union(inside))

    def dismiss(self, machine: Machine) -> None:
        """Take the guest's pages away again after the step."""
        state = machine.kernel.state
        for held in [held for held in state.allocations.values() if held.is_for(Use.GUEST)]:
            del state.allocations[held.owner]
            first = held.pages.first_from(0)
            zone = state.zone_of(first) if first is not None else None
            if zone is not None:
                zone.free.update(held.pages)

    def observe(self, machine: Machine, facts: StepFacts, *, read: bool = True, one_by_one: bool = False) -> None:
        """Learn what a step has shown, after it has been replayed: input for later steps.

        Args:
            read: whether what was recorded of the step may be read at all.
            one_by_one: whether the step adds blocks that its driver brings online one after the other.
        """
        before = self._online
        if not read and self._lists is None:
            self._lists = FreeLists(machine.kernel, self._looked, self._in_order(), self._made)
        fresh = self._learn_blocks(machine, facts, one_by_one=one_by_one)
        if read:
            self._looked, self._lists = facts, None
        elif self._lists is not None:
            drained = {before[block] for block in endangered(machine, facts.op) if block in before}
            self._lists.follow(machine.kernel, facts, self._in_order(), fresh, drained, one_by_one=one_by_one)
        self._note_stirred(machine, facts, before)
        if read and facts.flags is not None:
            self._facts = facts
            self._unseen = set()

    def _note_stirred(self, machine: Machine, facts: StepFacts, before: dict[int, ZoneKey]) -> None:
        """Note the zones whose chunks an operation brings into another order.

        Models: mm/page_isolation.c:unset_migratetype_isolate(), mm/page_alloc.c:__rmqueue() (v5.2 to v7.2).
        """
        if facts.op.kind == "hog":
            self._stirred.update(dict.fromkeys(self._online.values(), (facts.index, -1)))
        for block in endangered(machine, facts.op):
            if block in before and self._online.get(block) == before[block]:
                self._stirred[before[block]] = (facts.index, -1)

    def _learn_blocks(self, machine: Machine, facts: StepFacts, *, one_by_one: bool) -> list[int]:
        """Note which blocks a step has left, and which of them are online; return those that came online."""
        before, online = self._online, self._online_blocks(machine)
        if facts.op.kind not in _STATES_ALONE:
            there = [row[0] for row in machine.kernel.state.blocks.records()]
            made = {block: (facts.index, block if one_by_one else -1) for block in there}
            self._made = {block: self._made.get(block, now) for block, now in made.items()}
        if online == before:
            return []
        fresh = [one for one in dict.fromkeys((*facts.op.blocks, *online)) if one in online and one not in before]
        self._came.update({block: (facts.index, block) for block in fresh})
        self._online = online
        self._unseen = {block for block in (*self._unseen, *fresh) if block in online}
        return fresh

    def _in_order(self) -> dict[int, ZoneKey]:
        """Return the blocks that came online, in that order, with their zones."""
        ordered = sorted(filter(self._came.__contains__, self._online), key=self._came.__getitem__)
        return {block: self._online[block] for block in ordered}
