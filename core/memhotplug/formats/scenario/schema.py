"""The scenario format as JSON Schema (2020-12), for editors.

It is made from the same models that read a scenario, and from what the installed plugins declare.
It describes the values as an editor's YAML reads them; rules that need more than one step, such as
names that must have been given before, are left to the loader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from memhotplug.formats.scenario.catalog import Catalog
from memhotplug.formats.scenario.check import OPERATIONS
from memhotplug.formats.scenario.expectation import BLOCK_ATTRIBUTES, HEAD_ATTRIBUTES, MEMMAP_TOTALS, ZONE_COUNTERS
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.formats.scenario.fields import SIZE, TEXT, Leaf, size_schema
from memhotplug.formats.scenario.loader import SCHEMA_VERSION
from memhotplug.formats.scenario.models import (
    Action,
    BootMemory,
    BootProfile,
    DriverPolicy,
    MachineSpec,
    SnapshotRef,
    Veto,
)
from memhotplug.formats.scenario.record import Key, Record
from memhotplug.keyspec import OWN_POLICY, KeySpec
from memhotplug.reserves import RESERVES
from memhotplug.units import natural_key

__all__ = ["scenario_schema"]

Schema = dict[str, Any]

_MACHINE_EXAMPLE: Final = {"arch": "x86_64", "kernel": "v2-2019", "memory": "4G"}
_EXAMPLES: Final[Mapping[str, Schema]] = {
    "add": {"driver": "acpi", "name": "dimm0", "size": "1G"},
    "online": {"range": "dimm0", "zone": "movable"},
    "offline": {"range": "block 32-35"},
    "write": {"path": "memory/auto_online_blocks", "value": "online"},
    "allocate": {"name": "app", "size": "300M", "zone": "kernel", "node": 0},
    "release": {"name": "app"},
    "remove": {"range": "dimm0", "fails": "EBUSY"},
    "eject": {"range": "dimm0"},
    "resize": {"range": "vm0", "size": "2G"},
    "expect": {"zone": "Movable", "node": 0, "managed": 258048},
}


def scenario_schema(catalog: Catalog) -> Schema:
    """Return the JSON Schema of a scenario, with the names of the installed plugins."""
    drivers = sorted(catalog.names("drivers"), key=natural_key)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "memhotplug scenario",
        "description": "A machine, its drivers' policies, and what happens to its memory.",
        "type": "object",
        "required": ["schema", "machine"],
        "additionalProperties": False,
        "properties": {
            "schema": {"const": SCHEMA_VERSION, "description": "The version of this format."},
            "plugins": _plugins(),
            "machine": _machine(catalog),
            "drivers": _policies(drivers, catalog.names("policies")),
            "steps": {
                "description": "What happens, in order.",
                "type": "array",
                "items": {"$ref": "#/$defs/step"},
            },
            "explore": _record(ExploreSpec) | {"examples": [{"operations": ["add", "remove"], "blocks": 4}]},
        },
        "$defs": {
            "step": _step(),
            "veto": _record(Veto),
            **{op: _operation(op, catalog, drivers) for op in OPERATIONS},
        },
    }


def _property(key: Key) -> Schema:
    kind = key.kind
    if isinstance(kind, Leaf):
        return {"description": kind.help or kind.expected, **kind.schema}
    return {"description": kind.help if kind is not None else ""}


def _record(model: type[Record]) -> Schema:
    fields, keys = model.fields, model.key_names()
    schema: Schema = {
        "description": model.summary,
        "type": "object",
        "properties": {key: _property(fields[key]) for key in keys},
        "required": [key for key in keys if fields[key].is_required],
        "additionalProperties": False,
    }
    if issubclass(model, Action):
        schema["properties"]["veto"]["$ref"] = "#/$defs/veto"
    return schema


def _names(names: Sequence[str], description: str) -> Schema:
    return {"description": description, "enum": sorted(names, key=natural_key)}


def _machine(catalog: Catalog) -> Schema:
    schema = _record(MachineSpec)
    properties = schema["properties"]
    properties["arch"] = _names(catalog.names("arch"), properties["arch"]["description"])
    properties["kernel"] = _names(catalog.names("profiles"), properties["kernel"]["description"])
    nodes = {"type": "array", "minItems": 1, "items": _record(BootMemory)}
    properties["memory"]["anyOf"] = [dict(SIZE.schema), nodes]
    properties["snapshot"]["anyOf"] = [{"type": "string", "minLength": 1}, _record(SnapshotRef)]
    properties["boot_profile"]["anyOf"] = [{"enum": list(RESERVES)}, _record(BootProfile)]
    own = {name: catalog.machine_keys(name) for name in properties["arch"]["enum"]}
    for name, keys in own.items():
        for key in keys:
            properties.setdefault(key, _key(keys[key]) | {"description": f"{name}: {keys[key].help}"})
    rules = [_only_of(name, [key for key in keys if key in properties]) for name, keys in own.items() if keys]
    return schema | {
        **({"allOf": rules} if rules else {}),
        "oneOf": [{"required": ["arch", "kernel", "memory"]}, {"required": ["snapshot"]}],
        "examples": [_MACHINE_EXAMPLE],
    }


def _only_of(arch: str, keys: Sequence[str]) -> Schema:
    """Refuse an architecture's own keys on every other one."""
    mine = {"properties": {"arch": {"const": arch}}, "required": ["arch"]}
    return {"if": _any_of(keys), "then": mine}


def _plugins() -> Schema:
    path = {"type": "string", "minLength": 1}
    return {
        "description": "Plugin files, relative to the scenario, that count as installed for it.",
        "anyOf": [path, {"type": "array", "items": path}],
        "examples": [["./my_policy.py"]],
    }


def _policies(drivers: Sequence[str], policies: Sequence[str]) -> Schema:
    record = _record(DriverPolicy)
    # No enumeration: a policy may come from a file that the scenario names.
    record["properties"]["policy"] |= {"type": "string", "examples": [OWN_POLICY, *policies]}
    record["oneOf"] = [{"required": ["mhp_flags"]}, {"required": ["policy"]}]
    return {
        "description": "Policy for each driver; without it, the driver's own policy for that kernel.",
        "type": "object",
        "properties": dict.fromkeys(drivers, record),
        "additionalProperties": False,
        "examples": [{"acpi": {"mhp_flags": "device"}}],
    }


def _step() -> Schema:
    return {
        "description": "One operation.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {op: {"$ref": f"#/$defs/{op}"} for op in OPERATIONS},
    }


def _operation(op: str, catalog: Catalog, drivers: Sequence[str]) -> Schema:
    schema = _record(OPERATIONS[op]) | {"examples": [_EXAMPLES[op]]}
    if op == "add":
        _add_driver_keys(schema, catalog, drivers)
    elif op == "expect":
        schema["allOf"] = _expect_rules()
    return schema


def _add_driver_keys(schema: Schema, catalog: Catalog, drivers: Sequence[str]) -> None:
    """Make each driver's own keys valid beside that driver only."""
    common = dict(schema["properties"])
    common["driver"] = _names(drivers, common["driver"]["description"])
    schema["properties"] = {"driver": common["driver"]}
    schema["required"] = ["driver"]
    del schema["additionalProperties"]
    schema["allOf"] = [_one_driver(name, catalog.driver_keys(name), common) for name in drivers]


def _one_driver(name: str, own: Mapping[str, KeySpec], common: Mapping[str, Schema]) -> Schema:
    extra = {key: _key(spec) for key, spec in own.items() if key not in common}
    sources = ["size", *(key for key in extra if own[key].replaces_size)]
    properties = {key: True if key == "driver" else value for key, value in common.items()}
    then: Schema = {"properties": properties | extra, "additionalProperties": False}
    then["oneOf"] = [{"required": [key]} for key in sources]
    return {"if": {"properties": {"driver": {"const": name}}, "required": ["driver"]}, "then": then}


def _key(spec: KeySpec) -> Schema:
    return {"description": spec.help, **_key_type(spec)}


def _key_type(spec: KeySpec) -> Schema:
    if spec.kind == "bool":
        return {"type": "boolean"}
    if spec.kind == "text":
        return dict(TEXT.schema)
    if spec.kind == "word":
        return {"enum": list(spec.choices)} if spec.choices else {**TEXT.schema, "minLength": 1}
    maximum = {} if spec.maximum is None else {"maximum": spec.maximum}
    if spec.kind == "int":
        return {"type": "integer", "minimum": spec.minimum or 0, **maximum}
    size = size_schema(1 if spec.minimum is None else spec.minimum) | maximum
    return size if spec.kind == "size" else {"type": "array", "minItems": 1, "items": size}


def _any_of(keys: Sequence[str]) -> Schema:
    return {"anyOf": [{"required": [key]} for key in keys]}


def _when(keys: Sequence[str], then: Schema) -> Schema:
    return {"if": _any_of(keys), "then": then}


def _expect_rules() -> list[Schema]:
    """Return what ``ExpectStep.conflicts`` says, as JSON Schema."""
    blocks = ("block", "range")
    listed = ("violations", "warnings", "memmap_pages", *MEMMAP_TOTALS)
    zone_or_block = ("zone", *blocks)
    return [
        {"not": {"required": list(blocks)}},
        _when(blocks, {"not": _any_of(ZONE_COUNTERS)} | _any_of((*BLOCK_ATTRIBUTES, "zone", "node"))),
        _when(BLOCK_ATTRIBUTES, _any_of(blocks)),
        _when(ZONE_COUNTERS, {"required": ["zone"]}),
        _when(("zone",), _any_of((*ZONE_COUNTERS, *blocks))),
        _when(("node",), _any_of((*zone_or_block, "memmap_pages"))),
        _when(HEAD_ATTRIBUTES, {"required": ["head"]}),
        _when(("head",), _any_of(HEAD_ATTRIBUTES)),
        _when(("value", "fails"), {"required": ["path"]}),
        _when(("path",), _any_of(("value", "fails"))),
        _any_of((*ZONE_COUNTERS, *blocks, "head", "path", *listed)),
    ]
