"""The installed plugins as formats ask for them, and whose fault an exception is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.registered import built_in

from memhotplug import InputError, Machine, MemoryHotplugError, PluginError
from memhotplug.catalog import Installed, blaming, plugin_at_fault
from memhotplug.formats.scenario.catalog import Catalog
from memhotplug.keyspec import KeySpec

# ---- what is installed ----


def test_the_installed_plugins_are_a_catalog() -> None:
    """What the scenario format asks for, entry points answer."""
    installed: Catalog = Installed()

    assert installed.names("arch") == list(built_in("arch"))
    assert installed.names("policies") == []
    assert all(isinstance(spec, KeySpec) for spec in installed.driver_keys("virtio_mem").values())
    assert list(installed.machine_keys("s390")) == ["rzm"]
    assert installed.machine_keys("x86_64") == {}


def test_words_mean_names_or_aliases() -> None:
    """And what means nothing has a nearest name, if one is near."""
    installed = Installed()

    assert installed.canonical("arch", "amd64") == "x86_64"
    assert installed.canonical("arch", "riscv65") is None
    assert installed.suggestion("drivers", "virtio-mam") == "virtio_mem"
    assert installed.suggestion("drivers", "zzzzzzzz") is None


def test_a_missing_plugin_has_no_keys() -> None:
    """The error names it and what there is."""
    with pytest.raises(PluginError, match="plugin acpj: not installed") as caught:
        Installed().driver_keys("acpj")
    assert caught.value.nearest == "acpi"


def test_files_count_as_installed_inside_the_block_alone(tmp_path: Path) -> None:
    """And not after it, also if it ends in an error."""
    (tmp_path / "mine.py").write_text(
        "from memhotplug.plugin import hookimpl\n\n\n@hookimpl\n"
        "def policy_mhp_flags(kernel, request, phys_range, driver_flags):\n    return driver_flags\n",
        encoding="utf-8",
    )
    installed = Installed()
    inside: list[list[str]] = []

    def fail() -> None:
        with installed.using([str(tmp_path / "mine.py")]):
            inside.append(installed.names("policies"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [["mine"]]
    assert installed.names("policies") == []


# ---- whose fault it is ----


def _raised(source: str, module: str, **names: Any) -> BaseException:
    """Return what a piece of code raises that pretends to be in a module."""
    names["__name__"] = module
    exec(source, names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["go"]()
    return caught.value


def test_an_error_inside_a_plugin_is_its_fault() -> None:
    """Also in a submodule of what its entry point names."""
    problem = _raised("def go(): return 1 / 0", "memhotplug_drivers.acpi")

    text = "raised ZeroDivisionError: division by zero, at <string>:1"
    assert str(plugin_at_fault(problem)).endswith(text)
    assert str(plugin_at_fault(problem)).startswith("plugin acpi (memhotplug ")
    assert plugin_at_fault(_raised("def go(): return 1 / 0", "memhotplug_drivers.acpi.inner")) is not None


def test_an_error_inside_the_core_is_nobody_elses_fault() -> None:
    """That is a bug."""
    assert plugin_at_fault(_raised("def go(): return 1 / 0", "memhotplug.engine.kernel")) is None
    assert plugin_at_fault(_raised("def go(): return 1 / 0", "somebody_else")) is None


def test_the_innermost_of_the_two_is_at_fault() -> None:
    """A library in between is skipped: who called it wrongly is to blame."""
    library: dict[str, Any] = {"__name__": "numpy.fake"}
    exec("def call(f): return f()", library)
    plugin: dict[str, Any] = {"__name__": "memhotplug_drivers.acpi", "call": library["call"]}
    exec("def go(): return call(lambda: 1 / 0)", plugin)
    core: dict[str, Any] = {"__name__": "memhotplug.engine.kernel", "go": plugin["go"]}
    exec("def run(): return go()", core)

    with pytest.raises(ZeroDivisionError) as caught:
        core["run"]()

    assert plugin_at_fault(caught.value) is not None


@pytest.mark.parametrize(
    ("caller", "place"),
    [
        ("memhotplug_file_acme_0123456789abcdef", " in memhotplug.engine.kernel, called at <string>:1"),
        ("memhotplug_drivers.acpi", None),
        ("somebody_else", None),
    ],
)
def test_what_the_core_raises_is_the_fault_of_somebody_elses_plugin_that_called_it(
    caller: str, place: str | None
) -> None:
    """A plugin of this distribution that calls the core is none: then it is a bug."""
    core: dict[str, Any] = {"__name__": "memhotplug.engine.kernel"}
    exec("def free(): return 1 / 0", core)
    problem = _raised("def go(): return free()", caller, free=core["free"])

    culprit = plugin_at_fault(problem)
    assert (culprit and culprit.problem) == (place and "raised ZeroDivisionError: division by zero" + place)


def test_memory_that_runs_out_in_the_core_is_nobodys_fault() -> None:
    """The machine is too large to be modelled, whichever plugin asked last."""
    core: dict[str, Any] = {"__name__": "memhotplug.engine.kernel"}
    exec("def free(): raise MemoryError", core)
    names: dict[str, Any] = {"__name__": "memhotplug_file_acme_0123456789abcdef", "free": core["free"]}
    exec("def go(): free()", names)

    with pytest.raises(MemoryError), blaming():
        names["go"]()


@pytest.mark.parametrize(
    "problem",
    [
        MemoryHotplugError(16, "busy"),
        InputError("something else"),
        PluginError("acme", "is broken"),
        KeyboardInterrupt(),
    ],
)
def test_refusals_and_interrupts_pass_as_they_are(problem: BaseException) -> None:
    """A plugin may refuse, and the user may have had enough."""
    with pytest.raises(type(problem)) as caught, blaming():
        raise problem
    assert caught.value is problem


def test_what_nobody_elses_code_raises_passes_too() -> None:
    """It is a bug of whoever called, and shall look like one."""
    with pytest.raises(LookupError), blaming():
        raise LookupError("here")


# ---- profiles, whose steps are called without a hook in between ----

PROFILE = """
from memhotplug.plugin import hookimpl, profile_of


class Mine(profile_of("linux-6.12")):
    def {step}(self, *args, **keywords):
        raise {what}("spoilt")


@hookimpl
def kernel_profile():
    return Mine()
"""


def _machine(tmp_path: Path, step: str, what: str = "RuntimeError") -> Machine:
    file = tmp_path / "mine.py"
    file.write_text(PROFILE.format(step=step, what=what), encoding="utf-8")
    return Machine.boot(arch="x86_64", kernel="mine", memory="4G", plugins=file)


def _blamed(tmp_path: Path, problem: pytest.ExceptionInfo[PluginError], what: str = "RuntimeError") -> None:
    assert str(problem.value) == (f"plugin mine ({tmp_path}/mine.py): raised {what}: spoilt, at {tmp_path}/mine.py:7")
    assert type(problem.value.__cause__).__name__ == what


def test_a_step_that_calls_the_core_wrongly_is_the_profiles_fault(tmp_path: Path) -> None:
    """And no bug: the place is where the profile called, whatever the core made of it."""
    file = tmp_path / "mine.py"
    source = PROFILE.format(step="online", what="")
    file.write_text(source.replace('raise ("spoilt")', "args[0].free_to_zone(None, [1], [2])"), encoding="utf-8")
    machine = Machine.boot(arch="x86_64", kernel="mine", memory="4G", plugins=file)
    machine.add_memory(driver="acpi", name="dimm0", size="256M")

    with pytest.raises(PluginError, match=r"raised AttributeError: .* in memhotplug\..*, called at .*mine\.py:7$"):
        machine.online("dimm0")
    assert machine.read("memory/memory32/state") == "offline\n"


@pytest.mark.parametrize("what", ["RuntimeError", "SystemExit", "MemoryError", "AssertionError"])
def test_a_step_that_raises_at_boot_is_the_profiles_fault(tmp_path: Path, what: str) -> None:
    """In Python as on the command line."""
    with pytest.raises(PluginError) as caught:
        _machine(tmp_path, "new_state", what)
    _blamed(tmp_path, caught, what)


@pytest.mark.parametrize(
    ("step", "ask"),
    [
        ("heads", lambda machine: machine.to_dict()),
        ("violations", lambda machine: machine.violations()),
        ("project", lambda machine: machine.page(0)),
        ("project", lambda machine: machine.memmap("block 0")),
        ("removable", lambda machine: machine.read("memory/memory0/removable")),
        ("root_attributes", lambda machine: machine.read("memory/auto_online_blocks")),
    ],
)
def test_a_step_that_raises_in_a_question_is_the_profiles_fault(tmp_path: Path, step: str, ask: Any) -> None:
    """Every view of the machine names it."""
    machine = _machine(tmp_path, step)
    with pytest.raises(PluginError) as caught:
        ask(machine)
    _blamed(tmp_path, caught)


@pytest.mark.parametrize(
    ("step", "operation"),
    [
        ("add_memory_resource", lambda machine: machine.add_memory(driver="acpi", size="256M")),
        ("filter_flags", lambda machine: machine.add_memory(driver="acpi", size="256M")),
        ("online", lambda machine: machine.online("old")),
        ("zone_for_rows", lambda machine: machine.online("old")),
        ("offline", lambda machine: machine.offline("block 20")),
        ("remove", lambda machine: machine.remove("old")),
        ("remove_pages", lambda machine: machine.eject("old")),
        (
            "write_module_parameter",
            lambda machine: machine.write("/sys/module/memory_hotplug/parameters/auto_movable_ratio", "100"),
        ),
    ],
)
def test_a_step_that_raises_in_an_operation_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, operation: Any
) -> None:
    """The machine is as it was, and goes on to work."""
    machine = _machine(tmp_path, step)
    kind = type(machine.kernel.profile)
    with monkeypatch.context() as patch:
        patch.delattr(kind, step)
        machine.add_memory(driver="acpi", name="old", size="256M")
        before = machine.to_dict()

    with pytest.raises(PluginError) as caught:
        operation(machine)

    _blamed(tmp_path, caught)
    monkeypatch.delattr(kind, step)
    assert machine.to_dict() == before
    operation(machine)
