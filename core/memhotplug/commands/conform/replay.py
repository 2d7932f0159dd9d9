"""Replaying a recording: boot the model from the first step, then do what was done."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property, partial
from typing import NamedTuple

from memhotplug.catalog import Installed
from memhotplug.commands.conform.baseline import Baseline, known_pages
from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.firmware import Firmware
from memhotplug.commands.conform.guest import Guest
from memhotplug.commands.conform.outcome import FAILED, Outcome
from memhotplug.contracts import AddRequest
from memhotplug.engine.boot.midlife import adopt
from memhotplug.engine.boot.recorded import kernel_from_machine
from memhotplug.engine.memory_hotplug.add import device_blocks, eject, hot_add, resize
from memhotplug.engine.memory_hotplug.online import offline_blocks, online_blocks
from memhotplug.engine.memory_hotplug.presence import usual_driver
from memhotplug.engine.workload import allocate
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.formats.snapshot import RecordedMachine, RecordedOp, Recording
from memhotplug.formats.snapshot.known import Known
from memhotplug.machine import Machine
from memhotplug.manager import driver_traits
from memhotplug.model.blocks import OnlineType
from memhotplug.naming import choose_profile, read_machine

__all__ = ["Replay"]

_ONLINE_TYPES = {kind.label: kind for kind in OnlineType}
_OK = "ok"
_MODELLED = ("sys/devices/system/memory/", "sys/module/memory_hotplug/")
"""Where a file that the model does not have is not there."""


class _Prepared(NamedTuple):
    """An operation that is about to be done: whether flags had a say in it, and what nobody can know of it."""

    op: RecordedOp
    told: bool = False
    undetermined: tuple[int, ...] = ()


class Replay:
    """The model beside one recording.

    Attributes:
        arch, profile: names of the plugins that model the recorded kernel.
        machine: the model, in the state after the last step that was done.
        baseline: what the comparison measures changes from.

    Args:
        predict: as in :func:`replay_file`.

    Raises:
        InputError: the first step describes no machine that can be modelled.
    """

    def __init__(self, recording: Recording, *, predict: int | None = None) -> None:
        self.recording = recording
        self._predict = len(recording.steps) if predict is None else predict
        self._facts: list[StepFacts] = []
        known, before = Known(), None
        for step in recording.steps:
            facts = StepFacts(step, recording.file, before, known)
            self._facts.append(facts)
            before = facts if facts.files else before
        if recording.steps[0].op.kind != "boot":
            raise InputError(
                "'boot', which every recording begins with", got=recording.steps[0].op.kind, file=recording.file,
                path="steps[0].op.kind",
            )  # fmt: skip
        boot = read_machine(recording.snapshot(0), known=known)
        if boot.arch is None:
            raise InputError("a recording that says its architecture", file=recording.file)
        self.arch = boot.arch
        self._firmware = Firmware(self._facts[0], boot)
        try:
            self.profile = choose_profile(boot.kernel_release)
            self.machine = self._boot(boot)
        except InputError as problem:
            raise self._located(problem, 0) from problem
        self.baseline = Baseline.of(self.machine, boot)
        self._guest = Guest(self.machine, self._facts[0], self.baseline)
        self._names: dict[str, str] = {}
        self._next = 0
        self._prepared: _Prepared | None = None

    def fork(self) -> Replay:
        """Return a replay that goes on from here, independently: it shares what was read, and copies what changes."""
        twin = copy(self)
        twin.machine, twin.baseline = self.machine.copy(), self.baseline.copy()
        twin._guest = self._guest.copy(twin.baseline)
        twin._firmware, twin._names = self._firmware.copy(), self._names.copy()
        return twin

    def _boot(self, boot: RecordedMachine) -> Machine:
        online = {node.id for node in boot.nodes if node.online}
        lost = sorted({block.node for block in boot.blocks if block.node is not None} - online)
        if lost:
            raise InputError("memory blocks of online nodes", got=f"blocks of node {lost[0]}, which is not online")
        known = known_pages(self._facts[0], boot)
        machine = Machine(
            kernel_from_machine(boot, self.arch, self.profile, boot.cmdline or "", known, lambda: self._firmware.log)
        )
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
        while self.upcoming is not None:
            yield self.advance()

    @property
    def upcoming(self) -> StepFacts | None:
        """The next step, None behind the last one."""
        return self._facts[self._next] if self._next < len(self._facts) else None

    def prepare(self) -> tuple[int, ...]:
        """Put what the guest held before the next operation into its way.

        Returns:
            The blocks of which nobody can say whether they may go offline.
        """
        if self._prepared is None:
            self._prepared = self._prepare(self._facts[self._next])
        return self._prepared.undetermined

    def _prepare(self, facts: StepFacts) -> _Prepared:
        if not facts.index:
            return _Prepared(facts.op)
        op = self._completed(facts.op)
        told = self._guest.settle(self.machine, op)
        return _Prepared(op, told, self._guest.undetermined(self.machine, op))

    def advance(self, stay: frozenset[int] | None = None) -> tuple[StepFacts, Outcome]:
        """Do the next operation.

        Args:
            stay: which of the blocks stay online of which nobody can know; None: as the model has it.

        Raises:
            InputError: the model cannot do such an operation at all.
        """
        self.prepare()
        facts, prepared = self._facts[self._next], self._prepared
        self._next, self._prepared = self._next + 1, None
        if not facts.index or prepared is None:
            return facts, Outcome(result=_OK)
        if prepared.undetermined and stay is not None:
            self._guest.go_by(self.machine, prepared.undetermined, stay)
        try:
            outcome = self.machine.operate(None, lambda: self._do(prepared.op), is_throwaway=True)
        except InputError as problem:
            raise self._located(problem, facts.index) from problem
        self._guest.dismiss(self.machine)
        read = facts.index < self._predict and not facts.is_bare
        one_by_one = facts.op.kind == "add" and driver_traits(self._driver).onlines
        self._guest.observe(self.machine, facts, read=read, one_by_one=one_by_one)
        return facts, outcome._replace(told=prepared.told, undetermined=prepared.undetermined)

    def _completed(self, op: RecordedOp) -> RecordedOp:
        """Return an operation with the blocks of its device where the recording does not list them."""
        if op.kind == "resize":
            return op._replace(device=self._growing(op.device or ""))
        if op.kind != "remove":
            return op
        kernel = self.machine.kernel
        if op.size and op.address is not None and kernel.state.plugged_index(op.device or "") is None:
            adopt(kernel, op.device or "", op.address, op.size)  # a device that was there when the recording began
        if op.blocks:
            return op
        return op._replace(blocks=tuple(device_blocks(self.machine.kernel, op.device or "")))

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
            case "write" if not (op.path or "").startswith(("sys/", "proc/sys/")):
                return Outcome(result=_OK, own=True)  # what it does to the guest is the guest's own
            case "write":
                return self._write(op)
            case "online":
                online_type = _ONLINE_TYPES[op.type or ""]
                return self._each(op, lambda blocks: online_blocks(self.machine.kernel, blocks, online_type))
            case _:
                return self._each(op, lambda blocks: offline_blocks(self.machine.kernel, blocks))

    def _write(self, op: RecordedOp) -> Outcome:
        """Write a file of sysfs or a parameter; what is neither modelled nor about memory blocks is the guest's own.

        Raises:
            InputError: there can be no such path.
        """
        from memhotplug.formats.scenario.check import parse_args  # which only few recordings need

        step = parse_args("write", {"path": "/" + (op.path or ""), "value": op.value or ""}, Installed())
        failed = self._errno(lambda: self.machine.apply("write", step))
        if failed == "ENOENT" and not (op.path or "").startswith(_MODELLED):
            return Outcome(result=_OK, own=True)
        return Outcome(result=failed or _OK, errno=failed)

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
        try:
            action([*op.blocks])
        except MemoryHotplugError as problem:
            failed = len(problem.blocks_done)
            results[op.blocks[failed]] = problem.name
            for block in op.blocks[failed + 1 :]:  # one refusal seldom comes alone
                results[block] = self._errno(partial(action, [block])) or _OK
        first = next((name for name in results.values() if name != _OK), None)
        return Outcome(result=first or _OK, errno=first, results=results, asked=op.blocks, blocks=self._present(op))

    def _device(self, op: RecordedOp, action: Callable[[RecordedOp], object]) -> Outcome:
        failed = self._errno(lambda: action(op))
        return Outcome(
            result=_OK if failed is None else FAILED, errno=failed, asked=op.blocks, blocks=self._present(op)
        )

    @cached_property
    def _driver(self) -> str:
        """Who adds what the recording does not say the driver of."""
        return usual_driver(self.arch)

    def _add(self, op: RecordedOp) -> None:
        kernel, name = self.machine.kernel, op.device or ""
        if kernel.state.device_index(name) is not None:
            raise MemoryHotplugError(errno.EEXIST, f"there is a device {name!r} already")
        request = AddRequest(
            driver=self._driver,
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
        nid = kernel.state.asking_node()
        name = f"hog {len(kernel.state.allocations)}"

        def act() -> None:
            allocate(kernel, name, op.size or 0, movable=True, nid=nid, order=0, pinned=False, scatter=False)

        failed = self._errno(act)
        return Outcome(result=_OK if failed is None else FAILED, errno=failed)

    def _eject(self, op: RecordedOp) -> None:
        """Take a device out; one that no driver holds is gone at once."""
        if self.machine.kernel.state.plugged_index(op.device or "") is not None:
            eject(self.machine.kernel, op.device or "")

    def _present(self, op: RecordedOp) -> tuple[int, ...]:
        row = self.machine.kernel.state.blocks.row
        return tuple([block for block in op.blocks if row(block) is not None])
