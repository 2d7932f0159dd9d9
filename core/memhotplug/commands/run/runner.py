"""Runs a scenario: boots its machine, does its steps, and records what became of each.

A step that does not do what the scenario says of it (it fails, it does not fail, an expectation does
not hold) ends the run; what the user gave that cannot be used at all is an error instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from memhotplug.catalog import Installed, blaming
from memhotplug.commands.run.blame import raise_located
from memhotplug.commands.run.expect import judge
from memhotplug.commands.run.step_record import existing_blocks, new_record
from memhotplug.engine.kernel import Event, Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks
from memhotplug.engine.mhp_flags import parse_flags
from memhotplug.engine.views.undone import left_behind
from memhotplug.errors import InputError, MemoryHotplugError, nearest
from memhotplug.formats.scenario import AddStep, ExpectStep, ResizeStep, Scenario, Step
from memhotplug.formats.scenario.models import VETOABLE_EVENTS
from memhotplug.formats.scenario.problems import Where
from memhotplug.keyspec import OWN_POLICY
from memhotplug.machine import Machine, Memory
from memhotplug.manager import choose
from memhotplug.output.watchdog import ended, guard, limit

if TYPE_CHECKING:
    from memhotplug.documents.machine import RunDocument, StepRecord

__all__ = ["EventObserver", "RunResult", "StepObserver", "apply_policies", "boot_scenario", "run_scenario"]

StepObserver: TypeAlias = Callable[[Step, "StepRecord"], None]
"""Is told of each step when it is over: the step, and what became of it."""
EventObserver: TypeAlias = Callable[[Event], None]
"""Is told of each event, before the step that it belongs to is reported."""

_CHANGES_ALL: Final = ("online", "offline", "remove", "eject")
_ALL_OR_NOTHING: Final = ("add", "online", "offline", "remove", "write", "allocate", "release")
"""Steps that change nothing if they fail, blocks_done apart; a failed eject brings blocks back where they fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What came out of a run.

    Attributes:
        scenario: the file that was run, None for text.
        machine: the machine after the last step that ran.
        steps: one record for each step that ran, in order.
        events: what happened, one record each, with the index of its step (None while booting).
        failure: why the run was stopped, in one line that begins with the place; None if it was not.
    """

    scenario: str | None
    machine: Machine
    steps: tuple[StepRecord, ...]
    events: tuple[Event, ...]
    failure: str | None

    @property
    def ok(self) -> bool:
        """Whether every step did what the scenario says."""
        return self.failure is None

    def to_dict(self) -> RunDocument:
        """Return the whole result as the JSON output shows it."""
        return {
            **self.machine.to_dict(),
            "scenario": self.scenario,
            "ok": self.ok,
            "steps": list(self.steps),
        }


def run_scenario(
    scenario: Scenario,
    *,
    check: bool = False,
    on_step: StepObserver = lambda step, record: None,
    on_event: EventObserver = lambda event: None,
    machine: Machine | None = None,
    go_on: bool = False,
    is_throwaway: bool = False,
) -> RunResult:
    """Run a scenario to its end, or to the first step that does not do what it should.

    Args:
        machine: what :func:`boot_scenario` returned for it; booted here if it is not given.
        check: check the invariants after every step; a newly broken one stops the run.
        go_on: go on after a step that does not do what it should; the first of them is still the failure.
        is_throwaway: whether nobody looks at the machine any more if a plugin breaks; of one that is booted here
            nobody can.
        on_step, on_event: are called while the run goes on.

    Raises:
        InputError: the scenario asks for what there is not; with file, line and column.
        PluginError: a plugin is missing, broken, or takes too long.
    """
    with Installed().using(scenario.plugins):
        if machine is None:
            machine, is_throwaway = boot_scenario(scenario), True
        return _Run(scenario, machine, check, on_step, on_event, is_throwaway=is_throwaway).run(go_on=go_on)


def boot_scenario(scenario: Scenario) -> Machine:
    """Return the scenario's machine before its first step, the drivers' policies applied.

    Also checks what depends on the profile alone, so that it is said before anything has run.

    Raises:
        InputError: the machine cannot be, or the profile lacks a flag or an event of the scenario.
        PluginError: as :func:`run_scenario`.
    """
    with Installed().using(scenario.plugins):
        return _booted(scenario)


def _booted(scenario: Scenario) -> Machine:
    spec = scenario.machine
    try:
        for kind, name in (("arch", spec.arch), ("profiles", spec.kernel)):
            if not name:  # a snapshot tells it
                continue
            with guard(limit()):
                choose(kind, name).load()
        base = os.path.dirname(scenario.file or "") or "."
        with guard(limit()):
            machine = Machine.from_spec(spec, base=base)
    except MemoryHotplugError as refusal:
        raise scenario.error(("machine",), f"a machine that boots ({refusal})", at="key") from refusal
    except InputError as error:
        raise_located(scenario, ("machine",), error)
    apply_policies(scenario, machine)
    for step in scenario.steps:
        _check_against_profile(scenario, step, machine.kernel)
    return machine


def apply_policies(scenario: Scenario, machine: Machine) -> None:
    """Let what a scenario says of drivers decide on a machine from now on.

    Raises:
        InputError: the profile lacks a flag, or a policy is broken; with the place in the scenario.
    """
    for name, policy in scenario.drivers.items():
        try:
            machine.decide(name, flags=policy.mhp_flags, policy=policy.policy)
        except InputError as error:
            key = "mhp_flags" if policy.mhp_flags is not None else "policy"
            raise_located(scenario, ("drivers", name, key), error)


def _flags(scenario: Scenario, kernel: Kernel, names: tuple[str, ...], where: Where) -> int:
    try:
        return parse_flags(kernel, names)
    except InputError as error:
        raise_located(scenario, (*where, "mhp_flags"), error)


def _check_against_profile(scenario: Scenario, step: Step, kernel: Kernel) -> None:
    where = ("steps", step.index, step.op)
    if isinstance(step.args, AddStep) and step.args.mhp_flags not in (None, (OWN_POLICY,)):
        _flags(scenario, kernel, step.args.mhp_flags, where)
    veto = step.args.veto
    events = [event for event in kernel.profile.event_names if event in VETOABLE_EVENTS]
    if veto is not None and veto.event not in events:
        expected = f"an event of {kernel.profile.name} that can be vetoed: {', '.join(events)}"
        raise scenario.error((*where, "veto", "event"), expected, nearest=nearest(veto.event, events))


class _Run:
    """One run of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        machine: Machine,
        check: bool,
        on_step: StepObserver,
        on_event: EventObserver,
        *,
        is_throwaway: bool,
    ) -> None:
        self._is_throwaway = is_throwaway
        self._scenario = scenario
        self._machine = machine
        self._on_step = on_step
        self._on_event = on_event
        self._steps: list[StepRecord] = []
        self._events: list[Event] = []
        self._note_events(None, machine.kernel.journal.events)
        self._broken: list[str] | None = machine.violations() if check else None

    def run(self, *, go_on: bool) -> RunResult:
        with guard(limit()):
            failure = self._steps_done(go_on=go_on)
        return RunResult(
            scenario=self._scenario.file,
            machine=self._machine,
            steps=tuple(self._steps),
            events=tuple(self._events),
            failure=failure,
        )

    def _steps_done(self, *, go_on: bool) -> str | None:
        """Do the steps; return why the first of them did not do what it should, None if all did."""
        failure = None
        for step in self._scenario.steps:
            record = self._step(step)
            if record["ok"]:
                continue
            failure = failure or self._failure(step, record)
            if not go_on:
                break
        return failure

    def _failure(self, step: Step, record: StepRecord) -> str:
        place = ":".join(str(part) for part in (self._scenario.file, step.line, step.column) if part is not None)
        # An errno that the scenario expected is no part of why the run stops.
        unexpected = record["errno"] if record["errno"] not in (None, step.args.fails) else None
        words = (place, f"steps[{step.index}].{step.op}", unexpected, record["message"])
        return ": ".join(str(word) for word in words if word is not None)

    def _step(self, step: Step) -> StepRecord:
        kernel = self._machine.kernel
        seen = len(kernel.journal.events)
        saved = kernel.copy() if self._broken is not None else None
        record = new_record(step, kernel)
        try:
            with ended(), blaming():
                self._do(step, record)
        except InputError as error:
            raise_located(self._scenario, ("steps", step.index, step.op), error)
        if saved is not None and record["ok"]:
            self._check(record, saved)
        self._finish(step, record, kernel.journal.events[seen:])
        return record

    def _finish(self, step: Step, record: StepRecord, events: list[Event]) -> None:
        outcome = {key: value for key, value in record.items() if key in ("op", "name", "ok", "errno", "message")}
        self._note_events(step.index, [*events, {"event": "step", **outcome}])
        self._steps.append(record)
        self._on_step(step, record)

    def _note_events(self, index: int | None, events: Sequence[Event]) -> None:
        for event in events:
            numbered: Event = {"step": index, **event}
            self._events.append(numbered)
            self._on_event(numbered)

    def _check(self, record: StepRecord, saved: Kernel) -> None:
        before, now = self._broken or [], self._machine.violations()
        self._broken = now
        new = [text for text in now if text not in before]
        if record["errno"] and record["op"] in _ALL_OR_NOTHING and not record["blocks_done"]:
            new += left_behind(saved, self._machine.kernel, leaks=bool(record["leaks"]))
        if new:
            record["ok"] = False
            record["message"] = f"breaks an invariant: {'; '.join(new)}"

    # ---- one step ----

    def _do(self, step: Step, record: StepRecord) -> None:
        if isinstance(step.args, ExpectStep):
            self._expect(step.args, record)
            return
        devices = len(self._machine.kernel.state.devices)
        try:
            outcome = self._machine.operate(
                step.args.veto,
                lambda: self._machine.apply(step.op, step.args),
                fail_allocation=step.args.fail_allocation,
                is_throwaway=self._is_throwaway,
            )
        except MemoryHotplugError as problem:
            self._note_failure(step, record, problem, devices)
            return
        self._note_success(step, record, outcome)
        if step.args.fails is not None:
            record["ok"] = False
            record["message"] = f"succeeded, expected to fail with {step.args.fails}"

    def _expect(self, args: ExpectStep, record: StepRecord) -> None:
        verdict = judge(self._machine, args)
        record["ok"] = not verdict.problems
        record["errno"] = verdict.errno
        record["message"] = "; ".join(verdict.problems) or verdict.reason

    def _note_success(self, step: Step, record: StepRecord, outcome: object) -> None:
        if isinstance(outcome, Memory):
            record["name"] = outcome.name
            if outcome.blocks:  # else, as after a resize, nothing came that would begin anywhere
                record["start"], record["size"] = outcome.start, outcome.size
            record["blocks"] = list(outcome.blocks)
            record["blocks_done"] = list(outcome.blocks)
            record["driver_result"] = _text(outcome.driver_result)
        elif step.op in _CHANGES_ALL:
            record["blocks_done"] = list(record["blocks"])
            if step.op == "eject":
                record["driver_result"] = _text(outcome)
        elif isinstance(step.args, ResizeStep):
            record["driver_result"] = _text(outcome)
            self._note_resized(step.args, record)

    def _note_failure(self, step: Step, record: StepRecord, problem: MemoryHotplugError, devices: int) -> None:
        wanted = step.args.fails
        record["ok"] = problem.name == wanted
        record["errno"] = problem.name
        record["message"] = problem.reason
        if wanted is not None and not record["ok"]:
            record["message"] = f"{problem.reason}; expected {wanted}"
        record["blocks_done"] = list(problem.blocks_done)
        record["leaks"] = list(problem.leaks)
        record["driver_result"] = _text(problem.driver_result)
        if isinstance(step.args, AddStep):
            self._note_partial_add(record, devices)
        if isinstance(step.args, ResizeStep):
            self._note_resized(step.args, record)

    def _note_resized(self, args: ResizeStep, record: StepRecord) -> None:
        """A device has the blocks that it has now; those that came or went were really changed."""
        before, now = record["blocks"], existing_blocks(args.range, self._machine.kernel)
        record["blocks"], record["blocks_done"] = now, sorted(set(before) ^ set(now))

    def _note_partial_add(self, record: StepRecord, devices: int) -> None:
        """A driver that goes on after an error leaves a device with what could be added."""
        kernel = self._machine.kernel
        if len(kernel.state.devices) <= devices:
            return
        device = kernel.state.devices[-1]
        record["name"] = device.name
        record["blocks"] = device_blocks(kernel, device.name)
        record["blocks_done"] = list(record["blocks"])
        if record["start"] is None and device.ranges:
            record["start"] = device.ranges[0][0]


def _text(verdict: object) -> str | None:
    return None if verdict is None else str(verdict)
