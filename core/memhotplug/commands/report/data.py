"""A run as plain records: for each step the runs of alike memory blocks, the zones, and where the memmap lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from memhotplug.commands.run.runner import boot_scenario, run_scenario
from memhotplug.commands.run.text import step_lines
from memhotplug.engine.views.document import memmap_totals
from memhotplug.errors import InputError
from memhotplug.formats.scenario import ExpectStep, Scenario, Step
from memhotplug.machine import Machine
from memhotplug.model.blocks import NO_ZONE, BlockState
from memhotplug.model.zones import ZoneKind
from memhotplug.output.watchdog import DEFAULT_TIMEOUT
from memhotplug.units import div_round_up

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["MAX_FRAMES", "Film", "Frame", "MapRun", "ZoneValue", "film_of", "look"]

MAX_FRAMES: Final = 400
"""Moments that a report shows; of more steps those that were refused and an even choice of the others."""
_RUNS: Final = 24_000
"""Runs in the whole report, at most: what keeps the file small whatever the machine."""
_FEWEST: Final = 60


@dataclass(frozen=True, slots=True)
class MapRun:
    """Neighbouring memory blocks that are alike.

    Attributes:
        node: their node.
        start, end: half-open physical addresses in bytes.
        kind: ``kernel``, ``movable``, ``offline``, ``several`` zones, or ``unlike`` blocks folded into one.
        device: the memory that they came with, None for boot memory.
        memmap: bytes in them that hold memmap.
        blocks: first and last block id.
    """

    node: int
    start: int
    end: int
    kind: str
    device: str | None
    memmap: int
    blocks: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ZoneValue:
    """A zone at one moment, in bytes."""

    node: int
    zone: str
    present: int
    managed: int
    free: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The machine at one moment.

    Attributes:
        step: the step's index, None for after booting.
        title: what happened, as ``mhp run`` says it.
        refused: the kernel's reason if the step was refused, expected or not.
        ok: whether the step did what the scenario says.
        self_hosted, allocated: bytes of memmap of hot-added memory, in itself and elsewhere.
    """

    step: int | None
    title: str
    refused: str | None
    ok: bool
    runs: tuple[MapRun, ...]
    zones: tuple[ZoneValue, ...]
    self_hosted: int
    allocated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """A run from its boot to its end.

    Attributes:
        facts: what the machine is, as name and value.
        steps: how many steps ran; ``frames`` may be fewer.
        failure: why the run stopped, None if it did not.
        first: the index in ``frames`` of the one that is shown first.
    """

    facts: tuple[tuple[str, str], ...]
    frames: tuple[Frame, ...]
    steps: int
    failure: str | None
    first: int


def film_of(scenario: Scenario, *, step: int | None = None, plugin_timeout: float = DEFAULT_TIMEOUT) -> Film:
    """Run a scenario and record it.

    Args:
        step: the step that is shown first; the last one without it.

    Raises:
        InputError: there is no such step, or the scenario cannot be used.
        PluginError: a plugin is missing, broken, or takes too long.
    """
    count = len(scenario.steps)
    if step is not None and not 0 <= step < count:
        expected = f"a step from 0 to {count - 1}" if count else "no step: the scenario has none"
        raise InputError(expected, got=step, path="--step")
    machine = boot_scenario(scenario, plugin_timeout=plugin_timeout)
    kept = _chosen(scenario, step)
    limit = max(_RUNS // (len(kept) + 1), _FEWEST)
    frames = [look(machine, None, None, limit)]

    def record(done: Step, what: StepRecord) -> None:
        refused = what["errno"] is not None and not isinstance(done.args, ExpectStep)
        if done.index in kept or (not what["ok"] and len(frames) <= MAX_FRAMES + 1) or (refused and count <= 4000):
            frames.append(look(machine, done, what, limit))

    result = run_scenario(scenario, machine=machine, plugin_timeout=plugin_timeout, on_step=record)
    shown = [frame.step for frame in frames]
    return Film(
        facts=_facts(machine, scenario),
        frames=tuple(frames),
        steps=len(result.steps),
        failure=result.failure,
        first=len(frames) - 1 if step is None or step not in shown else shown.index(step),
    )


def _chosen(scenario: Scenario, step: int | None) -> set[int]:
    """Return the steps that get a frame: none that only expects something, and not too many."""
    indices = [entry.index for entry in scenario.steps if not isinstance(entry.args, ExpectStep)]
    if len(indices) > MAX_FRAMES:
        indices = [indices[place] for place in np.linspace(0, len(indices) - 1, MAX_FRAMES).astype(int).tolist()]
    return {*indices} if step is None else {*indices, step}


def _facts(machine: Machine, scenario: Scenario) -> tuple[tuple[str, str], ...]:
    from memhotplug import __version__
    from memhotplug.units import format_size

    geometry = machine.kernel.geometry
    return (
        ("kernel", machine.kernel.profile.name),
        ("architecture", machine.kernel.arch),
        ("page size", format_size(geometry.page_size)),
        ("struct page", f"{geometry.struct_page_size} bytes"),
        ("memory block", format_size(geometry.memory_block_size)),
        ("scenario", scenario.file or "text"),
        ("mhp", __version__),
    )


def look(machine: Machine, step: Step | None, record: StepRecord | None, limit: int = _FEWEST) -> Frame:
    """Return a machine as it is now, in at most about ``limit`` runs."""
    size = machine.kernel.geometry.page_size
    totals = memmap_totals(machine.kernel)
    refused = None
    if record is not None and record["errno"] is not None and record["op"] != "expect":
        refused = ": ".join(part for part in (record["errno"], record["message"]) if part)
    return Frame(
        step=None if step is None else step.index,
        title="boot" if step is None or record is None else " ".join(step_lines(step, record)[0].split()),
        refused=refused,
        ok=record is None or record["ok"],
        runs=tuple(_runs(machine, limit)),
        zones=tuple(
            ZoneValue(zone.nid, zone.kind.label, zone.present * size, zone.managed * size, zone.nr_free * size)
            for zone in machine.kernel.state.zones()
            if zone.spanned
        ),
        self_hosted=int(str(totals["self_hosted_pages"])) * size,
        allocated=int(str(totals["allocated_pages"])) * size,
    )


_KINDS: Final = ("kernel", "movable", "offline", "several")


def _runs(machine: Machine, limit: int) -> Iterable[MapRun]:
    state, geometry = machine.kernel.state, machine.kernel.geometry
    blocks = state.blocks
    if not len(blocks):
        return []
    kinds = np.zeros(len(blocks), dtype=np.int8)
    kinds[blocks.zone == ZoneKind.MOVABLE] = 1
    kinds[blocks.zone == NO_ZONE] = 3
    kinds[blocks.state != BlockState.ONLINE] = 2
    memmap = state.vmemmap_pages_by_block()
    nodes = np.diff(blocks.nid) != 0
    apart = (np.diff(blocks.id) != 1) | nodes | (np.diff(blocks.device) != 0)
    finer = apart | (np.diff(kinds) != 0) | (np.diff(memmap) != 0)
    bounds = _bounds(nodes, apart, finer, len(blocks), limit)
    names = [device.name for device in state.devices]
    starts, ends = bounds[:-1], bounds[1:]
    held = np.add.reduceat(memmap, starts) * geometry.page_size
    several = np.maximum.reduceat(blocks.device, starts) != np.minimum.reduceat(blocks.device, starts)
    mixed = several | (np.maximum.reduceat(kinds, starts) != np.minimum.reduceat(kinds, starts))
    found = []
    for first, end, some, unlike in zip(starts.tolist(), ends.tolist(), held.tolist(), mixed.tolist(), strict=True):
        ids = int(blocks.id[first]), int(blocks.id[end - 1])
        device = int(blocks.device[first])
        found.append(
            MapRun(
                node=int(blocks.nid[first]),
                start=ids[0] * geometry.memory_block_size,
                end=(ids[1] + 1) * geometry.memory_block_size,
                kind="unlike" if unlike else _KINDS[int(kinds[first])],
                device=_name_of(device, first, end, blocks.device, names),
                memmap=some,
                blocks=ids,
            )
        )
    return found


def _name_of(device: int, first: int, end: int, devices: npt.NDArray[np.int32], names: list[str]) -> str | None:
    if (devices[first:end] != device).any():
        return "several devices"
    return None if device < 0 else names[device]


def _bounds(
    nodes: npt.NDArray[np.bool_], apart: npt.NDArray[np.bool_], finer: npt.NDArray[np.bool_], count: int, limit: int
) -> npt.NDArray[np.int64]:
    """Return the rows where runs begin, and the end; too many unlike neighbours are folded by their number."""
    cuts = np.flatnonzero(finer) + 1
    if len(cuts) > limit:
        stride = div_round_up(count, limit)
        # Where even the pieces are too many, only nodes are kept apart.
        kept = apart if np.count_nonzero(apart) <= limit else nodes
        cuts = np.flatnonzero((np.arange(1, count) % stride == 0) | kept) + 1
    return np.concatenate([np.zeros(1, dtype=np.int64), cuts, np.full(1, count, dtype=np.int64)])
