"""Each invariant of the engine holds through a life, and says what is wrong when it is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from memhotplug import Machine
from memhotplug.engine.views.invariants import violations
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import SYSTEM_RAM, Resource
from memhotplug.model.state import MachineState
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Node, Zone, ZoneKind

Break: TypeAlias = Callable[[MachineState], None]
_BLOCK = 32768
_FIRST = 32 * _BLOCK
_SIZE = _BLOCK << 12


@pytest.fixture
def machine(boot: Callable[..., Machine]) -> Machine:
    """Two DIMMs of two blocks: 32 in Normal and 33 in Movable with memmap from boot memory, 34 and 35 offline."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="a", size="256M", mhp_flags="none")
    machine.add_memory(driver="acpi", name="b", size="256M", mhp_flags="none")
    machine.online("block 32", zone="kernel")
    machine.online("block 33", zone="movable")
    return machine


def movable(state: MachineState) -> Zone:
    """Return the zone with one block, all free."""
    return state.zone((0, ZoneKind.MOVABLE))


def _spanned(state: MachineState) -> None:
    movable(state).spanned -= 1


def _present(state: MachineState) -> None:
    movable(state).present += 1
    movable(state).spanned += 1


def _managed(state: MachineState) -> None:
    movable(state).managed -= 1
    movable(state).free.remove(_FIRST + _BLOCK, _FIRST + _BLOCK + 1)


def _free(state: MachineState) -> None:
    movable(state).free.remove(_FIRST + _BLOCK, _FIRST + _BLOCK + 3)


def _free_twice(state: MachineState) -> None:
    movable(state).pcp = ExtentSet.of((_FIRST + _BLOCK, _FIRST + _BLOCK + 2))


def _negative(state: MachineState) -> None:
    zone = state.zone((0, ZoneKind.DMA))
    zone.managed = -1


def _contiguous(state: MachineState) -> None:
    movable(state).cma = _BLOCK + 1


def _link(state: MachineState) -> None:
    movable(state).linked.remove(_FIRST + _BLOCK, _FIRST + _BLOCK + 8)


def _withheld(state: MachineState) -> None:
    state.withheld.add(_FIRST + _BLOCK, _FIRST + _BLOCK + 8)


def _hole(state: MachineState) -> None:
    state.holes.add(_FIRST + _BLOCK, _FIRST + _BLOCK + 8)


def _altmap(state: MachineState) -> None:
    state.blocks.set(state.blocks.rows(33, 33), altmap_pages=512)


def _poisoned(state: MachineState) -> None:
    state.poisoned.add(_FIRST + _BLOCK, _FIRST + _BLOCK + 2)


def _unmapped(state: MachineState) -> None:
    state.vmemmap.delete(np.array([_FIRST + 2 * _BLOCK]), np.array([_FIRST + 3 * _BLOCK]))


def _free_memmap(state: MachineState) -> None:
    backing = int(state.vmemmap.runs.backing[-1])
    zone = state.zone_of(backing)
    assert zone is not None
    zone.pcp = zone.pcp.union(ExtentSet.of((backing, backing + 2)))


def _resource(state: MachineState) -> None:
    state.resources.release(35 * _SIZE, _SIZE)


def _half_a_resource(state: MachineState) -> None:
    state.resources.release(34 * _SIZE + 4096, 4096)


def _late_resource(state: MachineState) -> None:
    state.resources.request(Resource(start=99 * _SIZE, end=100 * _SIZE - 1, name=SYSTEM_RAM, hotplugged=True))


def _boot_resource(state: MachineState) -> None:
    state.resources.request(Resource(start=99 * _SIZE, end=100 * _SIZE - 1, name=SYSTEM_RAM))


def _other_resource(state: MachineState) -> None:
    state.resources.request(Resource(start=99 * _SIZE, end=100 * _SIZE - 1, name="dax0.0", hotplugged=True))


_BROKEN: list[tuple[Break, list[str]]] = [
    (_spanned, [
        "I1: node 0 zone Movable: spanned, present, managed, free do not descend: 32767, 32768, 32768, 32768",
    ]),
    (_present, ["I4: node 0 zone Movable: 32769 pages present, 32768 in online blocks"]),
    (_managed, ["I5: node 0 zone Movable: 32767 pages managed, 32768 expected"]),
    (_free, ["I3: node 0 zone Movable: 32768 pages managed, 32765 free and 0 allocated"]),
    (_free_twice, [
        "I1: node 0 zone Movable: spanned, present, managed, free do not descend: 32768, 32768, 32768, 32770",
        "I3: node 0 zone Movable: 32768 pages managed, 32770 free and 0 allocated",
    ]),
    (_contiguous, [
        "I1: node 0 zone Movable: spanned, present, managed, free do not descend: 32768, 32768, 32768, 32768",
    ]),
    (_link, [
        "I4: node 0 zone Movable: 32768 pages present, 32760 in online blocks",
        "I5: node 0 zone Movable: 32768 pages managed, 32760 expected",
    ]),
    (_withheld, ["I5: node 0 zone Movable: 32768 pages managed, 32760 expected"]),
    (_hole, [
        "I4: node 0 zone Movable: 32768 pages present, 32760 in online blocks",
        "I5: node 0 zone Movable: 32768 pages managed, 32760 expected",
    ]),
    (_altmap, ["I5: node 0 zone Movable: 32768 pages managed, 32256 expected"]),
    (_poisoned, ["I3: node 0 zone Movable: 32768 pages managed, 32768 free and 2 allocated"]),
    (_resource, ["I14: no resource covers all of blocks 32-35"]),
    (_half_a_resource, ["I14: no resource covers all of blocks 32-35"]),
    (_late_resource, ["I14: the resource at 0x318000000 has no blocks"]),
    (_boot_resource, []),
    (_other_resource, []),
]  # fmt: skip


def test_nothing_is_wrong_with_a_machine_in_the_middle_of_its_life(machine: Machine) -> None:
    """Blocks of every kind, and whatever happened to them."""
    machine.allocate("app", "100M", zone="movable")
    assert violations(machine.kernel) == machine.violations() == []


@pytest.mark.parametrize(("broken", "said"), _BROKEN, ids=[broken.__name__[1:] for broken, _ in _BROKEN])
def test_what_is_broken_is_said_with_its_numbers(machine: Machine, broken: Break, said: list[str]) -> None:
    """By the name of the invariant; what is fine is not mentioned."""
    broken(machine.kernel.state)
    found = [text for text in violations(machine.kernel) if text not in _of_the_profile(machine)]
    assert found == said


def _of_the_profile(machine: Machine) -> list[str]:
    return list(machine.kernel.profile.violations(machine.kernel))


def test_a_count_below_zero_is_named(machine: Machine) -> None:
    """All four numbers are shown."""
    zone = machine.kernel.state.zone((0, ZoneKind.DMA))
    _negative(machine.kernel.state)
    found = violations(machine.kernel)
    assert (
        f"I1: node 0 zone DMA: spanned, present, managed, free do not descend: {zone.spanned}, {zone.present}, -1, "
        in (found[0][: found[0].rindex(" ") + 1])
    )


def test_sections_without_memmap_are_counted(machine: Machine) -> None:
    """With the first of them; whoever had the pages is another matter."""
    _unmapped(machine.kernel.state)
    assert "I11: 32768 pages of present sections have no memmap (first pfn 0x110000)" in violations(machine.kernel)


def test_free_pages_that_hold_memmap_are_counted(machine: Machine) -> None:
    """On per-cpu lists as well as on the buddy lists."""
    _free_memmap(machine.kernel.state)
    assert "I11: node 0 zone DMA32: 2 free pages hold memmap that is in use" in violations(machine.kernel)


def test_memmap_in_memory_that_was_removed_names_its_victims(machine: Machine) -> None:
    """The blocks whose struct pages are gone, and how many pages that was."""
    state = machine.kernel.state
    starts, ends = np.array([_FIRST + 2 * _BLOCK]), np.array([_FIRST + 4 * _BLOCK])
    state.vmemmap.delete(starts, ends)
    state.vmemmap.insert(MapRuns.make(starts, ends, np.array([60 * _BLOCK]), 1, Source.ALTMAP))
    found = [text for text in violations(machine.kernel) if text.startswith("I11") and "removed" in text]
    assert found == ["I11: the memmap of blocks 34-35 lies in removed memory (1024 pages)"]


def test_memmap_in_memory_that_never_was_a_block_is_named(machine: Machine) -> None:
    """A failed add left its sections behind, which host the memmap of others."""
    state = machine.kernel.state
    state.sections.add(60 * _BLOCK, 61 * _BLOCK)
    starts, ends = np.array([60 * _BLOCK]), np.array([61 * _BLOCK])
    state.vmemmap.insert(MapRuns.make(starts, ends, np.array([60 * _BLOCK]), 1, Source.ALTMAP))
    found = [text for text in violations(machine.kernel) if "never added" in text]
    assert found == ["I11: 512 pages of memmap lie in memory that was never added (first pfn 0x1e0000)"]


@pytest.mark.parametrize("cut", [(1, 0), (0, 1)])
def test_a_nodes_span_must_hold_its_zones(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, cut: tuple[int, int]
) -> None:
    """It is computed of them; whoever computes it wrongly is told."""
    low, high = machine.kernel.state.nodes[0].span

    def span(_node: Node) -> tuple[int, int]:
        return low + cut[0], high - cut[1]

    monkeypatch.setattr(Node, "span", property(span))
    assert "I2: node 0: its span or its present pages are not those of its zones" in violations(machine.kernel)


def test_online_blocks_alone_have_present_pages(machine: Machine) -> None:
    """A state that was written without the zone following it is found."""
    blocks = machine.kernel.state.blocks
    blocks.set(blocks.rows(33, 33), state=BlockState.OFFLINE)
    assert "I4: node 0 zone Movable: 32768 pages present, 0 in online blocks" in violations(machine.kernel)
