"""Who does the work of a search: this process, or several, with the same answer.

Every state lives in the process that made it; what travels are moves, forms and sentences. The first
states are made by one process, which then forks: the others find in their memory what they go on from. Who made a
state goes on from it; where one comes to have far more than the others, they go the way to some of its states anew.
Work is handed out before the last answers are in, so that nobody waits for who is slower.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.moves import NOTHING, Move
from memhotplug.errors import InputError
from memhotplug.output.watchdog import limit, limited
from memhotplug.units import div_round_up

if TYPE_CHECKING:
    from memhotplug.commands.check.walk import Spot, Walker

__all__ = ["ENOUGH_TO_SHARE", "Alone", "Crew", "Kept", "Outcome", "Several", "can_fork", "received", "stand_alone"]

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
        look: 8 bytes that are equal for machines that look alike, of an operation whose order must not matter; else
            empty.
    """

    move: Move
    errno: str | None
    broken: tuple[Broken, ...]
    form: bytes
    look: bytes = b""


@dataclass(frozen=True, slots=True)
class Kept:
    """A new state: the outcome ``index`` of the state ``parent`` gets a number."""

    parent: int
    index: int
    number: int


class Crew(Protocol):
    """Those who know the states by number and try what can happen at them."""

    def ask(self, numbers: Sequence[int]) -> None:
        """Hand out states to look at; whoever is free begins with it."""
        ...

    def answer(self) -> list[list[Outcome]]:
        """Return for each of the states that were handed out first what can happen there, always in the same order."""
        ...

    def keep(self, new: Sequence[Kept], drop: Sequence[int]) -> None:
        """Learn which outcomes of the last answer are new states, and which states are done with."""
        ...

    def balance(self, numbers: Sequence[int], way: Callable[[int], Sequence[Move]]) -> None:
        """Share anew the states to be handed out next, each reached by its way from the start."""
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
        self._asked: deque[Sequence[int]] = deque()
        self._met: set[bytes] = set()

    def keep_only(self, numbers: Iterable[int]) -> None:
        """Forget all other states."""
        self._spots = {number: self._spots[number] for number in numbers}

    def ask(self, numbers: Sequence[int]) -> None:
        """Put it aside until somebody wants the answer."""
        self._asked.append(numbers)

    def answer(self) -> list[list[Outcome]]:
        """Return for each state what can happen there."""
        return self.around(self._asked.popleft())

    def around(self, numbers: Sequence[int]) -> list[list[Outcome]]:
        """Return for each state what can happen there."""
        return [self._around(number) for number in numbers]

    def _around(self, number: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        spot = self._spots.get(number)
        if spot is None:  # it was adopted, and its way led elsewhere
            return [Outcome(NOTHING, None, (_ELSEWHERE,), b"")]
        for tried in self._walker.around(spot):
            if tried.spot is not None and tried.form not in self._met:  # else it has a number before anybody asks
                self._met.add(tried.form)
                self._fresh[number, len(outcomes)] = tried.spot
            outcomes.append(Outcome(tried.move, tried.errno, tried.broken, tried.form, tried.look))
        return outcomes

    def keep(self, new: Sequence[Kept], drop: Sequence[int]) -> None:
        """Keep the new states that were made here."""
        for kept in new:
            self._spots[kept.number] = self._fresh[kept.parent, kept.index]
        done = set(drop)
        self._fresh = {place: spot for place, spot in self._fresh.items() if place[0] not in done}
        for number in drop:
            self._spots.pop(number, None)
        gc.freeze()  # what is kept stays; without it the collector looks through all of it again and again

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
        gc.unfreeze()


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
        self._asked: deque[tuple[Sequence[int], list[list[int]]]] = deque()
        for index in range(jobs):
            here, there = context.Pipe()
            share = [number for number in numbers if self._owner[number] == index]
            self._pipes.append(here)
            process = context.Process(target=_serve, args=(there, self._pipes, alone, share), daemon=True)
            process.start()
            there.close()
            self._processes.append(process)

    def ask(self, numbers: Sequence[int]) -> None:
        """Send each process its share."""
        shares = self._shares(numbers)
        for pipe, share in zip(self._pipes, shares, strict=True):
            _tell(pipe, "around", share)
        self._asked.append((numbers, shares))

    def answer(self) -> list[list[Outcome]]:
        """Return for each state what can happen there."""
        numbers, shares = self._asked.popleft()
        found: dict[int, list[Outcome]] = {}
        for pipe, share in zip(self._pipes, shares, strict=True):
            found.update(zip(share, received(pipe), strict=True))
        return [found[number] for number in numbers]

    def _shares(self, numbers: Iterable[int]) -> list[list[int]]:
        """Return which of some states each process has, in their order."""
        shares: list[list[int]] = [[] for _ in self._pipes]
        for number in numbers:
            shares[self._owner[number]].append(number)
        return shares

    def keep(self, new: Sequence[Kept], drop: Sequence[int]) -> None:
        """Tell each process which of its outcomes are new states."""
        owner = self._owner
        kept: list[list[Kept]] = [[] for _ in self._pipes]
        for one in new:
            owner[one.number] = owner[one.parent]
            kept[owner[one.number]].append(one)
        for pipe, mine, done in zip(self._pipes, kept, self._shares(drop), strict=True):
            _tell(pipe, "keep", mine, done)
        for number in drop:
            del owner[number]
        gc.freeze()

    def balance(self, numbers: Sequence[int], way: Callable[[int], Sequence[Move]]) -> None:
        """Hand states of who has too many to those who have too few."""
        shares = self._shares(numbers)
        fair = div_round_up(len(numbers), len(shares))
        if max(map(len, shares)) <= fair + fair // _UNEVEN:
            return
        surplus = [share[fair:] for share in shares]
        for pipe, done in zip(self._pipes, surplus, strict=True):
            _tell(pipe, "keep", (), done)
        spare = [number for share in surplus for number in share]
        for index, share in enumerate(shares):
            mine = [spare.pop() for _ in range(min(fair - len(share), len(spare)))]
            self._owner.update(dict.fromkeys(mine, index))
            _tell(self._pipes[index], "adopt", [(number, way(number)) for number in mine])

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()
        gc.unfreeze()


@contextmanager
def _still_there() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as problem:
        expected = "processes that live as long as the search; fewer, if memory ran out"
        raise InputError(expected, got="one that has gone", path="--jobs") from problem


def _tell(pipe: Connection, *message: object) -> None:
    """Send another process something to do.

    Raises:
        InputError: the process has gone.
    """
    with _still_there():
        pipe.send(message)


def received(pipe: Connection) -> Any:
    """Return what another process sends; raise it if it is an exception.

    Raises:
        InputError: the process has gone.
    """
    with _still_there():
        answer = pipe.recv()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def stand_alone(pipes: Iterable[Connection]) -> None:
    """Begin a process that others ask.

    Args:
        pipes: the ends of who asks, as they were inherited: while they are open here, nobody sees that it has gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    for pipe in pipes:
        pipe.close()


def _serve(pipe: Connection, others: Iterable[Connection], alone: Alone, share: list[int]) -> None:
    stand_alone(others)
    alone.keep_only(share)
    answers: SimpleQueue[list[list[Outcome]] | Exception] = SimpleQueue()
    sender = Thread(target=_send, args=(pipe, answers), daemon=True)
    sender.start()
    while sender.is_alive():  # else nobody wants to know any more
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
                    answers.put(alone.around(*arguments))
        except Exception as problem:  # whoever asked reports it
            answers.put(problem)


def _send(pipe: Connection, answers: SimpleQueue[list[list[Outcome]] | Exception]) -> None:
    """Send answers as they come; whoever waited for the other side to read would not read what it has to say."""
    with suppress(OSError):  # it has gone
        while True:
            pipe.send(answers.get())


def can_fork() -> bool:
    """Return whether this system has the processes that share what is in memory."""
    return "fork" in multiprocessing.get_all_start_methods()
