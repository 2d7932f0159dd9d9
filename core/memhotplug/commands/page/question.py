"""Which pages, and at which moment: a pfn or a range, and the machine after a step and before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from memhotplug.commands.run.runner import boot_scenario, run_scenario
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.formats.scenario import Scenario, Step
from memhotplug.formats.scenario.ranges import RangeSpec, parse_range
from memhotplug.formats.scenario.refusal import RefusedError
from memhotplug.machine import Machine
from memhotplug.ranges import byte_ranges, check_name
from memhotplug.units import div_round_up

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["MAX_PAGES", "Moments", "moments", "pages_of"]

MAX_PAGES: Final = 1 << 24
"""Pages that one question may be about: 64 GiB of pages of 4 KiB."""

_EXPECTED: Final = "a pfn, 'block N', 'block N-M', 0xFIRST-0xLAST, 0xSTART+SIZE or a device's name"
_PFN: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})\Z")
_HULL: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16})-(0[xX][0-9a-fA-F]{1,16})\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """A machine after a step and before it.

    Attributes:
        step: the index of the step; None after booting, where the scenario has no steps.
        op: the step's operation.
        before, after: the machine then.
        failure: why the run stopped there or earlier, None if all went as the scenario says.
        reached: whether the run came as far as that step.
    """

    step: int | None
    op: str | None
    before: Machine
    after: Machine
    failure: str | None
    reached: bool


def moments(scenario: Scenario, step: int | None) -> Moments:
    """Run a scenario up to a step, to its end without one.

    Raises:
        InputError: there is no such step, or the scenario cannot be used.
        PluginError: a plugin is missing, broken, or takes too long.
    """
    steps = scenario.steps
    if step is not None and not 0 <= step < len(steps):
        raise InputError(_steps_there_are(len(steps)), got=step, path="--step")
    wanted = len(steps) - 1 if step is None else step
    shorter = replace(scenario, steps=steps[: wanted + 1])
    machine = boot_scenario(shorter)
    before = [machine.copy()]

    def keep(done: Step, _record: StepRecord) -> None:
        if done.index == wanted - 1:
            before[0] = machine.copy()

    result = run_scenario(shorter, machine=machine, on_step=keep)
    return Moments(
        step=wanted if steps else None,
        op=steps[wanted].op if steps else None,
        before=before[0],
        after=machine,
        failure=result.failure,
        reached=len(result.steps) == len(shorter.steps),
    )


def _steps_there_are(count: int) -> str:
    if count == 0:
        return "no step: the scenario has none"
    return "step 0, the only one" if count == 1 else f"a step from 0 to {count - 1}"


def pages_of(text: str, machines: Sequence[Machine]) -> list[tuple[int, int]]:
    """Return the half-open runs of pfns that a text means, ascending.

    Args:
        machines: where a device's name is looked up, the first one that has it wins.

    Raises:
        InputError: it is no range, has too many pages, or lies beyond the machine.
        MemoryHotplugError: ENODEV, the memory of that name is gone.
    """
    geometry = machines[0].kernel.geometry
    found = _pages(text.strip(), machines)
    last = max(end for _, end in found) - 1
    if last >= geometry.end_pfn:
        beyond = f"pages below pfn {geometry.end_pfn:#x} ({geometry.physical_address_bits} address bits)"
        raise InputError(beyond, got=f"{text} up to pfn {last:#x}", path="RANGE")
    count = sum(end - start for start, end in found)
    if count > MAX_PAGES:
        raise InputError(f"at most {MAX_PAGES} pages", got=f"{count} in {text}", path="RANGE")
    return found


def _pages(text: str, machines: Sequence[Machine]) -> list[tuple[int, int]]:
    geometry = machines[0].kernel.geometry
    single = _PFN.match(text)
    if single is not None:
        pfn = int(single[1], 0) if single[1][:2] in ("0x", "0X") else int(single[1])
        return [(pfn, pfn + 1)]
    hull = _HULL.match(text)
    if hull is not None:
        first, last = int(hull[1], 16), int(hull[2], 16)
        if last < first:
            raise InputError("0xFIRST-0xLAST, ascending", got=text, path="RANGE", nearest=f"{hull[2]}-{hull[1]}")
        return [(geometry.pfn(first), geometry.pfn(last) + 1)]
    size = geometry.page_size
    return [(start // size, div_round_up(start + length, size)) for start, length in _ranges(text, machines)]


def _ranges(text: str, machines: Sequence[Machine]) -> list[tuple[int, int]]:
    try:
        spec = parse_range(text)
    except RefusedError as problem:
        expected = _EXPECTED if problem.expected.startswith("a range:") else problem.expected
        raise InputError(expected, got=text or "nothing", path="RANGE", nearest=problem.nearest) from None
    for machine in machines[:-1]:
        try:
            return _in(machine, spec)
        except (InputError, MemoryHotplugError):
            continue
    return _in(machines[-1], spec)


def _in(machine: Machine, spec: RangeSpec) -> list[tuple[int, int]]:
    try:
        check_name(machine.kernel, spec)
    except InputError as problem:
        raise problem.at(path="RANGE") from None
    return byte_ranges(machine.kernel, spec)
