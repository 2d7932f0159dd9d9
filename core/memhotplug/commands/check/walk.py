"""One step of the search: every operation on one machine, what became of it, and which law it broke."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memhotplug.commands.check.laws import Broken, History, broken_by, broken_invariants, remember
from memhotplug.commands.check.moves import NOTHING, Move, Moves
from memhotplug.commands.check.normal_form import exact_form, normal_form, visible_form
from memhotplug.contracts import MemoryEvent
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.machine import Machine

if TYPE_CHECKING:
    from memhotplug.commands.check.against import Against

__all__ = ["MAX_FAULTS", "Spot", "Tried", "Walker"]

MAX_FAULTS = 64
"""Allocations of one operation that are made to fail in turn."""
_ENOUGH = 1 << 40


@dataclass(frozen=True, slots=True)
class Spot:
    """A machine somewhere on the way.

    Attributes:
        machine: it; never changed.
        history: the moments on the way there; its own is added when somebody goes on from here.
        twin: the machine that it is held against, None for none.
    """

    machine: Machine
    history: History
    twin: Machine | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One operation that was tried.

    Attributes:
        move: the operation, or NOTHING.
        errno: what it was refused with, None if it was not.
        broken: the laws that it broke.
        spot: the machine after it, None where nothing can follow.
        form: the normal form of that machine.
        look: what people see of it, as 8 bytes, after an operation whose order must not matter; else empty.
    """

    move: Move
    errno: str | None
    broken: tuple[Broken, ...]
    spot: Spot | None
    form: bytes
    look: bytes = b""


class _Told(dict[MemoryEvent, int]):
    """Vetoes nothing, and learns which events notifiers are told: none but these can be vetoed."""

    def __init__(self) -> None:
        super().__init__()
        self.events: set[MemoryEvent] = set()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, event: object) -> bool:
        self.events.add(event)  # type: ignore[arg-type]  # the kernel looks up nothing else
        return False

    def copy(self) -> _Told:
        return self


class Walker:
    """Tries operations.

    Args:
        moves: what can happen.
        faults: whether things go wrong in it, too.
        against: what a twin machine is held against, None for nothing.
    """

    def __init__(self, moves: Moves, *, faults: bool, against: Against | None = None) -> None:
        self.moves = moves
        self._faults = faults
        self._against = against
        self._sound: set[bytes] = set()

    def start(self, machine: Machine) -> Spot:
        """Return the spot to begin from."""
        twin = self._against.twin() if self._against is not None else None
        return Spot(machine, (), twin)

    def form(self, spot: Spot) -> bytes:
        """Return the normal form of a spot."""
        own = normal_form(spot.machine.kernel)
        return own if spot.twin is None else own + normal_form(spot.twin.kernel)

    def around(self, spot: Spot) -> Iterator[Tried]:
        """Yield everything that can happen at a spot, which itself must not change by it; one thing is done twice."""
        before = exact_form(spot.machine.kernel)
        spot = self._here(spot)
        moves = list(self.moves.all(spot.machine.kernel))
        again = moves[before[0] % len(moves)] if moves else None
        for move in moves:
            once, *others = self._with_faults(spot, move)
            yield once
            yield from others
            if move is again:
                yield from self._repeated(spot, once)
        if exact_form(spot.machine.kernel) != before:
            text = "copies: what was done to a copy of the machine changed the machine itself"
            yield Tried(self._disturbing(spot, moves), None, (Broken("copies", text),), None, b"")

    def _disturbing(self, spot: Spot, moves: Sequence[Move]) -> Move:
        """Return the first operation on a copy that changes the machine once more, NOTHING if none does it twice."""
        before = exact_form(spot.machine.kernel)
        for move in moves:
            self._judged(spot, move, spot.machine.copy())
            if exact_form(spot.machine.kernel) != before:
                return move
        return NOTHING

    def _here(self, spot: Spot) -> Spot:
        """Return a spot with its own moment in its history; most spots turn out to be known, and nobody asks them."""
        return replace(spot, history=remember(spot.machine.kernel, spot.history))

    def _repeated(self, spot: Spot, once: Tried) -> Iterator[Tried]:
        """Yield a finding if an operation on the same machine does not do the same again, and once more."""
        again = [self._judged(spot, once.move, spot.machine.copy()) for _ in range(2)]
        if any((one.errno, one.form) != (once.errno, once.form) for one in again):
            text = "repeat: the same operation on the same machine does not do the same twice"
            yield Tried(once.move, once.errno, (Broken("repeat", text),), None, b"")

    def _with_faults(self, spot: Spot, move: Move) -> Iterator[Tried]:
        if not self._faults:
            yield self._judged(spot, move, spot.machine.copy())
            return
        machine, told = spot.machine.copy(), _Told()
        machine.kernel.state.fail_allocation, machine.kernel.step.vetoes = _ENOUGH, told
        yield self._judged(spot, move, machine)
        left = machine.kernel.state.fail_allocation
        used = 0 if left is None else _ENOUGH - left
        machine.kernel.state.fail_allocation = None
        for count in range(min(used, MAX_FAULTS)):
            yield self._judged(spot, move.with_fault("fail_allocation", count), spot.machine.copy())
        for vetoed in self.moves.vetoes(spot.machine.kernel, move, told.events):
            yield self._judged(spot, vetoed, spot.machine.copy())

    def try_move(self, spot: Spot, move: Move) -> Tried:
        """Return what becomes of a spot by one operation."""
        return self._judged(self._here(spot), move, spot.machine.copy())

    def _judged(self, spot: Spot, move: Move, machine: Machine) -> Tried:
        try:
            problem = self.perform(machine, move)
        except InputError as error:  # a plugin that raises or lies
            is_plugins = isinstance(error, PluginError)
            wrong = Broken("plugin", str(error)) if is_plugins else Broken("input", f"input: {error}")
            return Tried(move, None, (wrong,), None, b"")
        errno = problem.name if problem is not None else None
        if self._against is not None and spot.twin is not None:
            return self._against.compared(self, spot, move, machine, errno)
        before, after = spot.machine.kernel, machine.kernel
        form = normal_form(after)
        broken = [*self._invariants(after, form), *broken_by(move.op, problem, before, after, spot.history)]
        if broken:
            return Tried(move, errno, tuple(broken), None, b"")
        history = () if problem is not None and problem.leaks else spot.history  # nobody looks for what it said is lost
        return Tried(move, errno, (), Spot(machine, history), form, look_after(move, errno, machine))

    def _invariants(self, kernel: Kernel, form: bytes) -> list[Broken]:
        """Return what is broken in a machine; one whose like was found sound needs no second look."""
        if form in self._sound:
            return []
        broken = broken_invariants(kernel)
        if not broken:
            self._sound.add(form)
        return broken

    def follow(self, spot: Spot, moves: Sequence[Move]) -> Spot:
        """Return where moves lead that break nothing."""
        machine = spot.machine.copy()
        for move in moves:
            self.perform(machine, move)
        return Spot(machine, ())

    def perform(self, machine: Machine, move: Move) -> MemoryHotplugError | None:
        """Do a move to a machine; return what it was refused with."""
        record = self.moves.record(move)
        try:
            machine.operate(
                record.veto,
                lambda: machine.apply(move.op, record),
                fail_allocation=record.fail_allocation,
                is_throwaway=True,
            )
        except MemoryHotplugError as refused:
            return refused.with_traceback(None)  # frames hold machines, and would hold each other
        return None


def look_after(move: Move, errno: str | None, machine: Machine) -> bytes:
    """Return what people see of a machine after an operation whose order must not matter, as 8 bytes; else none."""
    return visible_form(machine.kernel) if errno is None and move.commutes else b""
