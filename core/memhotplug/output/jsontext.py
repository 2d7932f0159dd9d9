"""JSON as this program writes it: one object, keys in their order, one list entry a line.

A list entry on a line of its own keeps the output readable and lets the fast encoder do the work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["render", "render_line"]


def render(document: Mapping[str, object]) -> str:
    """Return a document as text, with a newline at its end."""
    return "{\n" + ",\n".join(f"{_dumps(key)}: {_member(value)}" for key, value in document.items()) + "\n}\n"


def render_line(record: Mapping[str, object]) -> str:
    """Return a record as one line, with a newline at its end."""
    return _dumps(record) + "\n"


def _member(value: object) -> str:
    if isinstance(value, (list, tuple)) and value:
        return "[\n" + ",\n".join(_dumps(item) for item in value) + "\n]"
    return _dumps(value)


def _dumps(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    """Return a plain value for one that plugins put into an event: NumPy's numbers, or anything at all."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else str(value)
