"""The same question under each policy: who hosts the memmap, and who brings the blocks online."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from memhotplug.commands.plan.cost import new_totals
from memhotplug.commands.plan.judge import judge
from memhotplug.commands.plan.question import ONLINE_WAYS, Question, Subject
from memhotplug.commands.plan.search import Largest, largest_add, safe_steps
from memhotplug.commands.plan.trial import Trial, attempt
from memhotplug.engine.boot.parameters import MEMMAP_ON_MEMORY, memmap_settings, under
from memhotplug.engine.memory_hotplug.presence import absence
from memhotplug.engine.mhp_flags import parse_flags
from memhotplug.errors import InputError
from memhotplug.keyspec import OWN_POLICY
from memhotplug.machine import Machine

if TYPE_CHECKING:
    from memhotplug.documents.plan import PolicyDocument

__all__ = ["left_out", "policies", "zones_gained"]

_MOST_BLOCKS: Final = 1 << 20  # that are played under other policies than the machine's own
_MOST_ALONE: Final = 1 << 14  # for which auto-movable chooses block by block


def policies(
    subject: Subject, question: Question, trial: Trial, clean: Largest, steps: tuple[int, ...]
) -> Iterator[PolicyDocument]:
    """Yield one entry for each memmap policy, for policies of the driver, and for each way to bring the blocks online.

    Args:
        trial, clean, steps: what is known of the question under the machine's own policy.
    """
    absent = absence(trial.before.kernel, question.driver) is not None
    many = absent or _blocks(trial.before, question) > _MOST_BLOCKS
    yield from _by_memmap(subject, question, trial, clean, own_only=many)
    yield from _by_policy(question, trial, clean, own_only=many)
    for way in ONLINE_WAYS:
        own = way == question.online
        if many and not own:
            continue
        asked = question._replace(online=way)
        tried = trial if own else attempt(trial.before, asked)
        found = steps if own else safe_steps(trial.before, asked, tried)
        largest = clean
        if question.traits.waits and not own and not clean.idle:  # only there it depends on how blocks are onlined
            largest = largest_add(trial.before, asked, lambda one: one.safe, known=tried)
        entry = _entry("online", way, asked, tried, largest, current=own)
        yield {**entry, "safe_steps": list(found)}
    automatic = None if absent else _auto_movable(trial.before)
    if automatic is not None and left_out(trial.before, question) is None:
        yield _by_ratio(automatic, question._replace(online="auto"), clean)


def left_out(machine: Machine, question: Question) -> str | None:
    """Return which policies are not tried because the question is too large for that, None if all are."""
    blocks = _blocks(machine, question)
    if blocks > _MOST_BLOCKS:
        return f"other policies are not tried for more than {_MOST_BLOCKS} memory blocks"
    if blocks > _MOST_ALONE and question.traits.waits:
        return f"auto-movable is not tried for more than {_MOST_ALONE} memory blocks that are onlined one by one"
    return None


def _blocks(machine: Machine, question: Question) -> int:
    return question.total // machine.kernel.geometry.memory_block_size


def _by_memmap(
    subject: Subject, question: Question, trial: Trial, clean: Largest, *, own_only: bool
) -> Iterator[PolicyDocument]:
    """Yield an entry for each memmap policy; where one makes no difference the search is not repeated."""
    current = _current_mode(trial.before)
    known = [(new_totals(trial), trial.problem is None, clean)]
    for name, machine in _memmap_policies(subject, question, trial.before):
        own = name == current
        if own_only and not own:
            continue
        tried = trial if own else attempt(machine, question)
        totals = new_totals(tried)
        placed = totals["self_hosted_pages"] or totals["allocated_pages"]  # an add refused outright tells nothing
        largest = next((old[2] for old in known if placed and old[:2] == (totals, tried.problem is None)), None)
        if largest is None:
            largest = largest_add(machine, question, lambda one: one.safe, known=tried)
            known.append((totals, tried.problem is None, largest))
        yield _entry("memmap", name, question, tried, largest, current=own)


def _by_policy(question: Question, trial: Trial, clean: Largest, *, own_only: bool) -> Iterator[PolicyDocument]:
    """Yield an entry for the policy that was named, and one for the driver's own; nothing if none was named."""
    if question.policy is None:
        return
    yield _entry("policy", question.policy, question, trial, clean, current=True)
    if own_only:
        return
    asked = question._replace(policy=None)
    tried = attempt(trial.before, asked)
    largest = largest_add(trial.before, asked, lambda one: one.safe, known=tried)
    yield _entry("policy", OWN_POLICY, asked, tried, largest, current=False)


def _by_ratio(machine: Machine, question: Question, clean: Largest) -> PolicyDocument:
    """Return the entry for auto-movable; drivers that wait choose block by block there: no search is made for them."""
    tried = attempt(machine, question)
    waits = question.traits.waits
    entry = _entry("online", "auto-movable", question, tried, None if waits else clean, current=False)
    found: list[int] | None = list(question.sizes) if tried.safe else None
    return {**entry, "safe_steps": found if waits else list(safe_steps(machine, question, tried))}


def _parameters(machine: Machine) -> Mapping[str, str]:
    return machine.kernel.profile.module_parameters(machine.kernel)


def _current_mode(machine: Machine) -> str | None:
    mode = _parameters(machine).get(MEMMAP_ON_MEMORY)
    return None if mode is None else f"{MEMMAP_ON_MEMORY}={str(mode).strip()}"


def _auto_movable(plain: Machine) -> Machine | None:
    """Return the machine under online_policy=auto-movable, None if its kernel has none or it is so already."""
    policy = _parameters(plain).get("online_policy")
    if policy is None or str(policy).strip() == "auto-movable":
        return None
    try:
        return Machine(under(plain.kernel, "online_policy", "auto-movable"))
    except InputError:
        return None


def _memmap_policies(subject: Subject, question: Question, plain: Machine) -> Iterator[tuple[str, Machine]]:
    """Yield a machine for each way in which this kernel can place the memmap."""
    settings = memmap_settings(plain.kernel)
    for word in settings if subject.self_hosts else settings[:1]:
        yield f"{MEMMAP_ON_MEMORY}={word}", Machine(under(plain.kernel, MEMMAP_ON_MEMORY, word))
    if settings:
        return
    for name in plain.kernel.profile.short_flags:
        if name == "on_memory":
            continue
        machine = plain.copy()
        machine.kernel.flag_override[question.driver] = parse_flags(machine.kernel, (name,))
        yield f"mhp_flags={name}", machine


def _entry(
    kind: str, name: str, question: Question, trial: Trial, largest: Largest | None, *, current: bool
) -> PolicyDocument:
    page = trial.before.kernel.geometry.page_size
    verdict, reason, _ = judge(question, trial)
    return {
        "kind": kind,
        "name": name,
        "current": current,
        "verdict": verdict,
        "rule": reason.rule,
        "memmap": new_totals(trial),
        "lowest_free_bytes": trial.kernel_lowest * page,
        "largest_clean_bytes": largest.size if largest else None,
        "largest_clean_is_capped": largest.capped if largest else None,
        "added_bytes": trial.added_bytes,
        "online_bytes": trial.online_bytes,
        "usable_bytes": trial.usable_bytes,
        "zones": zones_gained(trial),
    }


def zones_gained(trial: Trial) -> dict[str, int]:
    """Return the bytes by which each zone's present memory grew, by ``NODE ZONE``."""
    page = trial.before.kernel.geometry.page_size
    before = {zone.key: zone.present for zone in trial.before.kernel.state.zones()}
    gained = {}
    for zone in trial.machine.kernel.state.zones():
        grown = zone.present - before.get(zone.key, 0)
        if grown:
            gained[f"{zone.nid} {zone.kind.label}"] = grown * page
    return gained
