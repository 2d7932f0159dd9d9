"""The end of a hot-add: its own device is closed or forgotten, and no other one."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError

NEW = "0x200000000"


@pytest.fixture
def machine() -> Machine:
    """Return a machine with a DIMM at 4 GiB."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="acpi", name="first", size="256M")
    return machine


def devices(machine: Machine) -> list[tuple[str, bool, tuple[tuple[int, int], ...]]]:
    """Return name, whether it is closed, and ranges of every device, in the order in which they came."""
    return [(device.name, device.closed, device.ranges) for device in machine.kernel.state.devices]


@pytest.mark.parametrize("name", ["second", "first"])
def test_an_add_that_fails_at_once_leaves_the_devices_before_it(machine: Machine, name: str) -> None:
    """Also one that has its name: it is closed, and what failed never was a device."""
    before = devices(machine)
    with pytest.raises(MemoryHotplugError, match="EEXIST"):
        machine.add_memory(driver="acpi", name=name, size="256M", address="4G")
    assert devices(machine) == before == [("first", True, ((4 << 30, 256 << 20),))]


def test_the_younger_of_two_is_closed(machine: Machine) -> None:
    """Each device is closed by its own add; the older one is as it was."""
    machine.add_memory(driver="acpi", name="second", size="128M", address=NEW)
    assert devices(machine) == [
        ("first", True, ((4 << 30, 256 << 20),)),
        ("second", True, ((8 << 30, 128 << 20),)),
    ]


def test_a_name_that_came_back_is_the_younger_device(machine: Machine) -> None:
    """The older one has no memory any more; an eject takes out what the younger one has."""
    machine.remove("first")
    machine.add_memory(driver="acpi", name="first", size="128M", address=NEW)
    assert [ranges for _, _, ranges in devices(machine)][-1] == ((8 << 30, 128 << 20),)
    assert all(closed for _, closed, _ in devices(machine))
    machine.eject("first")
    assert not any(ranges for _, _, ranges in devices(machine))


def test_a_device_without_memory_is_remembered_when_its_namesake_fails(machine: Machine) -> None:
    """Its own add is over: what fails later under the same name never was a device, and forgets no other one."""
    machine.remove("first")
    before = devices(machine)
    assert before == [("first", True, ())]

    with pytest.raises(MemoryHotplugError, match="EINVAL"):
        machine.add_memory(driver="virtio_mem", name="first", size="1M")

    assert devices(machine) == before
    with pytest.raises(MemoryHotplugError, match="ENOENT: there is no memory block of 'first'"):
        machine.online("first")
