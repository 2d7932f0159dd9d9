"""What can happen next: each operation in every way that differs, alike blocks but once, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug import InputError, Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.moves import Moves
from memhotplug.formats.scenario import AddStep
from memhotplug.formats.scenario.explore import ExploreSpec

HOSTING = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G", "cmdline": "memory_hotplug.memmap_on_memory=1"}


@pytest.fixture
def machine() -> Machine:
    """A machine with a device of four blocks."""
    booted = Machine.boot(**HOSTING)
    booted.add_memory(driver="acpi", name="dimm", size="512M")
    return booted


def texts(machine: Machine, **explore: Any) -> list[str]:
    """Return what can happen to a machine, one line each."""
    moves = Moves(machine.kernel, ExploreSpec(**explore), ("acpi",), Installed())
    return [move.text for move in moves.all(machine.kernel)]


@pytest.mark.parametrize(("size", "text"), [(1, "0x1"), (9 * 128 << 20, "1152M"), (1 << 30, "1G")])
def test_sizes_are_exact(size: int, text: str) -> None:
    """As people type them, and never rounded."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    moves = Moves(
        machine.kernel, ExploreSpec(sizes=(size,), blocks=1 << 12, operations=("add",)), ("acpi",), Installed()
    )
    move, *_ = moves.all(machine.kernel)
    record = moves.record(move)
    assert isinstance(record, AddStep)
    assert (dict(move.keys)["size"], record.size) == (text, size)


def test_alike_blocks_inside_a_run_are_tried_once(machine: Machine) -> None:
    """
    32 33 34 35     all offline, all self-hosting: 33 and 34 have alike neighbours on both sides.

    Expect 32, 33, 35 and the whole device.
    """
    found = texts(machine, operations=("online",), zones=("movable",))
    assert found == [f"online {where} zone movable" for where in ("block 32", "block 33", "block 35", "dimm")]


def test_blocks_that_differ_are_each_tried(machine: Machine) -> None:
    """33 is online: 32 and 34 have unlike neighbours, and the device is in no one state."""
    machine.online("block 33", zone="movable")
    assert texts(machine, operations=("offline",)) == ["offline block 33"]
    assert texts(machine, operations=("online",), zones=("kernel",)) == [
        f"online block {block} zone kernel" for block in (32, 34, 35)
    ]


def test_removal_at_every_granularity(machine: Machine) -> None:
    """The device, each block, each pair."""
    assert texts(machine, operations=("remove",)) == [
        "remove dimm", "remove block 32", "remove block 33", "remove block 34", "remove block 35",
        "remove block 32-33", "remove block 34-35",
    ]  # fmt: skip


def test_memory_comes_behind_all_other_and_into_gaps(machine: Machine) -> None:
    """
    32 33 -- -- 36    two blocks are free in between

    Expect every size where it fits, as long as there are not more blocks than allowed.
    """
    machine.remove("block 34-35")
    machine.add_memory(driver="acpi", name="far", size="128M", address="0x120000000")
    found = texts(machine, operations=("add",), sizes=(128 << 20, 256 << 20), blocks=5)
    assert found == [
        "add acpi m0 size 128M",
        "add acpi m0 size 128M address 0x110000000",
        "add acpi m0 size 256M",
        "add acpi m0 size 256M address 0x110000000",
    ]


def test_no_more_blocks_than_allowed(machine: Machine) -> None:
    """Four are there already, which is the default."""
    assert texts(machine, operations=("add",)) == []


def test_nodes_are_tried_where_there_are_several() -> None:
    """The driver's own choice, and each node."""
    two = Machine.boot(**{**HOSTING, "memory": [{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]})
    assert texts(two, operations=("add",), sizes=(128 << 20,)) == [
        "add acpi m0 size 128M",
        "add acpi m0 size 128M node 0",
        "add acpi m0 size 128M node 1",
    ]


def test_what_can_be_switched_is_what_the_profile_says() -> None:
    """The series' switch, and the policy of mainline; a word that changes nothing is not tried."""
    series = Machine.boot(arch="x86_64", kernel="v2-2019", memory="1G")
    assert "write memory/vmemmap_hotplug value disable" in texts(series, operations=("write",))
    series.write("memory/vmemmap_hotplug", "disable")
    assert "write memory/vmemmap_hotplug value enable" in texts(series, operations=("write",))
    mainline = Machine.boot(**HOSTING)
    assert texts(mainline, operations=("write",)) == [
        "write memory/auto_online_blocks value online",
        "write memory/auto_online_blocks value online_kernel",
        "write memory/auto_online_blocks value online_movable",
        "write /sys/module/memory_hotplug/parameters/online_policy value auto-movable",
    ]


def test_one_workload_at_a_time(machine: Machine) -> None:
    """Kernel pages, pages that migrate, and pinned ones; then it can only go."""
    assert texts(machine, operations=("allocate", "release")) == [
        "allocate w0 size 64M zone kernel",
        "allocate w0 size 64M zone movable",
        "allocate w0 size 64M zone movable pinned True",
    ]
    machine.allocate("app", "1M")
    assert texts(machine, operations=("allocate", "release")) == ["release app"]


def test_every_move_is_another(machine: Machine) -> None:
    """Nothing is tried twice, and every move is a step that a scenario may have."""
    moves = Moves(machine.kernel, ExploreSpec(), ("acpi",), Installed())
    found = list(moves.all(machine.kernel))
    assert len({move.text for move in found}) == len(found)
    assert [moves.record(move) for move in found]


def test_a_size_that_no_block_divides_is_tried_all_the_same(machine: Machine) -> None:
    """It is for the kernel to refuse it."""
    assert texts(machine, operations=("add",), sizes=(3 << 20,), blocks=9) == ["add acpi m0 size 3M"]


def test_a_fault_is_part_of_the_move(machine: Machine) -> None:
    """It has keys of its own in the step, and the text says so."""
    moves = Moves(machine.kernel, ExploreSpec(), ("acpi",), Installed())
    move = next(moves.all(machine.kernel))
    failing = move.with_fault("fail_allocation", 3)
    assert (move.fault, failing.fault) == (None, "fail_allocation")
    assert failing.text == f"{move.text} fail_allocation 3"
    vetoes = [vetoed.keys[-1][1] for vetoed in moves.vetoes(machine.kernel, move)]
    assert vetoes[0] == {"event": "MEM_PREPARE_ONLINE", "errno": "ENOMEM"}
    with pytest.raises(InputError):
        moves.record(move.with_fault("fail_allocation", -1))
