"""What readers have looked up stays known for as long as it holds, and not a moment longer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.live.machine import LiveMachine
from memhotplug.live.view import View

Alive = Callable[..., LiveMachine]
_MEMORY = "sys/devices/system/memory"
_STATE = f"{_MEMORY}/memory32/state"


def test_what_was_looked_up_and_read_is_not_worked_out_again(alive: Alive) -> None:
    """The very same objects come back; what is not there is looked for each time."""
    view = alive().view
    assert view.find(_STATE) is view.find(_STATE)
    assert view.read(_STATE) is view.read(_STATE)
    assert view.find(f"{_MEMORY}/memory99") is None


def test_a_change_of_state_keeps_names_and_forgets_texts(alive: Alive) -> None:
    """A write makes no file and removes none."""
    live = alive()
    before, entry = live.view, live.view.find(_STATE)
    assert live.read(_STATE) == "offline\n"
    told: list[object] = []
    live.doubt(told.append)
    live.write(_STATE, b"online_movable")
    assert live.view is not before
    assert live.view.find(_STATE) is entry
    assert (before.read(_STATE), live.read(_STATE)) == ("offline\n", "online\n")
    assert told == []


def test_a_block_that_goes_takes_its_names_with_it(alive: Alive) -> None:
    """Whoever keeps names is told before the operation is over: those of the block, and those of no block at all."""
    live = alive()
    kept = f"{_MEMORY}/memory0/state"
    for path in (_STATE, kept, f"{_MEMORY}/memory32", f"{_MEMORY}/memory32/node0", f"{_MEMORY}/block_size_bytes"):
        assert live.find(path) is not None
    told: list[str] = []
    live.doubt(told.extend)
    live.perform("eject", {"range": "dimm0"})
    gone = {_STATE, f"{_MEMORY}/memory32", f"{_MEMORY}/memory32/node0"}
    assert set(told) == gone | {f"{_MEMORY}/block_size_bytes"}
    assert all(live.find(path) is None for path in gone)
    with pytest.raises(MemoryHotplugError) as problem:
        live.read(_STATE)
    assert str(problem.value) == f"ENODEV: /{_STATE} is gone"


def test_a_driver_with_files_of_its_own_puts_everything_in_doubt(alive: Alive) -> None:
    """They may be anywhere."""
    live = alive()
    assert live.find(_STATE) is not None
    assert live.find("sys/bus/dax") is None
    told: list[str] = []
    live.doubt(told.extend)
    live.perform("add", {"driver": "dax", "name": "dax0.0", "size": "256M"})
    assert _STATE in told
    assert live.find("sys/bus/dax/devices/dax0.0") is not None


def test_a_device_that_changes_hands_is_looked_up_anew(alive: Alive) -> None:
    """Links come and go with what drivers remember."""
    live = alive()
    live.perform("add", {"driver": "dax", "name": "dax0.0", "size": "256M", "mode": "devdax"})
    link = "sys/bus/dax/drivers/device_dax/dax0.0"
    assert live.find(link) is not None
    live.write("sys/bus/dax/drivers/device_dax/unbind", b"dax0.0\0")
    assert live.find(link) is None
    assert live.find("sys/devices/platform/hmem.0/dax0.0/driver") is None


def test_a_block_on_another_node_is_another_block() -> None:
    """Its link to its node changes with it."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    machine.add_memory(driver="acpi", name="one", size="128M", node=0)
    view = View(machine.kernel.copy())
    path = f"{_MEMORY}/memory32/node0"
    assert view.find(path) is not None
    machine.eject("one")
    machine.add_memory(driver="acpi", name="two", size="128M", node=1)
    after, doubtful = view.succeeded_by(machine.kernel.copy())
    assert doubtful is not None
    assert path in doubtful
    assert after.find(path) is None
    assert after.find(f"{_MEMORY}/memory32/node1") is not None
