"""The answer: a verdict with the rule that decided it, and everything measured on the way."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from memhotplug.engine.machine import Machine
from memhotplug.model.allocator import allocatable_chunks
from memhotplug.model.state import MachineState
from memhotplug.model.zones import ZoneKind
from memhotplug.plan.policies import policies
from memhotplug.plan.question import Question, Subject
from memhotplug.plan.thumb import RuleOfThumb, rules_of_thumb
from memhotplug.plan.trial import Trial, attempt, known_to_fit, largest_add, movable_ratio, safe_steps
from memhotplug.units import format_size

__all__ = ["Answer", "Reason", "answer", "verdict_of"]

_RATIO = 301  # percent of Movable to kernel memory that Linux keeps under auto-movable


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """What decided.

    Attributes:
        rule: ``fits``, ``fallback``, ``watermark``, ``zone-ratio``, ``memmap``, ``alignment``, ``address-space``,
            ``occupied``, ``slots``, ``node``, ``driver`` or ``onlining``.
        node, zone: where it binds, None if it binds nowhere in particular.
        short_bytes: how much is missing, None if that is not the point.
        text: the sentence for a ticket.
    """

    rule: str
    text: str
    node: int | None = None
    zone: str | None = None
    short_bytes: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the JSON object ``reason``."""
        return {
            "rule": self.rule,
            "node": self.node,
            "zone": self.zone,
            "short_bytes": self.short_bytes,
            "text": self.text,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Everything that a plan says; sizes in bytes.

    Attributes:
        verdict: ``fits``, ``risky`` or ``does-not-fit``.
        reason: what decided.
        trial: the attempt that was asked about.
        clean, with_fallback: the largest single adds; ``capped`` if the search ended before a failure.
        steps: a sequence of adds that gets there, each onlined before the next; may fall short.
        policies: the same question under other policies.
        rules: what rules of thumb would have said.
        flip_boot: for a fresh guest, the least boot memory with which it would fit, if it does not.
        flips_under: name of the other boot assumption, if the verdict is another under it.
    """

    subject: Subject
    question: Question
    verdict: str
    reason: Reason
    trial: Trial
    before: Machine
    clean: int
    with_fallback: int
    capped: bool
    steps: tuple[int, ...]
    policies: tuple[Mapping[str, object], ...]
    rules: tuple[RuleOfThumb, ...]
    flips_under: str | None
    flip_boot: int | None


def answer(subject: Subject, question: Question) -> Answer:
    """Ask a machine a question.

    Raises:
        InputError: the machine or the question is not possible.
    """
    machine = subject.boot("")
    trial = attempt(machine, question)
    verdict, reason = _judge(machine, question, trial)
    clean, capped = largest_add(machine, question, clean=True, least=known_to_fit(question, trial))
    with_fallback, _ = (clean, capped) if capped else largest_add(machine, question, clean=False, least=clean)
    state = machine.kernel.state
    page = machine.kernel.geometry.page_size
    boot = sum(zone.present for zone in state.zones()) * page
    free = sum(zone.nr_free for zone in state.zones() if zone.kind is not ZoneKind.MOVABLE) * page
    return Answer(
        subject=subject,
        question=question,
        verdict=verdict,
        reason=reason,
        trial=trial,
        before=machine,
        clean=clean,
        with_fallback=max(with_fallback, clean),
        capped=capped,
        steps=safe_steps(machine, question),
        policies=tuple(policies(subject, question, machine, (clean, capped))),
        rules=tuple(rules_of_thumb(boot, free, page // machine.kernel.geometry.struct_page_size)),
        flips_under=_flip(subject, question, verdict),
        flip_boot=_flip_boot(subject, question, verdict),
    )


def verdict_of(machine: Machine, question: Question) -> str:
    """Return the verdict alone."""
    return _judge(machine, question, attempt(machine, question))[0]


def _flip(subject: Subject, question: Question, verdict: str) -> str | None:
    if subject.other is None:
        return None
    name, boot = subject.other
    return name if verdict_of(boot(""), question) != verdict else None


def _flip_boot(subject: Subject, question: Question, verdict: str) -> int | None:
    """Return the least boot memory, in steps of 128M, with which a fresh guest would take the add."""
    if subject.resized is None or verdict != "does-not-fit":
        return None
    step = 128 << 20

    def works(count: int) -> bool:
        assert subject.resized is not None
        return verdict_of(subject.resized(count * step), question) != "does-not-fit"

    low = max(subject.boot_bytes // step, 1)
    high = low * 2
    while high * step < 1 << 46 and not works(high):
        low, high = high, high * 2
    if high * step >= 1 << 46:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high * step


def _judge(machine: Machine, question: Question, trial: Trial) -> tuple[str, Reason]:
    if question.slots is not None and len(question.sizes) > question.slots:
        text = f"{len(question.sizes)} devices need as many slots; there are {question.slots}"
        return "does-not-fit", Reason(rule="slots", text=text)
    if trial.problem is not None:
        return "does-not-fit", _refusal(machine, question, trial)
    if trial.fallback_pages:
        text = (
            f"{trial.fallback_pages} pages of memmap had to be mapped one by one because no larger chunk was free; "
            f"the guest has {_size(machine, trial.free_lowest)} left at its lowest point"
        )
        return "risky", Reason(rule="fallback", text=text)
    high = sum(zone.wmark[2] for zone in machine.kernel.state.zones() if zone.kind is not ZoneKind.MOVABLE)
    if trial.free_lowest < high:
        text = (
            f"only {_size(machine, trial.free_lowest)} stay free at the lowest point, less than the high watermarks "
            f"of the kernel zones ({_size(machine, high)}): reclaim starts, and an OOM kill is near"
        )
        return "risky", Reason(rule="watermark", text=text)
    movable, kernel = movable_ratio(trial.machine)
    before, _ = movable_ratio(machine)
    if movable > before and movable * 100 > kernel * _RATIO:
        text = (
            f"Movable zones would hold {movable / max(kernel, 1):.1f} times what kernel zones hold; beyond 3 to 1 the "
            f"kernel can run out of memory for itself while user memory is free"
        )
        return "risky", Reason(rule="zone-ratio", zone="Movable", text=text)
    lowest = _size(machine, trial.free_lowest)
    return "fits", Reason(rule="fits", text=f"every block appears; {lowest} stay free at the lowest point")


def _size(machine: Machine, pages: int) -> str:
    return format_size(pages * machine.kernel.geometry.page_size)


def _refusal(machine: Machine, question: Question, trial: Trial) -> Reason:
    problem = trial.problem
    assert problem is not None
    if problem.errno == errno.ENOMEM:
        return _short_of_memory(machine, question, trial)
    rules = {errno.EINVAL: "alignment", errno.E2BIG: "address-space", errno.EEXIST: "occupied"}
    if problem.errno in (errno.ENODEV, errno.EOPNOTSUPP, errno.ENOENT):
        return Reason(rule="driver", text=str(problem))
    rule = rules.get(problem.errno or 0, "onlining")
    if rule == "alignment" and "node" in problem.reason:
        rule = "node"
    return Reason(rule=rule, text=str(problem), node=question.node if rule == "node" else None)


def _short_of_memory(machine: Machine, question: Question, trial: Trial) -> Reason:
    """Say how much kernel memory is missing, and which zone is the last that could give some."""
    geometry = machine.kernel.geometry
    need = geometry.memmap_pages(question.total // geometry.page_size)
    have, zone = _usable(machine.kernel.state)
    short = max(need - have, 0) * geometry.page_size
    leaks = f"; left behind: {', '.join(trial.problem.leaks)}" if trial.problem and trial.problem.leaks else ""
    text = (
        f"{trial.problem}: the memmap takes {_size(machine, need)}, kernel zones can give {_size(machine, have)} "
        f"above their watermarks; {trial.added_bytes // geometry.memory_block_size} of "
        f"{question.total // geometry.memory_block_size} blocks appear{leaks}"
    )
    return Reason(
        rule="memmap",
        node=zone[0] if zone else None,
        zone=zone[1] if zone else None,
        short_bytes=short or None,
        text=text,
    )


def _usable(state: MachineState) -> tuple[int, tuple[int, str] | None]:
    """Return the pages that kernel allocations can get in all, and the zone with most of them."""
    shares = [
        (allocatable_chunks(zone, 0, ZoneKind.NORMAL, 0), zone.nid, zone.kind.label)
        for zone in state.zones()
        if zone.kind is not ZoneKind.MOVABLE and zone.managed
    ]
    if not shares:
        return 0, None
    most = max(shares)
    return sum(share for share, _, _ in shares), (most[1], most[2])
