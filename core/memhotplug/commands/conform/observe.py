"""What is compared after each step, and how it is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, TypeGuard

from memhotplug.commands.conform.baseline import Baseline
from memhotplug.commands.conform.classes import Runs, cut, model_classes, recorded_classes, split_blocks
from memhotplug.commands.conform.facts import KINDS, StepFacts
from memhotplug.commands.conform.observation import Agreed, Observation, Observations, Reason, Seen
from memhotplug.commands.conform.outcome import Outcome, model_class, recorded_class
from memhotplug.commands.conform.tables import compare_blocks, compare_iomem, compare_runs, compare_zones, zone_named
from memhotplug.contracts import PageFlag
from memhotplug.engine.slab import first_zones
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo
from memhotplug.machine import Machine
from memhotplug.model.buddy import free_by_order
from memhotplug.model.extents import ExtentSet
from memhotplug.model.vmemmap import Source as MemmapSource
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug.units import div_round_up

__all__ = ["SLACK", "Compared", "compare", "mem_total_change"]

_Marks: TypeAlias = tuple[int, int, int]
_OWN = int(PageFlag.LRU | PageFlag.ANON | PageFlag.MMAP | PageFlag.HUGE | PageFlag.THP)
_ENTRY = 8  # bytes of a page table's entry
SLACK = 128
"""Pages that the guest may have taken for itself in a kernel zone, for each node with CPUs (each CPU has slabs of its
own): a quarter of an order-9 piece of memmap."""


class Compared(NamedTuple):
    """What was compared after one step: observations, and page classes, which are compared when worlds are known.

    Attributes:
        expected, got: page classes as recorded, and as the model has them.
        step: its index.
        before, after: what stands before the page classes, and behind them.
        under_way: whether it was recorded while a block was still going offline: that is no state that the kernel ends
            in, and what differs then is left out.
    """

    expected: Runs
    got: Runs
    step: int = 0
    before: Sequence[Seen] = ()
    after: Sequence[Seen] = ()
    under_way: bool = False

    def observations(self, borders: frozenset[int] = frozenset()) -> Observations:
        """Return all observations, in a fixed order.

        Args:
            borders: pfns at which every run of pages ends.
        """
        pages = compare_runs(self.step, cut(self.expected, borders), cut(self.got, borders))
        found = [*self.before, *pages, *self.after]
        if self.under_way:
            found = [
                seen if isinstance(seen, Agreed) or seen.matches else seen._replace(matches=True, left_out=True)
                for seen in found
            ]
        return Observations(found)


def compare(machine: Machine, baseline: Baseline, facts: StepFacts, outcome: Outcome) -> Compared:
    """Compare one recorded step with the model; what was not recorded is not compared."""
    before = list(_before(machine, baseline, facts, outcome))
    _note_own(machine, baseline, facts)
    expected, got = _page_runs(machine, baseline, facts)
    after = list(_after(machine, baseline, facts))
    shrinks = bool(outcome.undetermined) and facts.op.kind == "resize"
    if shrinks or baseline.hanging:
        hanging = _Hanging(baseline, shrinks=shrinks)
        before, after = hanging.applied(before), hanging.applied(after)
        hanging.remember()
    return Compared(
        step=facts.index, before=before, expected=expected, got=got, after=after, under_way=facts.is_under_way
    )


class _Hanging:
    """What hangs on how much of the block with the first slab a device has taken back, and when.

    That is what is managed and free in a kernel zone, MemTotal, and the watermarks that follow from them; never what is
    present, where, or in which state. The difference stays what it was until the device changes its size again.
    """

    def __init__(self, baseline: Baseline, *, shrinks: bool) -> None:
        self._baseline = baseline
        self._shrinks = shrinks
        self._known = baseline.hanging
        self._found: dict[str, int] = {}
        self._marks = False

    def applied(self, found: Iterable[Seen]) -> list[Seen]:
        """Return observations, undetermined where they differ only by that."""
        return [seen._replace(matches=True, undetermined=True) if self._covers(seen) else seen for seen in found]

    def _covers(self, seen: Seen) -> TypeGuard[Observation]:
        """Return whether an observation differs only by that."""
        if isinstance(seen, Agreed):
            return False
        if KINDS["Movable"].label in seen.what and seen.reason is not Reason.MARKS:
            return False
        if seen.reason is Reason.MARKS:
            hangs = not seen.matches and (self._shrinks or bool(self._known))
            self._marks |= hangs
            return hangs
        if seen.reason is Reason.FREE:
            managed = f"{seen.what.removesuffix(' free')} managed"
            return not seen.matches and (self._shrinks or managed in self._known)
        if seen.reason is not Reason.MEMTOTAL and not (seen.reason is Reason.ZONE and seen.what.endswith(" managed")):
            return False
        if seen.matches or not isinstance(seen.expected, int) or not isinstance(seen.got, int):
            return False
        difference = seen.expected - seen.got
        if self._shrinks or self._known.get(seen.what) == difference:
            self._found[seen.what] = difference
            return True
        return False

    def remember(self) -> None:
        """Note for the next step what hangs on it still."""
        self._baseline.hanging = {**self._found, **({"marks": 0} if self._marks else {})}


def _before(machine: Machine, baseline: Baseline, facts: StepFacts, outcome: Outcome) -> Iterator[Seen]:
    if facts.step.result is not None:
        yield _result(machine, facts, outcome)
    if facts.zones is not None:
        yield from compare_zones(machine, facts.index, facts.zones)
    if facts.blocks is not None:
        yield from compare_blocks(machine, facts.index, facts.blocks)
    if facts.ram is not None:
        yield from compare_iomem(machine, facts.index, facts.ram)
    if facts.mem_total is not None and baseline.mem_total is not None:
        change = (facts.mem_total - baseline.mem_total) // 1024
        got = mem_total_change(machine, baseline)
        yield Observation.equal(facts.index, Reason.MEMTOTAL, "MemTotal change in kB", change, got)


def _after(machine: Machine, baseline: Baseline, facts: StepFacts) -> Iterator[Seen]:
    if facts.zones is not None:
        yield from _free_pages(machine, baseline, facts, facts.zones)
        yield from _marks(machine, facts.index, facts.zones)


def _result(machine: Machine, facts: StepFacts, outcome: Outcome) -> Observation:
    """Compare ok / errno / failed, by block where it was recorded so, and the blocks that are present."""
    step = facts.step
    if outcome.undetermined and machine.kernel.has("frozen_slabs"):
        outcome = _endless(outcome, step.results or {})
    expected: dict[str, object] = {"result": recorded_class(step.result or "", step)}
    got: dict[str, object] = {"result": model_class(outcome, step)}
    if step.results:
        expected["results"] = {str(block): result.partition(":")[0] for block, result in step.results.items()}
        got["results"] = {str(block): outcome.results.get(block) for block in step.results}
    if outcome.asked and facts.blocks is not None:
        expected["blocks"] = [block for block in outcome.asked if block in facts.blocks]
        got["blocks"] = list(outcome.blocks)
    if step.blocks_left is not None:
        expected["blocks_left"] = list(step.blocks_left)
        got["blocks_left"] = list(outcome.blocks)
    seen = Observation.equal(step.index, Reason.RESULT, "result", expected, got)
    if outcome.own and not seen.matches:
        return seen._replace(matches=True, left_out=True)
    shrinks = outcome.undetermined and step.op.kind == "resize"
    return seen._replace(matches=True, undetermined=True) if shrinks else seen


def _endless(outcome: Outcome, recorded: Mapping[int, str]) -> Outcome:
    """Return an outcome in which blocks of which nobody can know are refused as they were: for what, hangs on the slab.

    Isolation refuses a block with a slab of several pages, and takes one of a single page for free.
    """
    hanging = [
        block
        for block in outcome.undetermined
        if outcome.results.get(block) == "EBUSY" and recorded.get(block, "").partition(":")[0] == "EINTR"
    ]
    if not hanging:
        return outcome
    results = dict(outcome.results) | dict.fromkeys(hanging, "EINTR")
    first = next((name for name in results.values() if name != "ok"), "ok")
    return outcome._replace(results=results, result=first, errno=first)


def mem_total_change(machine: Machine, baseline: Baseline) -> int:
    """Return by how much MemTotal has changed since boot, in kB."""
    pages = machine.kernel.state.total_managed() - baseline.managed
    return pages * machine.kernel.geometry.page_size // 1024


def _page_runs(machine: Machine, baseline: Baseline, facts: StepFacts) -> tuple[Runs, Runs]:
    """Return the classes of hot-added memory as recorded, and as the model has them."""
    if facts.flags is None or not baseline.added.total or not (facts.blocks is not None or baseline.has_nopage):
        return [], []
    covered = baseline.added.intersection(facts.flags.covered)
    split = split_blocks(machine, baseline, facts)
    return recorded_classes(baseline, facts, covered, split), model_classes(machine, baseline, covered, split)


def _free_pages(
    machine: Machine, baseline: Baseline, facts: StepFacts, zones: Mapping[tuple[int, str], ZoneInfo]
) -> Iterator[Observation]:
    """Apply the free-page rule to every zone that exists only through hotplug."""
    for (node, name), recorded in sorted(zones.items()):
        if not recorded.present or name not in KINDS or (node, KINDS[name]) in baseline.populated:
            continue
        free = recorded.free + facts.waiting(node, name)
        what = f"node {node} zone {name} free"
        zone = zone_named(machine, node, name)
        if zone is None:
            yield Observation(facts.index, Reason.FREE, what, free, None, False)
        elif zone.kind is KINDS["Movable"]:
            yield _movable_free(machine, facts, zone, what, free, own=zone.key in baseline.own)
        else:
            twice = facts.waiting(node, name) if len(recorded.pagesets) > 1 else 0
            yield _kernel_free(machine, facts.index, zone, what, free, twice)


def _movable_free(machine: Machine, facts: StepFacts, zone: Zone, what: str, free: int, *, own: bool) -> Observation:
    """Nobody but the guest's processes allocates there, so all is exact: free pages, and chunks by order."""
    expected: dict[str, object] = {"free": free}
    got: dict[str, object] = {"free": zone.nr_free}
    chunks = (facts.chunks or {}).get((zone.nid, zone.kind.label), [])
    listed = sum([count << order for order, count in enumerate(chunks)])
    if chunks and listed >= free and not facts.waiting(zone.nid, zone.kind.label):  # else a file is of a moment before
        expected["by_order"] = chunks
        got["by_order"] = free_by_order(zone.free, machine.kernel.geometry.max_order)
    seen = Observation.equal(facts.index, Reason.FREE, what, expected, got)
    if seen.matches:
        return seen
    unseen = zone.nr_free - SLACK <= free <= zone.nr_free and not _all_seen(zone, facts)
    return seen if not (own or unseen) else seen._replace(matches=True, left_out=True)


def _all_seen(zone: Zone, facts: StepFacts) -> bool:
    """Return whether the flags of all pages of a zone were recorded: else processes may have pages in it."""
    covered = facts.flags.covered if facts.flags is not None else ExtentSet()
    return zone.linked.covered_by(covered) == zone.linked.total


def _note_own(machine: Machine, baseline: Baseline, facts: StepFacts) -> None:
    """Note the Movable zones of hot-added memory in which flags show pages of processes (or huge ones).

    Which pages they have is the guest's own doing: there the split into buddy and not buddy, and what is free, is
    left out from then on, since a page that such a process has freed may wait where no counter sees it; until the
    zone is empty. That is the one rule by which anything is.
    """
    own = facts.flags.having(_OWN) if facts.flags is not None else ExtentSet()
    for zone in machine.kernel.state.zones():
        if not zone.present:
            baseline.own.discard(zone.key)
        elif zone.kind is ZoneKind.MOVABLE and own.total and zone.linked.covered_by(own):
            baseline.own.add(zone.key)


def _kernel_free(machine: Machine, step: int, zone: Zone, what: str, free: int, twice: int) -> Observation:
    """The guest takes a few pages; memmap and workloads are charged to the zone that they fall to first.

    A workload begins at the node of the CPU that it runs on, and leaves a zone that runs low with pages on per-cpu
    lists: where several nodes have CPUs, or it has gone on elsewhere, nobody can know how many of its pages are here.

    Args:
        twice: pages that may be counted twice: with several CPUs, those that went to per-cpu lists while the file was
            read, which has what is free before what waits.
    """
    memmap = _memmap_in(machine, zone)
    held = [held.pages for name, held in machine.kernel.state.allocations.items() if isinstance(name, str)]
    work = sum(zone.linked.covered_by(pages) for pages in held)
    elsewhere = sum(pages.total for pages in held) - work
    entries = machine.kernel.geometry.page_size // _ENTRY
    askers = max(sum(node.has_cpu for node in machine.kernel.state.nodes.values()), 1)
    slack = SLACK * askers + sum(div_round_up(pages.total, entries) for pages in held)
    used = zone.managed - memmap - work - free
    charged = f"memmap {memmap} - workloads {work}" if work else f"memmap {memmap}"
    rule = f"managed {zone.managed} - {charged} - free = {used}, which has to be from 0 to {slack}"
    fits = 0 <= used <= slack
    if not fits and (work or elsewhere):
        begins_anywhere = len(first_zones(machine.kernel)) > 1
        if (elsewhere and work) or begins_anywhere:
            fits = -work <= used <= elsewhere + slack
            return Observation(step, Reason.FREE, what, f"free {free}", rule, fits, undetermined=fits)
    fits = -twice <= used <= slack
    known = zone.managed - memmap - work - zone.nr_free
    return Observation(step, Reason.FREE, what, f"free {free}", rule, fits, tolerated=fits and used != known)


def _marks(machine: Machine, step: int, zones: Mapping[tuple[int, str], ZoneInfo]) -> Iterator[Seen]:
    """Compare min, low and high of every zone that has pages on both sides, without the boost that wears off."""
    rows = []
    for key, recorded in zones.items():
        zone = zone_named(machine, *key)
        if zone is None or not recorded.present or not zone.present:
            continue
        expected = recorded.min, recorded.low, recorded.high
        if recorded.boost and zone.wmark != expected:
            expected = expected[0] - recorded.boost, expected[1] - recorded.boost, expected[2] - recorded.boost
        rows.append((key, expected, zone.wmark))
    seen = partial(_mark_rows, step, rows)
    yield from [Agreed(Reason.MARKS, len(rows), seen)] if all(theirs == ours for _, theirs, ours in rows) else seen()


def _mark_rows(step: int, rows: Iterable[tuple[tuple[int, str], _Marks, _Marks]]) -> Iterator[Observation]:
    for (node, name), expected, got in sorted(rows):
        what = f"node {node} zone {name} min, low, high"
        yield Observation.equal(step, Reason.MARKS, what, list(expected), list(got))


def _memmap_in(machine: Machine, zone: Zone) -> int:
    return zone.linked.covered_by(machine.kernel.state.vmemmap.backing_from(MemmapSource.ALLOCATOR))
