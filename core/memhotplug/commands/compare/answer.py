"""Running the variations of a scenario and measuring what comes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from memhotplug.commands.compare.granularity import Removable, removable
from memhotplug.commands.compare.measure import Measures, measure
from memhotplug.commands.compare.question import Variant
from memhotplug.commands.run.runner import RunResult, boot_scenario, run_scenario
from memhotplug.errors import InputError, PluginError
from memhotplug.formats.scenario import ExpectStep, Scenario, Step
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["Compared", "Failure", "Fullest", "compare"]

_TAKES_NOTHING: Final = ("online", "allocate", "release", "expect")
"""Steps behind which there is as much memory as before, or more, whatever becomes of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A step that did not do what the scenario says; ``errno`` is None if it did not fail but should have."""

    step: int
    op: str
    errno: str | None
    message: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What came of one variation.

    Attributes:
        arch, kernel: what it ran under.
        refused: why it could not be run at all: this kernel or machine lacks what the scenario asks
            for. Then nothing else is there.
        failures: the steps that did not do what the scenario says; those behind them ran all the same.
        violations: invariants that do not hold at the end.
        measured_after: the step after which the machine of the first variation had most hot-added memory online,
            the last such one, so that all are measured at the same moment and a scenario that takes its memory out
            again has something to show; None if none ran.
        machine: the machine at that moment; measures: of it.
        removable: one entry for each device that there was then.
    """

    values: dict[str, str]
    label: str
    arch: str
    kernel: str
    refused: str | None
    failures: tuple[Failure, ...]
    violations: tuple[str, ...]
    measured_after: tuple[int, str] | None
    machine: Machine | None
    measures: Measures | None
    removable: tuple[Removable, ...]

    @property
    def ok(self) -> bool:
        """Whether every step did what the scenario says."""
        return self.refused is None and not self.failures

    @property
    def outcome(self) -> str:
        """The result in a word or two."""
        if self.refused is not None:
            return "refused"
        if self.failures:
            first = self.failures[0]
            return f"{first.op} (step {first.step}): {first.errno or 'not as expected'}"
        return "ok"


def compare(found: Sequence[Variant]) -> list[Compared]:
    """Run every variation; ``expect`` steps are left out, for they say what one of them should give.

    Raises:
        InputError: not a single one can be run; the error of the first.
        PluginError: a plugin is missing, broken, or takes too long.
    """
    done: list[Compared] = []
    first: InputError | None = None
    for variant in found:
        moment = next((entry.measured_after for entry in done if entry.measured_after is not None), None)
        try:
            done.append(_run(variant, moment))
        except PluginError:
            raise
        except InputError as problem:
            first = first or problem
            done.append(_refused(variant, problem))
    if first is not None and all(entry.refused is not None for entry in done):
        raise first
    return done


def _without_expectations(scenario: Scenario) -> Scenario:
    return replace(scenario, steps=tuple(step for step in scenario.steps if not isinstance(step.args, ExpectStep)))


class Fullest:
    """Keeps the machine as it was when it had most hot-added memory: most of it online, then most of it there.

    Args:
        moment: index and operation of the step after which it is kept instead.
        begun: a machine that is what this one is now, and stays so; a copy if nobody has one.
        steps: all that will be looked at, so that nothing is copied that the next of them is sure to replace.
    """

    def __init__(
        self,
        machine: Machine,
        moment: tuple[int, str] | None = None,
        *,
        begun: Machine | None = None,
        steps: Sequence[Step] = (),
    ) -> None:
        self._running, self._moment = machine, moment
        self._most = self._memory()
        self.machine = begun or machine.copy()
        self.step: tuple[int, str] | None = None
        self._replaced = {step.index for step, then in pairwise(steps) if then.op in _TAKES_NOTHING}
        self._replaced |= {step.index for step in steps[-1:]}

    def look(self, step: Step, record: StepRecord) -> None:
        """Look at the machine after a step."""
        now = self._memory()
        if now >= self._most if self._moment is None else (step.index, step.op) == self._moment:
            self.machine = self._running if step.index in self._replaced else self._running.copy()
            self._most, self.step = now, (step.index, step.op)

    def _memory(self) -> tuple[int, int]:
        hot = self._running.kernel.state.blocks.tally("early", "state")
        online = hot.get((False, BlockState.ONLINE), 0)
        return online, sum(count for (early, _), count in hot.items() if not early)


def _run(variant: Variant, moment: tuple[int, str] | None) -> Compared:
    """Run a variant to its end: what is refused on the way is an outcome, and the next step follows."""
    scenario = _without_expectations(variant.scenario)
    machine = boot_scenario(scenario)
    fullest = Fullest(machine, moment)
    result = run_scenario(scenario, machine=machine, on_step=fullest.look, go_on=True)
    return Compared(
        values=variant.values,
        label=variant.label,
        arch=variant.scenario.machine.arch,
        kernel=variant.scenario.machine.kernel,
        refused=None,
        failures=tuple(_failures(result)),
        violations=tuple(result.machine.violations()),
        measured_after=fullest.step,
        machine=fullest.machine,
        measures=measure(fullest.machine),
        removable=tuple(removable(fullest.machine)),
    )


def _failures(result: RunResult) -> list[Failure]:
    return [
        Failure(step=record["index"], op=record["op"], errno=record["errno"], message=record["message"])
        for record in result.steps
        if not record["ok"]
    ]


def _refused(variant: Variant, problem: InputError) -> Compared:
    """Return the entry of a variation that cannot be; a place in the file would be that of another value."""
    text = str(problem.at(path=problem.path))
    return Compared(
        values=variant.values, label=variant.label, arch=variant.scenario.machine.arch,
        kernel=variant.scenario.machine.kernel, refused=text, failures=(), violations=(), measured_after=None,
        machine=None, measures=None, removable=(),
    )  # fmt: skip
