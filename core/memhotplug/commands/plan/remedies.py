"""What would make a hot-add fit: each remedy was tried on the same machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from memhotplug.commands.plan.judge import verdict_of
from memhotplug.commands.plan.question import Question, Subject
from memhotplug.commands.plan.sizes import typed_size
from memhotplug.engine.memory_hotplug.presence import drivers_of
from memhotplug.errors import PluginError
from memhotplug.machine import Machine

if TYPE_CHECKING:
    from memhotplug.documents.plan import PolicyDocument, RemedyDocument

__all__ = ["Remedy", "remedies"]

_MOST_BLOCKS: Final = 1 << 14  # for which other drivers are tried
_FAILS: Final = "does-not-fit"


class Remedy(NamedTuple):
    """One change under which the same memory can be added.

    Attributes:
        kind: ``parameter``, ``split``, ``driver`` or ``boot-memory``.
        value: what to change it to, as it is typed: a kernel parameter, sizes, a driver, a size.
        verdict: of the trial with it, ``fits`` or ``risky``.
        text: the sentence for a ticket.
    """

    kind: str
    value: str
    verdict: str
    text: str

    def to_dict(self) -> RemedyDocument:
        """Return the JSON entry."""
        return {"kind": self.kind, "value": self.value, "verdict": self.verdict, "text": self.text}


def remedies(
    subject: Subject, machine: Machine, question: Question, *,
    policies: Sequence[PolicyDocument], steps: Sequence[int], boot: int | None,
) -> list[Remedy]:  # fmt: skip
    """Return what would make it fit, what fits without a risk first, then the smaller change first.

    Args:
        policies: the same question under each policy. steps: the safe sequence; may fall short.
        boot: the boot memory from which on it would fit, None if that was not searched or does not help.
    """
    found = [*_parameters(policies), *_split(machine, question, steps), *_drivers(subject, machine, question)]
    if boot is not None and subject.resized is not None:
        verdict = verdict_of(subject.resized(boot), question)
        text = f"from {typed_size(boot)} of boot memory on"
        found.append(Remedy(kind="boot-memory", value=typed_size(boot), verdict=verdict, text=text))
    return sorted((one for one in found if one.verdict != _FAILS), key=lambda one: one.verdict != "fits")


def _parameters(policies: Sequence[PolicyDocument]) -> Iterator[Remedy]:
    helped = False
    for policy in policies:
        if policy["kind"] != "memmap" or policy["current"] or "mhp_flags" in str(policy["name"]):
            continue
        if helped:
            continue  # a stronger word for the same thing
        helped = policy["verdict"] != _FAILS
        word = f"memory_hotplug.{policy['name']}"
        yield Remedy(kind="parameter", value=word, verdict=str(policy["verdict"]), text=f"with {word}")


def _split(machine: Machine, question: Question, steps: Sequence[int]) -> Iterator[Remedy]:
    if len(steps) < 2 or sum(steps) < question.total or tuple(steps) == question.sizes:
        return
    sizes = " then ".join(map(typed_size, steps))
    verdict = verdict_of(machine, question._replace(sizes=tuple(steps)))
    yield Remedy(
        kind="split",
        value=" ".join(map(typed_size, steps)),
        verdict=verdict,
        text=f"in {len(steps)} steps, each online before the next: {sizes}",
    )


def _drivers(subject: Subject, machine: Machine, question: Question) -> Iterator[Remedy]:
    if question.total // machine.kernel.geometry.memory_block_size > _MOST_BLOCKS:
        return
    for driver in drivers_of(subject.arch):
        if driver == question.driver:
            continue
        try:
            verdict = verdict_of(machine, question._replace(driver=driver, policy=None))
        except PluginError:  # nobody asked for this driver; mhp plugins says what is wrong with it
            continue
        yield Remedy(kind="driver", value=driver, verdict=verdict, text=f"by {driver}")
