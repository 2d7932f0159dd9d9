"""The verdict on a trial: what decided, in a sentence for a ticket, and every risk that was seen."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.search import Largest, usable_pages
from memhotplug.commands.plan.sizes import exact_size, typed_size
from memhotplug.commands.plan.trial import Trial, attempt, free_pages, high_marks, largest_leaf, movable_ratio
from memhotplug.engine.memory_hotplug.block_devices import NoPageLeftError
from memhotplug.machine import Machine
from memhotplug.model.allocator import allocatable_chunks
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import Array
from memhotplug.model.zones import ZoneKind
from memhotplug.units import div_round_up, format_size, round_up

if TYPE_CHECKING:
    from memhotplug.documents.plan import ReasonDocument

__all__ = ["RATIO", "Reason", "judge", "limit_of", "misplaced_blocks", "verdict_of"]

RATIO: Final = 301  # percent of Movable to kernel memory that Linux keeps under auto-movable

_RULES: Final = {errno.EINVAL: "alignment", errno.E2BIG: "address-space", errno.EEXIST: "occupied"}
_DRIVER: Final = (errno.ENODEV, errno.EOPNOTSUPP, errno.ENOENT, errno.ENOSPC, errno.EIO)


class Reason(NamedTuple):
    """What decided.

    Attributes:
        rule: ``fits``, ``fallback``, ``watermark``, ``zone-ratio``, ``memmap``, ``alignment``, ``address-space``,
            ``occupied``, ``inferred``, ``slots``, ``node``, ``driver``, ``onlining``, or ``capped`` where a search
            ended.
        text: the sentence for a ticket.
        node, zone: where it binds, None if it binds nowhere in particular.
        short_bytes: how much is missing, None if that is not the point.
    """

    rule: str
    text: str
    node: int | None = None
    zone: str | None = None
    short_bytes: int | None = None

    def to_dict(self) -> ReasonDocument:
        """Return the JSON object ``reason``."""
        return {
            "rule": self.rule,
            "node": self.node,
            "zone": self.zone,
            "short_bytes": self.short_bytes,
            "text": self.text,
        }


def verdict_of(machine: Machine, question: Question) -> str:
    """Return the verdict alone."""
    return judge(question, attempt(machine, question))[0]


def judge(question: Question, trial: Trial) -> tuple[str, Reason, tuple[Reason, ...]]:
    """Return the verdict, what decided, and all risks, the decisive one first."""
    if question.slots is not None and len(question.sizes) > question.slots:
        there = "there is 1" if question.slots == 1 else f"there are {question.slots}"
        text = f"{len(question.sizes)} devices need as many slots; {there}"
        return "does-not-fit", Reason(rule="slots", text=text), ()
    if trial.problem is not None:
        return "does-not-fit", _refusal(question, trial), ()
    elsewhere = _misplaced(question, trial)
    if elsewhere is not None:
        return "does-not-fit", elsewhere, ()
    risks = _risks(trial)
    if risks:
        return "risky", risks[0], risks
    lowest = _size(trial.before, trial.kernel_lowest)
    return "fits", Reason(rule="fits", text=f"every block appears; kernel zones keep {lowest} at the lowest point"), ()


def limit_of(question: Question, largest: Largest) -> Reason:
    """Return why nothing larger than the largest add works."""
    blocked = largest.blocked
    if blocked is None:
        text = f"no limit was met up to {typed_size(largest.size)}, where the search ends"
        return Reason(rule="capped", text=text)
    size = blocked.before.kernel.geometry.memory_block_size
    asked = Question(sizes=(largest.size + size,), driver=question.driver, node=question.node)
    if blocked.problem is not None:
        return _refusal(asked, blocked)
    return _fallback(blocked) if blocked.fell_back else _low(blocked) or _fallback(blocked)


def _risks(trial: Trial) -> tuple[Reason, ...]:
    found = (_fallback(trial) if trial.fell_back else None, _low(trial), _unbalanced(trial), _guessed(trial))
    return tuple(risk for risk in found if risk is not None)


def misplaced_blocks(question: Question, trial: Trial) -> Array:
    """Return the ids of the new blocks that did not go where they were asked to go; int64, ascending."""
    blocks = trial.machine.kernel.state.blocks
    new = np.isin(blocks.id, trial.blocks)
    online, movable = blocks.state == BlockState.ONLINE, blocks.zone == ZoneKind.MOVABLE
    as_asked = {"movable": online & movable, "kernel": online & ~movable, "none": ~online}.get(question.online)
    return blocks.id[:0] if as_asked is None else blocks.id[new & ~as_asked]


def _misplaced(question: Question, trial: Trial) -> Reason | None:
    """Return what is wrong with where the new blocks went, None if they went where they were asked to go."""
    wrong = misplaced_blocks(question, trial)
    if not len(wrong):
        return None
    label = trial.before.kernel.state.auto_online.label
    who = (
        f"{question.driver} onlines them itself" if question.traits.onlines else f"the kernel does so itself ({label})"
    )
    was = "are online" if question.online == "none" else f"are not online as {question.online} memory"
    text = f"{len(wrong)} of {len(trial.blocks)} new blocks {was}: {who}, before anybody else can"
    return Reason(rule="onlining", text=text)


def _fallback(trial: Trial) -> Reason:
    zone, kernel = _roomiest(trial.before), trial.machine.kernel
    leaf = format_size(largest_leaf(kernel) * kernel.geometry.page_size)
    text = (
        f"no chunk of {leaf} is free for part of the memmap, which is mapped page by page instead; "
        f"kernel zones keep {_size(trial.before, trial.kernel_lowest)} at the lowest point"
    )
    return Reason(rule="fallback", node=zone[0] if zone else None, zone=zone[1] if zone else None, text=text)


def _low(trial: Trial) -> Reason | None:
    high = high_marks(trial.before)
    if trial.kernel_lowest >= high:
        return None
    zone = _roomiest(trial.before)
    text = (
        f"kernel zones keep only {_size(trial.before, trial.kernel_lowest)} at the lowest point, less than their high "
        f"watermarks ({_size(trial.before, high)}): reclaim starts, and an OOM kill is near"
    )
    short = (high - trial.kernel_lowest) * trial.before.kernel.geometry.page_size
    return Reason(
        rule="watermark", node=zone[0] if zone else None, zone=zone[1] if zone else None, short_bytes=short, text=text
    )


def _unbalanced(trial: Trial) -> Reason | None:
    movable, kernel = movable_ratio(trial.machine)
    before, _ = movable_ratio(trial.before)
    if movable <= before or movable * 100 <= kernel * RATIO:
        return None
    page = trial.before.kernel.geometry.page_size
    text = (
        f"Movable zones would hold {movable / max(kernel, 1):.1f} times what kernel zones hold; beyond 3 to 1 the "
        "kernel can run out of memory for itself while user memory is free"
    )
    short = (div_round_up(movable * 100, RATIO) - kernel) * page
    return Reason(rule="zone-ratio", zone="Movable", short_bytes=short, text=text)


def _guessed(trial: Trial) -> Reason | None:
    """Say that nobody knows what is free, where it matters."""
    if not trial.before.kernel.free_is_guessed or trial.kernel_lowest >= free_pages(trial.before, movable=False):
        return None
    free = free_pages(trial.before, movable=False)
    text = (
        f"nothing recorded tells how much memory is free; {_size(trial.before, free - trial.kernel_lowest)} of it are "
        f"needed, and after boot there are {_size(trial.before, free)} at most"
    )
    return Reason(rule="inferred", text=text)


def _refusal(question: Question, trial: Trial) -> Reason:
    problem = trial.problem
    assert problem is not None
    if isinstance(problem, NoPageLeftError):
        return _out_of_pages(trial, problem)
    if problem.errno == errno.ENOMEM:
        return _short_of_memory(question, trial)
    if problem.errno in _DRIVER:
        return Reason(rule="driver", text=str(problem))
    rule = _RULES.get(problem.errno or 0, "onlining")
    if rule == "alignment":
        return Reason(rule=rule, text=f"{problem}{_legal(question, trial.before)}")
    return Reason(rule=rule, text=str(problem))


def _out_of_pages(trial: Trial, problem: NoPageLeftError) -> Reason:
    zone = _roomiest(trial.before)
    text = (
        f"the memmap finds room, but then {problem.reason}: the OOM killer runs, and where it finds no process "
        "the kernel panics"
    )
    return Reason(rule="watermark", node=zone[0] if zone else None, zone=zone[1] if zone else None, text=text)


def _legal(question: Question, machine: Machine) -> str:
    """Say what would be aligned instead of what was asked for."""
    block = machine.kernel.geometry.memory_block_size
    parts = []
    if question.address is not None and question.address % block:
        parts.append(f"the next legal address is {round_up(question.address, block):#x}")
    sizes = [size for size in question.sizes if size % block and not question.traits.own_unit]
    if sizes:
        parts.append(f"the next legal size is {typed_size(round_up(sizes[0], block))}")
    return f"; {' and '.join(parts)} (memory blocks of {format_size(block)})" if parts else ""


def _short_of_memory(question: Question, trial: Trial) -> Reason:
    """Say how much kernel memory is missing, and which zone is the last that could give some."""
    machine, problem = trial.before, trial.problem
    assert problem is not None
    geometry = machine.kernel.geometry
    need = geometry.memmap_pages(question.total // geometry.page_size)
    have, zone = usable_pages(machine), _roomiest(machine)
    short = max(need - have, 0) * geometry.page_size
    leaks = f"; left behind: {', '.join(problem.leaks)}" if problem.leaks else ""
    text = (
        f"the memmap of {exact_size(question.total)} takes {_size(machine, need)}, kernel zones can give "
        f"{_size(machine, have)} above their min watermarks; "
        f"{trial.added_bytes // geometry.memory_block_size} of {question.total // geometry.memory_block_size} "
        f"blocks appear ({problem}{leaks})"
    )
    return Reason(
        rule="memmap",
        node=zone[0] if zone else None,
        zone=zone[1] if zone else None,
        short_bytes=short or None,
        text=text,
    )


def _roomiest(machine: Machine) -> tuple[int, str] | None:
    """Return node and name of the kernel zone that can give most."""
    shares = [
        (allocatable_chunks(zone, 0, ZoneKind.NORMAL, 0), zone.nid, zone.kind.label)
        for zone in machine.kernel.state.zones()
        if zone.kind is not ZoneKind.MOVABLE and zone.managed
    ]
    if not shares:
        return None
    _, nid, label = max(shares)
    return nid, label


def _size(machine: Machine, pages: int) -> str:
    return exact_size(pages * machine.kernel.geometry.page_size)
