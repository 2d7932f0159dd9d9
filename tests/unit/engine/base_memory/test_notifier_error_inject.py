"""Notifiers that refuse an event until further notice, as debugfs sets them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
ERROR = "/sys/kernel/debug/notifier-error-inject/memory/actions/{}/error"
ONLINE, OFFLINE = ERROR.format("MEM_GOING_ONLINE"), ERROR.format("MEM_GOING_OFFLINE")


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with an offline DIMM."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="256M")
    return machine


def test_nothing_is_injected_at_first(machine: Machine) -> None:
    """Either file reads 0."""
    assert (machine.read(ONLINE), machine.read(OFFLINE)) == ("0\n", "0\n")


def test_an_errno_refuses_the_event_until_it_is_taken_back(machine: Machine, refused: Refused) -> None:
    """And that event alone."""
    machine.write(ONLINE, "-12")
    assert (machine.read(ONLINE), machine.read(OFFLINE)) == ("-12\n", "0\n")
    for _ in range(2):
        problem = refused(machine.online, "dimm")
        assert str(problem) == "ENOMEM: notifier-error-inject vetoed MEM_GOING_ONLINE"
    machine.offline("block 20")
    machine.write(ONLINE, "0")
    assert machine.online("dimm") == [32, 33]


def test_offline_has_its_own(machine: Machine, refused: Refused) -> None:
    """Blocks stay online."""
    machine.online("dimm", zone="movable")
    machine.write(OFFLINE, "-16")
    assert refused(machine.offline, "dimm").name == "EBUSY"
    assert machine.read("memory/memory32/state") == "online\n"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("-12\n", "-12\n"), (" -0x0c ", "-12\n"), ("12", "0\n"), ("+5", "0\n"), ("-0", "0\n"),
        ("-5000", "-4095\n"), ("-4095", "-4095\n"), ("-9999999999999999999", "-4095\n"),
    ],
)  # fmt: skip
def test_numbers_are_clamped_to_errnos(written: str, read: str, machine: Machine) -> None:
    """debugfs_errno_set(): between -MAX_ERRNO and 0."""
    machine.write(ONLINE, written)
    assert machine.read(ONLINE) == read


@pytest.mark.parametrize("written", ["", "ENOMEM", "-", "1.5", "--1", "0x", "-12 -13", "\u0661"])
def test_what_is_no_number_is_refused(written: str, machine: Machine, refused: Refused) -> None:
    """And what was set before stays."""
    machine.write(ONLINE, "-5")
    problem = refused(machine.write, ONLINE, written)
    assert problem.name == "EINVAL"
    assert problem.reason == f"error takes 0 or a negative errno such as -12, not {written!r}"
    assert machine.read(ONLINE) == "-5\n"


def test_a_copy_has_its_own(machine: Machine) -> None:
    """What is injected into one refuses nothing on the other."""
    copy = machine.copy()
    copy.write(ONLINE, "-12")
    assert machine.read(ONLINE) == "0\n"
    assert machine.online("dimm") == [32, 33]


def test_events_that_the_module_does_not_know_have_no_file(machine: Machine, refused: Refused) -> None:
    """It injects into the two that can be refused."""
    assert refused(machine.read, ERROR.format("MEM_OFFLINE")).name == "ENOENT"
