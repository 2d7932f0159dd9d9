"""Replaying a recording: boot the model from the first step, then do what was done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from memhotplug.conform import guest
from memhotplug.conform.observe import Observation, compare_step, predict_step
from memhotplug.engine.hotadd import device_blocks
from memhotplug.engine.machine import Machine
from memhotplug.engine.recorded import kernel_from_machine
from memhotplug.engine.releases import choose_profile
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.snapshot import RecordedOp, RecordedStep, Recording, read_machine, read_recording

__all__ = ["FileResult", "Outcome", "Replay", "replay_file"]

_DRIVERS = {"powerpc": "pseries", "s390": "sclp"}
_ZONES = {"online": "auto", "online_kernel": "kernel", "online_movable": "movable"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the model makes of one operation.

    Attributes:
        result: ``ok``, an errno's name, or ``failed`` for a device.
        results: by block, for online and offline.
        blocks: which of the operation's blocks exist afterwards.
    """

    result: str
    results: dict[int, str] = field(default_factory=dict)
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileResult:
    """How one recording came out.

    Attributes:
        file, kernel, arch: what was replayed, under which profile.
        steps: steps of the recording.
        observations: everything that was compared, in order.
        predicted: one object for each step that carried only its operation.
    """

    file: str
    kernel: str
    arch: str
    steps: int
    observations: tuple[Observation, ...]
    predicted: tuple[dict[str, object], ...]

    @property
    def matched(self) -> int:
        """Observations on which model and kernel agree."""
        return sum(observation.matches for observation in self.observations)


def replay_file(path: str) -> FileResult:
    """Replay one recording.

    Raises:
        InputError: it is broken, truncated, foreign or contradictory; says which file and step.
    """
    recording = read_recording(path)
    replay = Replay(recording)
    observations: list[Observation] = []
    predicted: list[dict[str, object]] = []
    for step, outcome in replay.run():
        if step.files is None and step.result is None:
            predicted.append(predict_step(replay.machine, replay.baseline, step, outcome))
        else:
            observations += compare_step(replay.machine, replay.baseline, step, outcome)
    return FileResult(
        file=path,
        kernel=replay.profile,
        arch=replay.arch,
        steps=len(recording.steps),
        observations=tuple(observations),
        predicted=tuple(predicted),
    )


class Replay:
    """The model beside one recording.

    Attributes:
        machine: the model, in the state after the last step of :meth:`run`.
        baseline: what the comparison measures changes from.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        boot = read_machine(recording.snapshot(0))
        if boot.arch is None:
            raise InputError("a recording that says its architecture", file=recording.file)
        self.arch = boot.arch
        self.profile = choose_profile(boot.kernel_release)
        kernel = kernel_from_machine(
            boot, self.arch, self.profile, boot.cmdline or "", guest.known_pages(recording.steps[0], boot)
        )
        self.machine = Machine(kernel)
        self.baseline = guest.Baseline.of(self.machine, boot)

    def run(self) -> Iterator[tuple[RecordedStep, Outcome]]:
        """Do every operation; yield each step when the model has done it."""
        previous = self.recording.steps[0]
        for step in self.recording.steps:
            outcome = Outcome(result="ok")
            if step.op.kind != "boot":
                guest.settle(self.machine, previous, step.op)
                outcome = self._do(step.op)
                guest.dismiss(self.machine)
            yield step, outcome
            previous = step

    def _do(self, op: RecordedOp) -> Outcome:
        match op.kind:
            case "add":
                return self._add(op)
            case "remove":
                return self._eject(op)
            case "write":
                return Outcome(result=self._errno(lambda: self.machine.write("/" + (op.path or ""), op.value or "")))
            case "online":
                return self._each(op, lambda block: self.machine.online(f"block {block}", zone=_ZONES[op.type or ""]))
            case _:
                return self._each(op, lambda block: self.machine.offline(f"block {block}"))

    def _errno(self, action: object) -> str:
        try:
            action()  # type: ignore[operator]  # a callable without arguments
        except MemoryHotplugError as problem:
            return problem.name
        return "ok"

    def _each(self, op: RecordedOp, action: object) -> Outcome:
        results = {block: self._errno(lambda block=block: action(block)) for block in op.blocks}  # type: ignore[operator,misc]
        first = next((result for result in results.values() if result != "ok"), "ok")
        return Outcome(result=first, results=results, blocks=self._present(op))

    def _add(self, op: RecordedOp) -> Outcome:
        driver = _DRIVERS.get(self.arch, "acpi")
        try:
            self.machine.add_memory(
                driver=driver, name=op.device, size=op.size, address=op.address, node=op.node or 0
            )
        except MemoryHotplugError:
            self.baseline.note_added(op, device_blocks(self.machine.kernel, op.device or ""))
            return Outcome(result="failed", blocks=self._present(op))
        self.baseline.note_added(op, device_blocks(self.machine.kernel, op.device or ""))
        return Outcome(result="ok", blocks=self._present(op))

    def _eject(self, op: RecordedOp) -> Outcome:
        if not device_blocks(self.machine.kernel, op.device or ""):
            return Outcome(result="ok", blocks=self._present(op))  # nothing of it was ever added
        result = self._errno(lambda: self.machine.eject(op.device or ""))
        return Outcome(result="ok" if result == "ok" else "failed", blocks=self._present(op))

    def _present(self, op: RecordedOp) -> tuple[int, ...]:
        blocks = self.machine.kernel.state.blocks
        return tuple(block for block in op.blocks if blocks.row(block) is not None)
