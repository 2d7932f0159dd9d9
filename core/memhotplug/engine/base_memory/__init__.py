"""The modelled /sys and /proc: one table of files, which steps, FUSE and export alike read and write.

Models: drivers/base/memory.c, drivers/base/node.c, kernel/params.c, fs/proc (v5.2 to v7.2).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from typing import Final

from memhotplug.contracts import SysfsFile, Write
from memhotplug.engine.base_memory import memory, node, notifier_error_inject, parameters, transparent_hugepage
from memhotplug.engine.base_memory.tree import Entry, Folder, Tree
from memhotplug.engine.base_memory.valid_zones import valid_zones, valid_zones_by_row, zone_words
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import resident_drivers
from memhotplug.engine.procfs import files as proc_files
from memhotplug.errors import MemoryHotplugError

__all__ = ["Entry", "Folder", "Tree", "full_path", "read_attribute", "show", "store", "tree_of", "valid_zones",
           "valid_zones_by_row", "write_attribute", "zone_words"]  # fmt: skip

_SYSTEM: Final = "sys/devices/system/"
_LONGEST: Final = 80
_BLOCK: Final = re.compile(_SYSTEM + r"memory/memory(0|[1-9][0-9]{0,17})/")


def tree_of(kernel: Kernel) -> Tree:
    """Return the files that a machine has; those of a driver that is not resident are there from its first add on."""
    plugins = kernel.plugins
    for driver in resident_drivers(kernel):
        plugins.driver(driver)
    key = "sysfs", plugins.having("sysfs_files")  # a driver without files of its own changes nothing
    known = kernel.memo.get(key)
    if not isinstance(known, Tree):
        known = kernel.memo.setdefault(key, Tree(_files(kernel)))  # of two threads that made one, one is right
    assert isinstance(known, Tree)
    return known


def _files(kernel: Kernel) -> Iterator[SysfsFile]:
    yield from memory.files(kernel)
    yield from node.FILES
    yield from parameters.files(kernel)
    yield from notifier_error_inject.files(kernel)
    yield from transparent_hugepage.FILES
    yield from proc_files(kernel)
    for key in kernel.plugins.having("sysfs_files"):
        yield from kernel.plugins.ask(key, "sysfs_files", Sequence, kernel=kernel)


def full_path(path: str) -> str:
    """Return a path from the root, without its slash, of one below /sys/devices/system or from /sys or /proc on."""
    if path.startswith(("/sys/", "/proc/")):
        return path[1:]
    return _SYSTEM + path.lstrip("/")


def read_attribute(kernel: Kernel, path: str) -> str:
    """Return what a file reads, its trailing newline included.

    Args:
        path: below /sys/devices/system, or from /sys/ or /proc/ on.

    Raises:
        MemoryHotplugError: ENOENT there is no such file, EACCES it is write-only, EISDIR, EINVAL it is a link.
    """
    return show(kernel, _found(kernel, path), "/" + full_path(path))


def write_attribute(kernel: Kernel, path: str, value: str, *, capable: bool = True) -> None:
    """Write a file.

    Args:
        value: text; cut where no attribute would take so much, so that messages stay short.
        capable: whether the writer has CAP_SYS_ADMIN.

    Raises:
        MemoryHotplugError: as the kernel answers; ENOENT no such file, EACCES it is read-only.
    """
    store(kernel, _found(kernel, path), "/" + full_path(path), Write(value, capable))


def show(kernel: Kernel, entry: Entry, path: str) -> str:
    """Return what a file that was found reads; errors as :func:`read_attribute`."""
    file = _file(entry, path)
    if file.show is None:
        raise MemoryHotplugError(errno.EACCES, f"{path} is write-only")
    return file.show(kernel, entry.ids)


def store(kernel: Kernel, entry: Entry, path: str, write: Write) -> None:
    """Write to a file that was found; errors as :func:`write_attribute`."""
    file = _file(entry, path)
    if file.store is None:
        raise MemoryHotplugError(errno.EACCES, f"{path} is read-only")
    if len(write.value) > _LONGEST:  # no attribute takes so much, whatever it is
        write = Write(write.value[: _LONGEST - 1] + "…", write.capable)
    file.store(kernel, entry.ids, write)


def _file(entry: Entry, path: str) -> SysfsFile:
    if isinstance(entry.node, Folder):
        raise MemoryHotplugError(errno.EISDIR, f"{path} is a directory")
    if entry.node.link is not None:
        raise MemoryHotplugError(errno.EINVAL, f"{path} is a link")
    if entry.node.device is not None:
        raise MemoryHotplugError(errno.ENXIO, f"{path} is a device, of which the model has the node only")
    return entry.node


def _found(kernel: Kernel, path: str) -> Entry:
    entry = tree_of(kernel).find(kernel, full_path(path))
    if entry is None:
        lacking = memory.probe_absence(kernel) if full_path(path) == _SYSTEM + "memory/probe" else None
        if lacking is not None:
            raise lacking
        block = _BLOCK.match(full_path(path))
        if block and kernel.state.blocks.row(int(block[1])) is None:
            raise MemoryHotplugError(errno.ENOENT, f"there is no memory block {block[1]}")
        shown = path if path.startswith("/") else f"/{_SYSTEM}{path}"
        raise MemoryHotplugError(errno.ENOENT, f"there is no {shown}")
    return entry
