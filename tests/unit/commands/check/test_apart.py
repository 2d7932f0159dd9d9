"""In what two machines differ first, as words and as what a scenario expects."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.apart import Apart, block_apart, zone_apart
from memhotplug.commands.run.expect import judge
from memhotplug.formats.scenario import ExpectStep, loads_scenario

COUNTERS = ("spanned", "managed")


@pytest.fixture
def machine() -> Machine:
    """A device of one block, offline."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    machine.add_memory(driver="acpi", name="a", size="128M")
    return machine


def holds(machine: Machine, apart: Apart) -> bool:
    """Return whether what is expected because of a difference holds on a machine."""
    text = f"schema: 1\nmachine: {{arch: x86_64, kernel: linux-6.12, memory: 1G}}\nsteps: [expect: {apart.expect}]\n"
    (step,) = loads_scenario(text, catalog=Installed()).steps
    assert isinstance(step.args, ExpectStep)
    return not judge(machine, step.args).problems


def test_equal_machines_have_no_difference(machine: Machine) -> None:
    """Nor has one with itself."""
    other = machine.copy()
    assert block_apart(machine.kernel, other.kernel) is None
    assert zone_apart(machine.kernel, other.kernel, COUNTERS) is None


def test_a_block_is_there_or_not(machine: Machine) -> None:
    """Whichever machine has it."""
    other = machine.copy()
    other.remove("a")
    without = block_apart(machine.kernel, other.kernel)
    assert without == Apart("memory block 32", "offline", "absent", {"block": 32, "state": "absent"})
    with_it = block_apart(other.kernel, machine.kernel)
    assert with_it == Apart("memory block 32", "absent", "offline", {"block": 32, "state": "offline"})


def test_a_block_is_online_or_elsewhere(machine: Machine) -> None:
    """The state first; the zone alone where the state is the same."""
    kernel, movable = machine.copy(), machine.copy()
    kernel.online("a", zone="kernel")
    movable.online("a", zone="movable")
    assert block_apart(machine.kernel, movable.kernel) == Apart(
        "memory block 32",
        "offline",
        "online in node 0 zone Movable",
        {"block": 32, "state": "online", "zone": "Movable"},
    )
    assert block_apart(kernel.kernel, movable.kernel) == Apart(
        "memory block 32",
        "online in node 0 zone Normal",
        "online in node 0 zone Movable",
        {"block": 32, "zone": "Movable"},
    )
    assert zone_apart(kernel.kernel, movable.kernel, COUNTERS) == Apart(
        "node 0 zone Normal",
        "32768 pages spanned, 32768 pages managed",
        "0 pages spanned, 0 pages managed",
        {"zone": "Normal", "node": 0, "spanned": 0, "managed": 0},
    )


def test_what_is_expected_holds_in_the_other_machine_alone(machine: Machine) -> None:
    """Of blocks and of zones, in both directions."""
    gone, online = machine.copy(), machine.copy()
    gone.remove("a")
    online.online("a", zone="movable")
    for one, other in ((machine, gone), (gone, machine), (machine, online), (online, machine), (online, gone)):
        for apart in (
            block_apart(one.kernel, other.kernel),
            zone_apart(one.kernel, other.kernel, COUNTERS),
        ):
            if apart is not None:
                assert (holds(one, apart), holds(other, apart)) == (False, True), apart
