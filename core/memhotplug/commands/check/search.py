"""The search by breadth: all sequences of one operation, of two, of three …, each state but once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from memhotplug.commands.check.apart import block_apart, zone_apart
from memhotplug.commands.check.crew import ENOUGH_TO_SHARE, Alone, Crew, Kept, Outcome, Several, can_fork
from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.moves import NOTHING, Move
from memhotplug.commands.check.question import Question
from memhotplug.commands.check.walk import Spot, Walker

__all__ = ["Finding", "Kind", "Observer", "Progress", "Search", "Step"]

_ROUND: Final = 32
"""States that are looked at before the answers are put together: how late a search sees that its time is over."""
_AHEAD: Final = 32
"""Rounds that are handed out at a time."""


Kind: TypeAlias = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the way to a finding, and what it was refused with, None if it was not."""

    move: Move
    errno: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A law that was broken, and the shortest way there."""

    broken: Broken
    steps: tuple[Step, ...]

    @property
    def kind(self) -> Kind:
        """What makes it the same as another: the law, the operation that broke it, and what went wrong in it."""
        if not self.steps:
            return self.broken.invariant, "", None
        last = self.steps[-1].move
        return self.broken.invariant, last.op, last.fault


@dataclass(slots=True)
class Progress:
    """How far a search has come.

    Attributes:
        states: different machines that were met.
        transitions: operations that were tried.
        depth: operations after which all that can be was looked at.
        exhausted: whether nothing is left within the depth that was asked for.
        closed: whether nothing is left at all, however long one goes on.
        interrupted: whether somebody stopped it.
        late: whether the time that was given ended it.
        lives: random lives that were lived beyond the search.
        findings: the shortest way to break each law, by kind.
    """

    states: int = 1
    transitions: int = 0
    depth: int = 0
    exhausted: bool = False
    closed: bool = False
    interrupted: bool = False
    late: bool = False
    lives: int = 0
    findings: dict[Kind, Finding] = field(default_factory=dict)


Observer: TypeAlias = Callable[[Progress], None]


class Search:
    """One search.

    Args:
        walker: tries operations.
        start: where it begins.
        question: how far to go.
        budget: operations that may be tried.
        observe: is told of the progress after each round.
    """

    def __init__(
        self, walker: Walker, start: Spot, question: Question, budget: int, observe: Observer = lambda progress: None
    ) -> None:
        self._question = question
        self._budget = budget
        self._observe = observe
        self._crew: Crew = Alone(walker, start)
        self._numbers = {walker.form(start): 0}
        self._parents: list[int] = [-1]
        self._moves: list[Step | None] = [None]
        self._edges: dict[int, dict[str, int]] = {}
        self._looks: dict[int, bytes] = {}
        self._named: dict[str, Move] = {}
        self._walker, self._start = walker, start
        self._until = None if question.seconds is None else time.monotonic() + question.seconds
        self.progress = Progress()

    def run(self) -> Progress:
        """Search until everything was seen, the budget is spent, or somebody interrupts."""
        progress = self.progress
        level = [0]
        try:
            while level and progress.depth < self._question.depth and not self._is_over():
                level, complete = self._level(level)
                if not complete:
                    break
                progress.depth += 1
            else:
                progress.closed = not level
                progress.exhausted = progress.closed or progress.depth >= self._question.depth
            progress.late = not progress.exhausted and self.is_late()
            self._orders()
        except KeyboardInterrupt:
            progress.interrupted, progress.exhausted, progress.closed = True, False, False
        finally:
            self._crew.close()
        return progress

    def is_late(self) -> bool:
        """Whether the time that was given is over."""
        return self._until is not None and time.monotonic() >= self._until

    def _is_over(self) -> bool:
        return self.is_late() or self.progress.transitions >= self._budget

    def _level(self, numbers: Sequence[int]) -> tuple[list[int], bool]:
        """Look at all states of one depth; return the new ones, and whether there was budget for all."""
        self._share(numbers)
        self._crew.balance(numbers, lambda number: [step.move for step in self._way(number)])
        rounds = [numbers[low : low + _ROUND] for low in range(0, len(numbers), _ROUND)]
        for part in rounds[:_AHEAD]:
            self._crew.ask(part)
        found: list[int] = []
        for index, part in enumerate(rounds):
            if self._is_over():
                return found, False
            answers = self._crew.answer()
            if index + _AHEAD < len(rounds):
                self._crew.ask(rounds[index + _AHEAD])
            new: list[Kept] = []
            complete = all(self._learn(*pair, new) for pair in zip(part, answers, strict=True))
            self._crew.keep(new, part)
            found += [kept.number for kept in new]
            self._observe(self.progress)
            if not complete:
                return found, False
        return found, True

    def _share(self, numbers: Sequence[int]) -> None:
        jobs = self._question.jobs
        if jobs > 1 and isinstance(self._crew, Alone) and len(numbers) >= ENOUGH_TO_SHARE and can_fork():
            self._crew = Several(self._crew, numbers, jobs)

    def _learn(self, number: int, outcomes: Sequence[Outcome], new: list[Kept]) -> bool:
        """Take in what can happen at a state; return whether the budget allowed it."""
        edges = self._edges.setdefault(number, {})
        for index, outcome in enumerate(outcomes):
            if self.progress.transitions >= self._budget:
                return False
            self.progress.transitions += 1
            move = self._named.setdefault(outcome.move.text, outcome.move)  # each once in memory
            step = Step(move, outcome.errno)
            for broken in outcome.broken:
                self._note(Finding(broken, (*self._way(number), *([step] if move != NOTHING else []))))
            if not outcome.form:
                continue
            known = self._numbers.get(outcome.form)
            if known is None:
                known = self._numbers[outcome.form] = len(self._parents)
                self._parents.append(number)
                self._moves.append(step)
                self.progress.states += 1
                new.append(Kept(number, index, known))
            if outcome.look:
                edges[move.text] = known
                self._looks[known] = outcome.look
        return True

    def _note(self, finding: Finding) -> None:
        self.progress.findings.setdefault(finding.kind, finding)

    def _way(self, number: int) -> tuple[Step, ...]:
        steps: list[Step] = []
        while number > 0:
            step = self._moves[number]
            assert step is not None
            steps.append(step)
            number = self._parents[number]
        return tuple(reversed(steps))

    # ---- orders that must not matter ----

    def _orders(self) -> None:
        """Compare the two orders of every two requests that different blocks got, where both ways were tried."""
        for number, edges in self._edges.items():
            for first, second in _pairs(edges):
                one, other = self._after(edges[first], second), self._after(edges[second], first)
                if one is not None and other is not None and self._looks[one] != self._looks[other]:
                    found = self._order_matters(number, first, second)
                    if found is not None:
                        self._note(found)

    def _after(self, number: int, move: str) -> int | None:
        return self._edges.get(number, {}).get(move)

    def _order_matters(self, number: int, first: str, second: str) -> Finding | None:
        """Return the finding that an order matters, None where only the kernel's own pages lie elsewhere."""
        way = [step.move for step in self._way(number)]
        orders = [[*way, self._named[first], self._named[second]], [*way, self._named[second], self._named[first]]]
        one, other = (self._walker.follow(self._start, moves).machine.kernel for moves in orders)
        apart = block_apart(one, other) or zone_apart(one, other, ("start_pfn", "spanned", "present", "managed"))
        if apart is None:
            return None
        text = (
            f"order: '{first}' and '{second}' leave {apart.what} otherwise if done the other way round "
            f"({apart.mine}, not {apart.theirs})"
        )
        return Finding(Broken("order", text, apart.expect), tuple(Step(move, None) for move in orders[0]))


def _pairs(edges: dict[str, int]) -> Iterator[tuple[str, str]]:
    moves = list(edges)
    for index, first in enumerate(moves):
        for second in moves[index + 1 :]:
            if first.split()[2] != second.split()[2]:
                yield first, second
