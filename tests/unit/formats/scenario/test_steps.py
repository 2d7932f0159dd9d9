"""Every operation: what its keys become, and its defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.scenario import (
    OPERATIONS,
    AddStep,
    AllocateStep,
    EjectStep,
    OfflineStep,
    OnlineStep,
    RangeSpec,
    ReleaseStep,
    RemoveStep,
    ResizeStep,
    Scenario,
    Veto,
    WriteStep,
)
from memhotplug.formats.scenario.models import VETOABLE_EVENTS, Action

ErrorOf: TypeAlias = Callable[[str], InputError]
Load: TypeAlias = Callable[[str], Scenario]
DIMM0 = RangeSpec.named("dimm0")
FLAGS = (
    "one of: none, device, memblock, on_memory, a kernel name such as MHP_MEMMAP_DEVICE, or a list of them; "
    "or default, the driver's own"
)
EVENT = "an event that can be vetoed, one of: MEM_PREPARE_ONLINE, MEM_GOING_ONLINE, MEM_GOING_OFFLINE"


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("add: {driver: acpi, size: 1G}", AddStep(driver="acpi", name="acpi0", size=1 << 30)),
        (
            "add: {driver: sclp, name: s, size: '0x8000000', address: 0x100000000, node: 1, mhp_flags: memblock}",
            AddStep(driver="sclp", name="s", size=1 << 27, address=1 << 32, node=1, mhp_flags=("memblock",)),
        ),
        ("add: {driver: acpi, size: 1, address: 0}", AddStep(driver="acpi", name="acpi0", size=1, address=0)),
        ("add: {driver: acpi, size: 1, address: 4G}", AddStep(driver="acpi", name="acpi0", size=1, address=1 << 32)),
        (
            "add: {driver: acpi, size: 1, mhp_flags: [device, MHP_MEMMAP_MEMBLOCK]}",
            AddStep(driver="acpi", name="acpi0", size=1, mhp_flags=("device", "MHP_MEMMAP_MEMBLOCK")),
        ),
        (
            "add: {driver: acpi, size: 1, mhp_flags: none}",
            AddStep(driver="acpi", name="acpi0", size=1, mhp_flags=("none",)),
        ),
        (
            "add: {driver: acpi, size: 1, proximity_domain: 0x10}",
            AddStep(driver="acpi", name="acpi0", size=1, options={"proximity_domain": 16}),
        ),
        (
            "add: {driver: acpi, resources: [1G, 512M]}",
            AddStep(driver="acpi", name="acpi0", size=1536 << 20, options={"resources": (1 << 30, 512 << 20)}),
        ),
        (
            "add: {driver: hv_balloon, size: 1G, backed: 0, pressure: true, agent: udev, label: 010, tag: on}",
            AddStep(
                driver="hv_balloon",
                name="hv_balloon0",
                size=1 << 30,
                options={"backed": 0, "pressure": True, "agent": "udev", "label": "010", "tag": "on"},
            ),
        ),
        ("online: {range: dimm0}", OnlineStep(range=DIMM0, zone="auto")),
        ("online: {range: block 32, zone: movable}", OnlineStep(range=RangeSpec.blocks(32), zone="movable")),
        ("online: {zone: kernel, range: 0x0+1G}", OnlineStep(range=RangeSpec.physical(0, 1 << 30), zone="kernel")),
        ("offline: {range: block 32-35}", OfflineStep(range=RangeSpec.blocks(32, 35))),
        ("remove: {range: dimm0, fails: EBUSY}", RemoveStep(range=DIMM0, fails="EBUSY")),
        ("eject: {range: dimm0}", EjectStep(range=DIMM0)),
        ("resize: {range: dimm0, size: 0}", ResizeStep(range=DIMM0, size=0)),
        ("resize: {range: dimm0, size: 3G}", ResizeStep(range=DIMM0, size=3 << 30)),
        (
            "write: {path: memory/vmemmap_hotplug, value: disable}",
            WriteStep(path="memory/vmemmap_hotplug", value="disable", capable=True),
        ),
        (
            "write: {path: /sys/devices/system/memory/probe, value: 0x100000000, capable: false}",
            WriteStep(path="/sys/devices/system/memory/probe", value="0x100000000", capable=False),
        ),
        ('write: {path: a, value: ""}', WriteStep(path="a", value="")),
        ("write: {path: a, value: on}", WriteStep(path="a", value="on")),
        ('write: {path: a, value: "enable\\n"}', WriteStep(path="a", value="enable\n")),
        (
            "allocate: {name: a, size: 300M}",
            AllocateStep(name="a", size=300 << 20, zone="movable", node=0, order=0, pinned=False, scatter=False),
        ),
        (
            "allocate: {name: a, size: 4K, zone: kernel, node: 1, order: 9, pinned: true, scatter: true}",
            AllocateStep(name="a", size=4096, zone="kernel", node=1, order=9, pinned=True, scatter=True),
        ),
        ("release: {name: app}", ReleaseStep(name="app")),
        (
            "online: {range: dimm0, veto: {event: MEM_GOING_ONLINE, errno: ENOMEM}, fails: ENOMEM}",
            OnlineStep(range=DIMM0, veto=Veto(event="MEM_GOING_ONLINE", errno="ENOMEM"), fails="ENOMEM"),
        ),
    ],
)
def test_a_step_becomes_a_record(load_step: Load, text: str, args: Action) -> None:
    """Sizes are bytes, ranges records, flags a tuple of words."""
    step = load_step(text).steps[-1]
    assert step.args == args
    assert type(step.args) is OPERATIONS[step.op]
    assert (step.index, step.op, step.line, step.column) == (2, text.split(":")[0], 6, 5)


@pytest.mark.parametrize("event", VETOABLE_EVENTS)
@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_any_step_may_fail_or_be_vetoed(load_step: Load, op: str, event: str) -> None:
    """The two keys are common to all operations."""
    keys = {
        "add": "driver: acpi, size: 1G",
        "write": "path: a, value: b",
        "allocate": "name: a, size: 1G",
        "release": "name: app",
        "resize": "range: dimm0, size: 0",
        "expect": "path: a",
    }.get(op, "range: dimm0")
    args = load_step(f"{op}: {{{keys}, fails: ENOMEM, veto: {{event: {event}, errno: EAGAIN}}}}").steps[-1].args
    assert (args.fails, args.veto) == ("ENOMEM", Veto(event=event, errno="EAGAIN"))


@pytest.mark.parametrize(
    "event", ["MEM_ONLINE", "MEM_CANCEL_ONLINE", "MEM_OFFLINE", "MEM_CANCEL_OFFLINE", "MEM_FINISH_OFFLINE", "MEM_GOING"]
)
def test_events_that_only_report_cannot_be_vetoed(step_error: ErrorOf, event: str) -> None:
    """The kernel ignores what a notifier answers to them; the nearest that can be is suggested."""
    error = step_error(f"online: {{range: dimm0, veto: {{event: {event}, errno: EAGAIN}}}}")
    assert (error.expected, error.path, error.got) == (EVENT, "steps[2].online.veto.event", event)
    assert error.nearest in VETOABLE_EVENTS


def test_records_are_frozen(load_step: Load) -> None:
    """Thousands of what-if machines share them."""
    args = load_step("online: {range: dimm0}").steps[-1].args
    with pytest.raises(AttributeError, match="OnlineStep is frozen"):
        args.fails = "EBUSY"  # type: ignore[misc]


OPS = "one operation in a step, one of: add, online, offline, write, allocate, release, remove, eject, resize, expect"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onlin: {range: dimm0}", f"6:5: steps[2].onlin: got onlin, expected {OPS}; did you mean 'online'?"),
        ("dimm0", f"6:5: steps[2]: got dimm0, expected {OPS}"),
        ("", f"6:4: steps[2]: got nothing, expected {OPS}"),
        ("{}", f"6:5: steps[2]: got a mapping, expected {OPS}"),
        ("[]", f"6:5: steps[2]: got a list, expected {OPS}"),
        (
            "{online: {range: dimm0}, offline: {range: dimm0}}",
            "6:30: steps[2].offline: got offline, expected one operation in a step",
        ),
        (
            "online:\n    range: dimm0",
            "7:5: steps[2].range: got range, expected one operation in a step; are the keys of online indented?",
        ),
    ],
)
def test_a_step_is_exactly_one_operation(step_error: ErrorOf, text: str, message: str) -> None:
    """With a hint for the commonest mistake of indentation."""
    assert str(step_error(text)) == f"s.yaml:{message}"


def test_the_error_is_an_object_too(step_error: ErrorOf) -> None:
    """For --json."""
    assert step_error("remove: {range: dimm0, fails: EBUZY}").to_dict() == {
        "file": "s.yaml",
        "line": 6,
        "column": 35,
        "path": "steps[2].remove.fails",
        "got": "EBUZY",
        "expected": "an errno name such as EBUSY",
        "nearest": "EBUSY",
    }
