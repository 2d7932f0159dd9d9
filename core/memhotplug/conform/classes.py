"""Page classes of hot-added memory, as runs: what the recorded flags show, and what the model has.

``offline`` is what is not online or not there. ``online`` is split into buddy and not buddy inside
a Movable zone that exists only through hotplug, where nothing but the model's own rules decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from memhotplug.conform.facts import Flags, StepFacts
from memhotplug.conform.guest import Baseline
from memhotplug.contracts import PageFlag
from memhotplug.engine.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKind

__all__ = ["BUDDY", "NOT_BUDDY", "OFFLINE", "ONLINE", "SELF_HOSTED", "Runs", "model_classes", "recorded_classes"]

OFFLINE = "offline"
SELF_HOSTED = "self-hosted"
ONLINE = "online"
BUDDY = "online, buddy"
NOT_BUDDY = "online, not buddy"

Runs: TypeAlias = list[tuple[int, int, str]]
"""(start_pfn, end_pfn, class), ascending, half-open."""

_NOPAGE, _SELF, _BUDDY = int(PageFlag.NOPAGE), int(PageFlag.OWNER_PRIVATE), int(PageFlag.BUDDY)


def recorded_classes(baseline: Baseline, facts: StepFacts, covered: ExtentSet) -> Runs:
    """Return the classes that recorded flags show of some pfns.

    A page without a flag is offline where its block is (v7.2 shows no NOPAGE), and online otherwise.
    """
    flags, blocks = facts.flags, facts.blocks or {}
    if flags is None:
        return []
    runs: Runs = []
    for block, low, high in _pieces(covered, baseline.pages_per_block):
        files = blocks.get(block, {})
        online = files.get("state", OFFLINE) != BlockState.OFFLINE.label
        node = int(files["node"]) if files.get("node", "").isdecimal() else 0
        split = online and baseline.is_split(node, files.get("valid_zones", ""))
        runs += _classified(flags, low, high, online=online, split=split)
        if not online:
            runs += [(first, end, OFFLINE) for first, end in ExtentSet(*flags.past_end.clip(low, high))]
    return _joined(sorted(runs))


def _classified(flags: Flags, low: int, high: int, *, online: bool, split: bool) -> Iterator[tuple[int, int, str]]:
    for first, end, value in flags.between(low, high):
        if value & _NOPAGE or not (value or online):
            kind = OFFLINE
        elif value & _SELF:
            kind = SELF_HOSTED
        elif split:
            kind = BUDDY if value & _BUDDY else NOT_BUDDY
        else:
            kind = ONLINE
        yield first, end, kind


def model_classes(machine: Machine, baseline: Baseline, covered: ExtentSet) -> Runs:
    """Return the classes of some pfns in the model."""
    blocks = machine.kernel.state.blocks
    rows = {
        block: (node, kind, altmap)
        for block, state, node, kind, altmap in zip(
            blocks.id.tolist(), blocks.state.tolist(), blocks.nid.tolist(), blocks.zone.tolist(),
            blocks.altmap_pages.tolist(), strict=True,
        )
        if state == BlockState.ONLINE
    }  # fmt: skip
    per_block = baseline.pages_per_block
    runs: Runs = []
    for block, low, high in _pieces(covered, per_block):
        if block not in rows:
            runs.append((low, high, OFFLINE))
            continue
        node, kind, altmap = rows[block]
        hosted = min(max(block * per_block + altmap, low), high)
        runs.append((low, hosted, SELF_HOSTED))
        if kind < 0 or not baseline.is_split(node, ZoneKind(kind).label):
            runs.append((hosted, high, ONLINE))
            continue
        free = machine.kernel.state.zone((node, ZoneKind(kind))).free
        runs += [(first, end, BUDDY) for first, end in ExtentSet(*free.clip(hosted, high))]
        runs += [(first, end, NOT_BUDDY) for first, end in ExtentSet(*free.gaps(hosted, high))]
    return _joined(sorted(runs))


def _pieces(covered: ExtentSet, per_block: int) -> Iterator[tuple[int, int, int]]:
    """Yield the parts of some pfns in each block: block id, start_pfn, end_pfn."""
    for low, high in covered:
        for block in range(low // per_block, -(-high // per_block)):
            yield block, max(low, block * per_block), min(high, (block + 1) * per_block)


def _joined(runs: Runs) -> Runs:
    joined: Runs = []
    for low, high, kind in runs:
        if high <= low:
            continue
        if joined and joined[-1][1] == low and joined[-1][2] == kind:
            joined[-1] = (joined[-1][0], high, kind)
        else:
            joined.append((low, high, kind))
    return joined
