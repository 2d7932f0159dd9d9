"""Trials: a hot-add played on a copy of the machine, and what is measured on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from memhotplug.commands.plan.chunks import add_device
from memhotplug.commands.plan.question import OnlineWay, Question
from memhotplug.contracts import AddRequest
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.online import online_runs
from memhotplug.engine.mhp_flags import set_policy
from memhotplug.engine.slab import slab_pages
from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import Array, ExtentSet, merge
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone, ZoneKind
from memhotplug.units import round_up

__all__ = [
    "ONLINE_TYPES",
    "Played",
    "Trial",
    "attempt",
    "free_pages",
    "high_marks",
    "largest_leaf",
    "movable_ratio",
    "onlined_along",
]

ONLINE_TYPES: Final[Mapping[str, OnlineType]] = {
    "auto": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}


class Played(NamedTuple):
    """One add of an attempt, as a scenario would tell it.

    Attributes:
        name: the device's name. size: bytes.
        refused: whether the add itself was refused.
        offline: ids of its blocks that were still offline and were then asked to go online; int64.
    """

    name: str
    size: int
    refused: bool
    offline: Array


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one attempt; counts in pages unless they say bytes.

    Attributes:
        before, machine: the machine before and afterwards.
        problem: the first error that add_memory() or onlining returned, None if all went well.
        driver_result: what the driver made of it.
        fell_back: whether some memmap was mapped page by page because no larger chunk was free.
        played: the adds, in order, up to the one that failed.
        lowest: free pages at the lowest point; kernel_lowest: those of them that are in kernel zones.
    """

    before: Machine
    machine: Machine
    problem: MemoryHotplugError | None
    driver_result: str | None
    fell_back: bool
    played: tuple[Played, ...]
    lowest: int
    kernel_lowest: int

    @cached_property
    def blocks(self) -> Array:
        """Ids of the new blocks, ascending; int64."""
        ids, known = self.machine.kernel.state.blocks.id, self.before.kernel.state.blocks.id
        return ids[np.isin(ids, known, invert=True)].astype(np.int64, copy=False)

    @property
    def added_bytes(self) -> int:
        """Bytes in new blocks."""
        return len(self.blocks) * self.machine.kernel.geometry.memory_block_size

    @property
    def online_bytes(self) -> int:
        """Bytes in new blocks that are online."""
        return int(self._online.sum()) * self.machine.kernel.geometry.memory_block_size

    @cached_property
    def usable_bytes(self) -> int:
        """Bytes in new blocks that are online, less the pages of memmap and those that a driver withholds."""
        state, geometry = self.machine.kernel.state, self.machine.kernel.geometry
        lost = np.maximum(state.vmemmap_pages_by_block() + state.withheld_by_block(), state.blocks.altmap_pages)
        return int((geometry.pages_per_block - lost[self._online]).sum()) * geometry.page_size

    @cached_property
    def _online(self) -> npt.NDArray[np.bool_]:
        """Which rows of the machine's blocks are new and online."""
        blocks = self.machine.kernel.state.blocks
        online: npt.NDArray[np.bool_] = np.isin(blocks.id, self.blocks) & (blocks.state == BlockState.ONLINE)
        return online

    @property
    def present(self) -> bool:
        """Whether every block appeared and went where it was asked to go."""
        return self.problem is None

    @property
    def clean(self) -> bool:
        """Whether every block is present and no allocation failed on the way."""
        return self.present and not self.fell_back

    @property
    def safe(self) -> bool:
        """Whether the attempt is clean and the kernel zones kept what their high watermarks ask for.

        Below them kswapd finds no rest, and what a fresh guest has in memory cannot be reclaimed: whoever looks at
        the new blocks (udev, lsmem) allocates, and guests that were filled further died ("System is deadlocked on
        memory"). Guests of 256 MiB to 4 GiB took what this rule allows, and no GiB more.
        """
        return self.clean and self.kernel_lowest >= high_marks(self.before)


def free_pages(machine: Machine, *, movable: bool = True) -> int:
    """Return the free pages of all zones, per-cpu lists included, or those that kernel memory may come from.

    CMA, the high-atomic reserve and isolated pageblocks are nothing for it.
    """
    if movable:
        return sum(zone.nr_free for zone in machine.kernel.state.zones())
    return sum(max(zone.nr_free - zone.unusable(movable=False), 0) for zone in _zones(machine, movable=False))


def _zones(machine: Machine, *, movable: bool) -> list[Zone]:
    """Return all zones, or the kernel zones only."""
    return [zone for zone in machine.kernel.state.zones() if movable or zone.kind is not ZoneKind.MOVABLE]


class _Books(NamedTuple):
    """Pages that are free and pages that are managed, of all zones or of kernel zones only.

    What the kernel takes for itself from memory that has just come was never there to be short of.
    """

    movable: bool
    free: int
    managed: int

    @classmethod
    def of(cls, machine: Machine, *, movable: bool) -> _Books:
        managed = sum(zone.managed for zone in _zones(machine, movable=movable))
        return cls(movable, free_pages(machine, movable=movable), managed - slab_pages(machine.kernel))

    def lowest(self, machine: Machine, steps: int) -> int:
        """Return the free pages at the lowest point on the way to what the machine is now.

        Each of so many equal steps first takes its share of the cost, then brings its share of what comes online:
        the lowest point is in the first step or in the last.
        """
        now, steps = _Books.of(machine, movable=self.movable), max(steps, 1)
        gained = now.managed - self.managed
        cost = self.free + gained - now.free
        return min(self.free - cost // steps, now.free - gained // steps)


def high_marks(machine: Machine) -> int:
    """Return the pages that the high watermarks of all kernel zones ask for."""
    return sum(zone.wmark[2] for zone in _zones(machine, movable=False))


def attempt(machine: Machine, question: Question, sizes: Sequence[int] | None = None) -> Trial:
    """Play a question on a copy of a machine; ``sizes`` overrides the question's."""
    trial = machine.copy()
    if question.policy is not None:
        set_policy(trial.kernel, question.driver, question.policy)
    lowest, kernel_lowest = [free_pages(machine)], [free_pages(machine, movable=False)]
    _online_along(trial.kernel, question)
    problem: MemoryHotplugError | None = None
    verdict: str | None = None
    played: list[Played] = []
    for number, size in enumerate(question.sizes if sizes is None else sizes):
        books = [_Books.of(trial, movable=movable) for movable in (True, False)]
        try:
            verdict = _add(trial.kernel, question, number, size)
        except MemoryHotplugError as refused:
            problem, verdict = refused, refused.driver_result
        steps = len(_ids_of(trial.kernel, f"plan{number}")) if question.traits.block_by_block else 1
        for found, old in zip((lowest, kernel_lowest), books, strict=True):
            found.append(old.lowest(trial, steps))
        offline = _offline_of(trial.kernel, f"plan{number}", question.online)
        played.append(Played(name=f"plan{number}", size=size, refused=problem is not None, offline=offline))
        problem = problem or _online(trial.kernel, offline, question.online)
        if problem is not None:
            break
    return Trial(
        before=machine, machine=trial, problem=problem, driver_result=verdict,
        fell_back=_fell_back(machine.kernel, trial.kernel), played=tuple(played),
        lowest=min(lowest), kernel_lowest=min(kernel_lowest),
    )  # fmt: skip


def largest_leaf(kernel: Kernel) -> int:
    """Return the pages that the largest leaf of the machine's memmap maps: what is used where there is room."""
    return int(kernel.state.vmemmap.runs.leaf.max(initial=1))


def _fell_back(before: Kernel, after: Kernel) -> bool:
    """Return whether smaller leaves than the largest map memmap that one of those could have.

    The vmemmap itself says so: a window of the largest leaf got a smaller one at its first pfn, and its pages
    from the page allocator. A window that had begun before goes on as it began, and so does what an altmap's
    border cuts: neither is a fallback.
    """
    vmemmap, blocks = after.state.vmemmap, after.state.blocks
    largest = largest_leaf(after)
    small = vmemmap.runs[(vmemmap.runs.leaf < largest) & (vmemmap.runs.source == Source.ALLOCATOR)]
    fresh = ExtentSet(*merge(small.start, small.end))
    starts, ends = after.state.block_bounds(slice(None))
    hosting = blocks.altmap_pages > 0
    fresh.remove_many(starts[hosting], ends[hosting])
    fresh.remove_many(before.state.vmemmap.mapped.starts, before.state.vmemmap.mapped.ends)
    window = largest * vmemmap.described_per_page
    return bool((round_up(fresh.starts, window) < fresh.ends).any())


def _online_along(kernel: Kernel, question: Question) -> None:
    """Have chunks onlined as they appear where the driver waits for that, and nobody does it already."""
    along = onlined_along(kernel, question)
    if along is not None:
        kernel.state.auto_online = along


def onlined_along(kernel: Kernel, question: Question) -> OnlineType | None:
    """Return how chunks are onlined as they appear, None where nobody has to see to it or this kernel knows no way."""
    waits = question.traits.waits and question.online != "none"
    if not waits or kernel.state.auto_online is not OnlineType.OFFLINE:
        return None
    asked = ONLINE_TYPES[question.online]
    return asked if asked in kernel.profile.auto_online_types else None


def _add(kernel: Kernel, question: Question, number: int, size: int) -> str | None:
    """Add one device."""
    request = AddRequest(
        driver=question.driver,
        name=f"plan{number}",
        size=size,
        address=question.address if number == 0 else None,
        nid=question.node,
    )
    return add_device(kernel, request)


def _ids_of(kernel: Kernel, name: str) -> Array:
    """Return the ids of a device's blocks, ascending; int64."""
    blocks, index = kernel.state.blocks, kernel.state.device_index(name)
    return blocks.id[:0] if index is None else blocks.id[blocks.device == index]


def _offline_of(kernel: Kernel, name: str, way: OnlineWay) -> Array:
    """Return the ids of a device's blocks that are still offline and are not to stay so."""
    ids = _ids_of(kernel, name)
    if way == "none":
        return ids[:0]
    blocks = kernel.state.blocks
    offline: Array = ids[blocks.state[np.isin(blocks.id, ids)] == BlockState.OFFLINE]
    return offline


def _online(kernel: Kernel, offline: Array, way: OnlineWay) -> MemoryHotplugError | None:
    """Online blocks as asked; return what refused."""
    if not len(offline):
        return None
    try:
        online_runs(kernel, offline, ONLINE_TYPES[way])
    except MemoryHotplugError as refused:
        return refused
    return None


def movable_ratio(machine: Machine) -> tuple[int, int]:
    """Return the present pages of Movable zones and of kernel zones."""
    movable = kernel = 0
    for zone in machine.kernel.state.zones():
        if zone.kind is ZoneKind.MOVABLE:
            movable += zone.present
        else:
            kernel += zone.present
    return movable, kernel
