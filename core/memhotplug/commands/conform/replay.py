"""Replaying a recording: boot the model from the first step, then do what was done."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.firmware import Firmware, device_log
from memhotplug.commands.conform.guest import Baseline, Guest, known_pages
from memhotplug.commands.conform.observation import Observation, Reason
from memhotplug.commands.conform.observe import compare_step
from memhotplug.commands.conform.outcome import FAILED, Outcome
from memhotplug.commands.conform.predict import predict_step
from memhotplug.contracts import AddRequest
from memhotplug.engine.boot.midlife import adopt
from memhotplug.engine.boot.recorded import kernel_from_machine
from memhotplug.engine.memory_hotplug.add import device_blocks, eject, hot_add, resize
from memhotplug.engine.memory_hotplug.online import offline_blocks, online_blocks
from memhotplug.engine.memory_hotplug.presence import usual_driver
from memhotplug.engine.workload import allocate
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.formats.snapshot import RecordedMachine, RecordedOp, Recording, read_recording
from memhotplug.machine import Machine
from memhotplug.manager import driver_traits
from memhotplug.model.blocks import OnlineType
from memhotplug.naming import choose_profile, read_machine

if TYPE_CHECKING:
    from memhotplug.documents.conform import PredictionDocument

__all__ = ["FileResult", "Replay", "replay_file", "replay_recording"]

_ONLINE_TYPES = {kind.label: kind for kind in OnlineType}
_OK = "ok"
_LISTS = (Reason.IOMEM, Reason.PAGES)
_MOST_WORLDS = 48
_FEW = 2  # blocks of one operation of which every set is tried


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
    observations: tuple[Observation, ...]
    predicted: tuple[PredictionDocument, ...]
    told: int = 0

    @property
    def matched(self) -> int:
        """Observations on which model and kernel agree."""
        return sum(observation.matches for observation in self.observations)

    @property
    def tolerated(self) -> int:
        """Observations that match only within the tolerance."""
        return sum(observation.tolerated for observation in self.observations)

    @property
    def left_out(self) -> int:
        """Observations that are the guest's own doing and not judged."""
        return sum(observation.left_out for observation in self.observations)

    @property
    def undetermined(self) -> int:
        """Observations of which the prediction said that nobody can know."""
        return sum(observation.undetermined for observation in self.observations)

    @property
    def mismatches(self) -> list[Observation]:
        """Observations on which they do not, in order."""
        return [observation for observation in self.observations if not observation.matches]


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
        observations=tuple(tree.observations()),
        predicted=tuple(tree.predicted),
        told=tree.told,
    )


class Worlds:
    """All that may become of a recording where nobody can know how an operation ends: each end is a world of its own.

    No world looks at the outcome of the step that splits it off, or at a later one. Where all worlds agree, that is
    the claim. Where they do not, the observation is undetermined, and one that fits none of them is a mismatch.
    Worlds that the recorded state contradicts end there, as far as that state may be read at all.

    Args:
        predict: from this step on nothing recorded is read, so that worlds never end.
    """

    def __init__(self, recording: Recording, *, predict: int | None) -> None:
        self._recording = recording
        self._predict = len(recording.steps) if predict is None else predict
        self._worlds: list[list[list[Observation]]] = []
        self.predicted: list[PredictionDocument] = []
        self.told = 0

    def explore(self) -> Replay:
        """Play every world; return the first replay, in which everything goes as the model has it.

        Raises:
            InputError: as :func:`replay_file`.
        """
        first: Replay | None = None
        waiting = [dict[int, frozenset[int]]()]
        while waiting:
            choices = waiting.pop(0)
            replay = Replay(self._recording, predict=self._predict, stay=choices)
            seen: list[list[Observation]] = []
            split: Outcome | None = None
            for facts, outcome in replay.run():
                open_now = outcome.undetermined and facts.op.kind != "resize" and facts.index not in choices
                if open_now and split is None and len(waiting) + len(self._worlds) < _MOST_WORLDS:
                    split = outcome
                    waiting += [{**choices, facts.index: stay} for stay in _ends(outcome.undetermined)]
                    if first is not None:
                        break
                if first is None:
                    self._note(replay, facts, outcome)
                seen.append(
                    [] if facts.is_bare else list(compare_step(replay.machine, replay.baseline, facts, outcome))
                )
            first = first or replay
            if split is None:
                self._worlds.append(seen)
        assert first is not None
        return first

    def _note(self, replay: Replay, facts: StepFacts, outcome: Outcome) -> None:
        self.told += outcome.told
        if facts.is_bare:
            self.predicted.append(predict_step(replay.machine, replay.baseline, facts.index, facts.op, outcome))

    def observations(self) -> Iterator[Observation]:
        """Yield what was compared, in order, as all worlds together have it."""
        alive = self._worlds
        for index in range(len(self._recording.steps)):
            yield from _together([world[index] for world in alive])
            if index < self._predict:
                alive = [world for world in alive if _holds(world[index])] or alive


def _ends(blocks: tuple[int, ...]) -> Iterator[frozenset[int]]:
    """Yield which of some blocks may stay online: every set of few, of many none, all or a single one."""
    few = range(len(blocks) + 1) if len(blocks) <= _FEW else (0, 1, len(blocks))
    for count in few:
        yield from map(frozenset, itertools.combinations(blocks, count))


def _holds(seen: list[Observation]) -> bool:
    """Return whether the memory blocks of a world are as they were recorded."""
    return all(one.matches for one in seen if one.reason is Reason.BLOCK or one.reason is Reason.RESULT)


def _together(worlds: list[list[Observation]]) -> Iterator[Observation]:
    """Yield the observations of one step as all worlds together have them.

    What has a name is compared by its name. Lists, of lines and of runs of pages, are those of the world that fits
    best; of their items those are undetermined that not every world has.
    """
    if len(worlds) == 1:
        yield from worlds[0]
        return
    listed = [[one for one in world if one.reason in _LISTS] for world in worlds]
    best = min(listed, key=lambda world: sum(not one.matches for one in world))
    everywhere = set(map(str, best)).intersection(*(map(str, world) for world in listed))
    named = [{(one.reason, one.what): one for one in world if one.reason not in _LISTS} for world in worlds]
    for key in dict.fromkeys(key for world in named for key in world):
        found = [world[key] for world in named if key in world]
        fits = next((one for one in found if one.matches), found[0])
        if fits.expected in (None, 0) and len(found) < len(worlds):
            continue  # nothing was recorded, and there is a world that has nothing
        same = len(found) == len(worlds) and all((one.got, one.matches) == (fits.got, fits.matches) for one in found)
        yield fits if same else fits._replace(undetermined=True)
    for one in best:
        yield one if str(one) in everywhere else one._replace(undetermined=True)


class Replay:
    """The model beside one recording.

    Attributes:
        arch, profile: names of the plugins that model the recorded kernel.
        machine: the model, in the state after the last step of :meth:`run`.
        baseline: what the comparison measures changes from.

    Args:
        predict: as in :func:`replay_file`.
        stay: by step, which of the blocks stay online of which nobody can know.

    Raises:
        InputError: the first step describes no machine that can be modelled.
    """

    def __init__(
        self, recording: Recording, *, predict: int | None = None, stay: Mapping[int, frozenset[int]] | None = None
    ) -> None:
        self.recording = recording
        self._predict = len(recording.steps) if predict is None else predict
        self._stay = stay or {}
        self._facts = [StepFacts(step, recording.file) for step in recording.steps]
        if recording.steps[0].op.kind != "boot":
            raise InputError(
                "'boot', which every recording begins with", got=recording.steps[0].op.kind, file=recording.file,
                path="steps[0].op.kind",
            )  # fmt: skip
        boot = read_machine(recording.snapshot(0))
        if boot.arch is None:
            raise InputError("a recording that says its architecture", file=recording.file)
        self.arch = boot.arch
        try:
            self.profile = choose_profile(boot.kernel_release)
            self.machine = self._boot(boot)
        except InputError as problem:
            raise self._located(problem, 0) from problem
        self.baseline = Baseline.of(self.machine, boot)
        self._guest = Guest(self.machine, self._facts[0], self.baseline)
        self._firmware = Firmware(self._facts[0], boot)
        self._names: dict[str, str] = {}

    def _boot(self, boot: RecordedMachine) -> Machine:
        online = {node.id for node in boot.nodes}
        lost = sorted({block.node for block in boot.blocks if block.node is not None} - online)
        if lost:
            raise InputError("memory blocks of online nodes", got=f"blocks of node {lost[0]}, which is not online")
        known = known_pages(self._facts[0], boot)
        log = device_log(self._facts[0])
        machine = Machine(kernel_from_machine(boot, self.arch, self.profile, boot.cmdline or "", known, log))
        machine.kernel.state.failed_devices_stay = True
        return machine

    def _located(self, problem: InputError, step: int) -> InputError:
        """Return bad input with the file and the step that it is about."""
        if isinstance(problem, PluginError) or problem.file is not None:
            return problem
        path = f"steps[{step}]" + (f".{problem.path}" if problem.path else "")
        return problem.at(file=self.recording.file, path=path)

    def run(self) -> Iterator[tuple[StepFacts, Outcome]]:
        """Do every operation; yield each step when the model has done it.

        Raises:
            InputError: the model cannot do such an operation at all.
        """
        for facts in self._facts:
            yield facts, self._step(facts) if facts.index else Outcome(result=_OK)

    def _step(self, facts: StepFacts) -> Outcome:
        """Do one operation, with what the guest held before it in its way."""
        op = self._completed(facts.op)
        told = self._guest.settle(self.machine, op)
        undetermined = self._guest.undetermined(self.machine, op)
        if undetermined and facts.index in self._stay:
            self._guest.go_by(self.machine, undetermined, self._stay[facts.index])
        try:
            outcome = self.machine.operate(None, lambda: self._do(op))
        except InputError as problem:
            raise self._located(problem, facts.index) from problem
        self._guest.dismiss(self.machine)
        self._guest.observe(self.machine, facts, read=facts.index < self._predict)
        return replace(outcome, told=told, undetermined=undetermined)

    def _completed(self, op: RecordedOp) -> RecordedOp:
        """Return an operation with the blocks of its device where the recording does not list them."""
        if op.kind == "resize":
            return replace(op, device=self._growing(op.device or ""))
        if op.kind != "remove":
            return op
        kernel = self.machine.kernel
        if op.size and op.address is not None and kernel.state.plugged_index(op.device or "") is None:
            adopt(kernel, op.device or "", op.address, op.size)  # a device that was there when the recording began
        if op.blocks:
            return op
        return replace(op, blocks=tuple(device_blocks(self.machine.kernel, op.device or "")))

    def _growing(self, name: str) -> str:
        """Return what the model calls a device that changes its size: the guest knows no hypervisor's names.

        The first name that is met is that of the first device, and so on.
        """
        devices = self.machine.kernel.state.devices
        if name not in self._names and all(device.name != name for device in devices):
            taken = set(self._names.values())
            left = (device for device in devices if driver_traits(device.driver).room_key and device.name not in taken)
            found = next(left, None)
            if found is not None:
                self._names[name] = found.name
        return self._names.get(name, name)

    def _do(self, op: RecordedOp) -> Outcome:
        match op.kind:
            case "boot":
                raise InputError("'boot' in the first step only", got="it once more")
            case "add":
                return self._device(op, self._add)
            case "remove":
                return self._device(op, self._eject)
            case "resize":
                return self._resize(op)
            case "hog":
                return self._hog(op)
            case "write" if not (op.path or "").startswith("sys/"):
                return Outcome(result=_OK)  # what it does to the guest is the guest's own
            case "write":
                failed = self._errno(lambda: self.machine.write("/" + (op.path or ""), op.value or ""))
                return Outcome(result=failed or _OK, errno=failed)
            case "online":
                online_type = _ONLINE_TYPES[op.type or ""]
                return self._each(op, lambda blocks: online_blocks(self.machine.kernel, blocks, online_type))
            case _:
                return self._each(op, lambda blocks: offline_blocks(self.machine.kernel, blocks))

    def _errno(self, action: Callable[[], object]) -> str | None:
        """Return the errno that an action is refused with, None if it is not."""
        try:
            action()
        except MemoryHotplugError as problem:
            return problem.name
        return None

    def _each(self, op: RecordedOp, action: Callable[[list[int]], object]) -> Outcome:
        """Write every listed block, whatever became of the ones before it.

        Args:
            action: handles some blocks in order and stops at the first that fails.
        """
        results = dict.fromkeys(op.blocks, _OK)
        left = list(op.blocks)
        while left:
            try:
                action(left)
                break
            except MemoryHotplugError as problem:
                failed = len(problem.blocks_done)
                results[left[failed]] = problem.name
                left = left[failed + 1 :]
        first = next((name for name in results.values() if name != _OK), None)
        return Outcome(result=first or _OK, errno=first, results=results, asked=op.blocks, blocks=self._present(op))

    def _device(self, op: RecordedOp, action: Callable[[RecordedOp], object]) -> Outcome:
        failed = self._errno(lambda: action(op))
        return Outcome(
            result=_OK if failed is None else FAILED, errno=failed, asked=op.blocks, blocks=self._present(op)
        )

    def _add(self, op: RecordedOp) -> None:
        kernel, name = self.machine.kernel, op.device or ""
        if kernel.state.device_index(name) is not None:
            raise MemoryHotplugError(errno.EEXIST, f"there is a device {name!r} already")
        request = AddRequest(
            driver=usual_driver(self.arch),
            name=name,
            size=op.size or 0,
            address=op.address,
            nid=self._firmware.node(op.node or 0),
        )
        try:
            hot_add(kernel, request)
        finally:
            self.baseline.note_added({*op.blocks, *device_blocks(kernel, name)})

    def _resize(self, op: RecordedOp) -> Outcome:
        """Change a device's requested size; the first time there is no device yet, and the boot's log describes it."""
        kernel, name, size = self.machine.kernel, op.device or "", op.size or 0
        known = kernel.state.youngest(name, lambda device: True) is not None

        def act() -> None:
            if known:
                resize(kernel, name, size)
            else:
                hot_add(kernel, self._firmware.growing_device(kernel, name, size))

        failed = self._errno(act)
        self.baseline.note_added(device_blocks(kernel, name))
        return Outcome(result=_OK if failed is None else FAILED, errno=failed)

    def _hog(self, op: RecordedOp) -> Outcome:
        """Let a process take memory."""
        kernel = self.machine.kernel
        name, nid = f"hog {len(kernel.state.allocations)}", min(kernel.state.nodes)

        def act() -> None:
            allocate(kernel, name, op.size or 0, movable=True, nid=nid, order=0, pinned=False, scatter=False)

        failed = self._errno(act)
        return Outcome(result=_OK if failed is None else FAILED, errno=failed)

    def _eject(self, op: RecordedOp) -> None:
        """Take a device out; one that no driver holds is gone at once."""
        if self.machine.kernel.state.plugged_index(op.device or "") is not None:
            eject(self.machine.kernel, op.device or "")

    def _present(self, op: RecordedOp) -> tuple[int, ...]:
        there = set(self.machine.kernel.state.blocks.id.tolist())
        return tuple(block for block in op.blocks if block in there)
