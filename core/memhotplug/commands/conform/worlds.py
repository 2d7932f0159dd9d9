"""All that may become of a recording where nobody can know how an operation ends."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from memhotplug.commands.conform.facts import NOTHING_SHOWN, StepFacts
from memhotplug.commands.conform.observation import Agreed, Observation, Observations, Reason, Seen
from memhotplug.commands.conform.observe import Compared, compare
from memhotplug.commands.conform.predict import predict_step
from memhotplug.commands.conform.replay import Replay
from memhotplug.formats.snapshot import RecordedOp, Recording, read_recording
from memhotplug.model.blocks import BlockState, OnlineType

if TYPE_CHECKING:
    from memhotplug.documents.conform import PredictionDocument

__all__ = ["FileResult", "Worlds", "replay_file", "replay_recording"]

_LISTS = (Reason.IOMEM, Reason.PAGES)
_MOST_WORLDS = 16
_FEW = 2  # blocks of one operation of which every set is tried
_SOME = 4  # those of which each alone is


@dataclass(frozen=True, kw_only=True, slots=True)
class FileResult:
    """How one recording came out.

    Attributes:
        file, kernel, arch: what was replayed, under which profile.
        steps: steps of the recording.
        ops: what each step did, by index.
        observations: everything that was compared, in order.
        predicted: one object for each step that carried only its operation.
        told: steps whose result hangs on page flags that were recorded before them.
    """

    file: str
    kernel: str
    arch: str
    steps: int
    ops: tuple[RecordedOp, ...]
    observations: Observations
    predicted: tuple[PredictionDocument, ...]
    told: int = 0

    @property
    def matched(self) -> int:
        """Observations on which model and kernel agree."""
        return len(self.observations) - len(self.mismatches)

    @property
    def tolerated(self) -> int:
        """Observations that match only within the tolerance."""
        return sum(observation.tolerated for observation in self.observations.single)

    @property
    def left_out(self) -> int:
        """Observations that are the guest's own doing and not judged."""
        return sum(observation.left_out for observation in self.observations.single)

    @property
    def undetermined(self) -> int:
        """Observations of which the prediction said that nobody can know."""
        return sum(observation.undetermined for observation in self.observations.single)

    @property
    def mismatches(self) -> list[Observation]:
        """Observations on which they do not, in order."""
        return [observation for observation in self.observations.single if not observation.matches]


def replay_file(path: str | os.PathLike[str], *, predict: int | None = None) -> FileResult:
    """Replay one recording.

    Args:
        predict: from this step on nothing that was recorded is read; what is predicted is compared with it. None: page
            flags are read before each step.

    Raises:
        InputError: it is broken, truncated, foreign or contradictory; says which file and step.
    """
    return replay_recording(read_recording(path), predict=predict)


def replay_recording(recording: Recording, *, predict: int | None = None) -> FileResult:
    """Replay a recording that was read already.

    Raises:
        InputError: as :func:`replay_file`.
    """
    tree = Worlds(recording, predict=predict)
    first = tree.explore()
    return FileResult(
        file=recording.file,
        kernel=first.profile,
        arch=first.arch,
        steps=len(recording.steps),
        ops=tuple(step.op for step in recording.steps),
        observations=Observations(tree.observations()),
        predicted=tuple(tree.predicted),
        told=tree.told,
    )


@dataclass(kw_only=True, slots=True)
class _World:
    """One way in which things may go, as far as it has been played.

    Attributes:
        replay: the model, in the state after the steps that were played.
        stay: which of the blocks stay online of which nobody can know, in the next step.
        stays: whether any have stayed so far.
        seen: what was compared in each step. predicted: what was predicted of those that carried only their operation.
        told: as in :class:`FileResult`.
    """

    replay: Replay
    stay: frozenset[int] | None = None
    stays: bool = False
    seen: list[Compared] = field(default_factory=list)
    predicted: list[PredictionDocument] = field(default_factory=list)
    told: int = 0

    def fork(self, stay: frozenset[int]) -> _World:
        """Return this world with one more thing decided; the two go on independently."""
        twin = replace(self, replay=self.replay.fork(), seen=self.seen.copy(), predicted=self.predicted.copy())
        return twin.decide(stay)

    def decide(self, stay: frozenset[int]) -> _World:
        """Decide one more thing, and return this world."""
        self.stay, self.stays = stay, self.stays or bool(stay)
        return self

    def play(self) -> tuple[int, ...]:
        """Play on to the end, or up to a step that falls apart; return the blocks of which nobody can know there."""
        while (facts := self.replay.upcoming) is not None:
            undetermined = self.replay.prepare()
            if undetermined and facts.op.kind != "resize" and self.stay is None:
                return undetermined
            self.step()
        return ()

    def step(self) -> Compared:
        """Play the next step, and return what was compared."""
        replay = self.replay
        (facts, outcome), self.stay = replay.advance(self.stay), None
        self.told += outcome.told
        if facts.is_bare:
            self.predicted.append(predict_step(replay.machine, replay.baseline, facts.index, facts.op, outcome))
            self.seen.append(Compared([], []))
        else:
            self.seen.append(compare(replay.machine, replay.baseline, facts, outcome))
        return self.seen[-1]


class Worlds:
    """Plays every end of a step of which nobody can know how it ends, each as a world of its own.

    No world looks at the outcome of the step that splits it off, or at a later one. Where all worlds agree, that is
    the claim. Where they do not, the observation is undetermined, and what lies outside of all that they have is a
    mismatch. A replay goes on from what was recorded; where that may not be read, every world goes on.

    Args:
        predict: from this step on nothing recorded is read.
    """

    def __init__(self, recording: Recording, *, predict: int | None) -> None:
        self._recording = recording
        self._predict = len(recording.steps) if predict is None else predict
        self._worlds: list[_World] = []
        self._ended: dict[int, list[Compared]] = {}  # what each end of a step shows that goes on as it was recorded
        self._cut: set[int] = set()  # blocks in which worlds differ
        self.predicted: list[PredictionDocument] = []
        self.told = 0

    def explore(self) -> Replay:
        """Play every world; return the first replay, in which blocks go offline if nobody can know.

        Raises:
            InputError: as :func:`replay_file`.
        """
        replay = Replay(self._recording, predict=self._predict)
        waiting = [_World(replay=replay), *(_World(replay=other) for other in self._remembering(replay))]
        while waiting:
            world = waiting.pop(0)
            room = _MOST_WORLDS - len(waiting) - len(self._worlds)
            blocks = world.play()
            if blocks:
                self._cut.update(blocks)
                waiting = [*self._split(world, blocks, room), *waiting]
            else:
                self._worlds.append(world)
        first = self._worlds[0]
        self.predicted, self.told = first.predicted, first.told
        return first.replay

    def _remembering(self, replay: Replay) -> Iterator[Replay]:
        """Yield replays in which blocks come back as another type where a removal fails that has taken them offline.

        What was asked of a block in vain counts then, and of blocks that were online before the recording began nobody
        knows it.

        Models: drivers/base/memory.c:state_store(), memory_subsys_online() (v5.8 to v7.2).
        """
        blocks = replay.machine.kernel.state.blocks
        leaving = {block for step in self._recording.steps for block in step.op.blocks if step.op.kind == "remove"}
        asked = (blocks.state == BlockState.ONLINE) & (blocks.device >= 0)
        rows = [row for row in np.flatnonzero(asked).tolist() if int(blocks.id[row]) in leaving]
        for online_type in (OnlineType.ONLINE_MOVABLE, OnlineType.ONLINE_KERNEL) if rows else ():
            other = replay.fork()
            for row in rows:
                other.machine.kernel.state.blocks.set(slice(row, row + 1), online_type=online_type)
            yield other

    def _split(self, world: _World, blocks: tuple[int, ...], room: int) -> list[_World]:
        """Return a world for each end of a step; without room, one that goes on as it did before."""
        facts = world.replay.upcoming
        if facts is not None and facts.index < self._predict and facts.blocks is not None:
            return [self._as_recorded(world, facts, blocks)]
        if room <= 0:
            return [world.fork(frozenset(blocks) if world.stays else frozenset())]
        return [world.fork(stay) for stay in _ends(blocks)]

    def _as_recorded(self, world: _World, facts: StepFacts, blocks: tuple[int, ...]) -> _World:
        """Play each end of a step, and return the world that goes on: the one in which it ended as was recorded."""
        shown, offline = facts.blocks or {}, BlockState.OFFLINE.label
        there = frozenset(block for block in blocks if shown.get(block, NOTHING_SHOWN).state not in (None, offline))
        ends = list(_ends(blocks))
        worlds = {stay: world.fork(stay) for stay in ends if stay != there}
        worlds[there] = world.decide(there)
        found = {stay: other.step() for stay, other in worlds.items()}
        self._ended.setdefault(facts.index, []).extend(found[stay] for stay in ends)
        return worlds[there]

    def observations(self) -> Iterator[Seen]:
        """Yield what was compared, in order, as all worlds together have it."""
        pages = self._worlds[0].replay.baseline.pages_per_block
        borders = frozenset(edge * pages for block in self._cut for edge in (block, block + 1))
        for index in range(len(self._recording.steps)):
            # Worlds that came to this step in another way have an end of their own.
            compared = [*self._ended.get(index, ()), *(world.seen[index] for world in self._worlds)]
            yield from together([one.observations(borders).seen for one in compared])


def _ends(blocks: tuple[int, ...]) -> Iterator[frozenset[int]]:
    """Yield which of some blocks may stay online.

    Of few blocks that is every set, of some none, each alone or all, of many none or all.
    Whatever else may be lies between these: block by block it is one or the other.
    """
    count = len(blocks)
    sizes = range(count + 1) if count <= _FEW else (0, 1, count) if count <= _SOME else (0, count)
    for size in sizes:
        yield from map(frozenset, itertools.combinations(blocks, size))


def together(worlds: Sequence[Sequence[Seen]]) -> Iterator[Seen]:
    """Yield the observations of one step as all worlds together have them.

    What all have is the claim. What differs is undetermined where the recorded value is that of one world or lies
    between those of several: each block, each number and each line for itself.
    """
    if len(worlds) == 1:
        yield from worlds[0]
        return
    agreed = set.intersection(*({seen.reason for seen in world if isinstance(seen, Agreed)} for world in worlds))
    found: dict[object, list[Observation]] = {}
    whole: dict[object, Agreed] = {}  # what is as it was recorded in each world is the same in all
    for world in worlds:
        for seen in world:
            if not isinstance(seen, Agreed):
                found.setdefault(_key(seen), []).append(seen)
            elif seen.reason in agreed:
                whole[seen.reason] = seen
                found.setdefault(seen.reason, [])
            else:
                for one in seen.one_by_one():
                    found.setdefault(_key(one), []).append(one)
    for key, several in found.items():
        if key in whole:
            yield whole[key]
        else:
            yield from _one(several, len(worlds))


def _key(one: Observation) -> object:
    """Return what observations of the same thing have in common."""
    lists = one.reason in _LISTS
    return one.reason, one.what, str(one.expected if one.expected is not None else one.got) if lists else ""


def _one(seen: Sequence[Observation], worlds: int) -> Iterator[Observation]:
    """Yield what all worlds together say of one thing; nothing if it was not recorded and some world lacks it.

    A block that worlds disagree on may be in any state: it hangs on how later operations end, too.
    """
    fits = next((one for one in seen if one.matches), seen[0])
    elsewhere = len(seen) < worlds and (fits.expected in (None, 0) or fits.reason in _LISTS)
    if elsewhere and not fits.matches:
        return  # not recorded, or in another world a line of another class
    same = len(seen) == worlds and all((one.got, one.matches) == (fits.got, fits.matches) for one in seen)
    if same:
        yield fits
    elif fits.matches or fits.reason is Reason.BLOCK or _between(fits.expected, [one.got for one in seen]):
        yield fits._replace(matches=True, undetermined=True)
    else:
        yield fits


def _between(expected: object, got: Sequence[object]) -> bool:
    """Return whether a recorded value lies between those that several worlds have, part by part."""
    if expected in got:
        return True
    if isinstance(expected, dict):
        sides = [side for side in got if isinstance(side, dict)]
        return len(sides) == len(got) and all(
            _between(value, [side.get(key) for side in sides]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return _list_between(expected, [side for side in got if isinstance(side, list)], len(got))
    if isinstance(expected, int):
        numbers = [side for side in got if isinstance(side, int)]
        return len(numbers) == len(got) and min(numbers) <= expected <= max(numbers)
    return isinstance(expected, str) and expected.startswith("free ")  # what is managed differs


def _list_between(expected: list[object], got: Sequence[list[object]], worlds: int) -> bool:
    """Return the same of lists: of equally many numbers, or of ids that some worlds have and others have not."""
    if len(got) < worlds or not all(isinstance(item, int) for side in (expected, *got) for item in side):
        return False
    if all(len(side) == len(expected) for side in got):
        return all(_between(item, [side[at] for side in got]) for at, item in enumerate(expected))
    return set(got[0]).intersection(*got) <= set(expected) <= set().union(*got)
