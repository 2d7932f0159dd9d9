"""Where an error belongs in the scenario, also one that a plugin is to blame for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug.commands.run.blame import located
from memhotplug.commands.run.runner import RunResult, boot_scenario
from memhotplug.errors import InputError, PluginError
from memhotplug.formats.scenario import Scenario
from memhotplug.plugin import PhysRange, hookimpl

Load = Callable[..., Scenario]
ErrorOf = Callable[..., Any]

ADD = "add: {driver: acpi, name: dimm0, size: 1G}"
STEP = ("steps", 0, "add")


def test_the_path_of_an_error_decides_its_place(load: Load) -> None:
    """Engine errors name the key, not the line."""
    error = located(load(ADD), ("machine",), InputError("less", got="4G", path="machine.memory"))

    assert str(error) == "s.yaml:2:50: machine.memory: got 4G, expected less"


def test_a_path_into_a_list_that_is_not_there_ends_at_what_is(load: Load) -> None:
    """``memory: 4G`` is a list of one node to the engine."""
    error = located(load(ADD), ("machine",), InputError("less", got="4G", path="machine.memory[0].size"))

    assert (error.line, error.column, error.path) == (2, 50, "machine.memory")


def test_without_a_path_the_value_decides(load: Load) -> None:
    """The value that reads as what the error got."""
    error = located(load(ADD), STEP, InputError("another name", got="dimm0", nearest="dimm1"))

    assert str(error) == ("s.yaml:4:31: steps[0].add.name: got dimm0, expected another name; did you mean 'dimm1'?")


def test_without_either_the_step_decides(load: Load) -> None:
    """The operation's key, with what the error got."""
    error = located(load(ADD), STEP, InputError("something else", got="nothing like it"))

    assert str(error) == "s.yaml:4:5: steps[0].add: got nothing like it, expected something else"


def test_a_path_that_leads_elsewhere_is_not_followed(load: Load) -> None:
    """A plugin may say anything."""
    error = located(load(ADD), STEP, InputError("something else", got="x", path="nowhere[3].at.all"))

    assert (error.line, error.column, error.path) == (4, 5, "steps[0].add")


def test_an_error_that_knows_its_file_is_left_alone(load: Load) -> None:
    """A snapshot has lines of its own."""
    error = InputError("numbers", got="x", file="proc/zoneinfo", line=7)

    assert located(load(ADD), ("machine",), error) is error


def test_a_snapshot_that_cannot_be_read_is_refused_where_it_is_named(load: Load) -> None:
    """Beside its own name, which is relative to the scenario."""
    head = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, snapshot: nowhere}\nsteps: []\n"

    with pytest.raises(InputError) as caught:
        boot_scenario(load(head=head))

    assert str(caught.value) == (
        "s.yaml:2:52: machine.snapshot: got nowhere: no such file, "
        "expected a snapshot directory, a tar archive or a recording"
    )


def test_a_plugin_error_stays_what_it_is_and_learns_its_place(load: Load) -> None:
    """Its text begins with the plugin."""
    error = located(load(ADD), STEP, PluginError("acme", "is broken"))

    assert isinstance(error, PluginError)
    assert (error.file, error.line, error.column, error.path) == ("s.yaml", 4, 5, "steps[0].add")
    assert str(error) == "plugin acme: is broken"


# ---- through a run ----


def test_a_hook_that_raises_is_an_error_that_names_the_plugin_and_the_step(
    error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, no traceback: the run cannot go on."""
    import memhotplug_drivers.acpi

    @hookimpl
    def driver_ranges(kernel: object, request: object) -> list[object]:
        raise RuntimeError("no luck")

    monkeypatch.setattr(memhotplug_drivers.acpi, "driver_ranges", driver_ranges)

    error = error_of(ADD)

    assert isinstance(error, PluginError)
    assert error.problem == "hook driver_ranges raised RuntimeError: no luck"
    assert error.plugin.startswith("acpi (memhotplug ")
    assert (error.file, error.line, error.column, error.path) == ("s.yaml", 4, 5, "steps[0].add")


def test_a_hook_that_answers_nonsense_is_an_error_that_names_the_plugin(
    error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answered is shown."""
    import memhotplug_drivers.acpi

    @hookimpl
    def driver_ranges(kernel: object, request: object) -> int:
        return 17

    monkeypatch.setattr(memhotplug_drivers.acpi, "driver_ranges", driver_ranges)

    assert error_of(ADD).problem == "hook driver_ranges answered 17, which is no Sequence"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"nid": "x"}, "which is no PhysRange"),
        ({"start": True}, "which is no PhysRange"),
        ({"size": 1.5}, "which is no PhysRange"),
        ({"backed": "1"}, "which is no PhysRange"),
        ({"start": -1}, "a negative range"),
        ({"backed": -1}, "more or less than a whole range"),
        ({"backed": 1 << 40}, "more or less than a whole range"),
        ({"withheld": -1}, "more or less than a whole range"),
        ({"withheld": 1 << 40}, "more or less than a whole range"),
    ],
)
def test_a_range_with_nonsense_in_it_is_the_driver_s_fault(
    error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch, fields: Any, problem: str
) -> None:
    """Before any of it reaches the kernel."""
    import memhotplug_drivers.acpi

    @hookimpl
    def driver_ranges(kernel: object, request: object) -> list[PhysRange]:
        return [PhysRange(**{"start": 1 << 32, "size": 1 << 27, **fields})]

    monkeypatch.setattr(memhotplug_drivers.acpi, "driver_ranges", driver_ranges)

    error = error_of(ADD)

    assert error.problem.startswith("hook driver_ranges answered ")
    assert problem in error.problem


@pytest.mark.parametrize(("hook", "step"), [("driver_add", ""), ("driver_eject", "eject: {range: dimm0}")])
def test_a_verdict_that_is_no_text_is_the_driver_s_fault(
    error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch, hook: str, step: str
) -> None:
    """None is: the driver had nothing to say."""
    import memhotplug_drivers.dax

    @hookimpl
    def five() -> int:
        return 5

    monkeypatch.setattr(memhotplug_drivers.dax, hook, five)

    error = error_of("add: {driver: dax, name: dimm0, size: 1G}", *([step] if step else []))

    assert error.problem == f"hook {hook} answered 5, which is no text"


def test_a_hook_that_ends_the_program_is_an_error_too(error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """sys.exit() in a plugin must not pass for an answer."""
    import memhotplug_drivers.acpi

    names: dict[str, Any] = {"__name__": "memhotplug_drivers.acpi", "hookimpl": hookimpl}
    exec("@hookimpl\ndef driver_ranges(kernel, request):\n    raise SystemExit(0)", names)
    monkeypatch.setattr(memhotplug_drivers.acpi, "driver_ranges", names["driver_ranges"])

    assert isinstance(error_of(ADD), PluginError)


def test_a_bug_of_the_core_is_passed_on(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not dressed up as anybody's mistake."""
    from memhotplug.commands.run.runner import run_scenario
    from memhotplug.machine import Machine

    def broken(self: Machine, op: str, step: object) -> RunResult:
        raise ZeroDivisionError("our own")

    monkeypatch.setattr(Machine, "apply", broken)

    with pytest.raises(ZeroDivisionError, match="our own"):
        run_scenario(load(ADD))
