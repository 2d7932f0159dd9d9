"""How a run goes: what each step's record says, what stops a run, and what is an error instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug.commands.run.runner import RunResult, boot_scenario
from memhotplug.documents.machine import StepRecord
from memhotplug.formats.scenario import Step

Run = Callable[..., RunResult]
ErrorOf = Callable[..., Any]
ADD = "add: {driver: acpi, name: dimm0, size: 1G}"
ONLINE = "online: {range: dimm0, zone: movable}"
DIMM0 = list(range(32, 40))
KEYS = [
    "index", "op", "name", "ok", "errno", "message", "start", "size", "blocks", "blocks_done", "leaks", "driver_result",
    "policy",
]  # fmt: skip


def test_a_run_that_goes_well_is_ok(run: Run) -> None:
    """Every step did what it says: no failure."""
    result = run(ADD, ONLINE)

    assert result.ok
    assert result.failure is None
    assert [record["ok"] for record in result.steps] == [True, True]


def test_an_add_is_recorded_with_its_memory(run: Run) -> None:
    """The record of an add names the device, its hull and its blocks."""
    record = run(ADD).steps[0]

    assert record == {
        "index": 0, "op": "add", "name": "dimm0", "ok": True, "errno": None, "message": None,
        "start": 4 << 30, "size": 1 << 30, "blocks": DIMM0, "blocks_done": DIMM0, "leaks": [], "driver_result": None,
        "policy": None,
    }  # fmt: skip


def test_an_unnamed_add_is_recorded_with_the_name_it_got(run: Run) -> None:
    """Later readers need some name for the device."""
    assert run("add: {driver: acpi, size: 1G}").steps[0]["name"] == "acpi0"


def test_every_kind_of_step_has_every_key_in_the_same_order(run: Run) -> None:
    """Readers of the JSON never need to ask whether a key is there."""
    result = run(
        ADD,
        ONLINE,
        "offline: {range: block 32-33}",
        "write: {path: memory/auto_online_blocks, value: online}",
        "allocate: {name: app, size: 1M}",
        "release: {name: app}",
        "expect: {block: 32, state: offline}",
        "remove: {range: dimm0, fails: EBUSY}",
        "eject: {range: dimm0}",
    )

    assert result.failure is None
    assert [list(record) for record in result.steps] == [KEYS] * 9


def test_steps_about_a_range_are_recorded_with_its_hull_and_blocks(run: Run) -> None:
    """Whatever way the range was written."""
    result = run(ADD, "online: {range: block 34-35}", "offline: {range: 0x110000000+128M}")

    assert [(record["start"], record["size"], record["blocks"]) for record in result.steps[1:]] == [
        (0x110000000, 256 << 20, [34, 35]),
        (0x110000000, 128 << 20, [34]),
    ]


def test_removed_blocks_are_still_in_the_record_of_the_remove(run: Run) -> None:
    """They are what the step was about, though they are gone."""
    result = run(ADD, "remove: {range: dimm0}")

    assert result.steps[1]["blocks"] == result.steps[1]["blocks_done"] == DIMM0
    assert [block for block in result.machine.kernel.state.blocks.id.tolist() if block >= 32] == []


def test_an_expected_failure_is_ok_and_keeps_its_errno(run: Run) -> None:
    """The step did what the scenario says: it failed."""
    result = run(ADD, ONLINE, "remove: {range: dimm0, fails: EBUSY}")

    assert result.ok
    assert result.steps[2]["ok"]
    assert result.steps[2]["errno"] == "EBUSY"
    assert result.steps[2]["message"] == "memory blocks 32-39 are not offline"
    assert result.steps[2]["blocks_done"] == []


def test_an_unexpected_failure_stops_the_run(run: Run) -> None:
    """The steps behind it do not run."""
    result = run(ADD, ONLINE, "remove: {range: dimm0}", "offline: {range: dimm0}")

    assert not result.ok
    assert len(result.steps) == 3
    assert result.failure == "s.yaml:6:5: steps[2].remove: EBUSY: memory blocks 32-39 are not offline"
    assert (result.steps[2]["ok"], result.steps[2]["errno"]) == (False, "EBUSY")


def test_an_expected_failure_that_does_not_come_stops_the_run(run: Run) -> None:
    """There is no errno to record, and what was done stays done."""
    result = run(ADD, "online: {range: dimm0, fails: EBUSY}")

    assert result.failure == "s.yaml:5:5: steps[1].online: succeeded, expected to fail with EBUSY"
    assert (result.steps[1]["ok"], result.steps[1]["errno"]) == (False, None)
    assert result.steps[1]["blocks_done"] == DIMM0


def test_another_errno_than_the_expected_one_stops_the_run(run: Run) -> None:
    """Both are named."""
    result = run(ADD, ONLINE, "remove: {range: dimm0, fails: ENOMEM}")

    assert result.failure == (
        "s.yaml:6:5: steps[2].remove: EBUSY: memory blocks 32-39 are not offline; expected ENOMEM"
    )


def test_blocks_before_the_one_that_fails_are_done(run: Run) -> None:
    """One request a block, ascending: block 34 is online already, 32 and 33 stay online.

    Expect: blocks_done is 32-33, and block 35 was never asked.
    """
    result = run(ADD, "online: {range: block 34}", "online: {range: dimm0, fails: EINVAL}")

    assert result.ok
    assert result.steps[2]["blocks"] == DIMM0
    assert result.steps[2]["blocks_done"] == [32, 33]
    assert result.machine.read("memory/memory35/state") == "offline\n"


def test_a_failed_expectation_has_no_errno_and_says_got_and_expected(run: Run) -> None:
    """It is the scenario that is wrong, not an operation."""
    result = run("expect: {zone: Movable, managed: 5}")

    assert result.failure == "s.yaml:4:5: steps[0].expect: zone Movable of node 0: managed is 0, expected 5"
    assert result.steps[0]["errno"] is None
    assert result.steps[0]["message"] == "zone Movable of node 0: managed is 0, expected 5"


def test_a_veto_makes_the_step_fail_and_only_that_step(run: Run) -> None:
    """The notifier refuses once."""
    result = run(
        ADD, "online: {range: block 32, veto: {event: MEM_GOING_ONLINE, errno: ENOSPC}, fails: ENOSPC}", ONLINE
    )

    assert result.ok
    assert result.steps[1]["message"] == "a notifier vetoed MEM_GOING_ONLINE"


def test_a_failed_add_is_recorded_with_what_was_asked_for(run: Run) -> None:
    """There is no device to describe."""
    record = run("add: {driver: acpi, name: d, size: 1G, address: 0x100000000, fails: EEXIST}", head=_with(ADD)).steps[
        1
    ]

    assert (record["name"], record["start"], record["size"]) == ("d", 0x100000000, 1 << 30)
    assert record["blocks"] == record["blocks_done"] == []


def test_what_a_driver_added_before_an_error_is_recorded(run: Run) -> None:
    """acpi goes on with the next resource; the errno is that of the first that failed."""
    record = run("add: {driver: acpi, name: d, resources: [1G, 100M], fails: EINVAL}").steps[0]

    assert record["ok"]
    assert record["start"] == 4 << 30
    assert record["blocks"] == record["blocks_done"] == DIMM0
    assert str(record["driver_result"]).startswith("1 of 2 resources enabled; the firmware is told success")


def test_an_add_that_makes_no_device_is_recorded_with_what_was_asked_for(run: Run) -> None:
    """A resize has no range of its own: it begins nowhere, not at address 0, and its size is the requested one."""
    device = "add: {driver: virtio_mem, name: vm0, size: 512M, device_size: 1G}"
    shrink = "add: {driver: virtio_mem, name: less, size: 384M, resize: vm0}"
    head = "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 4G}\nsteps:\n"
    record = run(device, shrink, head=head).steps[1]

    assert (record["name"], record["start"], record["size"]) == ("less", None, 384 << 20)
    assert record["blocks"] == record["blocks_done"] == []


def test_two_runs_of_one_scenario_are_the_same(run: Run) -> None:
    """No clock, no chance."""
    first, second = run(ADD, ONLINE), run(ADD, ONLINE)

    assert first.to_dict() == second.to_dict()
    assert first.events == second.events


def _with(*steps: str) -> str:
    """Return the head of a scenario that begins with some steps."""
    head = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n"
    return head + "".join(f"  - {step}\n" for step in steps)


# ---- the result ----


def test_the_result_has_the_keys_of_the_contract_in_their_order(run: Run) -> None:
    """The JSON object of ``mhp run``."""
    assert list(run(ADD).to_dict()) == [
        "schema", "mhp", "scenario", "ok", "machine", "steps",
        "blocks", "zones", "vmemmap", "memmap", "iomem", "warnings", "violations",
    ]  # fmt: skip


def test_the_result_names_the_scenario_and_says_whether_it_is_ok(run: Run) -> None:
    """Not what the machine alone would say."""
    result = run("expect: {zone: Movable, managed: 5}").to_dict()

    assert result["scenario"] == "s.yaml"
    assert result["ok"] is False


def test_events_carry_the_index_of_their_step(run: Run) -> None:
    """The kernel's own events, and one for the step itself at its end."""
    events = run(ADD, ONLINE).events

    assert [(event["step"], event["event"]) for event in events] == [
        (0, "added"),
        (0, "step"),
        (1, "onlined"),
        (1, "step"),
    ]
    assert events[1] == {
        "step": 0, "event": "step", "op": "add", "name": "dimm0", "ok": True, "errno": None, "message": None,
    }  # fmt: skip


def test_events_of_the_boot_have_no_step(run: Run) -> None:
    """A word on the command line that the kernel does not know is a warning before the first step."""
    head = (
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: memhp_default_state=maybe}\nsteps:\n"
    )

    event = run(ADD, head=head).events[0]

    assert (event["step"], event["event"]) == (None, "warning")


def test_whoever_watches_is_told_while_the_run_goes_on(run: Run) -> None:
    """Events first, then the step that they belong to."""
    told: list[object] = []

    def on_step(step: Step, record: StepRecord) -> None:
        told.append((step.op, record["ok"]))

    run(ADD, on_step=on_step, on_event=lambda event: told.append(event["event"]))

    assert told == ["added", "step", ("add", True)]


# ---- errors ----


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (
            "{arch: x86_64, kernel: v2-2019, memory: 64M}",
            "s.yaml:2:50: machine.memory: got 64M, expected at least 128M of boot memory",
        ),
        (
            "{arch: x86_64, kernel: v2-2019, memory: 4G, memory_block_size: 64M}",
            "s.yaml:2:73: machine.memory_block_size: got 64M, expected a power of two from 128M to 64G",
        ),
        (
            "{arch: x86_64, kernel: v2-2019, memory: 4G, page_size: 16K}",
            "s.yaml:2:65: machine.page_size: got 16K, expected 4K, the only page size of x86_64",
        ),
        (
            "{arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: mem=lots}",
            "s.yaml:2:63: machine.cmdline: got mem=lots, expected a size such as 128M, 1GiB or 0x8000000",
        ),
    ],
)
def test_a_machine_that_cannot_be_is_an_error_with_its_place(error_of: ErrorOf, machine: str, message: str) -> None:
    """The place is that of the value in the file, whoever refused it."""
    assert str(error_of(ADD, head=f"schema: 1\nmachine: {machine}\nsteps:\n")) == message


def test_a_policy_with_a_flag_that_the_profile_lacks_is_an_error(error_of: ErrorOf) -> None:
    """Bits differ by profile; the series of 2019 has no MHP_MEMMAP_ON_MEMORY."""
    head = (
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\n"
        "drivers: {acpi: {mhp_flags: on_memory}}\nsteps:\n"
    )

    assert str(error_of(ADD, head=head)) == (
        "s.yaml:3:29: drivers.acpi.mhp_flags: got on_memory, expected an MHP flag of v2-2019: "
        "none, device, memblock, MHP_NONE, MHP_MEMMAP_DEVICE, MHP_MEMMAP_MEMBLOCK, "
        "MHP_VMEMMAP_FLAGS"
    )


def test_a_flag_that_the_profile_lacks_is_an_error_before_anything_runs(error_of: ErrorOf) -> None:
    """The place is that of the flag in its list."""
    told: list[object] = []

    error = error_of(
        ADD,
        "add: {driver: acpi, size: 1G, mhp_flags: [device, on_memory]}",
        on_event=told.append,
    )

    assert str(error) == (
        "s.yaml:5:55: steps[1].add.mhp_flags[1]: got on_memory, expected an MHP flag of v2-2019: "
        "none, device, memblock, MHP_NONE, MHP_MEMMAP_DEVICE, MHP_MEMMAP_MEMBLOCK, "
        "MHP_VMEMMAP_FLAGS"
    )
    assert told == []


def test_a_veto_of_an_event_that_the_profile_lacks_is_an_error(error_of: ErrorOf) -> None:
    """MEM_PREPARE_ONLINE came with Linux 6.7."""
    error = error_of(ADD, "online: {range: dimm0, veto: {event: MEM_PREPARE_ONLINE, errno: ENOMEM}}")

    assert str(error) == (
        "s.yaml:5:42: steps[1].online.veto.event: got MEM_PREPARE_ONLINE, expected an event of v2-2019 that can be "
        "vetoed: MEM_GOING_ONLINE, MEM_GOING_OFFLINE; did you mean 'MEM_GOING_ONLINE'?"
    )


@pytest.mark.parametrize(
    ("op", "refusal"),
    [
        ("online", "ENOENT: there is no memory block of 'dimm0'"),
        ("offline", "ENOENT: there is no memory block of 'dimm0'"),
        ("remove", "ENODEV: there is no memory of 'dimm0'"),
        ("eject", "ENODEV: there is no memory of 'dimm0'"),
    ],
)
def test_memory_that_is_gone_or_never_came_is_refused(run: Run, op: str, refusal: str) -> None:
    """The scenario may know that, so it is a refusal like any other and no bad input."""
    gone = run(ADD, "remove: {range: dimm0}", f"{op}: {{range: dimm0}}")
    failed = run(
        "add: {driver: acpi, name: dimm0, size: 100M, fails: EINVAL}",
        f"{op}: {{range: dimm0, fails: {refusal[:6]}}}",
    )

    assert gone.failure == f"s.yaml:6:5: steps[2].{op}: {refusal}"
    assert gone.steps[2]["blocks"] == []
    assert failed.failure is None


def test_policies_are_applied(run: Run) -> None:
    """``drivers:`` replaces what the driver would pass."""
    head = (
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\ndrivers: {acpi: {mhp_flags: none}}\nsteps:\n"
    )

    assert run(ADD, head=head).to_dict()["vmemmap"] == []
    assert run(ADD).to_dict()["vmemmap"] != []


def test_booting_alone_changes_nothing_else(load: Callable[..., Any]) -> None:
    """Commands that only need the machine get it before its first step."""
    machine = boot_scenario(load(ADD))

    assert machine.kernel.state.devices == []
