"""Nodes in sysfs: which there are, what is in them, how far they are from one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.base_memory import tree_of
from memhotplug.engine.base_memory.node import _cpus_of, has_nodes, node_link

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
TWO = [{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}]


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with two nodes, and an offline DIMM on a third that has no CPU."""
    machine = boot(kernel="linux-6.12", memory=TWO)
    machine.add_memory(driver="acpi", name="dimm", size="256M", node=2)
    return machine


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("possible", "0-2\n"),
        ("online", "0-2\n"),
        ("has_cpu", "0\n"),
        ("has_memory", "0-1\n"),
        ("has_normal_memory", "0-1\n"),
        ("node0/distance", "10 20 20\n"),
        ("node2/distance", "20 20 10\n"),
        ("node0/cpulist", "0\n"),
        ("node1/cpulist", "\n"),
        ("node2/cpulist", "\n"),
        ("node0/cpumap", "1\n"),
        ("node1/cpumap", "0\n"),
        ("node2/cpumap", "0\n"),
        ("node1/uevent", ""),
    ],
)
def test_files_of_nodes_read(name: str, text: str, machine: Machine) -> None:
    """A node whose memory is all offline is online and has none."""
    assert machine.read(f"node/{name}") == text


def test_memory_of_a_node_is_normal_or_movable(machine: Machine) -> None:
    """has_normal_memory is about zones below Movable."""
    machine.online("dimm", zone="movable")
    assert machine.read("node/has_memory") == "0-2\n"
    assert machine.read("node/has_normal_memory") == "0-1\n"
    machine.offline("dimm")
    machine.online("dimm", zone="kernel")
    assert machine.read("node/has_normal_memory") == "0-2\n"


def test_a_node_goes_with_its_last_block(machine: Machine, refused: Refused) -> None:
    """And so do its files."""
    machine.remove("dimm")
    assert machine.read("node/online") == "0-1\n"
    assert machine.read("node/node0/distance") == "10 20\n"
    assert refused(machine.read, "node/node2/meminfo").name == "ENOENT"


def test_blocks_are_linked_from_their_node(machine: Machine) -> None:
    """And link back to it."""
    tree = tree_of(machine.kernel)
    kernel = machine.kernel
    entry = tree.find(kernel, "sys/devices/system/node/node2/memory32")
    assert entry is not None
    assert entry.node.link(kernel, entry.ids) == "../../memory/memory32"  # type: ignore[union-attr, misc]
    assert tree.find(kernel, "sys/devices/system/node/node1/memory32") is None
    assert node_link(kernel, (32, 2)) == "../../node/node2"


def test_cpus_are_dealt_out_in_turn(machine: Machine) -> None:
    """Each node with CPUs gets at least one; a node that is not there has none."""
    assert [_cpus_of(machine.kernel, nid) for nid in (0, 1, 2, 7)] == [[0], [], [], []]
    machine.kernel.state.nodes[1].has_cpu = True
    assert [_cpus_of(machine.kernel, nid) for nid in (0, 1, 2, 7)] == [[0], [1], [], []]
    assert machine.read("node/node1/cpumap") == "2\n"


def test_files_that_cannot_be_written_are_not(machine: Machine, refused: Refused) -> None:
    """Only uevent takes anything."""
    assert refused(machine.write, "node/online", "0").name == "EACCES"
    machine.write("node/node0/uevent", "change")
    assert refused(machine.write, "node/node0/uevent", "nonsense").name == "EINVAL"


def test_node_initiators_came_later(boot: Boot, refused: Refused) -> None:
    """A file that an older kernel does not have is not there."""
    old, new = boot(kernel="linux-6.1"), boot(kernel="linux-7.2")
    assert new.read("node/has_generic_initiator") == "\n"
    assert {has_nodes(old.kernel), has_nodes(new.kernel)} == {True}
    if not old.kernel.has("node_initiators"):
        assert refused(old.read, "node/has_generic_initiator").name == "ENOENT"
