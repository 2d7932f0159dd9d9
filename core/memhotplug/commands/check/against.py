"""Two kernels, or two policies, held against each other: the first step at which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.normal_form import normal_form
from memhotplug.errors import InputError, nearest
from memhotplug.formats.scenario import Catalog, Scenario
from memhotplug.formats.scenario.loader import scenario_from_tree
from memhotplug.formats.scenario.override import changed, parse_override
from memhotplug.keyspec import OWN_POLICY
from memhotplug.machine import Machine
from memhotplug.model.vmemmap import Source
from memhotplug.naming import canonical

if TYPE_CHECKING:
    from memhotplug.commands.check.moves import Move
    from memhotplug.commands.check.walk import Spot, Tried, Walker

__all__ = ["DIFFERENCES", "Against", "other_scenario"]

DIFFERENCES: Final = ("differs in outcome", "differs in blocks", "differs in zones", "differs in memmap")
"""In what two machines can differ; nothing is looked for behind the first two."""
_FINAL: Final = DIFFERENCES[:2]


class Against:
    """What the machine is held against.

    Args:
        name: how answers call it.
        machine: the other machine, at the same point of the same scenario.
    """

    def __init__(self, name: str, machine: Machine) -> None:
        self.name = name
        self._machine = machine

    def twin(self) -> Machine:
        """Return a fresh copy of the other machine."""
        return self._machine.copy()

    def compared(self, walker: Walker, spot: Spot, move: Move, machine: Machine, errno: str | None) -> Tried:
        """Return what a move made of both machines, and in what they differ after it that they did not before."""
        from memhotplug.commands.check.walk import Spot, Tried, look_after

        assert spot.twin is not None
        twin = spot.twin.copy()
        problem = walker.perform(twin, move)
        others = problem.name if problem is not None else None
        known = set(self._differences(spot.machine, spot.twin))
        broken = [Broken(*found) for found in self._all(machine, twin, errno, others) if found[0] not in known]
        final = any(found.invariant in _FINAL for found in broken)
        after = None if final else Spot(machine, (), twin)
        form = b"" if after is None else normal_form(machine.kernel) + normal_form(twin.kernel)
        return Tried(move, errno, tuple(broken), after, form, look_after(move, errno, machine) if form else b"")

    def _differences(self, machine: Machine, twin: Machine) -> Iterator[str]:
        yield from (name for name, _ in self._all(machine, twin, None, None))

    def _all(self, machine: Machine, twin: Machine, errno: str | None, others: str | None) -> Iterator[tuple[str, str]]:
        outcome, blocks, zones, memmap = DIFFERENCES
        if errno != others:
            yield outcome, f"{errno or 'ok'} here, {others or 'ok'} under {self.name}"
        if _blocks(machine) != _blocks(twin):
            yield blocks, f"{_blocks_text(machine)} here, {_blocks_text(twin)} under {self.name}"
        mine, theirs = _zones(machine), _zones(twin)
        if mine != theirs:
            name = next(name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name))
            yield zones, f"{name}: {mine.get(name, 0)} usable pages here, {theirs.get(name, 0)} under {self.name}"
        if _memmap(machine) != _memmap(twin):
            words = [f"{own} self-hosted and {taken} allocated pages" for own, taken in map(_memmap, (machine, twin))]
            yield memmap, f"{words[0]} of memmap here, {words[1]} under {self.name}"


def other_scenario(scenario: Scenario, name: str, drivers: Sequence[str], catalog: Catalog) -> Scenario:
    """Return a scenario under another kernel, or with another policy for its drivers.

    Args:
        name: a kernel, or a policy; ``default`` is each driver's own.

    Raises:
        InputError: there is neither a kernel nor a policy of that name.
    """
    policies = [OWN_POLICY, *catalog.names("policies")]
    if name in policies:
        found = [parse_override(("drivers", driver), f"{{policy: {name}}}") for driver in drivers]
    elif canonical("profiles", name) is not None:
        found = [parse_override(("machine", "kernel"), name)]
    else:
        known = [*catalog.names("profiles"), *policies]
        raise InputError("a kernel or a policy", got=name, nearest=nearest(name, known), path="--against")
    return scenario_from_tree(changed(scenario.tree, found), catalog=catalog, file=scenario.file)


def _blocks(machine: Machine) -> list[tuple[int, int, int]]:
    blocks = machine.kernel.state.blocks
    return list(zip(blocks.id.tolist(), blocks.state.tolist(), blocks.zone.tolist(), strict=True))


def _blocks_text(machine: Machine) -> str:
    blocks = machine.kernel.state.blocks
    online = int((blocks.state[~blocks.early] == 1).sum())
    return f"{int((~blocks.early).sum())} hot-added blocks, {online} online"


def _zones(machine: Machine) -> dict[str, int]:
    return {zone.title: zone.managed for zone in machine.kernel.state.zones() if zone.managed}


def _memmap(machine: Machine) -> tuple[int, int]:
    vmemmap = machine.kernel.state.vmemmap
    return vmemmap.backing_from(Source.ALTMAP).total, vmemmap.backing_from(Source.ALLOCATOR).total
