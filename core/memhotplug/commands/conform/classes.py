"""Page classes of hot-added memory, as runs: what the recorded flags show, and what the model has.

``offline`` is what is not online or not there. ``online`` is split into buddy and not buddy inside
a Movable zone that exists only through hotplug, where nothing but the model's own rules decides.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from memhotplug.commands.conform.baseline import Baseline
from memhotplug.commands.conform.facts import NOTHING_SHOWN, StepFacts
from memhotplug.commands.conform.flags import Flags, Shown
from memhotplug.contracts import PageFlag
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKind

__all__ = [
    "BUDDY",
    "NOT_BUDDY",
    "OFFLINE",
    "ONLINE",
    "SELF_HOSTED",
    "Runs",
    "cut",
    "model_classes",
    "recorded_classes",
    "split_blocks",
]

OFFLINE = "offline"
SELF_HOSTED = "self-hosted"
ONLINE = "online"
BUDDY = "online, buddy"
NOT_BUDDY = "online, not buddy"

Runs: TypeAlias = list[tuple[int, int, str]]
"""(start_pfn, end_pfn, class), ascending, half-open."""

_SELF, _BUDDY = int(PageFlag.OWNER_PRIVATE), int(PageFlag.BUDDY)
_MOVABLE = int(ZoneKind.MOVABLE)
_ONLINE = int(BlockState.ONLINE)

_Classes: TypeAlias = tuple[str, ...]
"""The class of a page by what its flags show (:class:`Shown`)."""

_WHOLE: _Classes = (OFFLINE, SELF_HOSTED, ONLINE, ONLINE, ONLINE)
_SPLIT: _Classes = (OFFLINE, SELF_HOSTED, NOT_BUDDY, BUDDY, NOT_BUDDY)
_WAITING: _Classes = (OFFLINE, SELF_HOSTED, BUDDY, BUDDY, BUDDY)
_BARE_IS_OFFLINE: Mapping[_Classes, _Classes] = {
    classes: (*classes[: Shown.NOTHING], OFFLINE, *classes[Shown.NOTHING + 1 :])
    for classes in (_WHOLE, _SPLIT, _WAITING)
}


def recorded_classes(baseline: Baseline, facts: StepFacts, covered: ExtentSet, split: frozenset[int]) -> Runs:
    """Return the classes that recorded flags show of some pfns.

    Args:
        split: ids of the blocks in which ``online`` is split into buddy and not buddy.
    """
    flags = facts.flags
    if flags is None:
        return []
    runs: Runs = []
    for low, high, classes in _alike(baseline, facts, flags, covered, split):
        runs += flags.named(low, high, classes)
    if flags.past_end.total:
        runs = sorted([*runs, *_named(flags.past_end.intersection(covered), OFFLINE)])
    return _joined(runs)


def _alike(
    baseline: Baseline, facts: StepFacts, flags: Flags, covered: ExtentSet, split: frozenset[int]
) -> Iterator[tuple[int, int, _Classes]]:
    """Yield the parts of some pfns in which what flags show means the same, ascending."""
    if baseline.has_nopage and not split:
        yield from ((low, high, _WHOLE) for low, high in covered)
        return
    waiting, blocks = _waiting_blocks(baseline, facts, flags, covered, split), facts.blocks or {}
    first, behind, last = 0, 0, _WHOLE
    for block, low, high in _pieces(covered, baseline.pages_per_block):
        classes = _WAITING if block in waiting else _SPLIT if block in split else _WHOLE
        # Without NOPAGE (v7.2) a page that shows no flag may be offline or in use; the block's state tells.
        if not baseline.has_nopage and blocks.get(block, NOTHING_SHOWN).state in (None, OFFLINE):
            classes = _BARE_IS_OFFLINE[classes]
        if low != behind or classes is not last:
            if first < behind:
                yield first, behind, last
            first, last = low, classes
        behind = high
    if first < behind:
        yield first, behind, last


def _waiting_blocks(
    baseline: Baseline, facts: StepFacts, flags: Flags, covered: ExtentSet, split: frozenset[int]
) -> frozenset[int]:
    """Return the split blocks of zones in which all pages that are in use wait on per-cpu lists: they are free.

    Such pages have no flag, and a zone has no more of them than those lists have pages.
    """
    found: dict[tuple[str, str], list[int]] = {}
    recorded = facts.blocks or {}
    for block in split:
        shown = recorded.get(block, NOTHING_SHOWN)
        found.setdefault((shown.node or "", shown.valid_zones or ""), []).append(block)
    chosen: list[int] = []
    for (node, zone), blocks in found.items():
        most = facts.waiting(int(node), zone) if node.isdecimal() else 0
        if not most:
            continue  # then nothing is in use that could wait
        used = covered.intersection(baseline.pages_of(blocks))
        used.difference_update(flags.having(_BUDDY | _SELF))
        if used.total <= most and used.total == used.covered_by(flags.bare):
            chosen += blocks
    return frozenset(chosen)


def split_blocks(machine: Machine, baseline: Baseline, facts: StepFacts | None = None) -> frozenset[int]:
    """Return the online blocks of Movable zones that exist only through hotplug, and have no pages of the guest.

    Where recording and model disagree on a block's zone, which is an observation of its own, it
    is not among them.
    """
    rows = [(row[0], row[2]) for row in machine.kernel.state.blocks.records() if row[3] == _MOVABLE]
    mine = {node for _, node in rows} - _shared_nodes(baseline) if rows else ()
    if not mine:
        return frozenset()
    recorded = (facts.blocks if facts is not None else None) or {}
    label = ZoneKind.MOVABLE.label
    return frozenset(
        [
            block
            for block, node in rows
            if node in mine and recorded.get(block, NOTHING_SHOWN).valid_zones in (None, label)
        ]
    )


def _shared_nodes(baseline: Baseline) -> set[int]:
    """Return the nodes in whose Movable zone is more than hotplug and the model's own rules."""
    return {node for node, kind in (*baseline.populated, *baseline.own) if kind is ZoneKind.MOVABLE}


def model_classes(machine: Machine, baseline: Baseline, covered: ExtentSet, split: frozenset[int]) -> Runs:
    """Return the classes of some pfns in the model; ``split`` as in :func:`recorded_classes`."""
    state = machine.kernel.state
    rows = {
        block: (node, kind, altmap)
        for block, word, node, kind, _, _, _, altmap, _ in state.blocks.records()
        if word == _ONLINE
    }
    per_block, runs = baseline.pages_per_block, []
    free: dict[tuple[int, int], ExtentSet] = {}
    for block, low, high in _pieces(covered, per_block):
        row = rows.get(block)
        if row is None:
            runs.append((low, high, OFFLINE))
            continue
        node, kind, altmap = row
        hosted = low
        if altmap:
            hosted = min(max(block * per_block + altmap, low), high)
            runs.append((low, hosted, SELF_HOSTED))
        if block not in split:
            runs.append((hosted, high, ONLINE))
            continue
        key = node, kind
        if key not in free:
            free[key] = state.zone((node, ZoneKind(kind))).free
        runs += _buddy_runs(free[key], hosted, high)
    return _joined(runs)


def _buddy_runs(free: ExtentSet, low: int, high: int) -> Runs:
    """Return the runs of [low, high) that are free, and those that are not."""
    if free.contains(low, high):
        return [(low, high, BUDDY)]
    return sorted(_named(free.within(low, high), BUDDY) + _named(free.gaps(low, high), NOT_BUDDY))


def _named(pages: ExtentSet, kind: str) -> Runs:
    return [(first, end, kind) for first, end in pages]


def _pieces(covered: ExtentSet, per_block: int) -> Iterable[tuple[int, int, int]]:
    """Return the parts of some pfns in each block: block id, start_pfn, end_pfn."""
    return itertools.chain.from_iterable([_by_block(low, high, per_block) for low, high in covered])


def _by_block(low: int, high: int, per_block: int) -> Iterable[tuple[int, int, int]]:
    block = low // per_block
    borders = range((block + 1) * per_block, high, per_block)
    return zip(itertools.count(block), (low, *borders), (*borders, high), strict=False)


def _joined(runs: Runs) -> Runs:
    joined: Runs = []
    first, behind, last = 0, -1, ""
    for low, high, kind in runs:
        if high <= low:
            continue
        if behind != low or last != kind:
            if last:
                joined.append((first, behind, last))
            first, last = low, kind
        behind = high
    return [*joined, (first, behind, last)] if last else joined


def cut(runs: Runs, borders: frozenset[int]) -> Runs:
    """Return runs so that each ends at every border that lies inside of it."""
    if not borders:
        return runs
    found: Runs = []
    edges = sorted(borders)
    for low, high, kind in runs:
        inside = edges[bisect_right(edges, low) : bisect_left(edges, high)]
        if not inside:
            found.append((low, high, kind))
            continue
        found += [(first, end, kind) for first, end in itertools.pairwise([low, *inside, high])]
    return found
