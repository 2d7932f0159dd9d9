"""Two kernels, or two policies, held against each other: the first step at which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from memhotplug.commands.check.apart import block_apart, zone_apart
from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.normal_form import normal_form
from memhotplug.engine.kernel import Kernel
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
        known = {found.invariant for found in self._all(spot.machine, spot.twin, None, None)}
        broken = [found for found in self._all(machine, twin, errno, others) if found.invariant not in known]
        final = any(found.invariant in _FINAL for found in broken)
        after = None if final else Spot(machine, (), twin)
        form = b"" if after is None else normal_form(machine.kernel) + normal_form(twin.kernel)
        return Tried(move, errno, tuple(broken), after, form, look_after(move, errno, machine) if form else b"")

    def _all(self, machine: Machine, twin: Machine, errno: str | None, others: str | None) -> Iterator[Broken]:
        outcome, blocks, zones, memmap = DIFFERENCES
        mine, theirs = machine.kernel, twin.kernel
        if errno != others:
            yield Broken(outcome, f"{errno or 'ok'} here, {others or 'ok'} under {self.name}", outcome=others or "ok")
        apart = block_apart(mine, theirs)
        if apart is not None:
            yield Broken(blocks, f"{apart.what}: {apart.mine} here, {apart.theirs} under {self.name}", apart.expect)
        apart = zone_apart(mine, theirs, ("managed",))
        if apart is not None:
            yield Broken(zones, f"{apart.what}: {apart.mine} here, {apart.theirs} under {self.name}", apart.expect)
        if _memmap(mine) != _memmap(theirs):
            words = [f"{own} self-hosted and {taken} allocated pages" for own, taken in map(_memmap, (mine, theirs))]
            expect = dict(zip(("self_hosted_pages", "allocated_pages"), _memmap(theirs), strict=True))
            yield Broken(memmap, f"{words[0]} of memmap here, {words[1]} under {self.name}", expect)


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


def _memmap(kernel: Kernel) -> tuple[int, int]:
    vmemmap = kernel.state.vmemmap
    return vmemmap.backing_from(Source.ALTMAP).total, vmemmap.backing_from(Source.ALLOCATOR).total
