"""A sweep from question to file: what is left to be played is played and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from memhotplug.commands.sweep.question import Question
from memhotplug.commands.sweep.store import Played, Store
from memhotplug.commands.sweep.workers import BATCH, Pool, Seat, play_all
from memhotplug.errors import InputError
from memhotplug.formats.scenario import AddStep
from memhotplug.formats.scenario.catalog import Catalog
from memhotplug.formats.scenario.loader import scenario_from_tree

__all__ = ["Progress", "check_values", "sweep"]


@dataclass(slots=True)
class Progress:
    """How far a sweep has come.

    Attributes:
        cases: all cases of the question.
        skipped: those that were there already.
        played: those that this run has played.
        failed: those of them that were refused or had a step that failed.
        refused: those of them that could not be played at all.
        seconds: how long this run has taken.
        interrupted: whether somebody stopped it.
    """

    cases: int
    skipped: int = 0
    played: int = 0
    failed: int = 0
    refused: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def done(self) -> int:
        """The cases that are in the file."""
        return self.skipped + self.played

    @property
    def per_second(self) -> float:
        """Cases that this run played in a second."""
        return self.played / self.seconds if self.seconds else 0.0


def check_values(question: Question, catalog: Catalog) -> None:
    """Refuse a sweep of whose values one is never right, or whose keys lead nowhere.

    Each value is tried alone on the scenario as it stands; that two do not go together is an outcome.

    Raises:
        InputError: the scenario is not valid, or a key is none that it could have.
    """
    from memhotplug.formats.scenario.override import changed

    scenario = scenario_from_tree(question.tree, catalog=catalog, file=question.file)
    can_add = any(isinstance(step.args, AddStep) for step in scenario.steps)
    if question.trace and not can_add and not any(axis.key.startswith("steps") for axis in question.axes):
        raise InputError("an add step: its device is what a trace resizes", file=question.file, path="steps")
    for axis in question.axes:
        problems = []
        for override in axis.values[:64]:
            try:
                scenario_from_tree(changed(question.tree, [override]), catalog=catalog, file=question.file)
            except InputError as problem:
                problems.append(problem)
        if len(problems) == min(len(axis.values), 64):
            raise problems[0].at(file=f"--vary {axis.key}")


def sweep(
    question: Question, store: Store, pool: Pool | None, *, observe: Callable[[Progress], None] = lambda progress: None
) -> Progress:
    """Play what is not in the store yet.

    Args:
        pool: who plays; None plays here, one case after the other.
        observe: is told of the progress after each batch.

    Raises:
        InputError, PluginError: a case cannot be played at all.
        StoreFullError: the file cannot take any more; what was committed stays.
    """
    known = store.done()
    numbers = [number for number in question.numbers if number not in known or known[number] != question.digest(number)]
    progress = Progress(cases=len(question.numbers), skipped=len(question.numbers) - len(numbers))
    began = time.monotonic()
    batches = _here(question, numbers) if pool is None else play_all(pool, question, numbers)
    try:
        for batch in batches:
            store.add(batch)
            progress.played += len(batch)
            progress.failed += sum('"outcome": "ok"' not in played.row for played in batch)
            progress.refused += sum('"outcome": "refused"' in played.row for played in batch)
            progress.seconds = time.monotonic() - began
            observe(progress)
    except KeyboardInterrupt:
        progress.interrupted = True
    return progress


def _here(question: Question, numbers: Sequence[int]) -> Iterator[tuple[Played, ...]]:
    with Seat(question) as seat:
        for low in range(0, len(numbers), BATCH):
            yield seat.play(numbers[low : low + BATCH])
