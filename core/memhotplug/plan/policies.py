"""The same question under each policy: who hosts the memmap, and who brings the blocks online."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from memhotplug.engine.machine import Machine
from memhotplug.errors import InputError
from memhotplug.plan.question import ONLINE_WAYS, Question, Subject
from memhotplug.plan.trial import Trial, attempt, known_to_fit, largest_add, safe_steps

__all__ = ["policies", "zones_gained"]


def policies(
    subject: Subject, question: Question, plain: Machine, largest: tuple[int, bool]
) -> Iterator[Mapping[str, object]]:
    """Yield one entry for each memmap policy, then one for each way to bring the blocks online.

    Args:
        plain: the machine under its own policy.
        largest: its largest clean add, which does not depend on how blocks are onlined, and whether
            the search for it was cut short.
    """
    for name, machine in _memmap_policies(subject, question, plain):
        trial = attempt(machine, question)
        largest = largest_add(machine, question, clean=True, least=known_to_fit(question, trial))
        yield _entry("memmap", name, machine, trial, largest)
    for way in ONLINE_WAYS:
        asked = replace(question, online=way)
        entry = _entry("online", way, plain, attempt(plain, asked), largest)
        yield {**entry, "safe_steps": list(safe_steps(plain, asked))}
    automatic = _booted(subject, "memory_hotplug.online_policy=auto-movable")
    if automatic is not None and "online_policy" in automatic.kernel.profile.module_parameters(automatic.kernel):
        asked = replace(question, online="auto")
        entry = _entry("online", "auto-movable", automatic, attempt(automatic, asked), largest)
        yield {**entry, "safe_steps": list(safe_steps(automatic, asked))}


def _memmap_policies(subject: Subject, question: Question, plain: Machine) -> Iterator[tuple[str, Machine]]:
    """Yield a machine for each way in which this kernel can place the memmap."""
    flags = [name for name in plain.kernel.profile.short_flags if name != "on_memory"]
    if "memmap_on_memory" in plain.kernel.profile.module_parameters(plain.kernel):
        for mode in ("N", "Y", "force"):
            machine = _booted(subject, f"memory_hotplug.memmap_on_memory={mode}")
            if machine is not None:
                yield f"memmap_on_memory={mode}", machine
        return
    for name in flags:
        machine = plain.copy()
        machine.kernel.flag_override[question.driver] = machine.kernel.parse_flags((name,))
        yield f"mhp_flags={name}", machine


def _booted(subject: Subject, extra: str) -> Machine | None:
    """Boot with more on the command line; None if this kernel refuses that."""
    try:
        return subject.boot(extra)
    except InputError:
        return None


def _entry(kind: str, name: str, machine: Machine, trial: Trial, largest: tuple[int, bool]) -> dict[str, object]:
    return {
        "kind": kind,
        "name": name,
        "verdict": _verdict(trial),
        "memmap": trial.memmap,
        "lowest_free_bytes": trial.free_lowest * machine.kernel.geometry.page_size,
        "largest_clean_bytes": largest[0],
        "largest_clean_is_capped": largest[1],
        "usable_bytes": trial.usable_bytes,
        "zones": zones_gained(machine, trial),
    }


def _verdict(trial: Trial) -> str:
    if not trial.present:
        return "does-not-fit"
    return "fits" if trial.clean else "risky"


def zones_gained(machine: Machine, trial: Trial) -> dict[str, int]:
    """Return the bytes by which each zone's present memory grew."""
    page = machine.kernel.geometry.page_size
    before = {zone.key: zone.present for zone in machine.kernel.state.zones()}
    gained = {}
    for zone in trial.machine.kernel.state.zones():
        grown = zone.present - before.get(zone.key, 0)
        if grown:
            gained[f"{zone.nid} {zone.kind.label}"] = grown * page
    return gained
