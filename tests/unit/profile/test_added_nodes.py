"""Which node hot-added memory comes to under the kernel of 2019, and what a new one brings with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]


def test_a_new_node_comes_online_with_its_memory(boot: Boot, block_of: Callable[..., dict[str, Any]]) -> None:
    """Its memmap lies on the old node without a flag, and on itself with one."""
    for flag, by_node in (("none", {"0": 4096}), ("device", {"1": 4096})):
        machine = boot()
        assert machine.read("node/online") == "0\n"
        machine.add_memory(driver="acpi", name="dimm0", size="1G", node=1, mhp_flags=flag)

        assert machine.read("node/online") == "0-1\n"
        assert block_of(machine, 32)["node"] == 1
        memmap: Any = machine.to_dict()["memmap"]
        assert memmap["by_node"] == by_node
        machine.remove("dimm0")
        assert machine.read("node/online") == "0\n"


def test_a_failed_add_takes_its_new_node_back(boot: Boot, refused: Refused) -> None:
    """Nothing that the step created stays, the node included."""
    machine = boot()
    machine.kernel.state.fail_allocation = 0

    refused(machine.add_memory, driver="acpi", size="1G", node=1, mhp_flags="none")

    assert machine.read("node/online") == "0\n"
    assert machine.violations() == []


def test_movable_node_puts_the_memmap_of_a_new_node_elsewhere(boot: Boot) -> None:
    """A node that has Movable memory only cannot host memmap that the page allocator hands out."""
    machine = boot(cmdline="movable_node")
    for name in ("dimm0", "dimm1"):
        machine.add_memory(driver="acpi", name=name, size="1G", node=1, mhp_flags="none")
        machine.online(name)

    zones: Any = machine.to_dict()["zones"]
    assert [zone["zone"] for zone in zones if zone["node"] == 1] == ["Movable"]
    memmap: Any = machine.to_dict()["memmap"]
    assert memmap["by_node"] == {"0": 8192}


def test_the_node_follows_from_the_address_if_nobody_gives_one(
    boot: Boot, block_of: Callable[..., dict[str, Any]]
) -> None:
    """Memory inside a node's span belongs to it; anything else to the first online node."""
    machine = boot(memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    machine.add_memory(driver="acpi", size="128M", address="6G", node=1)
    machine.online("block 48", zone="kernel")

    machine.add_memory(driver="acpi", size="128M", address="5G")
    machine.add_memory(driver="acpi", size="128M", address="8G")

    assert block_of(machine, 40)["node"] == 1
    assert block_of(machine, 64)["node"] == 0
