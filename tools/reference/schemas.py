"""The pages of the scenario format and of the JSON outputs, from their JSON Schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tools.reference.markdown import code, made_by, prose, table

from memhotplug.catalog import Installed
from memhotplug.documents import OUTPUTS
from memhotplug.documents.schema import output_schema
from memhotplug.formats.scenario.schema import scenario_schema
from memhotplug.manager import candidates

__all__ = ["outputs_page", "scenario_page"]

Schema = Mapping[str, Any]
_MANY: Final = 24
_ANCHORS: Final = {"step": "steps"}
_INSTALLED: Final = {"arch": "an architecture", "kernel": "a profile", "driver": "a driver"}
"""Keys that name a plugin: `mhp plugins` says which there are, and a page that does not lists none that are gone."""


class Own(Installed):
    """The plugins of this project, whatever else is installed where the page is written."""

    def names(self, kind: str) -> list[str]:
        """Return those of one kind."""
        return [found.name for found in candidates(kind) if found.distribution == "memhotplug"]


def scenario_page() -> str:
    """Return the page of the scenario format: every key, those of this project's plugins included."""
    schema = scenario_schema(Own())
    lines = [
        made_by("schemas"),
        "# Scenario keys",
        "",
        "Every key of a scenario with what it takes, as `mhp schema` says it. What they mean together, with examples,",
        "is in [Scenarios](../scenarios.md).",
        "",
        "## Top level",
        "",
        *_keys(schema),
    ]
    machine = schema["properties"]["machine"]
    lines += ["", "## machine", "", prose(machine["description"]), "", *_keys(machine)]
    for arch, more in _variants(machine, "arch"):
        lines += ["", f"### machine of {arch}", "", *_keys(more, without=machine["properties"])]
    policy = next(iter(schema["properties"]["drivers"]["properties"].values()))
    lines += ["", "## drivers", "", prose(policy["description"]) + " By the driver's name:", "", *_keys(policy)]
    lines += ["", "## explore", "", prose(schema["properties"]["explore"]["description"]), ""]
    lines += _keys(schema["properties"]["explore"])
    lines += ["", "## Steps", "", "A step is a mapping with one of these operations."]
    for op in schema["$defs"]["step"]["properties"]:
        lines += ["", *_step(op, schema["$defs"][op])]
    lines += ["", "### veto", "", prose(schema["$defs"]["veto"]["description"]), "", *_keys(schema["$defs"]["veto"])]
    return "\n".join(lines) + "\n"


def _step(op: str, step: Schema) -> Iterator[str]:
    yield from (f"### {op}", "", prose(step.get("description", "")), "")
    variants = dict(_variants(step, "driver"))
    if not variants:
        yield from _keys(step)
        return
    shared = set.intersection(*(set(one["properties"]) for one in variants.values()))
    some = next(iter(variants.values()))
    common = {key: {**some["properties"], **step["properties"]}[key] for key in some["properties"] if key in shared}
    yield from _keys({"properties": common, "required": step.get("required", ())})
    for driver, one in variants.items():
        if set(one["properties"]) - shared:
            yield from ("", f"#### {op} by {driver}", "", *_keys(one, without=shared))


def outputs_page() -> str:
    """Return the page of what commands print with ``--json``."""
    lines = [
        made_by("schemas"),
        "# JSON outputs",
        "",
        "Every key that is printed, in order; all of them are always there, null where they do not apply. Bytes are",
        "integers. `mhp schema --output NAME` prints the JSON Schema of one.",
        "",
        *table(("name", "printed by"), ((f"[`{name}`](#{name})", prose(by)) for name, by in OUTPUTS.items())),
    ]
    for name, by in OUTPUTS.items():
        schema = output_schema(name)
        lines += ["", f"## {name}", "", f"Printed by {prose(by)}.", ""]
        lines += _document(name, schema)
    return "\n".join(lines) + "\n"


def _document(name: str, schema: Schema) -> Iterator[str]:
    """Yield the tables of one output: of the object itself, then of each kind of object in it."""
    known = schema.get("$defs", {})
    top = _resolved(schema, known)
    choices = [_resolved(one, known) for one in top.get("anyOf", ())]
    for number, one in enumerate(choices or [top]):
        yield from ([""] if number else [])
        if one.get("description"):
            yield from (prose(one["description"]), "")
        yield from _keys(one, under=name)
    for inner, below in known.items():
        if below not in (choices or [top]) and "properties" in below:
            yield from ("", f"### {name}: {_short(inner)}", "", prose(below.get("description", "")), "")
            yield from _keys(below, under=name)


def _resolved(schema: Schema, known: Mapping[str, Schema]) -> Schema:
    return known[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def _short(name: str) -> str:
    """Return the name of a kind of object as words: ``BlockDocument`` is a block."""
    words = re.findall(r"[A-Z][a-z0-9]*|[A-Z]+(?![a-z])", name.removesuffix("Document")) or [name]
    return " ".join(words).lower()


def _variants(schema: Schema, key: str) -> Iterator[tuple[str, Schema]]:
    """Yield what a schema says for each value of a key, where that is not the same for all."""
    for clause in schema.get("allOf", ()):
        value = clause.get("if", {}).get("properties", {}).get(key, {}).get("const")
        if value is not None and clause.get("then", {}).get("properties"):
            yield value, clause["then"]


def _keys(schema: Schema, *, without: Any = (), under: str = "") -> Iterator[str]:
    required = schema.get("required", ())
    rows = [
        (code(key) + (" *" if key in required and not under else ""), _takes(key, one, under), prose(_said(one)))
        for key, one in schema.get("properties", {}).items()
        if key not in without and one is not True
    ]
    yield from table(("key", "takes" if not under else "is", ""), rows)
    if any(row[0].endswith(" *") for row in rows):
        yield from ("", "\\* has to be there.")


def _takes(key: str, schema: Schema, under: str) -> str:
    return f"{_INSTALLED[key]} (`mhp plugins`)" if key in _INSTALLED and not under else kind(schema, under)


def _said(schema: Schema) -> str:
    return str(schema.get("description", ""))


def kind(schema: Schema, under: str = "") -> str:
    """Return in a few words what a value is."""
    if "$ref" in schema:
        name = _short(schema["$ref"].rsplit("/", 1)[1])
        anchor = f"{under}-{name.replace(' ', '-')}" if under else _ANCHORS.get(name, name)
        return f"[{name}](#{anchor})"
    if "const" in schema:
        return code(_plain(schema["const"]))
    if "enum" in schema:
        words = [_plain(word) for word in schema["enum"]]
        errnos = len(words) > _MANY and all(word.startswith("E") for word in words)
        return "an errno's name" if errnos else ", ".join(map(code, words))
    types = schema.get("type", "")
    if "anyOf" in schema and types != "object":
        return " or ".join(dict.fromkeys(kind(one, under) for one in schema["anyOf"]))
    if isinstance(types, list):
        return _several(types, schema, under)
    return _simple(types, schema, under)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _several(types: list[str], schema: Schema, under: str) -> str:
    if sorted(types) == ["integer", "string"]:
        examples = " or ".join(code(_plain(one)) for one in schema.get("examples", ())[:2])
        return f"a number or text, {examples}" if examples else "a number or text"
    return " or ".join(_simple(one, schema, under) for one in types)


def _simple(word: str, schema: Schema, under: str) -> str:
    if word == "array":
        return f"list of {kind(schema['items'], under)}" if schema.get("items") else "list"
    if word == "object":
        values = schema.get("additionalProperties")
        inner = kind(values, under) if isinstance(values, dict) else ""
        return f"mapping to {inner}" if inner else "mapping"
    names = {"integer": "integer", "string": "text", "boolean": "true or false", "number": "number", "null": "null"}
    said = names.get(word, word)
    low, high = schema.get("minimum"), schema.get("maximum")
    if word == "integer" and low is not None:
        said += f" from {low}" + (f" to {high}" if high is not None else " on")
    examples = schema.get("examples", ())
    return f"{said}, such as {code(_plain(examples[0]))}" if examples and word == "string" else said
