"""What a debugger, a notebook and a failed assertion show of the objects that people meet."""

from __future__ import annotations

import pytest

import memhotplug
from memhotplug import Machine, MemoryHotplugError


@pytest.fixture(scope="module")
def machine() -> Machine:
    """Return a machine with two blocks online in Movable and two offline."""
    found = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    found.add_memory(driver="acpi", name="dimm0", size="512M")
    found.online("block 32-33", zone="movable")
    return found


def test_a_machine_and_what_is_in_it(machine: Machine) -> None:
    """One line each, with what tells them apart."""
    assert repr(machine) == "<Machine linux-6.12 on x86_64: 1.5G in 12 blocks of 128M, 10 online, with dimm0>"
    assert repr(machine.memory("dimm0")) == (
        "<Memory dimm0: 0x0000000100000000-0x000000011fffffff, 512M, blocks 32-35>"
    )
    assert repr(machine.kernel) == "<Kernel linux-6.12 on x86_64: <BlockTable of 12 blocks: 10 online, 2 offline>>"
    assert repr(machine.kernel.profile).endswith(" linux-6.12>")


def test_a_zone(machine: Machine) -> None:
    """Its node, its name and its pages."""
    movable = next(zone for zone in machine.kernel.state.zones() if zone.kind.label == "Movable")
    assert repr(movable) == "<Zone 0 Movable: 65536 of 65536 pages managed, 65536 free>"


def test_an_empty_table() -> None:
    """No counts of nothing."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    assert repr(type(machine.kernel.state.blocks)()) == "<BlockTable of 0 blocks>"


def test_a_refusal_has_its_reason(machine: Machine) -> None:
    """Rather than what strerror() says of the errno."""
    with pytest.raises(MemoryHotplugError) as caught:
        machine.remove("block 32")
    assert repr(caught.value) == f"<MemoryHotplugError {caught.value}>"
    assert "EBUSY: " in repr(caught.value)


def test_the_api_is_what_dir_shows(machine: Machine) -> None:
    """Of the package what it exports, of a machine its operations."""
    assert {"Machine", "Memory", "MemoryHotplugError", "Page", "__version__"} <= set(dir(memhotplug))
    assert set(memhotplug.__all__) <= set(dir(memhotplug))
    operations = {"add_memory", "online", "offline", "remove", "write", "allocate", "release", "page", "memmap", "copy"}
    assert operations <= set(dir(machine))
