"""Another requested size for a virtio-mem device that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from tests.drivers.test_virtio_mem import add_device, guest, resize_to

from memhotplug import InputError, Machine, MemoryHotplugError

__all__ = ["guest"]  # the fixture

View: TypeAlias = Callable[[Machine], object]
Refused: TypeAlias = Callable[..., MemoryHotplugError]


def test_a_resize_names_a_device_that_is_there(guest: Machine, refused: Refused) -> None:
    """There is none called vm0 yet."""
    assert str(refused(resize_to, guest, "128M")) == "ENODEV: there is no virtio-mem device 'vm0'"


@pytest.mark.parametrize("key", ["device_size", "block_size", "bbm_block_size", "address"])
def test_a_resize_cannot_change_what_is_fixed(guest: Machine, key: str) -> None:
    """Only the requested size and unplug_online change."""
    add_device(guest, "128M")
    with pytest.raises(InputError) as caught:
        resize_to(guest, "256M", **{key: "1G"})
    assert caught.value.expected == f"no {key} with resize; it is fixed when the device is made"


def test_a_resize_to_the_same_size_does_nothing(guest: Machine, state_of: View) -> None:
    """Requested is plugged already."""
    add_device(guest, "200M")
    before = state_of(guest)
    assert resize_to(guest, "200M") == "requested 200M, plugged 200M"
    assert state_of(guest) == before


def test_what_a_resize_adds_belongs_to_the_device(guest: Machine) -> None:
    """The step brings no device of its own."""
    add_device(guest, "128M")
    grown = guest.add_memory(driver="virtio_mem", name="grow", resize="vm0", size="384M")
    assert (grown.name, grown.blocks, grown.driver_result) == ("grow", (), "requested 384M, plugged 384M")
    assert guest.memory("vm0").blocks == (32, 33, 34)
    assert [device.name for device in guest.kernel.state.devices] == ["vm0"]


def test_an_ejected_device_can_grow_again(guest: Machine, state_of: View) -> None:
    """eject requests size 0; the device stays in its region."""
    before = state_of(guest)
    add_device(guest, "300M")
    guest.online("vm0", zone="movable")
    assert guest.eject("vm0") == "requested 0B, plugged 0B"
    assert state_of(guest) == before
    assert resize_to(guest, "128M") == "requested 128M, plugged 128M"
    assert guest.memory("vm0").blocks == (32,)


def test_a_new_device_may_take_the_name_of_an_ejected_one(guest: Machine) -> None:
    """The old one is forgotten with its region."""
    add_device(guest, "300M")
    guest.eject("vm0")
    memory = guest.add_memory(driver="virtio_mem", name="vm0", size="256M", force_bbm=True)
    assert memory.blocks == (32, 33)
    assert guest.violations() == []
