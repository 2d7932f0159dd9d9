"""Plugins of other people: installed beside the project, used by name, blamed by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.packaging.conftest import PLUGINS, Installed
from tests.places import unplaced


def steps_of(installed: Installed) -> dict[str, Any]:
    """Run the scenario that needs both plugins and return the JSON."""
    done = installed.mhp("run", PLUGINS / "acme.yaml", "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_project_comes_from_the_wheel(installed: Installed) -> None:
    """What runs in the environment is the installed copy, not the working tree."""
    done = installed.python("-c", "import memhotplug, acme_arch; print(memhotplug.__file__); print(acme_arch.__file__)")
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(installed.folder) for line in done.stdout.split())


def test_scenario_runs_with_an_architecture_and_a_driver_from_elsewhere(installed: Installed) -> None:
    """Both are found by their entry points alone, and the driver's policy decides where the memmap lies."""
    result = steps_of(installed)
    assert result["ok"]
    assert result["machine"]["arch"] == "acme64"
    assert [head["device"] for head in result["vmemmap"]] == ["sled0"] * 7 + ["sled1"] * 2
    assert result["violations"] == []


def test_policy_depends_on_the_block_size(installed: Installed) -> None:
    """With blocks of 1 GiB the same driver passes no flag: the memmap comes from the page allocator."""
    path = installed.folder / "large.yaml"
    path.write_text(
        "schema: 1\n"
        "machine: {arch: acme64, kernel: v2-2019, memory: 4G, memory_block_size: 1G}\n"
        "steps:\n"
        "  - add: {driver: acme, size: 2G}\n"
        "  - expect: {self_hosted_pages: 0, allocated_pages: 8192}\n",
        encoding="utf-8",
    )
    done = installed.mhp("run", "large.yaml")
    assert done.returncode == 0, done.stderr


def test_keys_of_the_driver_are_checked_and_in_the_schema(installed: Installed) -> None:
    """A bad value of the driver's own key is refused with its place, and editors know the key."""
    path = installed.folder / "lanes.yaml"
    path.write_text(
        "schema: 1\n"
        "machine: {arch: acme64, kernel: v2-2019, memory: 4G}\n"
        "steps:\n"
        "  - add: {driver: acme, size: 2G, lanes: 9}\n",
        encoding="utf-8",
    )
    done = installed.mhp("run", "lanes.yaml")
    assert done.returncode == 2
    assert done.stderr == ("mhp: lanes.yaml:4:42: steps[0].add.lanes: got 9, expected an integer from 1 to 8\n")
    schema = installed.mhp("schema")
    assert schema.returncode == 0
    assert "over how many lanes the sled is spread, one range each" in schema.stdout


def test_plugins_lists_them_with_their_distributions(installed: Installed) -> None:
    """Each plugin stands there with the package that brought it, and the broken ones with the reason."""
    done = installed.mhp("plugins", "--json")
    assert done.returncode == 0, done.stderr
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)["plugins"]}
    acme = {name: entry for name, entry in entries.items() if name.startswith("acme")}
    assert {name: (e["distribution"], e["version"], e["state"]) for name, e in acme.items()} == {
        "acme64": ("acme-arch", "1.2.0", "ok"),
        "acme": ("acme-driver", "0.3.1", "ok"),
        "acme_faulty": ("acme-broken", "0.0.1", "ok"),
        "acme_misspelt": ("acme-broken", "0.0.1", "failed"),
        "acme_unloadable": ("acme-broken", "0.0.1", "failed"),
    }
    assert unplaced(entries["acme_unloadable"]["problem"]) == "cannot be loaded: RuntimeError: the sled is on fire"
    assert "mph_flags" in entries["acme_misspelt"]["problem"]
    assert all(entry["state"] == "ok" for name, entry in entries.items() if not name.startswith("acme_"))


def test_broken_plugins_disturb_nobody(installed: Installed) -> None:
    """A scenario that does not use a broken plugin runs, and says nothing of it."""
    done = installed.mhp("run", installed.scenario("acpi"))
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        ("acme_unloadable", "cannot be loaded: RuntimeError: the sled is on fire"),
        ("acme_misspelt", "there is no hook 'mph_flags'; did you mean 'mhp_flags'?"),
        ("acme_faulty", "hook driver_ranges raised ZeroDivisionError: division by zero"),
    ],
)
def test_broken_plugin_that_is_used_is_named(installed: Installed, driver: str, problem: str) -> None:
    """The error has one line, with the plugin, the package it came from, and what is wrong."""
    done = installed.mhp("run", installed.scenario(driver))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert f"plugin {driver} (acme-broken 0.0.1, memhotplug.drivers = {driver}): " in done.stderr
    assert problem in done.stderr


def test_misspelt_plugin_name_gets_the_nearest(installed: Installed) -> None:
    """Plugins from elsewhere are among the names that an error proposes."""
    path = installed.folder / "typo.yaml"
    path.write_text("schema: 1\nmachine: {arch: acme-64, kernel: v2-2019, memory: 4G}\nsteps: []\n", encoding="utf-8")
    done = installed.mhp("run", "typo.yaml")
    assert done.returncode == 2
    assert "did you mean 'acme64'?" in done.stderr


@pytest.mark.parametrize("package", ["acme_arch", "acme_driver"])
def test_plugins_keep_the_contract(installed: Installed, package: str) -> None:
    """The contract tests that their authors wrote pass, outside of the project's tree."""
    folder = installed.folder / f"{package}-tests"
    shutil.copytree(PLUGINS / package / "tests", folder)
    done = installed.python("-m", "pytest", "-q", "-p", "no:cacheprovider", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
