"""Random lives find what lies deeper than a search by breadth comes, and are cut down to what it takes."""

from __future__ import annotations

import itertools
import multiprocessing
import random

import pytest
from tests.unit.commands.check.conftest import scenario

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.crew import can_fork
from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.lives import LIFE, _serve, add_lives, live, shortened
from memhotplug.commands.check.moves import Move, Moves
from memhotplug.commands.check.search import Finding, Progress, Step
from memhotplug.commands.check.walk import Spot, Tried, Walker
from memhotplug.commands.run.runner import run_scenario

DEVICE = "drivers: {acpi: {mhp_flags: device}}\n"


def walker_of(explore: str = "{drivers: acpi, blocks: 3}", rest: str = DEVICE) -> tuple[Walker, Machine]:
    """Return who tries operations, and the machine to begin from."""
    given = scenario(explore=explore, rest=rest)
    machine = run_scenario(given).machine
    return Walker(Moves(machine.kernel, given.explore, ("acpi",), Installed()), faults=False), machine


def test_lives_find_a_broken_law_and_shorten_it() -> None:
    """The first block hosts the memmap of the second: two steps are left of a life."""
    walker, machine = walker_of()
    progress = Progress()
    add_lives(progress, live(walker, walker.start(machine), 1, budget=400, faults=False))
    shortest = min(progress.findings.values(), key=lambda finding: len(finding.steps))
    assert [step.move.op for step in shortest.steps] == ["add", "remove"]
    assert progress.transitions >= 400


def test_progress_is_told_of_after_every_life() -> None:
    """How many there were, and how many operations they took."""
    walker, machine = walker_of("{drivers: acpi, blocks: 1, operations: [add, remove]}", "")
    told: list[tuple[int, int]] = []
    progress = Progress()
    lives = live(walker, walker.start(machine), 0, budget=60, faults=False)
    add_lives(progress, lives, lambda progress: told.append((progress.lives, progress.transitions)))
    assert told == [(1, LIFE), (2, 2 * LIFE), (3, 3 * LIFE)]


def test_a_life_ends_after_so_many_operations() -> None:
    """What breaks nothing goes on to its end."""
    walker, machine = walker_of("{drivers: acpi, blocks: 1, operations: [add, remove]}", "")
    counts = list(live(walker, walker.start(machine), 0, budget=60, faults=False))
    assert counts == [LIFE, LIFE, LIFE]


def test_what_is_not_needed_is_left_out() -> None:
    """One device has to lie before the other, since a removal names its block; the two writes did nothing."""
    walker, machine = walker_of("{drivers: acpi, blocks: 4}")
    words = [
        ("write", {"path": "memory/auto_online_blocks", "value": "online"}),
        ("add", {"driver": "acpi", "name": "m0", "size": "128M"}),
        ("write", {"path": "memory/auto_online_blocks", "value": "offline"}),
        ("add", {"driver": "acpi", "name": "m1", "size": "256M"}),
        ("remove", {"range": "block 33"}),
    ]
    steps = tuple(Step(Move(op, tuple(keys.items())), None) for op, keys in words)
    long = Finding(Broken("I11", "I11: …"), steps)
    short = shortened(walker, walker.start(machine), long)
    assert [step.move.op for step in short.steps] == ["add", "add", "remove"]
    assert short.kind == long.kind


def test_faults_that_do_nothing_are_left_out() -> None:
    """A veto of an event that nobody is told, and an allocation that nobody asks for; also in the last step."""
    walker, machine = walker_of("{drivers: acpi, blocks: 4}")
    words: list[tuple[str, dict[str, object]]] = [
        (
            "add",
            {"driver": "acpi", "name": "m0", "size": "256M", "veto": {"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"}},
        ),
        ("remove", {"range": "block 32", "fail_allocation": 7}),
    ]
    steps = tuple(Step(Move(op, tuple(keys.items())), None) for op, keys in words)
    short = shortened(walker, walker.start(machine), Finding(Broken("I11", "I11: …"), steps))
    assert [step.move.text for step in short.steps] == ["add acpi m0 size 256M", "remove block 32"]
    assert short.kind == ("I11", "remove", None)


def test_a_fault_that_it_takes_stays() -> None:
    """Without the veto nothing breaks."""
    walker, machine = walker_of("{drivers: acpi, blocks: 1}")
    words: list[tuple[str, dict[str, object]]] = [
        ("add", {"driver": "acpi", "name": "m0", "size": "128M", "fail_allocation": 60}),
        ("online", {"range": "block 32", "zone": "kernel", "veto": {"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"}}),
    ]
    steps = tuple(Step(Move(op, tuple(keys.items())), None) for op, keys in words)
    short = shortened(walker, walker.start(machine), Finding(Broken("I17", "I17: …"), steps))
    assert [step.move.text for step in short.steps] == [
        "add acpi m0 size 128M",
        "online block 32 zone kernel veto MEM_GOING_ONLINE ENOMEM",
    ]


def test_sizes_are_as_small_as_will_do() -> None:
    """Two blocks break the law that four broke; one does not."""
    walker, machine = walker_of("{drivers: acpi, blocks: 4, sizes: [128M, 256M, 512M]}")
    words = [("add", {"driver": "acpi", "name": "m0", "size": "512M"}), ("remove", {"range": "block 32"})]
    steps = tuple(Step(Move(op, tuple(keys.items())), None) for op, keys in words)
    short = shortened(walker, walker.start(machine), Finding(Broken("I11", "I11: …"), steps))
    assert [step.move.text for step in short.steps] == ["add acpi m0 size 256M", "remove block 32"]
    assert short.broken.text == "I11: the memmap of blocks 33 lies in removed memory (1024 pages)"


def test_lives_depend_on_seed_and_number_alone() -> None:
    """The global generator is neither used nor disturbed."""
    walker, machine = walker_of()
    random.seed(5)
    before = random.getstate()
    one = list(live(walker, walker.start(machine), 3, budget=100, faults=True))
    assert random.getstate() == before
    random.seed(6)
    assert one == list(live(walker, walker.start(machine), 3, budget=100, faults=True))


@pytest.mark.skipif(not can_fork(), reason="this system has no fork()")
@pytest.mark.parametrize("rest", [DEVICE, ""], ids=["broken", "sound"])
def test_several_processes_live_the_same_lives(rest: str) -> None:
    """In the same order, and not one more than the budget allows."""
    walker, machine = walker_of(rest=rest)
    one, three = (list(live(walker, walker.start(machine), 3, budget=150, faults=True, jobs=jobs)) for jobs in (1, 3))
    assert one == three


@pytest.mark.skipif(not can_fork(), reason="this system has no fork()")
def test_what_goes_wrong_in_another_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be without one."""

    def broken(self: Walker, spot: Spot, move: Move) -> Tried:
        raise RuntimeError("no such luck")

    walker, machine = walker_of()
    monkeypatch.setattr(Walker, "try_move", broken)
    with pytest.raises(RuntimeError, match="no such luck"):
        list(live(walker, walker.start(machine), 3, budget=150, faults=True, jobs=2))


@pytest.mark.skipif(not can_fork(), reason="this system has no fork()")
def test_nobody_lives_on_when_who_asks_has_gone() -> None:
    """Even where the process inherited the other end of its own pipe."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve, args=(there, [here], lambda number: (number, None), itertools.count()), daemon=True
    )
    process.start()
    there.close()
    assert here.recv() == (0, None)
    here.close()
    process.join(60)
    assert process.exitcode == 0
