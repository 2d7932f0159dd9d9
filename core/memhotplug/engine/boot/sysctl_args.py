"""What the command line asks of transparent huge pages and of /proc/sys/vm, once the kernel has booted.

Models: mm/huge_memory.c:setup_transparent_hugepage(), hugepage_init() (v5.2 to v6.12);
fs/proc/proc_sysctl.c:do_sysctl_args(), process_sysctl_arg() (v5.8 to v7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs.sysctl_vm import write_sysctl
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.vm_sysctls import HugePages
from memhotplug.model.watermarks import huge_pages_of

__all__ = ["note_madvise", "set_sysctls"]

_PREFIX: Final = "sysctl.vm."


def note_madvise(kernel: Kernel) -> None:
    """Note that huge pages are for those who ask; on a machine too small for them, that word changes nothing."""
    asked = kernel.params.get("transparent_hugepage") == HugePages.MADVISE.value
    if asked and huge_pages_of(kernel.state) is HugePages.ALWAYS:
        kernel.state.huge_pages = HugePages.MADVISE


def set_sysctls(kernel: Kernel, params: Mapping[str, str]) -> None:
    """Write what parameters such as ``sysctl.vm.min_free_kbytes=65536`` say; a value that is refused is ignored."""
    for name, value in params.items():
        path = name.replace("/", ".")
        if not path.startswith(_PREFIX) or not kernel.has("sysctl_on_cmdline"):
            continue
        try:
            write_sysctl(kernel, path[len(_PREFIX) :], value)
        except MemoryHotplugError as refused:
            if refused.name == "ENOENT":
                continue  # the kernel's own, of which the model has no file
            kernel.warn(f"ignored, as by the kernel: {name}={value} ({refused})")
