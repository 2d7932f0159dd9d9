"""Who plays the cases: processes here, or a cluster, behind the standard library's executor.

What travels to a worker is the question as plain data, plugin files included, and the numbers of some cases;
what comes back is rows. A worker that dies costs its cases, which are played again.
"""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import platform
import signal
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Final, TypeAlias

from memhotplug import __version__
from memhotplug.commands.sweep.question import Question
from memhotplug.commands.sweep.store import Played
from memhotplug.errors import InputError, Interruption, PluginError
from memhotplug.output.watchdog import limit, limited

__all__ = ["BATCH", "Cluster", "Local", "Pool", "PoolGoneError", "Seat", "play_all"]

BATCH: Final = 64
"""Cases that a worker plays at a time, and that are kept together."""
_TRIES: Final = 3
"""A case that ends its worker so often, alone in it, is at fault; workers also die of something else."""
_ALONE: Final = 2
"""Cases that were lost so often are played one by one, with nothing beside them that could be at fault."""
_ANSWER_SECONDS: Final = 10


_Batch: TypeAlias = tuple[Sequence[int], int]
"""Numbers of cases, and how often they were lost with a worker."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a worker sends back: its version, where it runs, and what it played, which is nothing in another version."""

    version: str
    where: str
    played: tuple[Played, ...]


class Seat:
    """One worker's place: a question whose plugin files are in use here."""

    def __init__(self, question: Question) -> None:
        from memhotplug.catalog import Installed
        from memhotplug.commands.sweep.play import Player

        self._stack = ExitStack()
        files = [self._file(path, data) for path, data in question.plugins]
        self._using = Installed().using(files)
        self._player = Player(question)
        self._question = question
        self._is_warm = False

    def _file(self, path: str, data: bytes) -> str:
        """Return a path at which a plugin file has the content that was sent along."""
        try:
            if Path(path).read_bytes() == data:
                return path
        except OSError:
            pass  # another machine
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mhp-plugin-"))
        copy = Path(folder) / os.path.basename(path)
        copy.write_bytes(data)
        return str(copy)

    def play(self, numbers: Sequence[int]) -> tuple[Played, ...]:
        """Return what came of some cases."""
        played = tuple(self._one(number) for number in numbers)
        if not self._is_warm:
            self._is_warm = True
            gc.freeze()  # plugins, machines, what was read: they stay, and need not be looked at again and again
        return played

    def _one(self, number: int) -> Played:
        row, steps = self._player.play(number)
        return Played(number, self._question.digest(number), json.dumps(row), tuple(map(json.dumps, steps)))

    def __enter__(self) -> Seat:
        self._stack.enter_context(self._using)
        return self

    def __exit__(self, *problem: object) -> None:
        gc.unfreeze()
        self._stack.close()


@lru_cache(maxsize=2)
def _seat(key: str, question: _Held) -> Seat:
    seat = Seat(question.question)
    seat.__enter__()  # a worker's seat stays until the worker goes
    return seat


class _Held:
    """A question that is told from others by its key alone."""

    def __init__(self, question: Question) -> None:
        self.question = question

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


def _work(key: str, question: Question, numbers: Sequence[int], seconds: float) -> _Answer:
    """Play some cases in a worker; a plugin may take some seconds."""
    where = f"process {os.getpid()} of {platform.node()}"
    if question.version != __version__:
        return _Answer(__version__, where, ())
    with limited(seconds):
        return _Answer(__version__, where, _seat(key, _Held(question)).play(numbers))


class PoolGoneError(Interruption):
    """Nobody is there any more who would play; what was committed stays."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Pool:
    """Where batches are sent.

    Attributes:
        seats: how many play at a time.
        lost: what a future raises whose cases were lost with a worker.
    """

    seats: int
    lost: tuple[type[Exception], ...] = (BrokenProcessPool,)

    def executor(self) -> Executor:
        """Return a fresh executor."""
        raise NotImplementedError

    def close(self) -> None:
        """End it."""


class Local(Pool):
    """Processes of this machine."""

    def __init__(self, jobs: int) -> None:
        self.seats = jobs

    def executor(self) -> Executor:
        """Return processes that know nothing of this one but what is sent to them."""
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        return ProcessPoolExecutor(self.seats, mp_context=context, initializer=_begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the process that asks
    Thread(target=_go_with_the_parent, daemon=True).start()


def _go_with_the_parent() -> None:
    """End this worker when the process that asks has gone: kill -9 leaves nobody behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Cluster(Pool):
    """The workers of a Dask cluster.

    Raises:
        InputError: the cluster is not installed here, its scheduler does not answer or has no workers, or one of these
            has another version, or none.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, KilledWorker
        except ImportError as problem:
            raise InputError("the extra 'cluster': pip install 'memhotplug[cluster]'", got=str(problem)) from problem
        for part in ("distributed.client", "distributed.core"):  # what goes wrong is said here, in one line
            logging.getLogger(part).setLevel(logging.CRITICAL + 1)
        try:
            self._client = Client(address, timeout=_ANSWER_SECONDS)
        except (OSError, ValueError) as problem:
            expected = f"a Dask scheduler that answers within {_ANSWER_SECONDS} s"
            raise InputError(expected, got=address, path="--scheduler") from problem
        self.lost = (KilledWorker,)  # after some tries on other workers, of which some may not come back
        try:
            self._wait_for_workers(address)
            self.seats = sum(self._client.ncores().values())
            self._check_versions()
        except BaseException:
            self.close()
            raise

    def _wait_for_workers(self, address: str) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_ANSWER_SECONDS)
        except TimeoutError as problem:
            expected = f"a Dask scheduler that has a worker within {_ANSWER_SECONDS} s"
            raise InputError(expected, got=f"none at {address}", path="--scheduler") from problem

    def _check_versions(self) -> None:
        for worker, version in sorted(self._client.run(_version, on_error="return").items()):
            if version != __version__:
                got = f"{worker} with {version}" if isinstance(version, str) else f"{worker} without ({version})"
                raise InputError(f"workers with memhotplug {__version__}", got=got)

    def executor(self) -> Executor:
        """Return the cluster's executor."""
        found: Executor = self._client.get_executor(pure=False)
        return found

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        self._client.close()


def _version() -> str:
    return __version__


def play_all(pool: Pool, question: Question, numbers: Sequence[int]) -> Iterator[tuple[Played, ...]]:
    """Yield batches of played cases as they come.

    Raises:
        InputError: a worker has another version, or the same cases killed their workers again and again.
        PluginError: a plugin is missing or broken.
        PoolGoneError: the scheduler of a cluster went away.
    """
    key = json.dumps([question.identity, question.shape, question.version], sort_keys=True)
    waiting: list[_Batch] = [(numbers[low : low + BATCH], 0) for low in range(0, len(numbers), BATCH)][::-1]
    while waiting:
        with pool.executor() as executor:
            lost = yield from _until_broken(executor, pool, key, question, waiting)
        waiting.extend(_again(lost))


def _until_broken(
    executor: Executor, pool: Pool, key: str, question: Question, waiting: list[_Batch]
) -> Generator[tuple[Played, ...], None, list[_Batch]]:
    """Yield batches until all are played or a worker dies; return what was lost with it."""
    running: dict[Future[_Answer], _Batch] = {}
    lost: list[_Batch] = []
    try:
        while (waiting or running) and not lost:
            while waiting and len(running) < 2 * pool.seats and _goes_beside(waiting[-1], running.values()):
                batch = waiting.pop()
                try:
                    running[executor.submit(_work, key, question, batch[0], limit())] = batch
                except pool.lost:  # a worker died that had nothing to do
                    waiting.append(batch)
                    break
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                batch = running.pop(future)
                try:
                    answer = future.result()
                except pool.lost:
                    lost.append(batch)
                    continue
                except CancelledError as problem:
                    raise PoolGoneError("the scheduler does not answer any more") from problem
                if answer.version != question.version:
                    got = f"{answer.where} with {answer.version}"
                    raise InputError(f"workers with memhotplug {question.version}", got=got)
                yield answer.played
    finally:
        for future in running:
            future.cancel()
    lost.extend(running.values())
    return lost


def _goes_beside(batch: _Batch, running: Iterable[_Batch]) -> bool:
    """Return whether a batch may be played while others are."""
    times = [lost for _, lost in running]
    return not times or max(batch[1], *times) < _ALONE


def _again(lost: Sequence[_Batch]) -> Iterator[_Batch]:
    """Yield what is to be played again: first as it was, then one by one.

    Raises:
        PluginError: a case ended its worker each time that it was alone; only a plugin or a lack of memory can do that.
    """
    for numbers, times in lost:
        if times + 1 < _ALONE:
            yield numbers, times + 1
        elif times + 1 == _ALONE:
            for number in numbers:
                yield [number], _ALONE
        elif times + 1 - _ALONE < _TRIES:
            yield numbers, times + 1
        else:
            raise PluginError(f"of case {numbers[0]}", f"ended its worker {_TRIES} times")
