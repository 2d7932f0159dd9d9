"""What a replay starts from: the counts and places of the machine as its recording begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.flags import Flags
from memhotplug.contracts import PageFlag
from memhotplug.engine.boot.recorded import KnownPages
from memhotplug.formats.snapshot import RecordedMachine
from memhotplug.machine import Machine
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKey

__all__ = ["Baseline", "known_pages"]


@dataclass(kw_only=True, slots=True)
class Baseline:
    """What a replay started from.

    Attributes:
        mem_total: bytes of MemTotal that were recorded at boot, None if they were not.
        managed: pages that the model managed at boot.
        populated: zones that had pages when the replay began. early: those that have boot memory; any other zone exists
            only through hotplug, be it before the replay began.
        pages_per_block: pages in a memory block.
        has_nopage: whether page flags tell pages that are offline or not there (up to v7.1).
        added: pfns that were ever hot-added, or were to be.
        image: pfns of the kernel's own code and data, which never leave their block.
        own: Movable zones of hot-added memory in which pages of the guest's processes were seen.
        hanging: what a device's shrinking out of the block with the first slab left open, with the difference.
    """

    mem_total: int | None
    managed: int
    populated: frozenset[ZoneKey]
    early: frozenset[ZoneKey]
    pages_per_block: int
    has_nopage: bool = True
    added: ExtentSet = field(default_factory=ExtentSet)
    image: ExtentSet = field(default_factory=ExtentSet)
    own: set[ZoneKey] = field(default_factory=set)
    hanging: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, machine: Machine, boot: RecordedMachine) -> Baseline:
        """Return the baseline of a machine that has just booted."""
        state = machine.kernel.state
        return cls(
            mem_total=boot.mem_total,
            managed=state.total_managed(),
            populated=frozenset(zone.key for zone in state.zones() if zone.present),
            early=frozenset(zone.key for zone in state.zones() if zone.present_early),
            pages_per_block=machine.kernel.geometry.pages_per_block,
            has_nopage=machine.kernel.has("nopage_flag"),
            image=ExtentSet.of(*boot.kernel_image),
        )

    def copy(self) -> Baseline:
        """Return an independent copy."""
        return replace(self, added=self.added.copy(), own=set(self.own), hanging=dict(self.hanging))

    def note_added(self, blocks: Iterable[int]) -> None:
        """Remember the blocks of an add."""
        self.added.update(self.pages_of(blocks))

    def pages_of(self, blocks: Iterable[int]) -> ExtentSet:
        """Return the pages of some blocks."""
        size = self.pages_per_block
        return ExtentSet.of(*[(block * size, (block + 1) * size) for block in blocks])


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
        movable=flags.movable,
        hosted=flags.having(int(PageFlag.OWNER_PRIVATE)),
        offline=flags.having(int(PageFlag.OFFLINE)),
        broken=flags.having(int(PageFlag.HWPOISON)),
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
        bare = flags.bare.within(low, high)
        if 0 < bare.total <= room[key]:
            waiting.add_many(bare.starts, bare.ends)
            room[key] -= bare.total
    return waiting
