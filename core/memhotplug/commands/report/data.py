"""A run as plain records: for each step the runs of alike memory blocks, the zones, and where the memmap lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from memhotplug.commands.run.runner import boot_scenario, run_scenario
from memhotplug.commands.run.text import step_lines
from memhotplug.engine.views.document import memmap_totals
from memhotplug.errors import InputError
from memhotplug.formats.scenario import ExpectStep, Scenario, Step
from memhotplug.machine import Machine
from memhotplug.memory_map.holdings import FlagCache, Holding, holdings
from memhotplug.memory_map.runs import MapRun, map_runs

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["MAX_FRAMES", "Film", "Frame", "ZoneValue", "film_of", "look"]

MAX_FRAMES: Final = 400
"""Moments that a report shows; of more steps those that were refused and an even choice of the others."""
_RUNS: Final = 24_000
"""Runs in the whole report, at most: what keeps the file small whatever the machine."""
_FEWEST: Final = 60
_HOLDINGS: Final = 20_000
"""Rows about who holds the pages of a run in the whole report, at most."""
_MOST: Final = 8
"""Such rows for one run, at most."""


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
        held: for each run who holds its pages, the largest first; empty where there are too many runs for that.
        self_hosted, allocated: bytes of memmap of hot-added memory, in itself and elsewhere.
    """

    step: int | None
    title: str
    refused: str | None
    ok: bool
    runs: tuple[MapRun, ...]
    held: tuple[tuple[Holding, ...], ...]
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
        page_size: bytes of a page.
    """

    facts: tuple[tuple[str, str], ...]
    frames: tuple[Frame, ...]
    steps: int
    failure: str | None
    first: int
    page_size: int


def film_of(scenario: Scenario, *, step: int | None = None) -> Film:
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
    machine = boot_scenario(scenario)
    kept = _chosen(scenario, step)
    share = 1 / (len(kept) + 1)
    eye = _Eye(limit=max(int(_RUNS * share), _FEWEST), rows=int(_HOLDINGS * share))
    frames = [eye.look(machine, None, None)]

    def record(done: Step, what: StepRecord) -> None:
        refused = what["errno"] is not None and not isinstance(done.args, ExpectStep)
        if done.index in kept or (not what["ok"] and len(frames) <= MAX_FRAMES + 1) or (refused and count <= 4000):
            frames.append(eye.look(machine, done, what))

    result = run_scenario(scenario, machine=machine, on_step=record)
    shown = [frame.step for frame in frames]
    return Film(
        facts=_facts(machine, scenario),
        frames=tuple(frames),
        steps=len(result.steps),
        failure=result.failure,
        first=len(frames) - 1 if step is None or step not in shown else shown.index(step),
        page_size=machine.kernel.geometry.page_size,
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


@dataclass(kw_only=True, slots=True)
class _Eye:
    """Looks at a machine again and again, and remembers what need not be looked up twice.

    Attributes:
        limit: runs of one moment, about at most.
        rows: rows about who holds their pages, at most.
    """

    limit: int = _FEWEST
    rows: int = _HOLDINGS
    known: FlagCache = field(default_factory=dict)

    def look(self, machine: Machine, step: Step | None, record: StepRecord | None) -> Frame:
        """Return a machine as it is now."""
        size = machine.kernel.geometry.page_size
        totals = memmap_totals(machine.kernel)
        runs = map_runs(machine.kernel, self.limit)
        return Frame(
            step=None if step is None else step.index,
            title="boot" if step is None or record is None else " ".join(step_lines(step, record)[0].split()),
            refused=None if record is None else _refused(record),
            ok=record is None or record["ok"],
            runs=tuple(runs),
            held=self._held(machine, runs),
            zones=tuple(
                ZoneValue(zone.nid, zone.kind.label, zone.present * size, zone.managed * size, zone.nr_free * size)
                for zone in machine.kernel.state.zones()
                if zone.spanned
            ),
            self_hosted=totals["self_hosted_pages"] * size,
            allocated=totals["allocated_pages"] * size,
        )

    def _held(self, machine: Machine, runs: Sequence[MapRun]) -> tuple[tuple[Holding, ...], ...]:
        most = min(self.rows // max(len(runs), 1), _MOST)
        return tuple(holdings(machine.kernel, runs, most, self.known)) if most else ((),) * len(runs)


def _refused(record: StepRecord) -> str | None:
    if record["errno"] is None or record["op"] == "expect":
        return None
    return ": ".join(part for part in (record["errno"], record["message"]) if part)


def look(machine: Machine, step: Step | None, record: StepRecord | None) -> Frame:
    """Return a machine as it is now, by itself."""
    return _Eye().look(machine, step, record)
