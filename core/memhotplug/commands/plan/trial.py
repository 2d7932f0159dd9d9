"""Trials: a hot-add played on a copy of the machine, and what is measured on the way."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from memhotplug.commands.plan.chunks import add_device
from memhotplug.commands.plan.question import OnlineWay, Question
from memhotplug.contracts import AddRequest
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.online import online_runs
from memhotplug.engine.slab import slab_pages
from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import Array, ExtentSet, merge
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone, ZoneKind

__all__ = [
    "BLOCK_DEVICES",
    "BLOCK_OBJECTS",
    "NoPageLeftError",
    "Trial",
    "attempt",
    "free_pages",
    "high_marks",
    "largest_leaf",
    "movable_ratio",
]

BLOCK_OBJECTS: Final = 6 << 10
"""Bytes that the device, the sysfs attributes and the section usage of one new memory block take: 5.6 to 6.2 KiB
by the recordings of Linux 6.12 (137 pages for 96 blocks, 11524 kB for 2048)."""

BLOCK_DEVICES: Final = Owner(Use.BLOCK_DEVICES)
_ONLINE_TYPES: Final = {
    "auto": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}


class NoPageLeftError(MemoryHotplugError):
    """An allocation that is too small to fail found nothing: the OOM killer runs instead."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one attempt; counts in pages unless they say bytes.

    Attributes:
        before, machine: the machine before and afterwards.
        problem: the first error that add_memory() or onlining returned, None if all went well.
        driver_result: what the driver made of it.
        fell_back: whether some memmap was mapped page by page because no larger chunk was free.
        lowest: free pages at the lowest point; kernel_lowest: those of them that are in kernel zones.
    """

    before: Machine
    machine: Machine
    problem: MemoryHotplugError | None
    driver_result: str | None
    fell_back: bool
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
        """Whether besides no allocation failed on the way."""
        return self.present and not self.fell_back

    @property
    def safe(self) -> bool:
        """Whether besides the kernel zones kept what their high watermarks ask for.

        Below them kswapd finds no rest, and what a fresh guest has in memory cannot be reclaimed: whoever looks at
        the new blocks (udev, lsmem) allocates, and guests that were filled further died ("System is deadlocked on
        memory"). Guests of 256 MiB to 4 GiB took what this rule allows, and no GiB more.
        """
        return self.clean and self.kernel_lowest >= high_marks(self.before)


def free_pages(machine: Machine, *, movable: bool = True) -> int:
    """Return the free pages of all zones, per-cpu lists included, or of kernel zones only."""
    return sum(zone.nr_free for zone in _zones(machine, movable=movable))


def _zones(machine: Machine, *, movable: bool) -> list[Zone]:
    """Return all zones, or the kernel zones only."""
    return [zone for zone in machine.kernel.state.zones() if movable or zone.kind is not ZoneKind.MOVABLE]


@dataclass(frozen=True, slots=True)
class _Books:
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
        trial.kernel.set_policy(question.driver, question.policy)
    lowest, kernel_lowest = [free_pages(machine)], [free_pages(machine, movable=False)]
    _online_along(trial.kernel, question)
    problem: MemoryHotplugError | None = None
    verdict: str | None = None
    for number, size in enumerate(question.sizes if sizes is None else sizes):
        books = [_Books.of(trial, movable=movable) for movable in (True, False)]
        try:
            verdict = _add(trial.kernel, question, number, size)
        except MemoryHotplugError as refused:
            problem, verdict = refused, refused.driver_result
        steps = len(_ids_of(trial.kernel, f"plan{number}")) if question.traits.block_by_block else 1
        for found, old in zip((lowest, kernel_lowest), books, strict=True):
            found.append(old.lowest(trial, steps))
        problem = problem or _online(trial.kernel, f"plan{number}", question.online)
        if problem is not None:
            break
    return Trial(
        before=machine, machine=trial, problem=problem, driver_result=verdict,
        fell_back=_fell_back(machine.kernel, trial.kernel), lowest=min(lowest), kernel_lowest=min(kernel_lowest),
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
    return bool((-(-fresh.starts // window) * window < fresh.ends).any())


def _online_along(kernel: Kernel, question: Question) -> None:
    """Have chunks onlined as they appear where the driver waits for that, and nobody does it already."""
    waits = question.traits.waits and question.online != "none"
    if waits and kernel.state.auto_online is OnlineType.OFFLINE:
        kernel.state.auto_online = _ONLINE_TYPES[question.online]


def _add(kernel: Kernel, question: Question, number: int, size: int) -> str | None:
    """Add one device, and the kernel's own objects for its blocks."""
    request = AddRequest(
        driver=question.driver,
        name=f"plan{number}",
        size=size,
        address=question.address if number == 0 else None,
        nid=question.node,
    )
    automatic = kernel.state.auto_online
    if not question.traits.block_by_block:
        kernel.state.auto_online = OnlineType.OFFLINE  # the kernel makes the objects first, then brings blocks online
    try:
        verdict = add_device(kernel, request)
    finally:
        kernel.state.auto_online = automatic
    ids = _ids_of(kernel, request.name)
    _block_devices(kernel, len(ids))
    if not question.traits.block_by_block and automatic is not OnlineType.OFFLINE:
        _online_by_itself(kernel, ids, automatic)
    return verdict


def _online_by_itself(kernel: Kernel, ids: Array, online_type: OnlineType) -> None:
    """Bring new blocks online as the kernel does at the end of an add: the first that fails ends it, without an error.

    Models: mm/memory_hotplug.c:add_memory_resource() (v5.2 to v6.12).
    """
    try:
        online_runs(kernel, ids, online_type)
    except MemoryHotplugError as problem:
        kernel.warn(f"auto-onlining stopped: {problem}")


def _ids_of(kernel: Kernel, name: str) -> Array:
    """Return the ids of a device's blocks, ascending; int64."""
    blocks, index = kernel.state.blocks, kernel.state.device_index(name)
    return blocks.id[:0] if index is None else blocks.id[blocks.device == index]


def _block_devices(kernel: Kernel, count: int) -> None:
    """Take the pages that the objects of ``count`` new memory blocks take.

    Raises:
        NoPageLeftError: ENOMEM.
    """
    pages = -(-count * BLOCK_OBJECTS // kernel.geometry.page_size)
    runs = kernel.alloc(0, pages, min(kernel.state.nodes))
    taken = ExtentSet(*merge(*runs))
    missing = pages - taken.total
    old = kernel.state.allocations.get(BLOCK_DEVICES)
    if old is not None:
        taken.add_many(old.pages.starts, old.pages.ends)
    kernel.state.allocations[BLOCK_DEVICES] = Allocation(owner=BLOCK_DEVICES, pages=taken)
    if missing:
        raise NoPageLeftError(
            errno.ENOMEM, f"{missing} of the {pages} pages for the sysfs objects of {count} memory blocks are missing"
        )


def _online(kernel: Kernel, name: str, way: OnlineWay) -> MemoryHotplugError | None:
    """Online what is still offline of a device, or leave it to the kernel's own policy; return what refused."""
    if way == "none":
        return None
    blocks, index = kernel.state.blocks, kernel.state.device_index(name)
    if index is None:
        return None
    offline = blocks.id[(blocks.device == index) & (blocks.state == BlockState.OFFLINE)]
    try:
        online_runs(kernel, offline, _ONLINE_TYPES[way])
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
