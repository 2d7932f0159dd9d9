"""Tables that are compared as a whole, and row by row only where they are not the same on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeVar

from memhotplug.commands.conform.classes import Runs
from memhotplug.commands.conform.facts import ATTRIBUTES, KINDS, NOTHING_SHOWN, BlockShown, IomemLine, ZoneName
from memhotplug.commands.conform.observation import Agreed, Observation, Reason, Seen
from memhotplug.engine.base_memory import zone_words
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.resources import ResourceTable
from memhotplug.model.zones import Zone

__all__ = [
    "COUNTERS",
    "blocks_shown",
    "compare_blocks",
    "compare_iomem",
    "compare_runs",
    "compare_zones",
    "ram_lines",
    "show_line",
    "zone_named",
]

COUNTERS = ("start_pfn", "spanned", "present", "managed")
"""What is compared of a zone."""

_STATES = {int(state): state.label for state in BlockState}
_Zones = Mapping[ZoneName, tuple[int, ...]]
_Shown = tuple[str | None, str | None, str | None, str | None]  # as BlockShown, which costs more to make
_Blocks = Mapping[int, _Shown]
_Run = TypeVar("_Run", tuple[int, int, str], IomemLine)


def zone_named(machine: Machine, node: int, name: str) -> Zone | None:
    """Return the model's zone of a node and a name, None if there is none."""
    found = machine.kernel.state.nodes.get(node)
    return found.zones[KINDS[name]] if found is not None and name in KINDS else None


def compare_zones(machine: Machine, step: int, zones: Mapping[ZoneName, ZoneInfo]) -> Iterator[Seen]:
    """Compare what each zone counts that has pages on either side."""
    theirs = {
        key: (zone.start_pfn or 0, zone.spanned, zone.present, zone.managed)
        for key, zone in zones.items()
        if zone.present and key[1] in KINDS
    }
    ours = {
        (zone.nid, zone.kind.label): (zone.start_pfn, zone.spanned, zone.present, zone.managed)
        for zone in machine.kernel.state.zones()
        if zone.present
    }
    seen = partial(_zone_rows, step, theirs, ours)
    yield from [Agreed(Reason.ZONE, len(COUNTERS) * len(ours), seen)] if theirs == ours else seen()


def _zone_rows(step: int, theirs: _Zones, ours: _Zones) -> Iterator[Observation]:
    nothing = (0,) * len(COUNTERS)
    for node, name in sorted({*theirs, *ours}):
        expected, got = theirs.get((node, name), nothing), ours.get((node, name), nothing)
        for counter, shown, has in zip(COUNTERS, expected, got, strict=True):
            yield Observation.equal(step, Reason.ZONE, f"node {node} zone {name} {counter}", shown, has)


def blocks_shown(machine: Machine) -> dict[int, BlockShown]:
    """Return what the compared files of every block read, stripped, by block id."""
    return {block: BlockShown(*shown) for block, shown in _blocks_shown(machine).items()}


def _blocks_shown(machine: Machine) -> dict[int, _Shown]:
    kernel = machine.kernel
    rows = kernel.state.blocks.records()
    removable = kernel.profile.removable(kernel, slice(0, len(rows))).tolist()
    nodes = {nid: str(nid) for nid in kernel.state.nodes}
    return {
        row[0]: (_STATES[row[1]], zones, "1" if may_go else "0", nodes[row[2]])
        for row, may_go, zones in zip(rows, removable, zone_words(kernel), strict=True)
    }


def compare_blocks(machine: Machine, step: int, recorded: _Blocks) -> Iterator[Seen]:
    """Compare the files of every block that is there on either side."""
    ours = _blocks_shown(machine)
    same = recorded == ours
    seen = partial(_block_rows, step, recorded, recorded if same else ours)
    yield from [Agreed(Reason.BLOCK, len(ATTRIBUTES) * len(ours), seen)] if same else seen()


def _block_rows(step: int, recorded: _Blocks, ours: _Blocks) -> Iterator[Observation]:
    for block in sorted({*recorded, *ours}):
        expected, got = recorded.get(block), ours.get(block, NOTHING_SHOWN)
        for at, name in enumerate(ATTRIBUTES):
            value = expected[at] if expected is not None else None
            if expected is None or value is not None:  # unreadable attributes were left out
                yield Observation.equal(step, Reason.BLOCK, f"block {block} {name}", value, got[at])


def compare_iomem(machine: Machine, step: int, expected: list[IomemLine]) -> Iterator[Seen]:
    """Compare the lines of System RAM."""
    got = ram_lines(machine.kernel.state.resources)
    same = expected == got
    seen = partial(_iomem_rows, step, expected, expected if same else got)
    yield from [Agreed(Reason.IOMEM, len(set(expected)), seen)] if same else seen()


def _iomem_rows(step: int, expected: list[IomemLine], got: list[IomemLine]) -> Iterator[Observation]:
    for line, shown, has in _either(expected, got):
        text = show_line(line)
        yield Observation(step, Reason.IOMEM, "iomem", text if shown else None, text if has else None, shown and has)


def compare_runs(step: int, expected: Runs, got: Runs) -> Iterator[Seen]:
    """Compare the runs of pages of one class."""
    same = expected == got
    seen = partial(_page_rows, step, expected, expected if same else got)
    yield from [Agreed(Reason.PAGES, len(expected), seen)] if same else seen()


def _page_rows(step: int, expected: Runs, got: Runs) -> Iterator[Observation]:
    for (low, high, kind), shown, has in _either(expected, got):
        what = f"pfn {low:#x}-{high:#x}"
        yield Observation(step, Reason.PAGES, what, kind if shown else None, kind if has else None, shown and has)


def _either(expected: list[_Run], got: list[_Run]) -> Iterator[tuple[_Run, bool, bool]]:
    """Yield what is in either list, ascending, with whether it is in each."""
    theirs, ours = set(expected), set(got)
    for item in sorted(theirs | ours):
        yield item, item in theirs, item in ours


def ram_lines(resources: ResourceTable) -> list[IomemLine]:
    """Return the System RAM lines that /proc/iomem shows of a machine's resources."""
    return [(entry.start, entry.end, entry.name) for entry in resources.ram]


def show_line(line: IomemLine) -> str:
    """Return a line as /proc/iomem shows it, without its indentation."""
    return f"{line[0]:08x}-{line[1]:08x} : {line[2]}"
