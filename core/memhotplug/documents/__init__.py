"""The JSON that commands print: one type for each object, the truth for the code that writes it and for its schema.

The writers return these types, so that mypy finds a key too many, one that is missing, and one of another kind; the
JSON Schemas are made of them (:func:`memhotplug.documents.schema.output_schema`), descriptions included. At run time
only ``mhp schema`` imports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["OUTPUTS"]

OUTPUTS: Final[Mapping[str, str]] = {
    "run": "mhp run --json, result.json, Machine.to_dict()",
    "plan": "mhp plan --json",
    "explain": "mhp explain --json",
    "compare": "mhp compare --json",
    "align": "mhp align --json",
    "conform": "mhp conform --json",
    "check": "mhp check --json",
    "sweep": "mhp sweep --json, --show and --export",
    "page": "mhp page --json, with and without --diff",
    "report": "mhp report --json",
    "snapshot": "mhp snapshot --json",
    "export": "mhp export --json",
    "examples": "mhp examples --json, with and without -o",
    "plugins": "mhp plugins --json, with and without NAME, --new",
    "ctl-list": "mhp ctl list --json",
    "event": "one line of events.jsonl",
    "error": "every command with --json that ends with status 2",
}
"""The outputs that have a schema, and who prints them."""
