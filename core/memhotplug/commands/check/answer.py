"""The answer of ``mhp check``: what was looked at, and what broke."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile

from memhotplug.commands.check.against import Against, other_scenario
from memhotplug.commands.check.laws import Broken, broken_invariants
from memhotplug.commands.check.lives import add_lives, live
from memhotplug.commands.check.moves import Moves
from memhotplug.commands.check.question import Question
from memhotplug.commands.check.search import Finding, Kind, Observer, Progress, Search
from memhotplug.commands.check.walk import Spot, Walker
from memhotplug.commands.run.runner import RunResult, run_scenario
from memhotplug.engine.memory_hotplug.presence import absence, usual_driver
from memhotplug.errors import InputError
from memhotplug.formats.scenario import AddStep, Scenario
from memhotplug.formats.scenario.catalog import Catalog
from memhotplug.machine import Machine

__all__ = ["Answer", "check"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came of a check.

    Attributes:
        question: what was asked.
        progress: how far it went, and the findings by kind.
        start: the machine that it began from.
        moves: what could happen.
        against: what the machine was held against, None for nothing.
    """

    question: Question
    progress: Progress
    start: Machine
    moves: Moves
    against: str | None

    @property
    def findings(self) -> list[Finding]:
        """The findings, the shortest first, each kind once; with a fault only where it takes one."""
        found = self.progress.findings
        needed = [one for (law, op, fault), one in found.items() if fault is None or (law, op, None) not in found]
        return sorted(needed, key=lambda finding: (len(finding.steps), finding.kind[:2]))

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.progress.findings

    @property
    def broken_already(self) -> bool:
        """Whether the machine is broken at the end of the scenario, from which nothing is tried."""
        return not self.progress.transitions and not self.ok


def check(
    scenario: Scenario,
    question: Question,
    *,
    catalog: Catalog,
    against: str | None = None,
    observe: Observer = lambda progress: None,
) -> Answer:
    """Explore what can happen after a scenario.

    Args:
        against: another kernel or policy that the machine is held against, None for none.
        observe: is told how far the search has come.

    Raises:
        InputError: the scenario cannot be run to its end, or there is nothing to explore.
    """
    with catalog.using(scenario.plugins):
        return _check(scenario, question, catalog, against, observe)


def _check(
    scenario: Scenario,
    question: Question,
    catalog: Catalog,
    against: str | None,
    observe: Observer,
) -> Answer:
    machine = _at_the_end(scenario)
    _all_there(machine, scenario)
    moves = Moves(machine.kernel, scenario.explore, _drivers(scenario, machine), catalog)
    twin = None
    if against is not None:
        other = other_scenario(scenario, against, moves.drivers, catalog)
        twin = Against(against, _at_the_end(other))
    walker = Walker(moves, faults=question.faults, against=twin)
    start = walker.start(machine)
    broken = broken_invariants(machine.kernel) if twin is None else []
    if broken:
        return _broken_already(question, machine, moves, broken)
    if not any(moves.all(machine.kernel)):
        expected = "something to explore; what 'explore' allows, this machine cannot do"
        raise InputError(expected, file=scenario.file, path="explore")
    reserve = _reserve(question) if twin is None else 0
    search = Search(walker, start, question, question.operations - reserve, observe)
    progress = search.run()
    if twin is None and not (progress.exhausted or progress.interrupted or progress.late):
        _live(walker, start, question, search, observe)
    return Answer(question=question, progress=progress, start=machine, moves=moves, against=against)


def _reserve(question: Question) -> int:
    """Return how many of the operations are for random lives, which hold no machine against another."""
    return question.operations // 4


def _live(walker: Walker, start: Spot, question: Question, search: Search, observe: Observer) -> None:
    progress = search.progress
    budget = max(question.operations - progress.transitions, 1)
    lives = live(walker, start, question.seed, budget=budget, faults=question.faults, jobs=question.jobs)
    try:
        with closing(lives):
            add_lives(progress, takewhile(lambda _: not search.is_late(), lives), observe)
        progress.late = search.is_late()
    except KeyboardInterrupt:
        progress.interrupted = True


def _at_the_end(scenario: Scenario) -> Machine:
    result: RunResult = run_scenario(scenario)
    if result.failure is not None:
        raise InputError(f"a scenario whose own steps do what it says ({result.failure})", file=scenario.file)
    return result.machine


def _all_there(machine: Machine, scenario: Scenario) -> None:
    """Refuse drivers that the machine does not have: all that could be tried of them is a refusal."""
    for driver in scenario.explore.drivers or ():
        problem = absence(machine.kernel, driver)
        if problem is not None:
            expected = f"drivers that this machine has; {problem.reason}"
            raise InputError(expected, got=driver, file=scenario.file, path="explore.drivers")


def _drivers(scenario: Scenario, machine: Machine) -> list[str]:
    """Return the drivers that the scenario names; without any, the usual one of the architecture."""
    named = [step.args.driver for step in scenario.steps if isinstance(step.args, AddStep)]
    named += [*scenario.drivers, *(device.driver for device in machine.kernel.state.devices)]
    return list(dict.fromkeys(named)) or [usual_driver(machine.kernel.arch)]


def _broken_already(question: Question, machine: Machine, moves: Moves, broken: list[Broken]) -> Answer:
    findings: dict[Kind, Finding] = {(law.invariant, "", None): Finding(law, ()) for law in broken}
    progress = Progress(findings=findings)
    return Answer(question=question, progress=progress, start=machine, moves=moves, against=None)
