"""/sys/kernel/mm/transparent_hugepage: of its files the one that moves watermarks.

Models: mm/huge_memory.c:enabled_show(), enabled_store() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from typing import Final

from memhotplug.contracts import Ids, SysfsFile, Write
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.vm_sysctls import HugePages
from memhotplug.model.watermarks import huge_pages_of, switch_huge_pages

__all__ = ["FILES"]


def _show(kernel: Kernel, _ids: Ids) -> str:
    chosen = huge_pages_of(kernel.state)
    return " ".join(f"[{mode.value}]" if mode is chosen else mode.value for mode in HugePages) + "\n"


def _store(kernel: Kernel, _ids: Ids, write: Write) -> None:
    word = write.value.removesuffix("\n")
    mode = next((mode for mode in HugePages if mode.value == word), None)
    if mode is None:
        words = ", ".join(mode.value for mode in HugePages)
        raise MemoryHotplugError(errno.EINVAL, f"enabled takes one of {words}, not {write.value!r}")
    switch_huge_pages(kernel.state, mode, recalculates=kernel.has("huge_pages_off_lowers_marks"))


FILES: Final = (SysfsFile(path="sys/kernel/mm/transparent_hugepage/enabled", show=_show, store=_store),)
