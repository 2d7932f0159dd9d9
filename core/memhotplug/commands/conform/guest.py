"""What the recorded guest did by itself: input for a replay, read from before each step.

A running kernel allocates slab pages, page tables and buffers whenever it likes. Whether such a
page sits in a block that is to go offline is not the model's to predict; it is read from the page
flags recorded *before* the step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from memhotplug.commands.conform.facts import Flags, StepFacts
from memhotplug.commands.conform.vacate import vacate
from memhotplug.contracts import PageFlag
from memhotplug.engine.boot.recorded import RECORDED, RECORDED_MOVABLE, KnownPages
from memhotplug.engine.memory_hotplug.add import device_blocks
from memhotplug.engine.slab import give_up_slab
from memhotplug.formats.snapshot import RecordedMachine, RecordedOp
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.zones import Zone, ZoneKey, ZoneKind

__all__ = ["Baseline", "Guest", "known_pages"]

_KINDS = tuple(ZoneKind)
_HARD = int(PageFlag.SLAB | PageFlag.RESERVED)
_SELF_HOSTED = int(PageFlag.OWNER_PRIVATE)
_STATE_FILE = re.compile(r"/?sys/devices/system/memory/memory(\d{1,9})/(state|online)")


@dataclass(kw_only=True, slots=True)
class Baseline:
    """What a replay started from.

    Attributes:
        mem_total: bytes of MemTotal that were recorded at boot, None if they were not.
        managed: pages that the model managed at boot.
        populated: zones that had pages at boot; any other zone exists only through hotplug.
        pages_per_block: pages in a memory block.
        has_nopage: whether page flags tell pages that are offline or not there (up to v7.1).
        added: pfns that were ever hot-added, or were to be.
    """

    mem_total: int | None
    managed: int
    populated: frozenset[ZoneKey]
    pages_per_block: int
    has_nopage: bool = True
    added: ExtentSet = field(default_factory=ExtentSet)

    @classmethod
    def of(cls, machine: Machine, boot: RecordedMachine) -> Baseline:
        """Return the baseline of a machine that has just booted."""
        state = machine.kernel.state
        return cls(
            mem_total=boot.mem_total,
            managed=state.total_managed(),
            populated=frozenset(zone.key for zone in state.zones() if zone.present),
            pages_per_block=machine.kernel.geometry.pages_per_block,
            has_nopage=machine.kernel.has("nopage_flag"),
        )

    def note_added(self, blocks: Iterable[int]) -> None:
        """Remember the blocks of an add."""
        ids = np.array(sorted(blocks), dtype=np.int64)
        self.added.add_many(ids * self.pages_per_block, (ids + 1) * self.pages_per_block)


def known_pages(facts: StepFacts, machine: RecordedMachine) -> KnownPages | None:
    """Return where the boot step's page flags show free, reserved and movable pages."""
    flags = facts.flags
    if flags is None:
        return None
    covered = flags.covered.copy()
    covered.remove_many(flags.past_end.starts, flags.past_end.ends)
    return KnownPages(
        covered=covered,
        free=flags.having(int(PageFlag.BUDDY)),
        waiting=_waiting(flags, machine),
        reserved=flags.having(int(PageFlag.RESERVED)),
        movable=flags.having(int(PageFlag.LRU)),
    )


def _waiting(flags: Flags, machine: RecordedMachine) -> ExtentSet:
    """Return pages that must be on per-cpu lists: flagless ones of wholly covered blocks, as far as those lists go."""
    per_block = (machine.block_size or machine.page_size) // machine.page_size
    room = {(zone.node, zone.name): zone.pcp_pages for zone in machine.zones}
    waiting = ExtentSet()
    for block in machine.blocks:
        key = (block.node or 0, block.zone or "")
        low, high = block.id * per_block, (block.id + 1) * per_block
        if not room.get(key) or not flags.covered.contains(low, high):
            continue
        bare = ExtentSet(*flags.bare.clip(low, high))
        if 0 < bare.total <= room[key]:
            waiting.add_many(bare.starts, bare.ends)
            room[key] -= bare.total
    return waiting


class Guest:
    """What is known of the guest's own pages, and where they are put while an operation is under way.

    A covered block with a slab or reserved page, or with more flagless pages that are not free than
    its zone keeps on per-cpu lists, cannot go offline; any other block is clean. Where a step's
    flags were not recorded, the latest ones before it count for every block that has stayed online
    since. Of a block that came online in between nothing was recorded, and what the model says of it holds:
    the kernel takes a slab at once from the first block of a kernel zone that was empty.
    """

    def __init__(self, machine: Machine, boot: StepFacts, baseline: Baseline) -> None:
        self._baseline = baseline
        self._facts = boot
        self._online = self._online_blocks(machine)
        self._unseen: set[int] = set()

    @staticmethod
    def _online_blocks(machine: Machine) -> dict[int, ZoneKey]:
        blocks = machine.kernel.state.blocks
        rows = zip(blocks.id.tolist(), blocks.state.tolist(), blocks.nid.tolist(), blocks.zone.tolist(), strict=True)
        return {
            block: (node, _KINDS[kind]) for block, state, node, kind in rows if state == BlockState.ONLINE and kind >= 0
        }

    def settle(self, machine: Machine, op: RecordedOp) -> None:
        """Put what the guest holds into the blocks that an operation may take offline."""
        for block in _endangered(machine, op):
            key = self._online.get(block)
            if key is None:
                continue
            zone = machine.kernel.state.zone(key)
            if block in self._unseen:
                continue  # what the model says of it holds
            held = self._held(block, zone)
            give_up_slab(machine.kernel, zone, *self._bounds(block))
            if held.total:
                self._hold(machine, block, zone, held)
            else:
                vacate(machine.kernel, zone, *self._bounds(block))
            self._clear(machine, block)

    def _bounds(self, block: int) -> tuple[int, int]:
        return block * self._baseline.pages_per_block, (block + 1) * self._baseline.pages_per_block

    def _held(self, block: int, zone: Zone) -> ExtentSet:
        """Return the pages of a block that cannot leave it."""
        low, high = self._bounds(block)
        flags = self._facts.flags
        if flags is None or not flags.covered.contains(low, high):
            return ExtentSet()
        held = ExtentSet(*flags.having(_HARD, without=_SELF_HOSTED).clip(low, high))
        bare = ExtentSet(*flags.bare.clip(low, high))
        if bare.total > self._facts.waiting(zone.nid, zone.kind.label):
            held.add_many(bare.starts, bare.ends)
        return held

    def _hold(self, machine: Machine, block: int, zone: Zone, held: ExtentSet) -> None:
        pages = ExtentSet(*zone.free.clip_many(held.starts, held.ends))
        if not pages.total:
            starts, _ = zone.free.clip(*self._bounds(block))
            pages = ExtentSet(starts[-1:], starts[-1:] + 1)  # any page will do
        zone.free.remove_many(pages.starts, pages.ends)
        owner = Owner(Use.GUEST, f"block {block}")
        machine.kernel.state.allocations[owner] = Allocation(owner=owner, pages=pages)

    def _clear(self, machine: Machine, block: int) -> None:
        """Let the inferred pages of the boot kernel in a block migrate: the recording says that they can."""
        state = machine.kernel.state
        low, high = self._bounds(block)
        old = state.allocations.get(RECORDED)
        if old is None or not old.pages.intersects(low, high):
            return
        inside = ExtentSet(*old.pages.clip(low, high))
        rest = old.pages.copy()
        rest.remove(low, high)
        state.allocations[RECORDED] = replace(old, pages=rest)
        known = state.allocations.get(RECORDED_MOVABLE, Allocation(owner=RECORDED_MOVABLE, movable=True))
        pages = known.pages.copy()
        pages.add_many(inside.starts, inside.ends)
        state.allocations[RECORDED_MOVABLE] = replace(known, pages=pages)

    def dismiss(self, machine: Machine) -> None:
        """Take the guest's pages away again after the step."""
        state = machine.kernel.state
        for held in [held for held in state.allocations.values() if held.is_for(Use.GUEST)]:
            del state.allocations[held.owner]
            zone = state.zone_of(int(held.pages.starts[0])) if held.pages.total else None
            if zone is not None:
                zone.free.add_many(held.pages.starts, held.pages.ends)

    def observe(self, machine: Machine, facts: StepFacts) -> None:
        """Learn what a step has shown, after it has been replayed: input for later steps."""
        online = self._online_blocks(machine)
        fresh = [block for block in (*facts.op.blocks, *online) if block in online and block not in self._online]
        self._online = online
        self._unseen = {block for block in (*self._unseen, *fresh) if block in online}
        if facts.flags is not None:
            self._facts = facts
            self._unseen = set()


def _endangered(machine: Machine, op: RecordedOp) -> tuple[int, ...]:
    """Return the blocks that an operation may take offline."""
    if op.kind in ("offline", "remove"):
        return op.blocks or tuple(device_blocks(machine.kernel, op.device or ""))
    file = _STATE_FILE.fullmatch(op.path or "") if op.kind == "write" else None
    return (int(file[1]),) if file is not None else ()
