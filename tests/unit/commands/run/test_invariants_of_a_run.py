"""Broken invariants: listed without --check, and with it the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug.commands.run.runner import RunResult
from memhotplug.machine import Machine

Run = Callable[..., RunResult]
ADD = "add: {driver: acpi, name: dimm0, size: 1G}"
ONLINE = "online: {range: dimm0, zone: movable}"


@pytest.fixture
def broken_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that every step but an add breaks an invariant for good."""
    real = Machine.apply

    def apply(self: Machine, op: str, step: Any) -> Any:
        outcome = real(self, op, step)
        if op != "add":
            self.kernel.state.zone((0, self.kernel.state.zone_of(1 << 20).kind)).managed += 1  # type: ignore[union-attr]
        return outcome

    monkeypatch.setattr(Machine, "apply", apply)


@pytest.mark.usefixtures("broken_online")
def test_check_stops_at_the_step_that_breaks_an_invariant(run: Run) -> None:
    """The message names the step and the invariants."""
    result = run(ADD, ONLINE, "offline: {range: dimm0}", check=True)

    assert len(result.steps) == 2
    assert (
        result.failure == f"s.yaml:5:5: steps[1].online: breaks an invariant: {'; '.join(result.machine.violations())}"
    )
    assert "I5: node 0 zone Movable: 258049 pages managed, 258048 expected" in result.failure
    assert (result.steps[1]["ok"], result.steps[1]["errno"]) == (False, None)


@pytest.mark.usefixtures("broken_online")
def test_without_check_a_broken_invariant_is_only_listed(run: Run) -> None:
    """It changes neither ``ok`` nor the exit status."""
    result = run(ADD, ONLINE)

    assert result.ok
    assert result.to_dict()["violations"] != []


def test_check_passes_where_nothing_breaks(run: Run) -> None:
    """An add, an online, an offline and a removal keep every invariant."""
    assert run(ADD, ONLINE, "offline: {range: dimm0}", "remove: {range: dimm0}", check=True).ok


def test_check_looks_at_what_a_failed_step_left_behind(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """A veto that does not take the block out of the zone again is found, though the errno is the expected one."""
    monkeypatch.setattr("memhotplug_profiles.mainline.online.remove_pfn_range_from_zone", lambda *_: None)
    head = "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 4G}\nsteps:\n"
    veto = "online: {range: block 32, fails: ENOMEM, veto: {event: MEM_GOING_ONLINE, errno: ENOMEM}}"

    result = run(ADD, veto, head=head, check=True)

    assert run(ADD, veto, head=head).ok
    assert result.failure is not None
    assert "I17: node 0 zone Normal: its span is not as before the failed operation" in result.failure


@pytest.mark.parametrize("kernel", ["v2-2019", "linux-6.1", "linux-6.12", "linux-7.2"])
def test_check_passes_where_failures_are_undone(kernel: str, run: Run) -> None:
    """Refused and vetoed operations, and an add that leaks what the real kernel leaks."""
    result = run(
        ADD,
        "online: {range: block 32, fails: EPERM, veto: {event: MEM_GOING_ONLINE, errno: EPERM}}",
        "online: {range: block 32-33}",
        "offline: {range: block 32, fails: EBUSY, veto: {event: MEM_GOING_OFFLINE, errno: EBUSY}}",
        "remove: {range: dimm0, fails: EBUSY}",
        "add: {driver: acpi, size: 1G, address: 0x100000000, fails: EEXIST}",
        "allocate: {name: app, size: 1T, zone: kernel, fails: ENOMEM}",
        "write: {path: memory/auto_online_blocks, value: sometimes, fails: EINVAL}",
        "add: {driver: acpi, size: 1T, fails: ENOMEM}",
        head=f"schema: 1\nmachine: {{arch: x86_64, kernel: {kernel}, memory: 4G}}\n"
        "drivers: {acpi: {mhp_flags: none}}\nsteps:\n",
        check=True,
    )

    assert (result.failure, len(result.steps)) == (None, 9)
    assert result.steps[-1]["leaks"] != []
