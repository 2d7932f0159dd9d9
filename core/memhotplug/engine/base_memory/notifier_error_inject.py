"""/sys/kernel/debug/notifier-error-inject/memory: notifiers that refuse an event until further notice.

Models: lib/memory-notifier-error-inject.c, lib/notifier-error-inject.c:debugfs_errno_set() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from memhotplug.contracts import Ids, MemoryEvent, SysfsFile, Write
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError

__all__ = ["files"]

_ACTIONS: Final = "sys/kernel/debug/notifier-error-inject/memory/actions"
_EVENTS: Final = (MemoryEvent.MEM_GOING_ONLINE, MemoryEvent.MEM_GOING_OFFLINE)
_MAX_ERRNO: Final = 4095
_NUMBER: Final = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})\s*", re.ASCII)


def files(kernel: Kernel) -> Iterator[SysfsFile]:
    """Yield the file ``error`` of each event that the module knows."""
    for event in _EVENTS:
        if event.name in kernel.profile.event_names:
            yield SysfsFile(
                path=f"{_ACTIONS}/{event.name}/error", show=partial(_show, event), store=partial(_store, event), size=0
            )


def _show(event: MemoryEvent, kernel: Kernel, _ids: Ids) -> str:
    return f"{-kernel.injected.get(event, 0)}\n"


def _store(event: MemoryEvent, kernel: Kernel, _ids: Ids, write: Write) -> None:
    """Take the negative errno that is to come, 0 for none; others are clamped."""
    match = _NUMBER.fullmatch(write.value)
    if match is None:
        raise MemoryHotplugError(errno.EINVAL, f"error takes 0 or a negative errno such as -12, not {write.value!r}")
    sign, digits = match.groups()
    number = int(digits, 16 if digits[:2] in ("0x", "0X") else 10)
    wanted = min(number, _MAX_ERRNO) if sign == "-" else 0
    kernel.injected = {**kernel.injected, event: wanted}
    if not wanted:
        del kernel.injected[event]
