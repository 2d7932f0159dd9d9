"""Random lives: longer sequences than a search by breadth comes to, and what is left of one that breaks a law."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from memhotplug.commands.check.crew import can_fork, received, stand_alone
from memhotplug.commands.check.moves import Move
from memhotplug.commands.check.search import Finding, Progress, Step
from memhotplug.commands.check.walk import Spot, Tried, Walker
from memhotplug.output.watchdog import limit, limited
from memhotplug.units import parse_size

__all__ = ["LIFE", "add_lives", "live", "shortened"]

LIFE: Final = 24
"""Operations of one life."""
_FAULTS: Final = 4
"""One operation in so many goes wrong, where faults are asked for."""


_Life: TypeAlias = tuple[int, Finding | None]
"""How many operations a life took, and what it broke, shortened."""


def live(
    walker: Walker, start: Spot, seed: int, *, budget: int, faults: bool, jobs: int = 1
) -> Generator[Finding | int, None, None]:
    """Yield the operations that each life took, and what it broke, shortened.

    Args:
        seed: what all lives depend on, and on nothing else but their number.
        budget: operations that may be tried; the last life is not cut short.
        jobs: processes; the answer does not depend on it.
    """

    def one(number: int) -> _Life:
        steps, finding = _one(walker, start, random.Random(f"{seed}:{number}"), faults)
        return steps, finding if finding is None else shortened(walker, start, finding)

    with ExitStack() as stack:
        lives = stack.enter_context(_shared(one, jobs)) if jobs > 1 and can_fork() else map(one, itertools.count())
        while budget > 0:
            steps, finding = next(lives)
            budget -= steps
            yield steps
            if finding is not None:
                yield finding


@contextmanager
def _shared(one: Callable[[int], _Life], jobs: int) -> Iterator[Iterator[_Life]]:
    """Live in several processes, each every so many lives, as far ahead as their pipes take; yield them in order."""
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for index in range(jobs):
        here, there = context.Pipe(duplex=False)
        pipes.append(here)
        process = context.Process(target=_serve, args=(there, pipes, one, itertools.count(index, jobs)), daemon=True)
        process.start()
        there.close()
        processes.append(process)
    try:
        yield map(received, itertools.cycle(pipes))
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _serve(pipe: Connection, others: Iterable[Connection], one: Callable[[int], _Life], numbers: Iterator[int]) -> None:
    stand_alone(others)
    with suppress(OSError):  # it has gone
        for number in numbers:
            try:
                with limited(limit()):  # alarms are not inherited
                    life = one(number)
            except Exception as problem:  # whoever asked reports it
                pipe.send(problem)
                return
            pipe.send(life)


def _one(walker: Walker, start: Spot, chance: random.Random, faults: bool) -> tuple[int, Finding | None]:
    spot, steps = start, []
    for count in range(LIFE):
        moves = list(walker.moves.all(spot.machine.kernel))
        if not moves:
            return count, None
        move = _with_fault(walker, spot, _drawn(moves, chance), chance) if faults else _drawn(moves, chance)
        tried = walker.try_move(spot, move)
        steps.append(Step(move, tried.errno))
        if tried.broken:
            return count + 1, Finding(tried.broken[0], tuple(steps))
        if tried.spot is None:
            return count + 1, None
        spot = tried.spot
    return LIFE, None


def _drawn(moves: Sequence[Move], chance: random.Random) -> Move:
    """Draw an operation first, so that the one with the most variants does not crowd out the others."""
    op = chance.choice(sorted({move.op for move in moves}))
    return chance.choice([move for move in moves if move.op == op])


def _with_fault(walker: Walker, spot: Spot, move: Move, chance: random.Random) -> Move:
    if chance.randrange(_FAULTS):
        return move
    vetoes = list(walker.moves.vetoes(spot.machine.kernel, move))
    if vetoes and chance.randrange(2):
        return chance.choice(vetoes)
    return move.with_fault("fail_allocation", chance.randrange(8))


def shortened(walker: Walker, start: Spot, finding: Finding) -> Finding:
    """Return the same law broken by as few of the steps as will do, and these with sizes as small as will do."""
    best = finding
    while True:
        ways = (_replayed(walker, start, moves) for moves in _simpler(best, walker.moves.sizes))
        found = next((way for way in ways if way is not None and _is_as_good(way, finding)), None)
        if found is None:
            return best
        best = found


def _is_as_good(way: Finding, finding: Finding) -> bool:
    """Return whether the same operation breaks the same law, by the same fault or by none at all."""
    return way.kind in (finding.kind, (*finding.kind[:2], None))


def _simpler(finding: Finding, sizes: Sequence[int]) -> Iterator[list[Move]]:
    """Yield the steps without one of them, then with nothing going wrong in one, then with one of them smaller."""
    moves = [step.move for step in finding.steps]
    for index in range(len(moves) - 1):
        yield moves[:index] + moves[index + 1 :]
    for index, move in enumerate(moves):
        if move.fault is not None:
            yield [*moves[:index], move.without_fault(), *moves[index + 1 :]]
    for index, move in enumerate(moves):
        held = dict(move.keys).get("size")
        for size in sizes:
            if held is not None and size < parse_size(str(held)):
                yield [*moves[:index], move.with_size(size), *moves[index + 1 :]]


def _replayed(walker: Walker, start: Spot, moves: Sequence[Move]) -> Finding | None:
    """Return what some moves break, one after the other; None for nothing."""
    spot, steps = start, []
    for move in moves:
        tried: Tried = walker.try_move(spot, move)
        steps.append(Step(move, tried.errno))
        if tried.broken:
            return Finding(tried.broken[0], tuple(steps))
        if tried.spot is None:
            return None
        spot = tried.spot
    return None


def add_lives(
    progress: Progress, found: Iterator[Finding | int], observe: Callable[[Progress], None] = lambda progress: None
) -> None:
    """Take what lives found into the progress of a search; tell of each life."""
    for item in found:
        if isinstance(item, int):
            progress.transitions += item
            progress.lives += 1
        else:
            known = progress.findings.get(item.kind)
            if known is None or len(item.steps) < len(known.steps):
                progress.findings[item.kind] = item
        observe(progress)
