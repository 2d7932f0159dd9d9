"""The answer: a verdict with the rule that decided it, and everything measured on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from memhotplug.commands.plan.judge import Reason, judge, limit_of, verdict_of
from memhotplug.commands.plan.policies import left_out, policies
from memhotplug.commands.plan.question import Question, Subject
from memhotplug.commands.plan.remedies import Remedy, remedies
from memhotplug.commands.plan.retry import ratio_for_all_movable
from memhotplug.commands.plan.rules_of_thumb import RuleOfThumb, rules_of_thumb
from memhotplug.commands.plan.search import Largest, largest_add, safe_steps
from memhotplug.commands.plan.trial import Trial, attempt, free_pages
from memhotplug.engine.memory_hotplug.presence import absence
from memhotplug.errors import InputError
from memhotplug.machine import Machine
from memhotplug.model.blocks import OnlineType
from memhotplug.units import format_size, typed_size

if TYPE_CHECKING:
    from memhotplug.documents.plan import PolicyDocument

__all__ = ["Answer", "answer", "check_question"]

_MEMHP: Final = ("memhp_default_state",)
_BOOT_WORDS: Final = ("kernelcore", "movable_node", "movablecore")
_FLIP_STEP: Final = 128 << 20
_FLIP_MOST: Final = 1 << 42


class Answer(NamedTuple):
    """Everything that a plan says; sizes in bytes.

    Attributes:
        verdict: ``fits``, ``risky`` or ``does-not-fit``; None if it was asked how much could be added.
        reason: what decided. risks: all of them, the decisive one first.
        trial: the attempt that was asked about.
        clean, with_fallback: the largest single adds; limit: what binds the clean one.
        steps: a sequence of adds that gets there, each onlined before the next; may fall short.
        policies: the same question under other policies; without the driver only those in force.
        rules: what rules of thumb would have said.
        flip_boot: for a fresh guest, the least boot memory with which it would fit, if it does not.
        flips_under: name of the other boot assumption, if the verdict is another under it. flips_to: that verdict.
        remedies: what would make it fit, if it does not, each of them tried.
        assumptions: those of the machine, and those of this question.
    """

    subject: Subject
    question: Question
    verdict: str | None
    reason: Reason
    risks: tuple[Reason, ...]
    trial: Trial
    clean: Largest
    with_fallback: Largest
    limit: Reason
    steps: tuple[int, ...]
    policies: tuple[PolicyDocument, ...]
    rules: tuple[RuleOfThumb, ...]
    flips_under: str | None
    flips_to: str | None
    flip_boot: int | None
    remedies: tuple[Remedy, ...]
    assumptions: tuple[str, ...]


def answer(subject: Subject, question: Question) -> Answer:
    """Ask a machine a question.

    Raises:
        InputError: the machine or the question is not possible.
    """
    machine = subject.boot()
    check_question(subject, machine, question)
    if not question.sizes:
        return _how_much(subject, machine, question)
    return _answer(subject, machine, question)


def _how_much(subject: Subject, machine: Machine, question: Question) -> Answer:
    """Answer how much could be added: the largest add that leaves a living machine is what is played."""
    block = machine.kernel.geometry.memory_block_size
    one = question._replace(sizes=(block,))
    clean = largest_add(machine, one, lambda tried: tried.safe)
    found = _answer(subject, machine, question._replace(sizes=(clean.size or block,)))
    return found._replace(
        verdict=None, reason=found.limit, risks=(), steps=(clean.size,) if clean.size else (),
        remedies=(), flips_under=None, flips_to=None, flip_boot=None,
    )  # fmt: skip


def _answer(subject: Subject, machine: Machine, question: Question) -> Answer:
    trial = attempt(machine, question)
    verdict, reason, risks = judge(question, trial)
    clean = largest_add(machine, question, lambda tried: tried.safe, known=trial)
    fallback = _with_fallback(machine, question, clean, trial)
    steps = safe_steps(machine, question, trial)
    geometry = machine.kernel.geometry
    present = sum(zone.present for zone in machine.kernel.state.zones()) * geometry.page_size
    free = free_pages(machine, movable=False) * geometry.page_size
    flips_under = flips_to = flip_boot = None
    if absence(machine.kernel, question.driver) is None:  # else nothing but another driver makes a difference
        flips_under, flips_to = _flip(subject, question, verdict)
        flip_boot = _flip_boot(subject, question, verdict)
    tried = tuple(policies(subject, question, trial, clean, steps))
    remedied: list[Remedy] = []
    if verdict == "does-not-fit":
        remedied = remedies(subject, machine, question, policies=tried, steps=steps, boot=flip_boot)
    return Answer(
        subject=subject,
        question=question,
        verdict=verdict,
        reason=reason,
        risks=risks,
        trial=trial,
        clean=clean,
        with_fallback=fallback,
        limit=limit_of(question, clean),
        steps=steps,
        policies=tried,
        rules=tuple(
            rules_of_thumb(
                subject.boot_bytes or present, present, free, geometry.page_size // geometry.struct_page_size
            )
        ),
        flips_under=flips_under,
        flips_to=flips_to,
        flip_boot=flip_boot,
        remedies=tuple(remedied),
        assumptions=(*subject.assumptions, *_warned(subject, machine), *_assumed(machine, question)),
    )


def check_question(subject: Subject, machine: Machine, question: Question) -> None:
    """Refuse what no machine of that kind could be asked.

    Raises:
        InputError: a node or an address that cannot be.
    """
    geometry, nodes = machine.kernel.geometry, subject.possible_nodes
    if question.node is not None and question.node >= geometry.max_nodes:
        raise InputError(f"a node below {geometry.max_nodes}", got=question.node, path="--node")
    if question.node is not None and nodes and question.node not in nodes:
        told = ", ".join(map(str, nodes))
        raise InputError(f"a node that this machine can have ({told})", got=question.node, path="--node")
    if question.address is None:
        return
    if question.address % geometry.page_size:
        expected = f"an address that begins a page of {format_size(geometry.page_size)}"
        raise InputError(expected, got=f"{question.address:#x}", path="--address")
    if question.address >> geometry.physical_address_bits:
        expected = f"an address within {geometry.physical_address_bits} physical address bits"
        raise InputError(expected, got=f"{question.address:#x}", path="--address")


def _with_fallback(machine: Machine, question: Question, clean: Largest, trial: Trial) -> Largest:
    """Return the largest add of which every block appears; no trial is needed where the clean search has shown it."""
    if clean.blocked is None or not clean.blocked.present:
        return clean
    return largest_add(
        machine, question, lambda tried: tried.present, known=trial, least=max(clean.size, clean.appeared),
        beyond=clean.refused, whole=False,
    )  # fmt: skip


def _flip(subject: Subject, question: Question, verdict: str) -> tuple[str, str] | tuple[None, None]:
    """Return the other boot assumption and the verdict under it; nothing where that is the same."""
    if subject.other is None:
        return None, None
    name, boot = subject.other
    try:
        other = verdict_of(boot(), question)
    except InputError:  # too small for that assumption
        other = "does-not-fit"
    return (name, other) if other != verdict else (None, None)


def _flip_boot(subject: Subject, question: Question, verdict: str) -> int | None:
    """Return the least boot memory, in steps of 128M, with which a fresh guest would take the add."""
    resized = subject.resized
    if resized is None or verdict != "does-not-fit":
        return None

    def works(count: int) -> bool:
        return verdict_of(resized(count * _FLIP_STEP), question) != "does-not-fit"

    low = max(subject.boot_bytes // _FLIP_STEP, 1)
    high = low * 2
    while high * _FLIP_STEP <= _FLIP_MOST and not works(high):
        low, high = high, high * 2
    if high * _FLIP_STEP > _FLIP_MOST:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high * _FLIP_STEP


def _warned(subject: Subject, machine: Machine) -> Iterator[str]:
    """Yield what was said when the machine booted and is not said yet: what was read off, and the kernel's warnings."""
    read = ("inferred: ", "inconsistent: ")
    said = {*subject.assumptions, *(kind + text for kind in read for text in subject.assumptions)}
    for text in machine.kernel.journal.warnings:
        if text not in said:
            yield text if text.startswith(read) else f"the kernel warns: {text}"


def _assumed(machine: Machine, question: Question) -> tuple[str, ...]:
    """Return what is taken for granted about this question on this machine."""
    automatic = machine.kernel.state.auto_online
    found = [
        "the device, sysfs and section objects of each new memory block take 6K of kernel memory (5.6 to 6.2 KiB "
        "were measured on Linux 6.12)"
    ]
    if automatic is not OnlineType.OFFLINE and question.online in ("movable", "kernel", "none"):
        found.append(
            f"the kernel itself brings new blocks online as soon as they are added ({automatic.label}), so "
            f"--online {question.online} comes too late for them"
        )
    elif question.traits.onlines and question.online != "auto":
        found.append(
            f"{question.driver} itself brings each block online before it adds the next, so "
            f"--online {question.online} comes too late"
        )
    elif question.traits.waits and question.online != "none":
        found.append(f"each chunk of {question.driver} is onlined before the next one is added, as the driver expects")
    found += _all_movable(machine, question)
    found += _unknown_parameters(machine, question)
    found += _stays_offline(machine, question)
    untried = left_out(machine, question)
    if untried is not None:
        found.append(untried)
    return tuple(found)


def _all_movable(machine: Machine, question: Question) -> list[str]:
    """Return from which ratio on all that is added would be Movable, where the kernel decides by a lower one."""
    told = machine.kernel.profile.module_parameters(machine.kernel)
    if question.online != "auto" or told.get("online_policy", "").strip() != "auto-movable":
        return []
    wanted, now = ratio_for_all_movable(machine, question.total), told.get("auto_movable_ratio", "").strip()
    if wanted is None or not now.isdecimal() or wanted <= int(now):
        return []
    return [
        f"online_policy=auto-movable decides the zones: under auto_movable_ratio={wanted} or more all of "
        f"{typed_size(question.total)} could be Movable, {now} is in force"
    ]


def _unknown_parameters(machine: Machine, question: Question) -> list[str]:
    """Return a sentence for each word of the command line that looks as if it were about hotplug, and is not."""
    kernel = machine.kernel
    of_mmus = [word for words in kernel.plugins.arch_traits.mmus.values() for word in words.split()]
    words = (*_BOOT_WORDS, *question.traits.boot_words, *of_mmus)
    known = set(kernel.profile.module_parameters(kernel))
    found = []
    for name in kernel.params:
        module, _, own = name.rpartition(".")
        if (module == "memory_hotplug" and own not in known) or (name.startswith("memhp_") and name not in _MEMHP):
            found.append(
                f"{name}= on the command line is none of {kernel.profile.name}'s parameters: it changes nothing"
            )
        elif name not in words and (meant := _meant(name, words)) is not None:
            found.append(
                f"{name} on the command line is no parameter of memory hotplug, and changes nothing; {meant} is one"
            )
        elif name in known:
            found.append(f"{name}= on the command line changes nothing: the parameter is called memory_hotplug.{name}=")
    return found


def _meant(name: str, words: Sequence[str]) -> str | None:
    """Return the parameter that a word of the command line all but is, None if it is nearly none."""
    import difflib  # only where the command line has words of its own

    bare = name.replace("_", "")
    near = difflib.get_close_matches(bare, [word.replace("_", "") for word in words], n=1, cutoff=0.9)
    return next((word for word in words if near and word.replace("_", "") == near[0]), None)


def _stays_offline(machine: Machine, question: Question) -> list[str]:
    """Return who brings new blocks online, where neither the kernel nor the driver does."""
    if machine.kernel.state.auto_online is not OnlineType.OFFLINE or question.traits.onlines:
        return []
    return [
        "auto_online_blocks is offline: new blocks stay offline until user space writes to their state (a udev rule, "
        "the distribution's own tool, chmem), or the kernel is told memhp_default_state="
    ]
