"""Who does the work of a search: this process, or several, with the same answer.

Every state lives in the process that made it; what travels are moves, forms and sentences. The first
states are made by one process, which then forks: the others find in their memory what they go on from. Who made a
state goes on from it; where one comes to have far more than the others, they go the way to some of its states anew.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, Protocol

from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.moves import Move
from memhotplug.output.watchdog import limit, limited
from memhotplug.units import div_round_up

if TYPE_CHECKING:
    from memhotplug.commands.check.walk import Spot, Walker

__all__ = ["ENOUGH_TO_SHARE", "Alone", "Crew", "Kept", "Outcome", "Several", "can_fork"]

ENOUGH_TO_SHARE: Final = 64
"""States to go on from that are worth several processes."""
_UNEVEN: Final = 16
"""A share may be larger than a fair one by a part of so many before any of it moves."""
_ELSEWHERE: Final = Broken("repeat", "repeat: the same operations do not lead to the same machine twice")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search learns of one operation that was tried at a state.

    Attributes:
        move, errno, broken: as in ``Tried``.
        form: the normal form of the machine after it, empty where nothing can follow.
    """

    move: Move
    errno: str | None
    broken: tuple[Broken, ...]
    form: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A new state: the outcome ``index`` of the state ``parent`` gets a number."""

    parent: int
    index: int
    number: int


class Crew(Protocol):
    """Those who know the states by number and try what can happen at them."""

    def around(self, numbers: Sequence[int]) -> list[list[Outcome]]:
        """Return for each state what can happen there, always in the same order."""
        ...

    def keep(self, new: Sequence[Kept], drop: Sequence[int]) -> None:
        """Learn which outcomes of the last round are new states, and which states are done with."""
        ...

    def balance(self, numbers: Sequence[int], way: Callable[[int], Sequence[Move]]) -> None:
        """Share anew the states of a round, each reached by its way from the start."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Alone:
    """This process, which keeps all states."""

    def __init__(self, walker: Walker, start: Spot) -> None:
        self._walker = walker
        self._start = start
        self._spots: dict[int, Spot] = {0: start}
        self._fresh: dict[tuple[int, int], Spot] = {}

    def keep_only(self, numbers: Iterable[int]) -> None:
        """Forget all other states."""
        self._spots = {number: self._spots[number] for number in numbers}

    def around(self, numbers: Sequence[int]) -> list[list[Outcome]]:
        """Return for each state what can happen there."""
        return [self._around(number) for number in numbers]

    def _around(self, number: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        seen: set[bytes] = set()
        spot = self._spots.get(number)
        if spot is None:  # it was adopted, and its way led elsewhere
            return [Outcome(Move("copy", ()), None, (_ELSEWHERE,), b"")]
        for tried in self._walker.around(spot):
            if tried.spot is not None and tried.form not in seen:
                seen.add(tried.form)
                self._fresh[number, len(outcomes)] = tried.spot
            outcomes.append(Outcome(tried.move, tried.errno, tried.broken, tried.form))
        return outcomes

    def keep(self, new: Sequence[Kept], drop: Sequence[int]) -> None:
        """Keep the new states that were made here."""
        for kept in new:
            spot = self._fresh.get((kept.parent, kept.index))
            if spot is not None:
                self._spots[kept.number] = spot
        self._fresh.clear()
        for number in drop:
            self._spots.pop(number, None)

    def balance(self, numbers: Sequence[int], way: Callable[[int], Sequence[Move]]) -> None:
        """Leave all states where they are: there is nobody else."""

    def adopt(self, ways: Iterable[tuple[int, Sequence[Move]]]) -> None:
        """Go the way to states that another process made."""
        for number, moves in ways:
            spot: Spot | None = self._start
            for move in moves:
                spot = None if spot is None else self._walker.try_move(spot, move).spot
            if spot is not None:
                self._spots[number] = spot

    def close(self) -> None:
        """Forget everything."""
        self._spots.clear()


class Several:
    """Processes that each go on from a share of the states.

    Args:
        alone: who knows the states so far.
        numbers: the states to go on from.
        jobs: how many processes.
    """

    def __init__(self, alone: Alone, numbers: Sequence[int], jobs: int) -> None:
        context = multiprocessing.get_context("fork")
        self._owner = {number: place % jobs for place, number in enumerate(numbers)}
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for index in range(jobs):
            here, there = context.Pipe()
            share = [number for number in numbers if self._owner[number] == index]
            process = context.Process(target=_serve, args=(there, alone, share), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def around(self, numbers: Sequence[int]) -> list[list[Outcome]]:
        """Return for each state what can happen there."""
        shares: list[list[int]] = [[] for _ in self._pipes]
        for number in numbers:
            shares[self._owner[number]].append(number)
        for pipe, share in zip(self._pipes, shares, strict=True):
            pipe.send(("around", share))
        found: dict[int, list[Outcome]] = {}
        for pipe, share in zip(self._pipes, shares, strict=True):
            found.update(zip(share, _received(pipe), strict=True))
        return [found[number] for number in numbers]

    def keep(self, new: Sequence[Kept], drop: Sequence[int]) -> None:
        """Tell each process which of its outcomes are new states."""
        owner = self._owner
        for kept in new:
            owner[kept.number] = owner[kept.parent]
        for index, pipe in enumerate(self._pipes):
            mine = [kept for kept in new if owner[kept.number] == index]
            pipe.send(("keep", mine, [number for number in drop if owner[number] == index]))
        for number in drop:
            del owner[number]

    def balance(self, numbers: Sequence[int], way: Callable[[int], Sequence[Move]]) -> None:
        """Hand states of who has too many to those who have too few."""
        shares: list[list[int]] = [[] for _ in self._pipes]
        for number in numbers:
            shares[self._owner[number]].append(number)
        fair = div_round_up(len(numbers), len(shares))
        if max(map(len, shares)) <= fair + fair // _UNEVEN:
            return
        spare = [number for share in shares for number in share[fair:]]
        for number in spare:
            self._pipes[self._owner[number]].send(("keep", (), (number,)))
        for index, share in enumerate(shares):
            mine = [spare.pop() for _ in range(min(fair - len(share), len(spare)))]
            self._owner.update(dict.fromkeys(mine, index))
            self._pipes[index].send(("adopt", [(number, way(number)) for number in mine]))

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _received(pipe: Connection) -> list[list[Outcome]]:
    answer: list[list[Outcome]] | BaseException = pipe.recv()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _serve(pipe: Connection, alone: Alone, share: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    alone.keep_only(share)
    while True:
        try:
            what, *arguments = pipe.recv()
        except (EOFError, OSError):
            return
        if what == "keep":
            alone.keep(*arguments)
            continue
        try:
            with limited(limit()):  # alarms are not inherited
                if what == "adopt":
                    alone.adopt(*arguments)
                else:
                    pipe.send(alone.around(*arguments))
        except Exception as problem:  # whoever asked reports it
            pipe.send(problem)


def can_fork() -> bool:
    """Return whether this system has the processes that share what is in memory."""
    return "fork" in multiprocessing.get_all_start_methods()
