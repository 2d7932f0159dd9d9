"""What the contracts share: machines, a balance of their pages, and injected faults."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import ClassVar, Final

import pytest

from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine, Memory
from memhotplug.model.vmemmap import Source

__all__ = ["BOTH_WAYS", "Balance", "Contract", "balance", "boot", "everything_said", "failure_points", "whole_cycle"]

BOTH_WAYS: Final = (1, 3)
"""Numbers of memory blocks that the contracts add: one, and several."""

_booted: dict[str, Machine] = {}


def boot(keywords: Mapping[str, object]) -> Machine:
    """Return a machine of its own; one with the same keywords is booted only once."""
    key = repr(sorted(keywords.items()))
    if key not in _booted:
        _booted[key] = Machine.boot(**keywords)
    return _booted[key].copy()


@contextmanager
def everything_said() -> Iterator[list[str]]:
    """Return a block behind which the list holds one text: all that was written to stdout and stderr inside.

    By print(), and past Python too: to descriptors 1 and 2, as C libraries do.
    """
    said: list[str] = []
    text = io.StringIO()
    with tempfile.TemporaryFile() as file:
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(file.fileno(), number)
            with redirect_stdout(text), redirect_stderr(text):
                yield said
        finally:
            for number, own in kept.items():
                os.dup2(own, number)
                os.close(own)
        file.seek(0)
        said.append(text.getvalue() + file.read().decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Balance:
    """Where the pages of a machine are; two balances compare equal if nothing was gained or lost.

    Attributes:
        zones: (node, zone, present pages, managed pages) of each zone that has pages.
        blocks: (block, state, node, zone) of each memory block.
        pages: free pages and pages in page tables and allocated memmap.
    """

    zones: tuple[tuple[int, int, int, int], ...]
    blocks: tuple[tuple[int, int, int, int], ...]
    pages: int


def balance(machine: Machine) -> Balance:
    """Return a machine's balance."""
    state = machine.kernel.state
    blocks = state.blocks
    held = sum(owner.pages.total for owner in state.allocations.values())
    free = sum(zone.nr_free for zone in state.zones())
    return Balance(
        zones=tuple((zone.nid, int(zone.kind), zone.present, zone.managed) for zone in state.zones() if zone.present),
        blocks=tuple(
            zip(*(column.tolist() for column in (blocks.id, blocks.state, blocks.nid, blocks.zone)), strict=True)
        ),
        pages=free + held + state.vmemmap.backing_from(Source.ALLOCATOR).total,
    )


def failure_points(machine: Machine, operation: Callable[[Machine], object]) -> Iterator[tuple[Machine, OSError]]:
    """Run an operation on copies of a machine, with memory running out at ever later allocations.

    Yields:
        The copy and the error, for each copy on which the operation failed; ends with the first
        copy on which it went through, or failed although memory did not run out. The distance
        between two points grows with their number.
    """
    point = 0
    while True:
        copy = machine.copy()
        copy.kernel.state.fail_allocation = point
        try:
            operation(copy)
        except MemoryHotplugError as problem:
            unused = copy.kernel.state.fail_allocation
            copy.kernel.state.fail_allocation = None
            yield copy, problem
            if unused:
                return
        else:
            return
        point += max(1, point // 3)


def whole_cycle(machine: Machine, memory: Memory) -> None:
    """Bring memory online, take it offline again and remove it."""
    machine.online(memory, zone="movable")  # in an empty kernel zone the kernel itself would take pages
    assert machine.violations() == []
    machine.offline(memory)
    assert machine.violations() == []
    machine.remove(memory)


class Contract:
    """What all contracts have: machines to run on.

    Class attributes:
        name: the plugin's name.
        machines: keywords for ``Machine.boot()``, one mapping each; what the plugin's kind fixes is left out.
        known_violations: beginnings of sentences about invariants that the modelled kernel breaks by
            itself, although memory is only ever removed as it was added.
    """

    name: ClassVar[str] = ""
    machines: ClassVar[Sequence[Mapping[str, object]]] = ()
    known_violations: ClassVar[tuple[str, ...]] = ()

    def fixed(self) -> Mapping[str, object]:
        """Return the keywords that all machines of this contract have in common."""
        raise NotImplementedError

    def cases(self, parameter: str) -> Sequence[object] | None:
        """Return the values that a test parameter takes, None if it is not the contract's."""
        if parameter == "keywords":
            return [{**self.fixed(), **keywords} for keywords in self.machines]
        return None

    def unexpected(self, machine: Machine) -> list[str]:
        """Return the violations that the modelled kernel does not cause by itself."""
        return [text for text in machine.violations() if not text.startswith(self.known_violations)]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for each machine."""
        for parameter in metafunc.fixturenames:
            values = self.cases(parameter)
            if values is not None:
                metafunc.parametrize(parameter, values, ids=[_label(value) for value in values])

    @pytest.fixture
    def machine(self, keywords: Mapping[str, object]) -> Machine:
        """A machine of the test's own."""
        return boot(keywords)


def _label(value: object) -> str:
    if isinstance(value, Mapping):
        words = (f"{key}={_label(item)}" for key, item in value.items() if key not in ("arch", "kernel"))
        return " ".join(words) or "default"
    if isinstance(value, list):
        return "+".join(_label(item) for item in value)
    return str(value)
