"""Requests for blocks: one a block to whoever asks, however many are done at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.few import few_is

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.memory_hotplug.online import (
    _neighbours,
    device_online,
    offline_blocks,
    online_blocks,
    online_runs,
    zone_of_rows,
)
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.runs import FEW
from memhotplug.model.zones import ZoneKind

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with blocks 32 to 39 offline, of one device."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="1G")
    return machine


def _states(machine: Machine) -> dict[int, str]:
    blocks = machine.kernel.state.blocks
    return {int(block): BlockState(int(state)).label for block, state in zip(blocks.id, blocks.state, strict=True)}


def test_blocks_are_done_in_order_and_told_as_runs(machine: Machine) -> None:
    """Neighbours in one run, whatever was asked at once."""
    assert online_blocks(machine.kernel, [33, 34, 36], OnlineType.ONLINE_KERNEL) == [33, 34, 36]
    assert online_runs(machine.kernel, np.array([37, 38]), OnlineType.ONLINE_MOVABLE) == [range(37, 39)]
    assert online_blocks(machine.kernel, [], OnlineType.ONLINE) == []
    states = _states(machine)
    assert [states[block] for block in range(32, 40)] == [
        "offline", "online", "online", "offline", "online", "online", "online", "offline",
    ]  # fmt: skip


def test_many_at_once_are_as_one_after_the_other(machine: Machine) -> None:
    """To the page, the warnings and the JSON document."""
    other = machine.copy()
    online_blocks(machine.kernel, list(range(32, 40)), OnlineType.ONLINE_MOVABLE)
    for block in range(32, 40):
        online_blocks(other.kernel, [block], OnlineType.ONLINE_MOVABLE)
    assert machine.to_dict() == other.to_dict()
    offline_blocks(machine.kernel, [33, 34, 35])
    for block in (33, 34, 35):
        offline_blocks(other.kernel, [block])
    assert machine.to_dict() == other.to_dict()


@pytest.mark.parametrize(
    ("ids", "done", "text"),
    [
        ([32, 33, 35, 99], (32, 33, 35), "ENOENT: there is no memory block 99"),
        ([99], (), "ENOENT: there is no memory block 99"),
        ([32, 34, 35], (32,), "EINVAL: memory block 34 is online already"),
        ([34], (), "EINVAL: memory block 34 is online already"),
        ([32, 33, 34], (32, 33), "EINVAL: memory block 34 is online already"),
        ([38, 39, 40], (38, 39), "ENOENT: there is no memory block 40"),
    ],
)
def test_the_first_block_that_fails_ends_it(
    ids: list[int], done: tuple[int, ...], text: str, machine: Machine, refused: Refused
) -> None:
    """What came before stays, and is told."""
    online_blocks(machine.kernel, [34], OnlineType.ONLINE)

    problem = refused(online_blocks, machine.kernel, ids, OnlineType.ONLINE)

    assert (str(problem), problem.blocks_done) == (text, done)
    assert {block for block, state in _states(machine).items() if state == "online" and block >= 32} == {*done, 34}


@pytest.mark.parametrize(
    ("ids", "done"), [([32, 33, 34, 35, 36], (32, 33)), ([33, 34], (33,)), ([36, 37, 35, 34, 38], (36, 37, 35))]
)
def test_a_block_that_is_gone_ends_it_among_its_neighbours(
    ids: list[int], done: tuple[int, ...], machine: Machine, refused: Refused
) -> None:
    """Those in front of the gap are online, and nobody asks those behind it."""
    machine.remove("block 34")

    problem = refused(online_blocks, machine.kernel, ids, OnlineType.ONLINE)

    assert (str(problem), problem.blocks_done) == ("ENOENT: there is no memory block 34", done)
    assert {block for block, state in _states(machine).items() if state == "online" and block >= 32} == set(done)


@pytest.mark.parametrize(("ids", "done"), [([20, 21, 33], (20, 21)), ([33, 20], ())])
def test_offline_asks_for_what_is_online(ids: list[int], done: tuple[int, ...], boot: Boot, refused: Refused) -> None:
    """A block that is offline has nothing to go."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="1G")

    problem = refused(offline_blocks, machine.kernel, ids)

    assert (problem.name, problem.reason, problem.blocks_done) == (
        "EINVAL",
        "memory block 33 is offline already",
        done,
    )


def test_a_run_that_fails_as_one_is_tried_block_by_block(machine: Machine, refused: Refused) -> None:
    """So that the outcome is that of single requests: a veto of the third leaves two online."""
    online_blocks(machine.kernel, list(range(32, 40)), OnlineType.ONLINE_MOVABLE)
    machine.allocate("held", "1M", zone="movable", pinned=True)
    first = machine.kernel.state.allocations["held"].pages.first_from(0)
    assert first is not None
    stuck = first // machine.kernel.geometry.pages_per_block
    ids = [*range(32, 40)]

    problem = refused(offline_blocks, machine.kernel, ids)

    assert problem.blocks_done == tuple(block for block in ids if block < stuck)
    assert [block for block, state in _states(machine).items() if state == "offline"] == list(problem.blocks_done)


def test_what_was_asked_in_vain_is_what_a_plain_online_does(machine: Machine, refused: Refused) -> None:
    """Of a block that is online the request is noted, and comes true when somebody brings it back."""
    online_blocks(machine.kernel, [39, 32], OnlineType.ONLINE_KERNEL)  # the first one holds the zone's first slab
    refused(online_blocks, machine.kernel, [32], OnlineType.ONLINE_MOVABLE)
    offline_blocks(machine.kernel, [32])

    device_online(machine.kernel, 32)

    blocks = machine.kernel.state.blocks
    row = blocks.row(32)
    assert row is not None
    assert zone_of_rows(machine.kernel, slice(row, row + 1)).kind is ZoneKind.MOVABLE
    assert int(blocks.online_type[row]) == OnlineType.ONLINE


def test_a_block_that_nobody_asked_for_comes_back_plainly(machine: Machine, refused: Refused) -> None:
    """And one that does not exist is refused."""
    device_online(machine.kernel, 33)
    assert _states(machine)[33] == "online"
    assert refused(device_online, machine.kernel, 99).name == "ENOENT"


def test_blocks_of_two_zones_go_offline_zone_by_zone(machine: Machine) -> None:
    """One request each, however they neighbour one another."""
    online_blocks(machine.kernel, [39, 32, 33], OnlineType.ONLINE_KERNEL)  # the first one holds the first slab
    online_blocks(machine.kernel, [34, 35], OnlineType.ONLINE_MOVABLE)

    assert offline_blocks(machine.kernel, [32, 33, 34, 35]) == [32, 33, 34, 35]

    state = machine.kernel.state
    assert [zone.present for zone in state.zones() if zone.kind is ZoneKind.MOVABLE] == [0]
    assert machine.violations() == []


def test_a_block_of_several_zones_belongs_to_none(machine: Machine, refused: Refused) -> None:
    """test_pages_in_a_zone() refuses it."""
    blocks = machine.kernel.state.blocks
    row = blocks.row(20)
    assert row is not None
    blocks.set(slice(row, row + 1), zone=-1)

    problem = refused(zone_of_rows, machine.kernel, slice(row, row + 1))

    assert str(problem) == "EINVAL: memory block 20 spans several zones"


@pytest.mark.parametrize(
    ("ids", "runs"),
    [
        ([], []),
        ([5], [(5, 5)]),
        ([5, 6, 7], [(5, 7)]),
        ([5, 7, 8], [(5, 5), (7, 8)]),
        ([8, 7], [(8, 8), (7, 7)]),
        ([5, 5], [(5, 5), (5, 5)]),
    ],
)
def test_neighbours_are_runs_in_the_order_in_which_they_are_asked_for(
    ids: list[int], runs: list[tuple[int, int]]
) -> None:
    """Whether they come as a list or as an array, few or many."""
    for limit in (FEW, 0):
        with few_is(limit):
            assert _neighbours(ids) == runs
            assert _neighbours(np.array(ids, dtype=np.int64)) == runs
