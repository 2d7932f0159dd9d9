"""Policies: they decide the flags of any driver's ranges, and nothing else of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memhotplug import InputError, Machine, PluginError
from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import loads_scenario

HEAD = (
    "from memhotplug.plugin import hookimpl\n"
    "@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
)
MAINLINE = {
    "arch": "x86_64",
    "kernel": "linux-6.12",
    "memory": "4G",
    "cmdline": "memory_hotplug.memmap_on_memory=1",
}
SERIES = {"arch": "x86_64", "kernel": "v2-2019", "memory": "4G"}
DRIVERS: dict[str, dict[str, Any]] = {
    "acpi": {"resources": ["256M", "128M"]},
    "dax": {"size": "256M"},
    "hv_balloon": {"size": "256M"},
    "virtio_mem": {"size": "256M"},
    "xen": {"size": "256M"},
}


def policy(folder: Path, body: str, name: str = "mine") -> str:
    """Return the path of a policy with that body."""
    path = folder / f"{name}.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_policy_decides_for_every_driver(driver: str, tmp_path: Path) -> None:
    """It is asked once for each range, with what the driver itself would pass."""
    body = (
        "with open(__file__ + '.log', 'a') as log:\n"
        "    log.write(f'{request.driver} {phys_range.size} {driver_flags}\\n')\n"
        "return driver_flags | kernel.flag('on_memory')"
    )
    path = policy(tmp_path, body)
    machine = Machine.boot(**MAINLINE, plugins=[path], drivers={driver: {"policy": "mine"}})
    machine.add_memory(driver=driver, name="new", **DRIVERS[driver])
    hosted = [block["vmemmap_pages"] for block in machine.to_dict()["blocks"] if block["device"] == "new"]
    assert set(hosted) == {512}
    log = Path(path + ".log").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in log] == [driver] * len(log)
    assert sum(int(line.split()[1]) for line in log) == len(hosted) << 27


def test_default_is_the_drivers_own_everywhere(tmp_path: Path) -> None:
    """As a policy, as flags of a driver, and as flags of one step."""
    path = policy(tmp_path, "return kernel.flag('memblock')")
    plain = Machine.boot(**SERIES)
    expected = plain.add_memory(driver="acpi", name="a", size="256M")
    for drivers in ({"acpi": {"policy": "default"}}, {"acpi": {"mhp_flags": "default"}}):
        machine = Machine.boot(**SERIES, drivers=drivers)
        assert machine.add_memory(driver="acpi", name="a", size="256M") == expected
        assert machine.to_dict() == plain.to_dict()
    decided = Machine.boot(**SERIES, plugins=path, drivers={"acpi": {"policy": "mine"}})
    decided.add_memory(driver="acpi", name="a", size="256M", mhp_flags="default")
    assert decided.to_dict() == plain.to_dict()
    decided.add_memory(driver="acpi", name="b", size="256M")
    assert decided.to_dict()["memmap"]["self_hosted_pages"] > plain.to_dict()["memmap"]["self_hosted_pages"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 'device'", "hook policy_mhp_flags answered 'device', which is no int"),
        ("return True", "hook policy_mhp_flags answered True, which is no int"),
        ("return 1 << 20", "hook policy_mhp_flags answered 0x100000, which is not of v2-2019"),
        ("return 1 / 0", "hook policy_mhp_flags raised ZeroDivisionError: division by zero"),
        ("return None", "hook policy_mhp_flags answered None, which is no int"),
    ],
)
def test_a_policy_that_lies_is_named_and_changes_nothing(body: str, problem: str, tmp_path: Path) -> None:
    """The machine is as it was."""
    path = policy(tmp_path, body)
    machine = Machine.boot(**SERIES, plugins=[path], drivers={"acpi": {"policy": "mine"}})
    before = machine.to_dict()
    with pytest.raises(PluginError) as caught:
        machine.add_memory(driver="acpi", size="256M")
    assert str(caught.value).startswith(f"plugin mine ({path}): {problem}")
    assert machine.to_dict() == before


def scenario(text: str, folder: Path) -> Any:
    """Return a scenario that stands in a folder."""
    whole = f"schema: 1\nmachine: {{arch: x86_64, kernel: v2-2019, memory: 4G}}\n{text}"
    return loads_scenario(whole, catalog=Installed(), file=str(folder / "s.yaml"))


def test_plugins_may_stand_anywhere_in_a_scenario(tmp_path: Path) -> None:
    """They count from the start, and the record of an add names the policy that decided."""
    policy(tmp_path, "return kernel.flag('device')")
    given = scenario(
        "drivers: {acpi: {policy: mine}}\n"
        "steps: [add: {driver: acpi, size: 1G}, add: {driver: acpi, size: 1G, mhp_flags: none}]\n"
        "plugins: ./mine.py\n",
        tmp_path,
    )
    steps = run_scenario(given).steps
    assert [step["policy"] for step in steps] == ["mine", None]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("drivers: {acpi: {policy: nobody}}\n",
         "s.yaml:3:26: drivers.acpi.policy: got nobody, expected default, the driver's own, or an installed policy"),
        ("drivers: {acpi: {policy: default, mhp_flags: device}}\n",
         "s.yaml:3:35: drivers.acpi.mhp_flags: got mhp_flags, expected mhp_flags or policy, and not both"),
        ("drivers: {acpi: {}}\n", "s.yaml:3:17: drivers.acpi: expected mhp_flags or policy, and not both"),
        ("plugins: [./none.py]\n",
         "s.yaml:3:10: plugins: got {0}/./none.py: No such file or directory, expected a plugin file that can be read"),
        ("plugins: {a: b}\n", "s.yaml:3:10: plugins: got a mapping, expected the path of a plugin file, relative to "
         "the scenario, or a list of them"),
    ],
)  # fmt: skip
def test_bad_input_has_its_place(text: str, error: str, tmp_path: Path) -> None:
    """File, line, column, path, what was got and wanted."""
    with pytest.raises(InputError) as caught:
        scenario(text, tmp_path)
    assert error.format(tmp_path) in str(caught.value)


def test_a_broken_plugin_of_a_scenario_has_its_place(tmp_path: Path) -> None:
    """The plugin is named, and where the scenario names it."""
    policy(tmp_path, "return (")
    with pytest.raises(PluginError) as caught:
        scenario("plugins: mine.py\n", tmp_path)
    assert (caught.value.line, caught.value.column, caught.value.path) == (3, 10, "plugins")
    assert "SyntaxError" in str(caught.value)


@pytest.mark.parametrize("driver", ["acpi", "hv_balloon"])
def test_a_profile_that_raises_while_a_driver_adds_is_to_blame_itself(driver: str, tmp_path: Path) -> None:
    """Not the driver in whose hook it was asked: acpi adds in a hook of its own, and asks the profile first."""
    path = tmp_path / "odd.py"
    path.write_text(
        "from memhotplug.plugin import hookimpl, profile_of\n"
        "class Odd(profile_of('linux-6.12')):\n"
        "    def add_memory_resource(self, *arguments): return 1 / 0\n"
        "@hookimpl\ndef kernel_profile(): return Odd()\n"
    )
    text = "schema: 1\nplugins: odd.py\nmachine: {arch: x86_64, kernel: odd, memory: 1G}\n"
    text += f"steps: [add: {{driver: {driver}, size: 1G}}]\n"
    given = loads_scenario(text, catalog=Installed(), file=str(tmp_path / "s.yaml"))
    with pytest.raises(PluginError) as caught:
        run_scenario(given)
    error = "raised ZeroDivisionError: division by zero"
    assert str(caught.value) == f"plugin odd ({tmp_path}/odd.py): {error}, at {path}:3"


@pytest.mark.parametrize(
    "change",
    [
        "kernel.state.devices.clear()",
        "kernel.state.allocations.clear()",
        "kernel.journal.warnings.append('mine')",
        "kernel.state.driver_state['acpi'] = {'seen': True}",
        "kernel.step.vetoes.clear()",
        "kernel.policies['acpi'] = 'policies:other'",
        "kernel.flag_override['acpi'] = 0",
    ],
)
def test_a_policy_decides_and_changes_nothing(change: str, tmp_path: Path) -> None:
    """It has a copy of the machine: what comes of the add is what comes of it without the change."""
    machines = []
    for name, body in (("pure", "return driver_flags"), ("mine", f"{change}\nreturn driver_flags")):
        path = policy(tmp_path, body, name)
        machine = Machine.boot(**MAINLINE, plugins=[path], drivers={"acpi": {"policy": name}})
        machine.add_memory(driver="acpi", name="a", size="256M")
        machine.add_memory(driver="acpi", name="b", size="256M")
        machines.append(machine)
    assert machines[0].to_dict() == machines[1].to_dict()
    assert machines[0].kernel.state.driver_state == machines[1].kernel.state.driver_state
    assert machines[1].kernel.policies == {"acpi": "policies:mine"}
