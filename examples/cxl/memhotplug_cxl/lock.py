"""A locked device: its memory is there, and no block of it may go online."""

from __future__ import annotations

import errno

from memhotplug.plugin import Kernel, MemoryEvent, MemoryHotplugError, MemoryNotify, hookimpl

__all__ = ["memory_notify"]


@hookimpl
def memory_notify(kernel: Kernel, notify: MemoryNotify) -> None:
    """Veto MEM_GOING_ONLINE for blocks of a locked device."""
    if notify.event is not MemoryEvent.MEM_GOING_ONLINE:
        return
    start = kernel.geometry.address(notify.start_pfn)
    end = start + kernel.geometry.address(notify.nr_pages)
    for device in kernel.state.devices:
        if not device.options.get("locked"):
            continue
        if any(low < end and start < low + size for low, size in device.ranges):
            raise MemoryHotplugError(errno.EACCES, f"{device.name!r} is locked")
