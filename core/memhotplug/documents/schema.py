"""JSON Schemas of the documents."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict, get_original_bases

from memhotplug.documents import (
    OUTPUTS,
    align,
    check,
    compare,
    conform,
    explain,
    machine,
    plan,
    plugins,
    small,
    sweep,
)

__all__ = ["TYPES", "output_schema"]

TYPES: Final[Mapping[str, Any]] = {
    "run": machine.RunDocument,
    "plan": plan.PlanDocument,
    "explain": explain.ExplainDocument,
    "compare": compare.CompareDocument,
    "align": align.AlignDocument,
    "conform": conform.ConformDocument,
    "check": check.CheckDocument,
    "sweep": sweep.SweepDocument,
    "page": small.PageDocument,
    "report": small.ReportDocument,
    "snapshot": small.SnapshotDocument,
    "export": small.ExportDocument,
    "examples": small.ExamplesDocument,
    "plugins": plugins.PluginsDocument,
    "ctl-list": small.CtlListDocument,
    "event": machine.EventDocument,
    "error": small.ErrorDocument,
}
"""The type of each output."""


class _Explained(GenerateJsonSchema):
    """Explains inherited keys, too, and leaves out titles, which would only say the name of a key once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        found = super().typed_dict_schema(schema)
        said = _docstring(schema["cls"])
        if said is not None:
            found.setdefault("description", said)
        for base in get_original_bases(schema["cls"]):
            if base is TypedDict:
                continue
            for key, above in TypeAdapter(base).json_schema(schema_generator=_Explained).get("properties", {}).items():
                if "description" in above:
                    found["properties"][key].setdefault("description", above["description"])
        return found


def _docstring(document: type) -> str | None:
    """Return a class's docstring, which an interpreter that drops them (-OO) leaves in the source.

    The docstrings of attributes are read from there in any case.
    """
    if document.__doc__ is not None or sys.flags.optimize < 2:
        return document.__doc__ and inspect.cleandoc(document.__doc__)
    source = textwrap.dedent(inspect.getsource(document))
    tree = compile(source, document.__name__, "exec", ast.PyCF_ONLY_AST, optimize=0)  # 3.14's ast.parse() drops them
    assert isinstance(tree, ast.Module)
    found = tree.body[0]
    return ast.get_docstring(found) if isinstance(found, ast.ClassDef) else None


def output_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an output.

    Args:
        name: one of :data:`memhotplug.documents.OUTPUTS`.
    """
    found = TypeAdapter(TYPES[name]).json_schema(schema_generator=_Explained)
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": OUTPUTS[name], **_plain(found)}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the names of the types, but with each description as one line."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "description" and isinstance(value, str):
            found[key] = " ".join(value.split())
        elif isinstance(value, dict):
            found[key] = _plain(value)
        elif isinstance(value, list):
            found[key] = [_plain(item) if isinstance(item, dict) else item for item in value]
        else:
            found[key] = value
    return found
