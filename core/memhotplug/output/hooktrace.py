"""One hook call as one line, for plugin authors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.errors import MemoryHotplugError
from memhotplug.units import format_size

__all__ = ["trace_line"]

_LONGEST: Final = 60
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]{6,}")
"""Where an object lies in this process, which is another place each time."""
_HIDDEN: Final = ("kernel",)


def trace_line(plugin: str, hook: str, arguments: Mapping[str, object], answer: object) -> str:
    """Return ``plugin: hook(argument=value, …) -> answer``; sizes short, long values cut, the kernel left out."""
    shown = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items() if key not in _HIDDEN)
    return f"{plugin}: {hook}({shown}) -> {_short(answer)}"


def _short(value: object) -> str:
    if isinstance(value, AddRequest):
        return f"{value.name} {format_size(value.size)}"
    if isinstance(value, PhysRange):
        return f"{value.start:#x}+{format_size(value.size)}"
    if isinstance(value, MemoryHotplugError):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 3:
        return f"[{_short(value[0])}, … {len(value)}]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 12:
        return f"{int(value):#x}"
    text = _ADDRESS.sub("", " ".join(repr(value).split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
