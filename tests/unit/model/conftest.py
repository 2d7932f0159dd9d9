"""A small machine state that tests of the model can fill by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from tests.few import few_is

from memhotplug.model.extents import ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.state import MachineState, ProfileState
from memhotplug.model.zones import Node, Zone, ZoneKind

MakeState: TypeAlias = Callable[[dict[tuple[int, ZoneKind], tuple[int, int]]], MachineState]


class Memory:
    """A profile's memory for tests: one number."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def copy(self) -> ProfileState:
        """Return an independent copy."""
        return Memory(self.value)


def fill(zone: Zone, start: int, end: int) -> None:
    """Let a zone manage a range, all of it free."""
    zone.grow_span(start, end)
    zone.linked.add(start, end)
    zone.present += end - start
    zone.managed += end - start
    zone.free.add(start, end)


@pytest.fixture
def make_state() -> MakeState:
    """Return a function that makes a state whose zones manage the given pfn ranges, all free.

    x86_64 with 64 MiB sections cut down: 16384 pages a section, orders up to 10.
    """

    def make(zones: dict[tuple[int, ZoneKind], tuple[int, int]]) -> MachineState:
        geometry = Geometry(
            page_size=4096,
            section_size=64 << 20,
            memory_block_size=64 << 20,
            pageblock_order=9,
            max_order=10,
            pmd_size=2 << 20,
            physical_address_bits=46,
        )
        state = MachineState(geometry, Memory())
        state.nodes = {nid: Node(nid) for nid in sorted({nid for nid, _ in zones})}
        for (nid, kind), (start, end) in zones.items():
            fill(state.nodes[nid].zones[kind], start, end)
        state.vmemmap.mapped = ExtentSet()
        return state

    return make


@pytest.fixture(scope="module", params=(0, 2, 32), ids=("arrays", "both", "integers"))
def few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have every law held for arrays, for plain integers, and for sets that go from one to the other."""
    with few_is(request.param):
        yield
