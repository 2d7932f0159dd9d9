"""Searches made of trials: the largest add, the safe sequence, the boot memory at which a verdict flips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.sizes import MOST_STEPS
from memhotplug.commands.plan.trial import Trial, attempt, largest_leaf
from memhotplug.engine.memory_hotplug.block_devices import BLOCK_OBJECTS
from memhotplug.machine import Machine
from memhotplug.model.allocator import allocatable_chunks
from memhotplug.model.blocks import OnlineType
from memhotplug.model.buddy import free_by_order
from memhotplug.model.zones import ZoneKind

__all__ = ["Largest", "largest_add", "reach_of", "safe_steps", "usable_pages"]

_REACH: Final = (1 << 40, 1 << 46)  # bytes: a search goes to four times the question, but at least and at most so far
_REACH_BLOCKS: Final = 1 << 17  # and to no more memory blocks than sysfs could still show


class Largest(NamedTuple):
    """The largest single add that meets a condition.

    Attributes:
        size: bytes. capped: whether the search ended there before a failure.
        blocked: the trial with one memory block more, None if capped.
        idle: whether no trial on the way left anything to do for whoever onlines by hand: the kernel was quicker.
        appeared, refused: of the sizes that were tried, the largest of which every block appeared, and the smallest
            of which not; 0 where there was none.
    """

    size: int
    capped: bool = False
    blocked: Trial | None = None
    idle: bool = False
    appeared: int = 0
    refused: int = 0


def largest_add(
    machine: Machine, question: Question, works: Callable[[Trial], bool], *, known: Trial | None = None,
    least: int = 0, beyond: int = 0, whole: bool = True,
) -> Largest:  # fmt: skip
    """Return the largest single add that works, by trials around a guess.

    Blocks are left offline, since what comes after the add cannot make it fail; except where the
    driver waits for them to be onlined.

    Args:
        works: the condition, which a smaller add meets if a larger one does.
        known: the trial of the question itself.
        least: bytes that are known to work. beyond: bytes that are known not to; 0 if none are.
        whole: whether only memmap in its largest leaves will do; where to begin hangs on it.
    """
    if not question.traits.waits:
        question = question._replace(online="none")
    unit = machine.kernel.geometry.memory_block_size
    most = max(reach_of(machine, question), question.total if known and works(known) else 0) // unit
    trials: dict[int, Trial] = {}

    def fits(count: int) -> bool:
        if count not in trials:
            trials[count] = attempt(machine, question, (count * unit,))
        return works(trials[count])

    low = least // unit
    single = known is not None and len(question.sizes) == 1
    if known is not None and single and works(known):
        low = max(low, question.total // unit)
    guess = _guess(machine, known, whole=whole) // unit
    end = min(most + 1, beyond // unit) if beyond else most + 1
    if question.traits.waits and low < most and fits(most):  # what comes online on the way makes room for the rest
        low, high = most, most + 1
    else:
        low, high = _bracket(fits, low, end, max(low + 1, min(guess, end - 1)), known=beyond > 0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    appeared = [count * unit for count, trial in trials.items() if trial.present]
    refused = [count * unit for count, trial in trials.items() if not trial.present]
    return Largest(
        size=low * unit,
        capped=high > most,
        blocked=trials.get(high),
        idle=all(map(_is_idle, (*trials.values(), *((known,) if known else ())))),
        appeared=max(appeared, default=0),
        refused=min(refused, default=0),
    )


def _is_idle(trial: Trial) -> bool:
    """Return whether a trial would be the same whatever is to become of the blocks: the kernel onlined them all."""
    if trial.before.kernel.state.auto_online is OnlineType.OFFLINE:
        return False
    return trial.played[-1].refused or trial.online_bytes == trial.added_bytes


def reach_of(machine: Machine, question: Question) -> int:
    """Return the bytes to which a search goes."""
    most = min(_REACH[1], _REACH_BLOCKS * machine.kernel.geometry.memory_block_size)
    return min(max(4 * question.total, _REACH[0]), most)


def _bracket(fits: Callable[[int], bool], low: int, high: int, guess: int, *, known: bool = False) -> tuple[int, int]:
    """Return a count that fits and one that does not (or ``high``): the guess, its neighbour, the end, long strides.

    Args:
        known: whether ``high`` is known not to fit, so that it tells nothing of its neighbour.
    """
    if guess < high and fits(guess):
        if guess + 1 == high or not fits(guess + 1):
            return guess, guess + 1
        if known:
            return _stride_up(fits, guess + 1, high)
        if fits(high - 1):
            return high - 1, high
        return _stride_up(fits, guess + 1, high - 1)
    high = min(high, guess)
    stride = 1
    while high - stride > low:
        if fits(high - stride):
            return high - stride, high
        high, stride = high - stride, stride * 4
    return low, high


def _stride_up(fits: Callable[[int], bool], low: int, high: int) -> tuple[int, int]:
    stride = 4
    while low + stride < high:
        if not fits(low + stride):
            return low, low + stride
        low, stride = low + stride, stride * 4
    return low, high


def _guess(machine: Machine, known: Trial | None, *, whole: bool) -> int:
    """Return about how many bytes the machine could take; where to begin, never what is answered.

    Args:
        whole: whether memmap must be mapped by its largest leaves.
    """
    geometry = machine.kernel.geometry
    usable = usable_pages(machine) * geometry.page_size
    memmap = geometry.memmap_pages(geometry.pages_per_block) * geometry.page_size
    hosted = known is not None and known.clean and known.before.kernel.state.vmemmap.mapped.total > 0
    if hosted and known is not None and known.machine.kernel.state.blocks.altmap_pages.any():
        memmap = 0
    if not whole:  # a table for each 512 pages that are mapped one by one
        memmap += memmap >> 9
    elif memmap:
        usable = min(usable, _whole_pages(machine, largest_leaf(machine.kernel)) * geometry.page_size)
    return usable // (memmap + BLOCK_OBJECTS) * geometry.memory_block_size


def _whole_pages(machine: Machine, leaf: int) -> int:
    """Return the pages of free chunks from which kernel memory can have so many pages at once."""
    kinds = [zone for zone in machine.kernel.state.zones() if zone.kind is not ZoneKind.MOVABLE]
    lists = [free_by_order(zone.open_to(movable=False), machine.kernel.geometry.max_order) for zone in kinds]
    return sum(count << order for counts in lists for order, count in enumerate(counts) if 1 << order >= leaf)


def usable_pages(machine: Machine) -> int:
    """Return the pages that single kernel allocations could get above the min watermarks."""
    zones = machine.kernel.state.zones()
    return sum(allocatable_chunks(zone, 0, ZoneKind.NORMAL, 0) for zone in zones if zone.kind is not ZoneKind.MOVABLE)


def safe_steps(machine: Machine, question: Question, known: Trial | None = None) -> tuple[int, ...]:
    """Return the sizes of adds, each onlined before the next, that together reach the question's total.

    Each is the largest that is still needed and leaves the kernel zones above their high watermarks.
    They may fall short: then no further step helps.

    Args:
        known: the trial of the question itself.
    """
    if known is not None and known.safe and len(question.sizes) == 1:
        return question.sizes
    left, current = min(question.total, reach_of(machine, question)), machine
    steps: list[int] = []
    most = 1 if question.online == "none" else MOST_STEPS  # what stays offline makes no room for a next step
    most = most if question.slots is None else min(most, question.slots)
    while left > 0 and len(steps) < most:
        step = question._replace(sizes=(left,), address=question.address if not steps else None)
        trial = attempt(current, step)
        if not trial.safe:
            size = min(largest_add(current, step, lambda tried: tried.safe).size, left)
            trial = attempt(current, step, (size,)) if size else trial
            if not size or not trial.safe:
                break
            steps.append(size)
        else:
            steps.append(left)
        left -= steps[-1]
        current = _renamed(trial.machine, len(steps))
    return tuple(steps)


def _renamed(machine: Machine, number: int) -> Machine:
    """Free the trial's device name for the next step."""
    state = machine.kernel.state
    index = state.device_index("plan0")
    if index is not None:
        state.put_device(index, name=f"step{number}")
    return machine
