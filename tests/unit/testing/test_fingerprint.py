"""A fingerprint tells what a machine is, not what somebody has asked it."""

from __future__ import annotations

from collections.abc import Callable

from memhotplug import Machine
from memhotplug.testing import fingerprint


def test_a_look_at_system_ram_is_no_change(boot: Callable[..., Machine]) -> None:
    """What a table keeps for the next one who asks is nothing that a plugin has changed; a claim is."""
    machine = boot(kernel="linux-6.12")
    before = fingerprint(machine)
    ram = machine.kernel.state.resources.ram
    assert fingerprint(machine) == before
    machine.kernel.state.resources.release(ram[0].start, 4096)
    assert fingerprint(machine) != before


def test_it_tells_events_however_many_there_are(boot: Callable[..., Machine]) -> None:
    """A journal is a chain inside, each event on the one before; that shows nowhere."""
    machine = boot(kernel="linux-6.12")
    before = len(machine.kernel.journal.events)
    for number in range(2000):
        machine.kernel.log("counted", number=number)
    events = fingerprint(machine)["events"]
    assert isinstance(events, list)
    assert len(events) == before + 2000
