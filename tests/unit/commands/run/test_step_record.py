"""The record of a step before it runs: what it is about, as far as that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.run.step_record import existing_blocks, new_record
from memhotplug.formats.scenario import Step
from memhotplug.formats.scenario.check import parse_args
from memhotplug.formats.scenario.ranges import parse_range

Boot = Callable[..., Machine]
MIB = 1 << 20


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with a DIMM of blocks 32 and 33."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="256M")
    return machine


def record(machine: Machine, op: str, **keys: object) -> Any:
    """Return the record of a step."""
    step = Step(index=3, op=op, args=parse_args(op, keys, Installed()), line=1, column=1)
    return new_record(step, machine.kernel)


def test_every_key_is_there_whatever_the_step(machine: Machine) -> None:
    """Null where it does not apply, and all is well so far."""
    found = [
        record(machine, "add", driver="acpi", size="1G"),
        record(machine, "online", range="dimm"),
        record(machine, "write", path="memory/auto_online_blocks", value="online"),
        record(machine, "release", name="app"),
    ]
    assert len({frozenset(one) for one in found}) == 1
    for one in found:
        assert (one["index"], one["ok"], one["errno"], one["message"]) == (3, True, None, None)
        assert (one["blocks_done"], one["leaks"], one["driver_result"]) == ([], [], None)


@pytest.mark.parametrize(
    ("op", "keys", "name", "start", "size", "blocks"),
    [
        ("add", {"driver": "acpi", "name": "new", "size": "1G"}, "new", None, 1024 * MIB, []),
        ("add", {"driver": "acpi", "size": "1G", "address": "8G"}, None, 8192 * MIB, 1024 * MIB, []),
        ("online", {"range": "dimm"}, "dimm", 4096 * MIB, 256 * MIB, [32, 33]),
        ("offline", {"range": "block 30-40"}, None, 3840 * MIB, 1408 * MIB, [30, 31, 32, 33]),
        ("remove", {"range": "0x100000000+128M"}, None, 4096 * MIB, 128 * MIB, [32]),
        ("remove", {"range": "0x100000000+1M"}, None, 4096 * MIB, MIB, [32]),
        ("eject", {"range": "gone"}, "gone", None, None, []),
        ("resize", {"range": "dimm", "size": "1G"}, "dimm", None, 1024 * MIB, [32, 33]),
        ("allocate", {"name": "app", "size": "3M"}, "app", None, 3 * MIB, []),
        ("release", {"name": "app"}, "app", None, None, []),
        ("write", {"path": "memory/auto_online_blocks", "value": "online"}, None, None, None, []),
    ],
)
def test_a_step_is_about_its_range(
    op: str, keys: dict[str, object], name: str | None, start: int | None, size: int | None, blocks: list[int],
    machine: Machine,
) -> None:  # fmt: skip
    """By name, by block, by address; what does not exist yet has no blocks."""
    found = record(machine, op, **keys)
    assert (found["op"], found["name"], found["start"], found["size"], found["blocks"]) == (
        op,
        name,
        start,
        size,
        blocks,
    )


@pytest.mark.parametrize(
    ("text", "ids"),
    [("block 33-99", [33]), ("block 90", []), ("dimm", [32, 33]), ("gone", []), ("0x107000000+64M", [32, 33])],
)
def test_blocks_that_exist_count(text: str, ids: list[int], machine: Machine) -> None:
    """Also those that are in the range only in part."""
    assert existing_blocks(parse_range(text), machine.kernel) == ids


def test_the_policy_that_will_decide_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the step or the scenario sets the flags."""
    monkeypatch.setitem(machine.kernel.policies, "acpi", "policies:mine")
    assert record(machine, "add", driver="acpi", size="1G")["policy"] == "mine"
    assert record(machine, "add", driver="acpi", size="1G", mhp_flags="none")["policy"] is None
    assert record(machine, "add", driver="xen", size="1G")["policy"] is None
    machine.decide("acpi", flags=("none",))
    assert record(machine, "add", driver="acpi", size="1G")["policy"] is None
