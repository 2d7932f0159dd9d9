"""Who does the work of a search: shares are evened out, and nobody sees it in the answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import pytest
from tests.unit.commands.check.conftest import MAINLINE, explored, scenario

from memhotplug import InputError
from memhotplug.catalog import Installed
from memhotplug.commands.check import crew, search
from memhotplug.commands.check.answer import Answer
from memhotplug.commands.check.crew import Alone, Outcome, Several, can_fork
from memhotplug.commands.check.moves import Move, Moves
from memhotplug.commands.check.walk import Walker
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario.explore import EXPLORED

needs_fork = pytest.mark.skipif(not can_fork(), reason="this system has no fork()")


@dataclass
class Watched:
    """How uneven shares were before and after they were evened out, one entry a round."""

    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


def unevenness(several: Several, numbers: Sequence[int]) -> int:
    """Return how many states the largest share has more than the smallest."""
    owners = [several._owner[number] for number in numbers]
    sizes = [owners.count(index) for index in range(len(several._pipes))]
    return max(sizes) - min(sizes)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Evening out from the first states on, whatever little there is to gain."""
    seen, balance = Watched(), Several.balance

    def watch(self: Several, numbers: Sequence[int], way: Callable[[int], Sequence[Move]]) -> None:
        seen.before.append(unevenness(self, numbers))
        balance(self, numbers, way)
        seen.after.append(unevenness(self, numbers))

    monkeypatch.setattr(Several, "balance", watch)
    monkeypatch.setattr(search, "ENOUGH_TO_SHARE", 2)
    monkeypatch.setattr(crew, "_UNEVEN", 1 << 40)
    return seen


def both(operations: int = 1500, *, faults: bool = False) -> tuple[Answer, Answer]:
    """Return the answers of one process and of three."""
    given = scenario(MAINLINE)
    one, three = (explored(given, depth=4, operations=operations, jobs=jobs, faults=faults) for jobs in (1, 3))
    return one, three


@needs_fork
@pytest.mark.parametrize(("operations", "faults"), [(1500, False), (4000, True)])
def test_states_move_and_the_answer_does_not(watched: Watched, operations: int, faults: bool) -> None:
    """Who has too many hands some over; they are what they were, faults on the way there included."""
    one, three = both(operations, faults=faults)

    assert max(watched.before) > 1
    assert max(watched.after) <= 3 - 1
    assert asdict(one.progress) == asdict(three.progress)
    assert one.findings == three.findings


@needs_fork
def test_a_state_that_cannot_be_reached_again_is_a_finding(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a plugin that does something else the second time."""
    monkeypatch.setattr(Alone, "adopt", lambda self, ways: None)
    _, three = both()

    text = "repeat: the same operations do not lead to the same machine twice"
    found, *_ = [finding for finding in three.findings if finding.broken.text == text]
    assert {step.move.op for step in found.steps} <= set(EXPLORED)
    assert not three.broken_already


@needs_fork
def test_a_process_that_goes_is_named(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when memory runs out; what it would have found nobody knows, so that there is no verdict."""
    around, here = Alone.around, os.getpid()

    def killed(self: Alone, numbers: Sequence[int]) -> list[list[Outcome]]:
        return around(self, numbers) if os.getpid() == here else os._exit(9)

    monkeypatch.setattr(Alone, "around", killed)
    with pytest.raises(InputError) as caught:
        both()
    assert str(caught.value) == (
        "--jobs: got one that has gone, expected processes that live as long as the search; fewer, if memory ran out"
    )


@needs_fork
def test_nobody_stays_when_who_asks_has_gone() -> None:
    """Killed, say; nobody then tells the others to end."""
    given = scenario(MAINLINE)
    machine = run_scenario(given).machine
    walker = Walker(Moves(machine.kernel, given.explore, ("acpi",), Installed()), faults=False)
    several = Several(Alone(walker, walker.start(machine)), [0], 3)
    for pipe in several._pipes:
        pipe.close()
    for process in several._processes:
        process.join(60)
    assert [process.exitcode for process in several._processes] == [0, 0, 0]
    several.close()
