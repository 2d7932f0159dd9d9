"""Which blocks a recorded operation may take offline."""

from __future__ import annotations

import re

from memhotplug.engine.memory_hotplug.add import device_blocks
from memhotplug.formats.snapshot import RecordedOp
from memhotplug.machine import Machine

__all__ = ["endangered"]

_STATE_FILE = re.compile(r"/?sys/devices/system/memory/memory(\d{1,9})/(state|online)")


def endangered(machine: Machine, op: RecordedOp) -> tuple[int, ...]:
    """Return the blocks that an operation may take offline."""
    if op.kind in ("offline", "remove", "resize"):
        return op.blocks or tuple(device_blocks(machine.kernel, op.device or ""))
    file = _STATE_FILE.fullmatch(op.path or "") if op.kind == "write" else None
    return (int(file[1]),) if file is not None else ()
