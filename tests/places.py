"""Where in a plugin something was raised, as messages end with it."""

from __future__ import annotations

import re

__all__ = ["unplaced"]

_PLACE = re.compile(r", at (\S+\.py):\d+")


def unplaced(text: str) -> str:
    """Return a message without the file and line that it ends in, which must be there."""
    assert _PLACE.search(text), text
    return _PLACE.sub("", text)
