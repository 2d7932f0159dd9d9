"""What is compared after each step, and how it is counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memhotplug.contracts import PageFlag
from memhotplug.engine.machine import Machine
from memhotplug.engine.sysfs import read_attribute
from memhotplug.model.blocks import BlockState
from memhotplug.model.buddy import free_by_order
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import Resource
from memhotplug.model.vmemmap import Source as MemmapSource
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug.snapshot import KPageFlags, RecordedStep
from memhotplug.snapshot.attributes import parse_meminfo
from memhotplug.snapshot.buddyinfo import parse_buddyinfo
from memhotplug.snapshot.iomem import parse_iomem
from memhotplug.snapshot.source import Source
from memhotplug.snapshot.zoneinfo import ZoneInfo, parse_zoneinfo

if TYPE_CHECKING:
    from memhotplug.conform.guest import Baseline
    from memhotplug.conform.replay import Outcome

__all__ = ["Observation", "compare_step", "predict_step"]

_KINDS = {kind.label: kind for kind in ZoneKind}
_MEMORY = "sys/devices/system/memory/"
_SLACK = 64  # pages of guest workload in a kernel zone: less than one order-9 piece of memmap


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was compared.

    Attributes:
        step: index of the step.
        what: ``zone 0 Movable managed``, ``block 32 state`` …
        expected: what the real kernel showed.
        got: what the model shows.
        matches: whether they agree.
    """

    step: int
    what: str
    expected: Any
    got: Any
    matches: bool


def compare_step(machine: Machine, baseline: Baseline, step: RecordedStep, outcome: Outcome) -> Iterator[Observation]:
    """Yield every observation of one recorded step, in a fixed order."""
    if step.result is not None:
        yield _result(step, outcome)
    if step.files is None:
        return
    files = step.files
    source = Source(file=f"step {step.index}")
    zones = _recorded_zones(files, source)
    yield from _zones(machine, step.index, zones)
    yield from _blocks(machine, step.index, files)
    if "proc/iomem" in files:
        yield from _iomem(machine, step.index, files["proc/iomem"], source)
    if "proc/meminfo" in files:
        total = parse_meminfo(files["proc/meminfo"], source).get("MemTotal", 0)
        change = (total - baseline.mem_total) // 1024
        yield _equal(step.index, "MemTotal change in kB", change, _mem_total_change(machine, baseline))
    if step.kpageflags is not None:
        yield from _page_runs(machine, baseline, step)
    yield from _free_pages(machine, baseline, step, zones, source)


def _equal(step: int, what: str, expected: Any, got: Any) -> Observation:
    return Observation(step, what, expected, got, expected == got)


def _class_of(result: str) -> str:
    if result == "ok":
        return "ok"
    return "failed" if result.startswith("failed") else result.partition(":")[0]


def _result(step: RecordedStep, outcome: Outcome) -> Observation:
    """Compare ok / errno / failed, by block where it was recorded so, and the blocks that are present."""
    expected: dict[str, Any] = {"result": _class_of(step.result or "")}
    got: dict[str, Any] = {"result": outcome.result}
    if step.results:
        expected["results"] = {block: _class_of(result) for block, result in step.results.items()}
        got["results"] = {block: outcome.results.get(block) for block in step.results}
    if step.op.blocks and step.files is not None:
        present = {int(block) for block in _block_ids(step.files)}
        expected["blocks"] = [block for block in step.op.blocks if block in present]
        got["blocks"] = list(outcome.blocks)
    return _equal(step.index, "result", expected, got)


def _block_ids(files: Any) -> list[int]:
    found = {path[len(_MEMORY) + 6 :].partition("/")[0] for path in files if path.startswith(_MEMORY + "memory")}
    return sorted(int(block) for block in found)


def _recorded_zones(files: Any, source: Source) -> dict[tuple[int, str], ZoneInfo]:
    if "proc/zoneinfo" not in files:
        return {}
    return {(zone.node, zone.name): zone for zone in parse_zoneinfo(files["proc/zoneinfo"], source)}


def _zone(machine: Machine, node: int, name: str) -> Zone | None:
    found = machine.kernel.state.nodes.get(node)
    return found.zones[_KINDS[name]] if found is not None and name in _KINDS else None


def _zones(machine: Machine, step: int, zones: dict[tuple[int, str], ZoneInfo]) -> Iterator[Observation]:
    populated = {key for key, zone in zones.items() if zone.present and key[1] in _KINDS}
    ours = {(zone.nid, zone.kind.label) for zone in machine.kernel.state.zones() if zone.present}
    for node, name in sorted(populated | ours):
        recorded, zone = zones.get((node, name)), _zone(machine, node, name)
        for counter in ("start_pfn", "spanned", "present", "managed"):
            expected = getattr(recorded, counter) if recorded is not None and recorded.present else 0
            got = getattr(zone, counter) if zone is not None and zone.present else 0
            yield _equal(step, f"node {node} zone {name} {counter}", expected or 0, got)


def _blocks(machine: Machine, step: int, files: Any) -> Iterator[Observation]:
    state = machine.kernel.state
    ids = _block_ids(files)
    for block in sorted({*ids, *state.blocks.id.tolist()}):
        for name in ("state", "valid_zones", "removable", "node"):
            expected = files.get(f"{_MEMORY}memory{block}/{name}")
            there = state.blocks.row(block) is not None
            if expected is None and there and block in ids:
                continue  # unreadable attributes were left out
            got = read_attribute(machine.kernel, f"memory/memory{block}/{name}") if there else None
            yield _equal(
                step, f"block {block} {name}", expected.strip() if expected is not None else None,
                got.strip() if got is not None else None,
            )  # fmt: skip


def _iomem(machine: Machine, step: int, text: str, source: Source) -> Iterator[Observation]:
    expected = [(e.start, e.end, e.name) for e in parse_iomem(text, source) if e.name.startswith("System RAM")]
    got = list(_ram_lines(machine.kernel.state.resources))
    for line in sorted({*expected, *got}):
        shown = f"{line[0]:08x}-{line[1]:08x} : {line[2]}"
        yield Observation(
            step, "iomem", shown if line in expected else None, shown if line in got else None,
            line in expected and line in got,
        )  # fmt: skip


def _ram_lines(resources: Any) -> Iterator[tuple[int, int, str]]:
    for entry in resources:
        assert isinstance(entry, Resource)
        if entry.name.startswith("System RAM"):
            yield entry.start, entry.end, entry.name
        yield from _ram_lines(entry.children)


def _mem_total_change(machine: Machine, baseline: Baseline) -> int:
    pages = machine.kernel.state.total_managed() - baseline.managed
    return pages * machine.kernel.geometry.page_size // 1024


def _page_runs(machine: Machine, baseline: Baseline, step: RecordedStep) -> Iterator[Observation]:
    assert step.kpageflags is not None and step.files is not None
    covered = ExtentSet(*baseline.added.clip_many(*_pairs(step.kpageflags.covered)))
    expected = _recorded_classes(machine, baseline, step, covered)
    got = _model_classes(machine, baseline, covered)
    for low, high, kind in sorted({*expected, *got}):
        run = f"pfn {low:#x}-{high:#x}"
        yield Observation(
            step.index, run, kind if (low, high, kind) in expected else None,
            kind if (low, high, kind) in got else None, (low, high, kind) in expected and (low, high, kind) in got,
        )  # fmt: skip


def _pairs(runs: Any) -> tuple[Any, Any]:
    pages = ExtentSet.of(*runs)
    return pages.starts, pages.ends


_Runs = list[tuple[int, int, str]]


def _split_zone(baseline: Baseline, node: int, zone: str | None) -> bool:
    """Return whether ``online`` is split into buddy and not buddy there."""
    return zone == ZoneKind.MOVABLE.label and (node, ZoneKind.MOVABLE) not in baseline.populated


def _recorded_classes(machine: Machine, baseline: Baseline, step: RecordedStep, covered: ExtentSet) -> _Runs:
    """Return the page classes that the recorded flags show, as runs."""
    files: Any = step.files
    flags: Any = step.kpageflags
    per_block = machine.kernel.geometry.pages_per_block
    runs: _Runs = []
    for low, high in covered:
        for block in range(low // per_block, -(-high // per_block)):
            first, end = max(low, block * per_block), min(high, (block + 1) * per_block)
            path = f"{_MEMORY}memory{block}/"
            if files.get(path + "state", "absent").strip() == "offline" or path + "state" not in files:
                runs.append((first, end, "offline"))
                continue
            node = int(files.get(path + "node", "0"))
            split = _split_zone(baseline, node, files.get(path + "valid_zones", "").strip())
            runs += _flag_runs(flags, first, end, split=split)
    return _joined(runs)


def _flag_runs(flags: KPageFlags, low: int, high: int, *, split: bool) -> _Runs:
    runs: _Runs = []
    for a, b, value in flags.ranges:
        first, end = max(a, low), min(b, high)
        if first >= end:
            continue
        if value & PageFlag.NOPAGE:
            kind = "offline"
        elif value & PageFlag.OWNER_PRIVATE:
            kind = "self-hosted"
        elif split:
            kind = "online, buddy" if value & PageFlag.BUDDY else "online, not buddy"
        else:
            kind = "online"
        runs.append((first, end, kind))
    return runs


def _model_classes(machine: Machine, baseline: Baseline, covered: ExtentSet) -> _Runs:
    """Return the page classes of the model, as runs."""
    state = machine.kernel.state
    per_block = machine.kernel.geometry.pages_per_block
    runs: _Runs = []
    for low, high in covered:
        for block in range(low // per_block, -(-high // per_block)):
            first, end = max(low, block * per_block), min(high, (block + 1) * per_block)
            row = state.blocks.row(block)
            if row is None or state.blocks.state[row] != BlockState.ONLINE:
                runs.append((first, end, "offline"))
                continue
            hosted = min(max(block * per_block + int(state.blocks.altmap_pages[row]), first), end)
            if hosted > first:
                runs.append((first, hosted, "self-hosted"))
            kind = int(state.blocks.zone[row])
            node = int(state.blocks.nid[row])
            if kind < 0 or not _split_zone(baseline, node, ZoneKind(kind).label):
                runs.append((hosted, end, "online"))
                continue
            free = state.zone((node, ZoneKind(kind))).free
            runs += [(a, b, "online, buddy") for a, b in zip(*_tolist(free.clip(hosted, end)), strict=True)]
            runs += [(a, b, "online, not buddy") for a, b in zip(*_tolist(free.gaps(hosted, end)), strict=True)]
    return _joined(sorted(runs))


def _tolist(runs: tuple[Any, Any]) -> tuple[list[int], list[int]]:
    return runs[0].tolist(), runs[1].tolist()


def _joined(runs: _Runs) -> _Runs:
    joined: _Runs = []
    for low, high, kind in runs:
        if joined and joined[-1][1] == low and joined[-1][2] == kind:
            joined[-1] = (joined[-1][0], high, kind)
        elif high > low:
            joined.append((low, high, kind))
    return joined


def _free_pages(
    machine: Machine, baseline: Baseline, step: RecordedStep, zones: dict[tuple[int, str], ZoneInfo], source: Source
) -> Iterator[Observation]:
    """Apply the free-page rule to every zone that exists only through hotplug."""
    files: Any = step.files
    if not zones or "proc/buddyinfo" not in files:
        return
    chunks = {(free.node, free.zone): list(free.by_order) for free in parse_buddyinfo(files["proc/buddyinfo"], source)}
    for (node, name), recorded in sorted(zones.items()):
        if not recorded.present or name not in _KINDS or (node, _KINDS[name]) in baseline.populated:
            continue
        zone = _zone(machine, node, name)
        free = recorded.free + sum(pageset.count for pageset in recorded.pagesets)
        what = f"node {node} zone {name} free"
        if zone is None:
            yield Observation(step.index, what, free, None, False)
        elif zone.kind is ZoneKind.MOVABLE:
            expected = {"free": free, "by_order": chunks.get((node, name))}
            got = {"free": zone.nr_free, "by_order": free_by_order(zone.free, machine.kernel.geometry.max_order)}
            yield _equal(step.index, what, expected, got)
        else:
            memmap = _memmap_in(machine, zone)
            used = zone.managed - memmap - free
            rule = f"managed {zone.managed} - memmap {memmap} - free, from 0 to {_SLACK}"
            yield Observation(step.index, what, f"free {free}", f"{rule}: {used}", 0 <= used <= _SLACK)


def _memmap_in(machine: Machine, zone: Zone) -> int:
    pages = machine.kernel.state.vmemmap.backing_from(MemmapSource.ALLOCATOR)
    return int(np.sum(zone.linked.covered_many(pages.starts, pages.ends)))


def predict_step(machine: Machine, baseline: Baseline, step: RecordedStep, outcome: Outcome) -> dict[str, object]:
    """Return what the model says about a step of which only the operation is known."""
    state = machine.kernel.state
    covered = baseline.added
    return {
        "step": step.index,
        "result": outcome.result,
        "results": {str(block): result for block, result in outcome.results.items()},
        "blocks_present": list(outcome.blocks),
        "zones": [
            {
                "node": zone.nid, "zone": zone.kind.label, "start_pfn": zone.start_pfn, "spanned": zone.spanned,
                "present": zone.present, "managed": zone.managed,
            }
            for zone in state.zones()
            if zone.present
        ],
        "blocks": [
            {"id": block, **{name: _attribute(machine, block, name) for name in ("state", "valid_zones", "removable", "node")}}
            for block in state.blocks.id.tolist()
        ],
        "memtotal_kb": baseline.mem_total // 1024 + _mem_total_change(machine, baseline),
        "page_classes": [[low, high, kind] for low, high, kind in _model_classes(machine, baseline, covered)],
    }  # fmt: skip


def _attribute(machine: Machine, block: int, name: str) -> str:
    return read_attribute(machine.kernel, f"memory/memory{block}/{name}").strip()
