"""A profile's step that returns and has not done it is named, and the machine is as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.errors import PluginError

PROFILE = """
from memhotplug.plugin import hookimpl, profile_of


class Idle(profile_of("linux-6.12")):
    def {step}(self, *args, **keywords):
        {does}


@hookimpl
def kernel_profile():
    return Idle()
"""


def _ready(machine: Machine) -> None:
    """Have a DIMM with one block of four online, so that every step has something to do."""
    machine.add_memory(driver="acpi", name="old", size="512M")
    machine.online("block 33")


def _add(machine: Machine) -> None:
    machine.add_memory(driver="acpi", name="new", size="512M")


_REST = "its profile's step {!r} returned, and not all of its memory blocks are {}"


@pytest.mark.parametrize(
    ("step", "operation", "problem"),
    [
        (
            "add_memory_resource",
            _add,
            "its profile's step 'add_memory_resource' returned, and 0x0000000120000000-0x000000013fffffff has not all "
            "of its memory blocks",
        ),
        ("add_pages", _add, "add_pages did not add all sections of the range"),
        ("online", lambda machine: machine.online("block 32"), _REST.format("online", "online")),
        ("online", lambda machine: machine.online("block 34-35"), _REST.format("online", "online")),
        ("offline", lambda machine: machine.offline("block 33"), _REST.format("offline", "offline")),
        (
            "remove",
            lambda machine: machine.remove("block 34-35"),
            "its profile's step 'remove' returned, and memory block 34 is still there",
        ),
        (
            "remove_pages",
            lambda machine: machine.remove("block 34-35"),
            "remove_pages left the section at pfn 0x110000",
        ),
    ],
)
def test_a_step_that_does_nothing_is_the_profiles_fault(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    operation: Callable[[Machine], object],
    problem: str,
) -> None:
    """Neither the architecture's nor the driver's that called, and never ok."""
    file = tmp_path / "idle.py"
    file.write_text(PROFILE.format(step=step, does="pass"), encoding="utf-8")
    machine = Machine.boot(arch="x86_64", kernel="idle", memory="4G", plugins=file)
    with monkeypatch.context() as patch:
        patch.delattr(type(machine.kernel.profile), step)
        _ready(machine)
    before = machine.to_dict()

    with pytest.raises(PluginError) as caught:
        operation(machine)

    assert str(caught.value) == f"plugin idle ({file}): {problem}"
    assert machine.to_dict() == before


def test_a_step_that_does_half_of_it_is_too(tmp_path: Path) -> None:
    """The first of two blocks alone is not both."""
    file = tmp_path / "idle.py"
    does = "super().online(args[0], slice(args[1].start, args[1].start + 1), args[2])"
    file.write_text(PROFILE.format(step="online", does=does), encoding="utf-8")
    machine = Machine.boot(arch="x86_64", kernel="idle", memory="4G", plugins=file)
    _ready(machine)

    machine.online("block 32")
    with pytest.raises(PluginError, match=r"step 'online' returned, and not all of its memory blocks are online$"):
        machine.online("block 34-35")
    assert machine.read("memory/memory34/state") == "offline\n"
