"""Operations by name: every step that does something has one, and names of devices are never used twice."""

from __future__ import annotations

import inspect

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.machine.memory import Memory
from memhotplug.machine.steps import OPERATIONS, memory_of


@pytest.fixture
def machine() -> Machine:
    """Return a machine with 4 GiB."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")


def test_every_operation_is_a_method_of_the_machine() -> None:
    """By its own name; add is add_memory() there."""
    methods = {name.removesuffix("_memory") for name, _ in inspect.getmembers(Machine, inspect.isfunction)}
    assert {*OPERATIONS} <= methods


def test_a_name_that_failed_is_not_given_again(machine: Machine) -> None:
    """As in a scenario: the second device is the second."""
    with pytest.raises(MemoryHotplugError, match="unaligned"):
        machine.add_memory(driver="acpi", size="100M")

    assert machine.add_memory(driver="acpi", size="128M").name == "acpi1"


def test_flags_of_one_add_are_forgotten_with_it(machine: Machine) -> None:
    """Whatever became of it."""
    machine.decide("acpi", policy=None, flags=("none",))
    before = dict(machine.kernel.flag_override)
    with pytest.raises(MemoryHotplugError, match="unaligned"):
        machine.add_memory(driver="acpi", size="100M", mhp_flags="on_memory")
    assert machine.kernel.flag_override == before


def test_memory_is_told_by_the_hull_of_its_ranges(machine: Machine) -> None:
    """With its blocks; who is not there is ENODEV."""
    machine.add_memory(driver="acpi", name="d", size="256M")

    assert memory_of(machine.kernel, "d") == Memory("d", 4 << 30, 256 << 20, (32, 33))
    with pytest.raises(MemoryHotplugError) as caught:
        memory_of(machine.kernel, "e")
    assert caught.value.name == "ENODEV"


def test_another_size_is_asked_of_a_device_only(machine: Machine) -> None:
    """A range of blocks has no driver that could be asked."""
    with pytest.raises(MemoryHotplugError) as caught:
        machine.resize("block 3", "128M")
    assert str(caught.value) == "ENODEV: resize takes a device's name, not block 3"
