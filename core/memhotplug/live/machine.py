"""The machine while it lives: many readers, one writer at a time, and a record of what was done to it.

Writers take turns as the kernel's take device_hotplug_lock. Readers never wait: they look at a view of the machine
that is replaced when an operation is over, which costs next to nothing since copies share their arrays. What was looked
up stays known for as long as the files are the same, what was read until anything changes. A write which the kernel
tries again and again keeps its turn until it succeeds, because pages were released meanwhile, or is interrupted.

Models: drivers/base/core.c:lock_device_hotplug_sysfs(). Simplified: a write waits for its turn instead of starting
the system call anew.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from memhotplug.catalog import Installed
from memhotplug.contracts import Write
from memhotplug.engine.base_memory import Entry, store, tree_of
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError, UntilInterruptedError
from memhotplug.formats.scenario import parse_args
from memhotplug.live.faults import Fault, Faults, veto_of
from memhotplug.live.view import View
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.ranges import check_name
from memhotplug.units import kstrtobool

__all__ = ["Change", "LiveMachine"]

_LONGEST: Final = 4096  # bytes that one write hands to the file. Models: fs/kernfs/file.c:kernfs_fop_write_iter()
_BLOCK_FILE: Final = re.compile(r"sys/devices/system/memory/memory(\d+)/(state|online)")
_REMEMBERED: Final = 80
_WORKLOADS: Final = frozenset({"allocate", "release"})  # which take no device_hotplug_lock
_GLANCE: Final = 0.05  # seconds after which whoever waits looks whether he is interrupted


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What one operation changed: the uevents that the kernel would have sent.

    Attributes:
        op: the operation: ``write``, ``add`` …
        device: the device that was added or taken out, None for others.
        errno: why it failed, None if it did not.
        reason: the same, in words.
        uevents: action and block, in the order of the blocks.
    """

    op: str
    device: str | None = None
    errno: str | None = None
    reason: str | None = None
    uevents: tuple[tuple[str, int], ...] = field(default=())


Listener = Callable[[Change], None]
Interrupted = Callable[[], bool]
Doubter = Callable[[Sequence[str]], None]


class LiveMachine:
    """A machine that several threads use.

    Args:
        machine: belongs to this object from now on.
        faults: what is to go wrong.
        delays: seconds that an operation takes, by name.
    """

    def __init__(
        self, machine: Machine, faults: Sequence[Fault] = (), delays: Mapping[str, float] | None = None
    ) -> None:
        self._machine = machine
        self._faults = Faults(faults, machine.kernel)
        self._delays = dict(delays or {})
        self._turn = threading.Lock()
        self._lock = threading.Condition()
        self._listeners: list[Listener] = []
        self._steps: list[dict[str, object]] = []
        self._doubters: list[Doubter] = []
        self._view = View(machine.kernel.copy())

    # ---- readers ----

    @property
    def kernel(self) -> Kernel:
        """The machine as readers see it; never changed, but replaced."""
        return self._view.kernel

    @property
    def view(self) -> View:
        """The same, with what was looked up and read."""
        return self._view

    @property
    def steps(self) -> list[dict[str, object]]:
        """What was done so far, as steps of a scenario."""
        return list(self._steps)

    def find(self, path: str) -> Entry | None:
        """Return what is at a path (without a leading slash), None if there is nothing."""
        return self._view.find(path)

    def read(self, path: str) -> str:
        """Return what a file reads.

        Raises:
            MemoryHotplugError: ENODEV the file is gone, EACCES it is write-only.
        """
        return self._view.read(path)

    def doubt(self, doubter: Doubter) -> None:
        """Have a function told, before an operation is over, that files came or went, and which may not be the same."""
        self._doubters.append(doubter)

    def _publish(self, kernel: Kernel) -> None:
        new, doubtful = self._view.succeeded_by(kernel)
        self._view = new
        if doubtful is not None:
            for doubter in self._doubters:
                doubter(doubtful)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have a function told of every operation that is over; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # ---- writers ----

    def write(self, path: str, data: bytes, *, capable: bool = True, interrupted: Interrupted | None = None) -> int:
        """Do what one write(2) does and return how many bytes it took.

        Args:
            interrupted: returns whether a signal waits for whoever writes; None if one always does.

        Raises:
            MemoryHotplugError: as the kernel answers.
        """
        if not data:
            return 0
        data = data[:_LONGEST]
        value = data.split(b"\0")[0].decode("utf-8", "backslashreplace")
        shown = value if len(value) <= _REMEMBERED else value[: _REMEMBERED - 1] + "…"
        step: dict[str, object] = {"path": "/" + path, "value": shown}
        if not capable:
            step["capable"] = False
        block, direction = _aim(path, value)

        def action() -> None:
            kernel = self._machine.kernel
            entry = tree_of(kernel).find(kernel, path)
            if entry is None:
                raise MemoryHotplugError(errno.ENODEV, f"/{path} is gone")
            store(kernel, entry, "/" + path, Write(value, capable))

        self._operate("write", step, action, direction or "", block, interrupted)
        return len(data)

    def perform(self, op: str, arguments: Mapping[str, object]) -> Any:
        """Do what one step of a scenario does: ``add``, ``eject``, ``resize`` …; return what the operation does.

        Raises:
            MemoryHotplugError: as the kernel answers.
            InputError: the step cannot be.
        """
        step = parse_args(op, dict(arguments), Installed())

        def action() -> Any:
            if hasattr(step, "range"):
                check_name(self._machine.kernel, step.range)
            return self._machine.apply(op, step)

        direction = "online" if op == "add" else "offline" if op == "eject" else op
        return self._operate(op, dict(arguments), action, direction, None)

    def _operate(
        self,
        op: str,
        step: dict[str, object],
        action: Callable[[], Any],
        direction: str,
        block: int | None,
        interrupted: Interrupted | None = None,
    ) -> Any:
        with self._turn_of(op, interrupted):
            self._wait(op, direction, block)
            with self._lock:
                fault = self._faults.find(direction, block)
                before = self._machine.kernel.copy()
                outcome, problem = self._attempt(action, fault)
                while isinstance(problem, UntilInterruptedError) and interrupted is not None and not interrupted():
                    before = self._after_a_while(before, block, interrupted)
                    outcome, problem = self._attempt(action, fault)
                self._note(op, step, problem, fault)
                self._publish(self._machine.kernel.copy())
                change = _change(op, step, before, self.kernel, problem)
                self._lock.notify_all()
        for listener in list(self._listeners):
            listener(change)
        if problem is not None:
            raise problem
        return outcome

    @contextmanager
    def _turn_of(self, op: str, interrupted: Interrupted | None) -> Iterator[None]:
        """Hold off all others that change which memory there is.

        Raises:
            MemoryHotplugError: EINTR, a signal came before the turn did.
        """
        if op in _WORKLOADS:
            yield
            return
        while not self._turn.acquire(timeout=_GLANCE):
            if interrupted is not None and interrupted():
                raise MemoryHotplugError(errno.EINTR, "interrupted while another operation is under way")
        try:
            yield
        finally:
            self._turn.release()

    def _attempt(self, action: Callable[[], Any], fault: Fault | None) -> tuple[Any, MemoryHotplugError | None]:
        try:
            return self._machine.operate(veto_of(fault), action), None
        except MemoryHotplugError as refused:
            return None, refused

    def _note(self, op: str, step: dict[str, object], problem: MemoryHotplugError | None, fault: Fault | None) -> None:
        """Remember an operation as a step of a scenario."""
        if problem is not None:
            step = {**step, "fails": problem.name}
            if fault is not None and problem.reason == f"a notifier vetoed {fault.event}":
                self._faults.came(fault)
                step["veto"] = {"event": fault.event, "errno": fault.errno}
        self._steps.append({op: step})

    def _after_a_while(self, before: Kernel, block: int | None, interrupted: Interrupted) -> Kernel:
        """Undo an attempt, and wait until somebody has done something or a signal has come; return the machine then."""
        self._machine.kernel.restore(before)
        self._show_going_offline(block)
        while not self._lock.wait(_GLANCE) and not interrupted():
            pass
        return self._machine.kernel.copy()

    def _wait(self, op: str, direction: str, block: int | None) -> None:
        """Let time pass; a block that is to go offline is seen on its way."""
        seconds = self._delays.get(direction, self._delays.get(op, 0.0))
        if not seconds:
            return
        if direction == "offline":
            with self._lock:
                self._show_going_offline(block)
        threading.Event().wait(seconds)

    def _show_going_offline(self, block: int | None) -> None:
        """Have readers see an online block on its way."""
        seen = self._machine.kernel.copy()
        row = None if block is None else seen.state.blocks.row(block)
        if row is not None and seen.state.blocks.state[row] == BlockState.ONLINE:
            seen.state.blocks.set(slice(row, row + 1), state=BlockState.GOING_OFFLINE)
            self._publish(seen)

    def end(self) -> Machine:
        """Return the machine when nobody uses it any more."""
        with self._lock:
            return self._machine


def _aim(path: str, value: str) -> tuple[int | None, str | None]:
    """Return which block a write is to take where, None for other files and words."""
    match = _BLOCK_FILE.fullmatch(path)
    if match is None:
        return None, None
    word = value.strip().lower()
    if match[2] == "state":
        direction = "offline" if word == "offline" else "online" if word.startswith("online") else None
    else:
        direction = "online" if kstrtobool(word) else "offline"
    return int(match[1]), direction


def _change(
    op: str, step: Mapping[str, object], before: Kernel, after: Kernel, problem: MemoryHotplugError | None
) -> Change:
    return Change(
        op=op,
        device=None if op == "write" else str(step.get("name") or step.get("range") or ""),
        errno=problem.name if problem else None,
        reason=problem.reason if problem else None,
        uevents=tuple(_uevents(before, after)),
    )


def _uevents(before: Kernel, after: Kernel) -> list[tuple[str, int]]:
    old, new = before.state.blocks, after.state.blocks
    if old.id is new.id and old.state is new.state:
        return []
    gone, came = np.setdiff1d(old.id, new.id), np.setdiff1d(new.id, old.id)
    kept = np.intersect1d(old.id, new.id)
    was = old.state[np.searchsorted(old.id, kept)] == BlockState.ONLINE
    now = new.state[np.searchsorted(new.id, kept)] == BlockState.ONLINE
    found = [("offline", block) for block in kept[was & ~now].tolist()]
    found += [("remove", block) for block in gone.tolist()]
    found += [("add", block) for block in came.tolist()]
    at_once = came[new.state[np.searchsorted(new.id, came)] == BlockState.ONLINE]
    return found + [("online", block) for block in (*kept[~was & now].tolist(), *at_once.tolist())]
