"""The JSON Schema: valid in itself, and of one mind with the loader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.protocols import Validator

from memhotplug.errors import InputError
from memhotplug.formats.scenario import OPERATIONS, Scenario
from memhotplug.formats.scenario.schema import scenario_schema
from memhotplug.formats.scenario.yamltree import Node, ScalarNode, SequenceNode, parse_tree

Load: TypeAlias = Callable[[str], Scenario]

MACHINE = "machine: {arch: x86_64, kernel: v2-2019, memory: 4G}\n"
HEAD = f"schema: 1\n{MACHINE}"


def as_an_editor_reads_it(node: Node) -> Any:
    """Return a tree as YAML 1.2's core schema has it, which editors validate."""
    if isinstance(node, SequenceNode):
        return [as_an_editor_reads_it(item) for item in node]
    if not isinstance(node, ScalarNode):
        return {key: as_an_editor_reads_it(value) for key, value in node.items()}
    if node.is_null:
        return None
    if node.quoted or not re.fullmatch(r"true|false|[-+]?[0-9]+|0x[0-9a-fA-F]+|[-+]?[0-9]+\.[0-9]+", node.text):
        return node.text
    if node.text in ("true", "false"):
        return node.text == "true"
    if "." in node.text:
        return float(node.text)
    return int(node.text, 16 if node.text.startswith("0x") else 10)


@pytest.fixture(scope="module")
def schema(catalog: Any) -> dict[str, Any]:
    """The schema with the catalog's plugins."""
    return scenario_schema(catalog)


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Validator:
    """A validator of scenarios."""
    return jsonschema.Draft202012Validator(schema)


def accepts(validator: Validator, text: str) -> bool:
    """Whether an editor would find nothing wrong with a scenario."""
    return validator.is_valid(as_an_editor_reads_it(parse_tree(text)))


GOOD = [
    "",
    "drivers: {acpi: {mhp_flags: device}, sclp: {mhp_flags: [MHP_MEMMAP_DEVICE, memblock]}}",
    "steps: []",
    "steps: [{add: {driver: acpi, name: dimm0, size: 1G}}]",
    "steps: [{add: {driver: acpi, size: 0x8000000, address: 0, node: 1, mhp_flags: none}}]",
    "steps: [{add: {driver: acpi, size: '128 MiB', address: '4g'}}]",
    "steps: [{add: {driver: acpi, resources: [1G, 512M], proximity_domain: 3}}]",
    "steps: [{add: {driver: sclp, size: 1G}}]",
    "steps: [{add: {driver: hv_balloon, size: 1G, backed: 0, pressure: true, agent: udev, label: x, tag: 5}}]",
    "steps: [{online: {range: block 32}}, {offline: {range: block 32-35}}, {online: {range: 0x0+1G, zone: kernel}}]",
    "steps: [{write: {path: memory/vmemmap_hotplug, value: disable}}]",
    "steps: [{write: {path: /sys/devices/system/memory/probe, value: 0x100000000, capable: false}}]",
    "steps: [{write: {path: a, value: true}}, {write: {path: a, value: ''}}, {write: {path: a, value: 1.5}}]",
    "steps: [{allocate: {name: app, size: 300M, zone: kernel, node: 0, order: 9, pinned: true, scatter: true}}]",
    "steps: [{allocate: {name: app, size: 300M}}, {release: {name: app}}]",
    "steps: [{remove: {range: block 1, fails: EBUSY}}, {eject: {range: block 1}}]",
    "steps: [{online: {range: block 1, veto: {event: MEM_GOING_ONLINE, errno: ENOMEM}, fails: ENOMEM}}]",
    "steps: [{expect: {zone: Movable, node: 0, managed: 258048}}]",
    "steps: [{expect: {block: 32, state: online, zone: Movable, valid_zones: [Movable]}}]",
    "steps: [{expect: {range: block 32-39, usable_pages: 1, vmemmap_pages: 0, node: 1}}]",
    "steps: [{expect: {head: 0x100000, refcount: 8, private: 4096, nr_pages: 4096}}]",
    "steps: [{expect: {self_hosted_pages: 1, allocated_pages: 0, page_table_pages: 0}}]",
    "steps: [{expect: {memmap_pages: 1, node: 1}}, {expect: {violations: [I11]}}, {expect: {warnings: 2}}]",
    "steps: [{expect: {path: memory/vmemmap_hotplug, value: enabled}}, {expect: {path: a, fails: ENOENT}}]",
]
GOOD_MACHINES = [
    "arch: x86_64, kernel: v2-2019, memory: 4294967296",
    "arch: arm64, kernel: linux-6.12, memory: [{node: 0, size: 2G}, {node: 1, size: 2G}], page_size: 64K",
    "arch: s390, kernel: v2-2019, snapshot: path/, rzm: 256M",
    "arch: s390, kernel: v2-2019, snapshot: {path: a.json.xz, step: 3}, sparsemem_vmemmap: false",
    "arch: x86_64, kernel: v2-2019, memory: 4G, memory_block_size: 128M, physical_address_bits: 46, cmdline: quiet",
]
BAD = [
    "step: []",
    "steps: {}",
    "steps: [add]",
    "steps: [{}]",
    "steps: [{ad: {}}]",
    "steps: [{online: {range: block 1}, offline: {range: block 1}}]",
    "steps: [{online: dimm0}]",
    "steps: [{online: }]",
    "steps: [{online: {}}]",
    "steps: [{online: {range: 32}}]",
    "steps: [{online: {range: 32-35}}]",
    "steps: [{online: {range: block 1, zone: Movable}}]",
    "steps: [{online: {range: block 1, zon: auto}}]",
    "steps: [{online: {range: block 1, fails: EBUZY}}]",
    "steps: [{online: {range: block 1, fails: 16}}]",
    "steps: [{online: {range: block 1, veto: {event: MEM_ONLINE, errno: EIO}}}]",
    "steps: [{online: {range: block 1, veto: {event: MEM_GOING_ONLINE}}}]",
    "steps: [{online: {range: block 1, veto: ENOMEM}}]",
    "steps: [{add: {size: 1G}}]",
    "steps: [{add: {driver: acpi}}]",
    "steps: [{add: {driver: nope, size: 1G}}]",
    "steps: [{add: {driver: acpi, size: 0}}]",
    "steps: [{add: {driver: acpi, size: 0G}}]",
    "steps: [{add: {driver: acpi, size: -1}}]",
    "steps: [{add: {driver: acpi, size: -1G}}]",
    "steps: [{add: {driver: acpi, size: 1X}}]",
    "steps: [{add: {driver: acpi, size: 1.5G}}]",
    "steps: [{add: {driver: acpi, size: 010M}}]",
    "steps: [{add: {driver: acpi, size: true}}]",
    "steps: [{add: {driver: acpi, size: [1G]}}]",
    "steps: [{add: {driver: acpi, size: 1G, resources: [1G]}}]",
    "steps: [{add: {driver: acpi, resources: []}}]",
    "steps: [{add: {driver: sclp, size: 1G, resources: [1G]}}]",
    "steps: [{add: {driver: sclp, size: 1G, options: {}}}]",
    "steps: [{add: {driver: acpi, size: 1G, proximity_domain: 256}}]",
    "steps: [{add: {driver: acpi, size: 1G, proximity_domain: '1'}}]",
    "steps: [{add: {driver: hv_balloon, size: 1G, agent: udevd}}]",
    "steps: [{add: {driver: hv_balloon, size: 1G, pressure: on}}]",
    "steps: [{add: {driver: acpi, size: 1G, mhp_flags: devize}}]",
    "steps: [{add: {driver: acpi, size: 1G, mhp_flags: []}}]",
    "steps: [{add: {driver: acpi, size: 1G, mhp_flags: 1}}]",
    "steps: [{add: {driver: acpi, size: 1G, name: ''}}]",
    "steps: [{add: {driver: acpi, size: 1G, name: block}}]",
    "steps: [{add: {driver: acpi, size: 1G, node: 1024}}]",
    "steps: [{add: {driver: acpi, size: 1G, node: '0'}}]",
    "steps: [{add: {driver: acpi, size: 1G, address: -4096}}]",
    "steps: [{write: {path: /proc/x, value: 1}}]",
    "steps: [{write: {path: a/../b, value: 1}}]",
    "steps: [{write: {path: a}}]",
    "steps: [{write: {path: a, value: }}]",
    "steps: [{write: {path: a, value: b, capable: off}}]",
    "steps: [{allocate: {name: a, size: 1G, zone: auto}}]",
    "steps: [{allocate: {name: a, size: 1G, order: 21}}]",
    "steps: [{allocate: {size: 1G}}]",
    "steps: [{expect: {}}]",
    "steps: [{expect: {zone: movable, managed: 1}}]",
    "steps: [{expect: {managed: 1}}]",
    "steps: [{expect: {block: 1, managed: 1}}]",
    "steps: [{expect: {violations: none}}]",
    "drivers: [acpi]",
    "drivers: {nope: {mhp_flags: device}}",
    "drivers: {acpi: device}",
    "drivers: {acpi: {}}",
]
BAD_MACHINES = [
    "arch: x86_64, kernel: v2-2019",
    "arch: x86_64, kernel: v2-2019, memory: 4G, snapshot: a",
    "arch: x86_64, memory: 4G",
    "arch: x86-64, kernel: v2-2019, memory: 4G",
    "arch: x86_64, kernel: v3, memory: 4G",
    "arch: x86_64, kernel: v2-2019, mem: 4G",
    "arch: x86_64, kernel: v2-2019, memory: 0",
    "arch: x86_64, kernel: v2-2019, memory: []",
    "arch: x86_64, kernel: v2-2019, memory: [2G]",
    "arch: x86_64, kernel: v2-2019, memory: [{node: 0}]",
    "arch: x86_64, kernel: v2-2019, memory: {node: 0, size: 1G}",
    "arch: x86_64, kernel: v2-2019, snapshot: [a]",
    "arch: x86_64, kernel: v2-2019, snapshot: {path: a, step: last}",
    "arch: x86_64, kernel: v2-2019, memory: 4G, physical_address_bits: 65",
    "arch: x86_64, kernel: v2-2019, memory: 4G, sparsemem_vmemmap: off",
]
BAD_VERSIONS = [MACHINE, f"schema: 2\n{MACHINE}", f"schema: '1'\n{MACHINE}", "schema: 1\n", f"schema: true\n{MACHINE}"]

LOADER_ONLY = [
    "steps: [{add: {driver: acpi, size: 010}}]",
    "steps: [{add: {driver: acpi, size: 16E}}]",
    "steps: [{online: {range: dimm0}}]",
    "steps: [{online: {range: block 2-1}}]",
    "steps: [{release: {name: app}}]",
]


def scenarios(lines: list[str], machines: list[str]) -> list[str]:
    """Return whole scenarios, from the parts that differ."""
    return [f"{HEAD}{line}\n" for line in lines] + [f"schema: 1\nmachine: {{{machine}}}\n" for machine in machines]


def test_the_schema_is_a_schema(schema: dict[str, Any]) -> None:
    """Of the draft that it names, and it can be written as JSON."""
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("text", scenarios(GOOD, GOOD_MACHINES))
def test_good_scenarios_are_accepted_by_both(validator: Validator, load: Load, text: str) -> None:
    """The schema never forbids what runs."""
    load(text)
    validator.validate(as_an_editor_reads_it(parse_tree(text)))


@pytest.mark.parametrize("text", [*scenarios(BAD, BAD_MACHINES), *BAD_VERSIONS])
def test_bad_scenarios_are_refused_by_both(validator: Validator, load: Load, text: str) -> None:
    """An editor marks what would not run."""
    with pytest.raises(InputError):
        load(text)
    assert not accepts(validator, text)


@pytest.mark.parametrize("line", LOADER_ONLY)
def test_some_things_only_the_loader_can_know(validator: Validator, load: Load, line: str) -> None:
    """Names of other steps, arithmetic, and how a number was spelt."""
    with pytest.raises(InputError):
        load(f"{HEAD}{line}\n")
    assert accepts(validator, f"{HEAD}{line}\n")


WORDS = (
    "acpi|sclp|hv_balloon|1G|128M|0x1000|0|1|-1|7|true|false|on|block 1|block 1-2|0x0+1G|x|''|"
    "kernel|movable|auto|Movable|Normal|EBUSY|EBUZY|none|device|[]|[device, memblock]|[1G, 2G]|"
    "[Normal, Movable]|{}|{event: MEM_GOING_ONLINE, errno: EIO}|online|memory/probe|/sys/x|../x|"
    "'5'|absent|null||MHP_MEMMAP_DEVICE|udev"
)
VALUES = st.sampled_from(WORDS.split("|"))
RIGHT = {
    "driver": st.sampled_from(["acpi", "hv_balloon"]),
    "size": st.just("1G"),
    "range": st.just("block 1"),
    "name": st.just("x"),
    "path": st.just("a/b"),
    "value": st.just("1"),
    "zone": st.sampled_from(["Normal", "kernel"]),
}
KEYS = ["resources", "proximity_domain", "backed", "agent", "pressure", "label", "tag", "options", "nonsense"]


@st.composite
def steps(draw: st.DrawFn) -> str:
    """One step with keys and values that may or may not fit."""
    op = draw(st.sampled_from(sorted(OPERATIONS)))
    needed = [key for key, field in OPERATIONS[op].fields.items() if field.is_required]
    keys = needed + draw(st.lists(st.sampled_from([*OPERATIONS[op].key_names(), *KEYS]), unique=True, max_size=5))
    inside = ", ".join(f"{key}: {draw(RIGHT.get(key, VALUES) | VALUES)}" for key in dict.fromkeys(keys))
    return f"{{{op}: {{{inside}}}}}"


def loads(load: Load, text: str) -> str | None:
    """Return why a scenario does not load, None if it does."""
    try:
        load(text)
    except InputError as error:
        return error.expected
    return None


@settings(max_examples=400, deadline=None)
@given(steps())
def test_schema_and_loader_agree_on_any_step(validator: Validator, load: Load, step: str) -> None:
    """Whatever the keys and values; only names of other steps are the loader's own business."""
    text = f"{HEAD}steps: [{step}]\n"
    problem = loads(load, text)
    if problem is None or not problem.startswith("the name of an earlier"):
        assert accepts(validator, text) == (problem is None), problem


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(OPERATIONS["expect"].key_names()), unique=True, max_size=4))
def test_schema_and_loader_agree_on_which_assertions_go_together(
    validator: Validator, load: Load, keys: list[str]
) -> None:
    """With a right value for every key, only their combination is judged."""
    right = {
        "zone": "Normal",
        "range": "block 1",
        "state": "online",
        "valid_zones": "[Normal]",
        "device": "d",
        "path": "a",
    }
    right |= {"fails": "EIO", "veto": "{event: MEM_GOING_ONLINE, errno: EIO}"}
    inside = ", ".join(f"{key}: {right.get(key, '1')}" for key in keys)
    text = f"{HEAD}steps: [{{expect: {{{inside}}}}}]\n"
    assert accepts(validator, text) == (loads(load, text) is None), loads(load, text)


def test_everything_is_described(schema: dict[str, Any]) -> None:
    """An editor shows the description of the key under the cursor."""
    for op in OPERATIONS:
        definition = schema["$defs"][op]
        assert definition["description"]
        if op != "add":
            assert [key for key, value in definition["properties"].items() if not value["description"]] == []
    machine = schema["properties"]["machine"]
    assert [key for key, value in machine["properties"].items() if not value["description"]] == []


def test_the_examples_are_valid(schema: dict[str, Any], validator: Validator) -> None:
    """Each operation has one."""
    machine = schema["properties"]["machine"]["examples"][0]
    for op in OPERATIONS:
        (example,) = schema["$defs"][op]["examples"]
        validator.validate({"schema": 1, "machine": machine, "steps": [{op: example}]})


def test_installed_names_are_listed(schema: dict[str, Any]) -> None:
    """And each driver's own keys, beside that driver only."""
    machine = schema["properties"]["machine"]["properties"]
    assert machine["arch"]["enum"] == ["arm64", "s390", "x86_64"]
    assert machine["kernel"]["enum"] == ["linux-6.12", "v2-2019"]
    add = schema["$defs"]["add"]
    assert add["properties"]["driver"]["enum"] == ["acpi", "hv_balloon", "sclp"]
    own = {rule["if"]["properties"]["driver"]["const"]: set(rule["then"]["properties"]) for rule in add["allOf"]}
    assert own["acpi"] - own["sclp"] == {"resources", "proximity_domain"}
    assert own["hv_balloon"] - own["sclp"] == {"backed", "pressure", "agent", "label", "tag"}
