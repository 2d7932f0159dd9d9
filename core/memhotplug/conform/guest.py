"""What the recorded guest did by itself: input for a replay, read from before each step.

A running kernel allocates slab pages, page tables and buffers whenever it likes. Whether such a
page sits in a block that is to go offline is not the model's to predict; it is read from the page
flags recorded *before* the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from memhotplug.contracts import PageFlag
from memhotplug.engine.machine import Machine
from memhotplug.engine.recorded import KnownPages
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.model.zones import ZoneKey, ZoneKind
from memhotplug.snapshot import KPageFlags, RecordedMachine, RecordedOp, RecordedStep
from memhotplug.snapshot.source import Source
from memhotplug.snapshot.zoneinfo import parse_zoneinfo

__all__ = ["Baseline", "dismiss", "known_pages", "settle"]

_GUEST = "recorded guest, block "
_HARD = PageFlag.SLAB | PageFlag.RESERVED


@dataclass(kw_only=True, slots=True)
class Baseline:
    """What a replay started from.

    Attributes:
        mem_total: bytes of MemTotal that were recorded at boot.
        managed: pages that the model managed at boot.
        populated: zones that had pages at boot; any other zone exists only through hotplug.
        added: pfns that were ever hot-added.
    """

    mem_total: int
    managed: int
    populated: frozenset[ZoneKey]
    added: ExtentSet = field(default_factory=ExtentSet)
    pages_per_block: int = 1

    @classmethod
    def of(cls, machine: Machine, boot: RecordedMachine) -> Baseline:
        """Return the baseline of a machine that has just booted."""
        state = machine.kernel.state
        return cls(
            mem_total=boot.mem_total or 0,
            managed=state.total_managed(),
            populated=frozenset(zone.key for zone in state.zones() if zone.present),
            pages_per_block=machine.kernel.geometry.pages_per_block,
        )

    def note_added(self, op: RecordedOp, blocks: list[int]) -> None:
        """Remember the blocks of an add."""
        ids = np.array(sorted({*op.blocks, *blocks}), dtype=np.int64)
        self.added.add_many(ids * self.pages_per_block, (ids + 1) * self.pages_per_block)


def known_pages(step: RecordedStep, machine: RecordedMachine) -> KnownPages | None:
    """Return where the boot step's page flags show free, reserved and movable pages."""
    if step.kpageflags is None:
        return None
    flags = step.kpageflags
    per_block = (machine.block_size or machine.page_size) // machine.page_size
    pcp = {(zone.node, zone.name): zone.pcp_pages for zone in machine.zones}
    lists = _by_block(flags, per_block)
    waiting = ExtentSet()
    for block in machine.blocks:
        bare = _select(flags, lambda value: value == 0, block.id * per_block, (block.id + 1) * per_block)
        limit = pcp.get((block.node or 0, block.zone or ""), 0)
        if block.id in lists and 0 < bare.total <= limit - waiting.total:
            waiting.add_many(bare.starts, bare.ends)
    covered = ExtentSet.of(*flags.covered)
    covered.remove_many(*_runs(ExtentSet.of(*flags.past_end)))
    return KnownPages(
        covered=covered,
        free=_select(flags, lambda value: bool(value & PageFlag.BUDDY)),
        waiting=waiting,
        reserved=_select(flags, lambda value: bool(value & PageFlag.RESERVED)),
        movable=_select(flags, lambda value: bool(value & PageFlag.LRU)),
    )


def _runs(pages: ExtentSet) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return pages.starts, pages.ends


def _by_block(flags: KPageFlags, per_block: int) -> frozenset[int]:
    """Return the blocks that the flags cover wholly."""
    covered = ExtentSet.of(*flags.covered)
    ids = [
        block
        for low, high in covered
        for block in range(-(-low // per_block), high // per_block)
    ]
    return frozenset(ids)


def _select(flags: KPageFlags, wanted: object, low: int = 0, high: int = 1 << 60) -> ExtentSet:
    runs = [(max(a, low), min(b, high)) for a, b, value in flags.ranges if a < high and b > low and wanted(value)]  # type: ignore[operator]
    return ExtentSet.of(*runs)


def settle(machine: Machine, previous: RecordedStep, op: RecordedOp) -> None:
    """Put what the guest holds into the blocks that an operation may take offline.

    A covered block with a slab or reserved page, or with more flagless pages that are not free than
    its zone keeps on per-cpu lists, cannot go offline; any other block is clean.
    """
    if op.kind not in ("offline", "remove"):
        return
    kernel = machine.kernel
    flags = previous.kpageflags
    per_block = kernel.geometry.pages_per_block
    covered = _by_block(flags, per_block) if flags is not None else frozenset()
    pcp = _pcp_counts(previous)
    for block in op.blocks:
        row = kernel.state.blocks.row(block)
        if row is None or kernel.state.blocks.state[row] != BlockState.ONLINE or kernel.state.blocks.zone[row] < 0:
            continue
        zone = kernel.state.zone((int(kernel.state.blocks.nid[row]), ZoneKind(int(kernel.state.blocks.zone[row]))))
        held = ExtentSet()
        if flags is not None and block in covered:
            held = _unmovable(flags, block, per_block, pcp.get(zone.key, 0))
        _clear(machine, block)
        if held.total:
            free = ExtentSet(*zone.free.clip_many(held.starts, held.ends))
            if not free.total:
                free = ExtentSet(*_one(zone.free, block * per_block, (block + 1) * per_block))
            zone.free.remove_many(free.starts, free.ends)
            name = f"{_GUEST}{block}"
            kernel.state.allocations[name] = Allocation(name=name, kernel=True, pages=free)


def _one(free: ExtentSet, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    starts, _ = free.clip(low, high)
    return starts[:1], starts[:1] + 1


def _unmovable(flags: KPageFlags, block: int, per_block: int, pcp: int) -> ExtentSet:
    low, high = block * per_block, (block + 1) * per_block
    hard = _select(flags, lambda value: bool(value & _HARD) and not value & PageFlag.OWNER_PRIVATE, low, high)
    bare = _select(flags, lambda value: value == 0, low, high)
    if bare.total > pcp:
        hard.add_many(bare.starts, bare.ends)
    return hard


def _pcp_counts(step: RecordedStep) -> dict[ZoneKey, int]:
    text = (step.files or {}).get("proc/zoneinfo")
    if text is None:
        return {}
    kinds = {kind.label: kind for kind in ZoneKind}
    zones = parse_zoneinfo(text, Source(file="proc/zoneinfo"))
    return {
        (zone.node, kinds[zone.name]): sum(pageset.count for pageset in zone.pagesets)
        for zone in zones
        if zone.name in kinds
    }


def _clear(machine: Machine, block: int) -> None:
    """Let the inferred pages of the boot kernel in a block migrate: the recording says that they can."""
    state = machine.kernel.state
    per_block = machine.kernel.geometry.pages_per_block
    low, high = block * per_block, (block + 1) * per_block
    old = state.allocations.get("recorded")
    if old is None or not old.pages.intersects(low, high):
        return
    inside = ExtentSet(*old.pages.clip(low, high))
    rest = old.pages.copy()
    rest.remove(low, high)
    state.allocations["recorded"] = replace(old, pages=rest)
    known = state.allocations.get("recorded movable", Allocation(name="recorded movable", movable=True))
    pages = known.pages.copy()
    pages.add_many(inside.starts, inside.ends)
    state.allocations["recorded movable"] = replace(known, pages=pages)


def dismiss(machine: Machine) -> None:
    """Take the guest's pages away again after the step."""
    state = machine.kernel.state
    for name in [name for name in state.allocations if name.startswith(_GUEST)]:
        held = state.allocations.pop(name)
        zone = state.zone_of(int(held.pages.starts[0])) if held.pages.total else None
        if zone is not None:
            zone.free.add_many(held.pages.starts, held.pages.ends)
