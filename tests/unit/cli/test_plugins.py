"""``mhp plugins`` and ``mhp schema``: what is installed."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
from tests.places import unplaced

from memhotplug.units import natural_key

Mhp = Callable[..., Any]

VERSION = importlib.metadata.version("memhotplug")
HANGING = "import signal\nwhile True:\n    signal.pause()\n"
LEAVING = "raise SystemExit('good bye')\n"
BROKEN = "raise ImportError('no such\\nlibrary')\n"
EMPTY = "\n"
_DRIVER = (
    "from memhotplug.plugin import hookimpl\n"
    "@hookimpl\ndef driver_ranges(kernel, request): return []\n"
    "@hookimpl\ndef mhp_flags(kernel): return 0\n"
)
TRAITS = _DRIVER + (
    "@hookimpl\ndef driver_keys(): return {}\n@hookimpl\ndef driver_traits(): raise RuntimeError('no traits')\n"
)
KEYS = _DRIVER + "@hookimpl\ndef driver_keys(): return {'size': 5}\n"
PROFILE = "from memhotplug.plugin import hookimpl\n@hookimpl\ndef kernel_profile(): return 5\n"
STEP = (
    "from memhotplug.plugin import hookimpl, profile_of\n"
    "class Mine(profile_of('linux-6.12')):\n    def onlin(self): pass\n"
    "@hookimpl\ndef kernel_profile(): return Mine()\n"
)
TALKATIVE = {"drivers.keys": KEYS, "drivers.traits": TRAITS, "profiles.five": PROFILE, "profiles.step": STEP}
"""They can be loaded, and what they say of themselves is wrong."""


def _by_name(done: Any) -> dict[str, dict[str, Any]]:
    return {f"{entry['kind']}.{entry['name']}": entry for entry in json.loads(done.out)["plugins"]}


def test_plugins_are_listed_with_what_they_come_from(mhp: Mhp) -> None:
    """A table, by kind and name."""
    done = mhp("plugins")
    lines = done.out.splitlines()

    assert (done.status, done.err) == (0, "")
    assert lines[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE"]
    assert ["arch", "x86_64", "memhotplug", VERSION, "ok"] in [line.split() for line in lines]
    assert ["drivers", "acpi", "memhotplug", VERSION, "ok"] in [line.split() for line in lines]
    assert ["profiles", "v2-2019", "memhotplug", VERSION, "ok"] in [line.split() for line in lines]
    found = [line.split()[:2] for line in lines[1:]]
    assert found == sorted(found, key=lambda words: (words[0], natural_key(words[1])))


def test_json_has_every_key_for_every_plugin(mhp: Mhp) -> None:
    """The same list as the table."""
    done = mhp("plugins", "--json")
    document = json.loads(done.out)

    assert list(document) == ["schema", "plugins", "left_out"]
    assert document["left_out"] == []
    assert all(
        list(entry) == ["kind", "name", "distribution", "version", "target", "state", "problem"]
        for entry in document["plugins"]
    )
    assert len(document["plugins"]) == len(mhp("plugins").out.splitlines()) - 1
    assert _by_name(done)["drivers.acpi"] == {
        "kind": "drivers", "name": "acpi", "distribution": "memhotplug", "version": VERSION,
        "target": "memhotplug_drivers.acpi", "state": "ok", "problem": None,
    }  # fmt: skip


def test_a_broken_plugin_is_shown_with_its_reason_and_the_others_are_fine(process: Mhp) -> None:
    """Whatever it does when it is imported."""
    done = process(
        "plugins",
        "--json",
        "--plugin-timeout",
        "3",
        plugins={
            "drivers.broken": BROKEN,
            "drivers.empty": EMPTY,
            "drivers.hanging": HANGING,
            "drivers.leaving": LEAVING,
        },
    )
    found = _by_name(done)

    assert (done.status, done.err) == (0, "")
    assert found["drivers.acpi"]["state"] == "ok"
    problems = {name: found[f"drivers.{name}"]["problem"] for name in ("broken", "empty", "hanging", "leaving")}
    assert {name: unplaced(text) if "loaded" in text else text for name, text in problems.items()} == {
        "broken": "cannot be loaded: ImportError: no such library",
        "empty": "has no hook driver_keys, driver_ranges, mhp_flags",
        "hanging": "took longer than 3 s",
        "leaving": "cannot be loaded: SystemExit: good bye",
    }
    assert found["drivers.broken"]["state"] == "failed"


def test_what_a_plugin_says_of_itself_is_asked_too(process: Mhp) -> None:
    """Its keys, its traits, its kernel; in the list, and of one that is named."""
    found = _by_name(process("plugins", "--json", plugins=TALKATIVE))

    problems = {name: str(found[name]["problem"]) for name in TALKATIVE}
    assert {name: unplaced(text) if "raised" in text else text for name, text in problems.items()} == {
        "drivers.keys": "hook driver_keys answered {'size': 5}, which is no mapping of KeySpec",
        "drivers.traits": "hook driver_traits raised RuntimeError: no traits",
        "profiles.five": "hook kernel_profile answered 5, which is no KernelProfile",
        "profiles.step": "its profile has a step 'onlin', which no kernel has; did you mean 'online'?",
    }
    done = process("plugins", "five", plugins=TALKATIVE)
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(": hook kernel_profile answered 5, which is no KernelProfile\n")


def test_a_reason_is_one_line_of_the_table(process: Mhp) -> None:
    """Even if the plugin's message was two."""
    done = process("plugins", plugins={"drivers.broken": BROKEN})

    (line,) = [line for line in done.out.splitlines() if " broken " in line]
    assert unplaced(line).split(maxsplit=4) == [
        "drivers",
        "broken",
        "acme",
        "1.0",
        "failed: cannot be loaded: ImportError: no such library",
    ]


def test_two_plugins_of_one_name_are_both_failed(process: Mhp) -> None:
    """Neither can be chosen."""
    done = process("plugins", plugins={"drivers.acpi": EMPTY})

    lines = [line for line in done.out.splitlines() if line.split()[:2] == ["drivers", "acpi"]]
    assert [line.split()[2] for line in lines] == ["acme", "memhotplug"]
    assert all("failed: is provided by more than one package: " in line for line in lines)


def test_listing_alone_loads_nothing(process: Mhp) -> None:
    """Then nothing is known of their state."""
    done = process("plugins", "--no-load", plugins={"drivers.broken": BROKEN})

    assert {line.split()[-1] for line in done.out.splitlines()[1:]} == {"available"}


# ---- schema ----


def test_the_schema_is_a_json_schema_that_takes_a_scenario(mhp: Mhp) -> None:
    """The one that ``mhp run --help`` shows."""
    done = mhp("schema")
    schema = json.loads(done.out)

    assert done.status == 0
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(
        {
            "schema": 1,
            "machine": {"arch": "x86_64", "kernel": "v2-2019", "memory": "4G"},
            "steps": [{"add": {"driver": "acpi", "name": "dimm0", "size": "1G"}}, {"online": {"range": "dimm0"}}],
        },
        schema,
    )


def test_the_kind_may_be_named(mhp: Mhp) -> None:
    """There is one so far."""
    assert mhp("schema", "scenario").out == mhp("schema").out
    assert mhp("schema", "--json").out == mhp("schema").out


def test_the_schema_leaves_broken_plugins_out_and_says_so(process: Mhp) -> None:
    """The others are there."""
    broken = {"drivers.broken": BROKEN, "arch.broken": BROKEN, "drivers.hanging": HANGING}
    done = process("schema", "--plugin-timeout", "3", plugins=broken)

    properties = json.loads(done.out)["properties"]
    assert done.status == 0
    assert "acpi" in properties["drivers"]["properties"]
    assert not {"broken", "hanging"} & {*properties["drivers"]["properties"]}
    arches = properties["machine"]["properties"]["arch"]["enum"]
    assert "x86_64" in arches
    assert "broken" not in arches
    problem = "cannot be loaded: ImportError: no such library"
    assert unplaced(done.err).splitlines() == [
        f"mhp: left out: plugin broken (acme 1.0, memhotplug.drivers = acme_0): {problem}",
        "mhp: left out: plugin hanging (acme 1.0, memhotplug.drivers = acme_2): took longer than 3 s",
        f"mhp: left out: plugin broken (acme 1.0, memhotplug.arch = acme_1): {problem}",
    ]


def test_a_driver_that_cannot_be_loaded_is_refused_where_it_is_named(process: Mhp, tmp_path: Path) -> None:
    """Beside plugin and distribution, the place in the scenario."""
    (tmp_path / "s.yaml").write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n  - add: {driver: broken, size: 1G}\n"
    )

    done = process("run", "s.yaml", plugins={"drivers.broken": BROKEN})

    assert done.status == 2
    assert unplaced(done.err) == (
        "mhp: s.yaml:4:19: steps[0].add.driver: plugin broken (acme 1.0, memhotplug.drivers = acme_0): "
        "cannot be loaded: ImportError: no such library\n"
    )


def test_one_plugin_is_told_in_full(process: Mhp) -> None:
    """Its file, hooks, keys, other names, and where it exists; by any kind of plugin that has the name."""
    done = process("plugins", "virtio_mem")
    lines = done.out.splitlines()
    assert lines[0] == "virtio_mem: memhotplug.drivers"
    assert lines[3].endswith("memhotplug_drivers/virtio_mem.py")
    assert "  exists  arm64 since 5.18, s390 since 6.14, x86_64 since 5.8" in lines
    assert any(line.split()[:2] == ["device_size", "size"] for line in lines)
    (entry,) = json.loads(process("plugins", "s390", "--json").out)["plugins"]
    assert (entry["kind"], entry["aliases"], [key["key"] for key in entry["keys"]]) == ("arch", ["s390x"], ["rzm"])


def test_a_name_that_nobody_has_is_refused(process: Mhp) -> None:
    """With the nearest."""
    done = process("plugins", "acpj")
    assert (done.status, done.err) == (
        2,
        "mhp: got acpj, expected the name of an installed plugin; did you mean 'acpi'?\n",
    )
