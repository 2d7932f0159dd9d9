"""Files below /sys and /proc: what is read from them, and what becomes of a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from memhotplug.engine.kernel import Kernel
    from memhotplug.model.extents import Array

__all__ = ["Ids", "SysfsFile", "Write"]


@dataclass(frozen=True, slots=True)
class Write:
    """One write(2) to a file of the model.

    Attributes:
        value: the text, as it was written.
        capable: whether the writer has CAP_SYS_ADMIN.
    """

    value: str
    capable: bool = True


Ids: TypeAlias = tuple[int, ...]
"""The numbers that stand for each ``{}`` of a file's path, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SysfsFile:
    """One file, link or device node of the modelled /sys, /proc or /dev, as DEVICE_ATTR() declares one.

    Attributes:
        path: from the root, without a leading slash; ``{}`` stands for a number: ``sys/…/memory{}/state``.
        ids: for each ``{}`` who says which numbers there are, ascending, given the numbers before it.
        show: returns what the file reads, its trailing newline included; None for one that cannot be read.
        store: does what one write does, and raises MemoryHotplugError as the kernel answers; None if read-only.
        link: returns where a symbolic link points; such a file has neither ``show`` nor ``store``.
        device: returns major and minor number of a character device, which nobody can open; a path below ``dev``.
        exists: says whether this machine has it; None if every machine has.
        present: says whether it is there for some numbers; None if it is for all.
        private: whether only root may read it (0400 instead of 0444).
        size: what stat(2) says: 4096 in sysfs, 0 in procfs.
        listed: whether it appears in its directory; files that only the model has do not.
    """

    path: str
    ids: tuple[Callable[[Kernel, Ids], Sequence[int] | Array], ...] = ()
    show: Callable[[Kernel, Ids], str] | None = None
    store: Callable[[Kernel, Ids, Write], None] | None = None
    link: Callable[[Kernel, Ids], str] | None = None
    device: Callable[[Kernel, Ids], tuple[int, int]] | None = None
    exists: Callable[[Kernel], bool] | None = None
    present: Callable[[Kernel, Ids], bool] | None = None
    private: bool = False
    size: int = 4096
    listed: bool = True

    @property
    def mode(self) -> int:
        """The permission bits: 0444, 0644 or 0200 by what it can do, 0777 for a link, 0600 for a device."""
        if self.link is not None or self.device is not None:
            return 0o777 if self.link is not None else 0o600
        readable = 0 if self.show is None else 0o400 if self.private else 0o444
        return readable | (0o200 if self.store is not None else 0)
