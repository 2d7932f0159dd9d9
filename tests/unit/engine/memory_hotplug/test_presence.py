"""Where a driver exists: its own word, the architecture's, and what an attempt elsewhere comes to."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping

import pytest

from memhotplug import Machine, PluginError, manager
from memhotplug.contracts import ArchTraits, DriverTraits
from memhotplug.engine.memory_hotplug.presence import (
    absence,
    attribute_driver,
    drivers_of,
    usual_driver,
    window_driver,
    window_names,
)
from memhotplug.manager import traits as asked

Traits = Mapping[str, ArchTraits | DriverTraits | PluginError]
Say = Callable[[Traits], None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Have some installed plugins say something else about themselves."""
    told = asked.traits_of

    def replace(traits: Traits) -> None:
        def answer(candidate: manager.Candidate) -> ArchTraits | DriverTraits:
            said = traits.get(candidate.name)
            if isinstance(said, PluginError):
                raise said
            return told(candidate) if said is None else said

        monkeypatch.setattr(asked, "traits_of", answer)

    return replace


@pytest.fixture
def machine() -> Machine:
    """Linux 6.12 on x86_64."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")


@pytest.mark.parametrize(
    ("traits", "text"),
    [
        (DriverTraits(), None),
        (DriverTraits(arches={"x86_64": (0, 0)}), None),
        (DriverTraits(arches={"x86_64": (6, 12)}), None),
        (
            DriverTraits(arches={"x86_64": (6, 13)}),
            "ENODEV: there is no dax on x86_64: it came with Linux 6.13, this kernel is 6.12",
        ),
        (DriverTraits(arches={}), "ENODEV: there is no dax on x86_64: no kernel has it there"),
        (
            DriverTraits(arches={"vax": (1, 0)}, absence="it needs a VAX", absence_errno=errno.ENOENT),
            "ENOENT: there is no dax on x86_64: it needs a VAX",
        ),
    ],
)
def test_refusal_says_why_and_since_when(machine: Machine, say: Say, traits: DriverTraits, text: str | None) -> None:
    """The errno and the reason are the driver's."""
    say({"dax": traits})
    refusal = absence(machine.kernel, "dax")
    assert (None if refusal is None else str(refusal)) == text


def test_an_architecture_may_know_better_than_a_driver_that_is_older(machine: Machine, say: Say) -> None:
    """It lists drivers that have never heard of it; of one that has, the version counts all the same."""
    say({"x86_64": ArchTraits(drivers=("sclp", "dax")), "dax": DriverTraits(arches={"x86_64": (7, 0)})})
    assert absence(machine.kernel, "sclp") is None
    assert absence(machine.kernel, "dax") is not None
    assert machine.add_memory(driver="sclp", size="128M").blocks == (32,)


def test_add_changes_nothing_where_the_driver_does_not_exist(machine: Machine) -> None:
    """It is the step that fails, with the errno that a scenario can expect."""
    before = machine.to_dict()
    with pytest.raises(OSError, match="there is no pseries on x86_64: it is a platform of powerpc") as caught:
        machine.add_memory(driver="pseries", size="256M")
    assert caught.value.errno == errno.ENODEV
    assert machine.to_dict() == before


def test_usual_driver_is_the_first_that_the_architecture_lists() -> None:
    """All of them are its data."""
    assert {arch: usual_driver(arch) for arch in manager.names("arch")} == {
        "arm64": "acpi",
        "powerpc": "pseries",
        "s390": "sclp",
        "x86_64": "acpi",
    }


def test_without_a_list_the_first_driver_that_exists_everywhere_is_usual(say: Say) -> None:
    """What an architecture gets that says nothing of itself; drivers that are broken are passed over."""
    say({"arm64": ArchTraits(), "acpi": PluginError("acpi", "broken")})
    assert usual_driver("arm64") == "dax"
    assert drivers_of("arm64") == ["dax", "virtio_mem", "xen"]


def test_architecture_without_any_driver_is_named(say: Say) -> None:
    """Nothing could be added to its machines."""
    nowhere = DriverTraits(arches={})
    say({"arm64": ArchTraits(drivers=("none_such",)), **dict.fromkeys(manager.names("drivers"), nowhere)})
    with pytest.raises(PluginError) as caught:
        usual_driver("arm64")
    assert str(caught.value) == ("plugin arm64: has no driver: none that is installed exists on this architecture")


def test_windows_are_for_the_driver_that_takes_them(say: Say) -> None:
    """Else for the usual one."""
    assert {window_driver(arch) for arch in manager.names("arch")} == {"dax"}
    say({"dax": DriverTraits()})
    assert window_driver("x86_64") == "acpi"


def test_file_that_adds_memory_belongs_to_the_driver_that_says_so(machine: Machine, say: Say) -> None:
    """Whoever it is: without one there is no such file."""
    assert attribute_driver("memory/probe") == "probe"
    say({"probe": DriverTraits(), "xen": DriverTraits(attribute="memory/probe")})
    machine.write("memory/probe", "0x100000000")
    assert [device.driver for device in machine.kernel.state.devices] == ["xen"]
    say({"probe": DriverTraits()})
    with pytest.raises(OSError, match="memory/probe: no driver that has it is installed"):
        machine.write("memory/probe", "0x110000000")


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_windows_are_those_that_some_driver_makes_memory_of(arch: str) -> None:
    """Names of /proc/iomem begin so; whoever boots a recorded machine passes them over as nobody's."""
    names = re.compile("|".join(window_names(arch)))
    told = [bool(names.match(name)) for name in ("CXL Window 0", "Persistent Memory (legacy)", "System RAM", "PCI Bus")]
    assert told == [True, True, False, False]
