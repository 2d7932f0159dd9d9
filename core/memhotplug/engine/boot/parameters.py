"""The same machine under other parameters of memory_hotplug, which change nothing of what is there after boot."""

from __future__ import annotations

from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError

__all__ = ["MEMMAP_ON_MEMORY", "memmap_settings", "under"]

MEMMAP_ON_MEMORY = "memmap_on_memory"


def under(kernel: Kernel, name: str, word: str) -> Kernel:
    """Return a copy of a kernel as if it had been booted with ``memory_hotplug.name=word``.

    Raises:
        InputError: this kernel refuses the word.
    """
    twin = kernel.copy()
    twin.params = {**kernel.params, f"memory_hotplug.{name}": word}
    twin.state.profile = kernel.profile.new_state(twin)
    return twin


def memmap_settings(kernel: Kernel) -> list[str]:
    """Return what memmap_on_memory may be set to, as words of the kernel's own; nothing if it has no such switch."""
    if MEMMAP_ON_MEMORY not in kernel.profile.module_parameters(kernel):
        return []
    return [word for word in ("N", "Y", "force") if _accepts(kernel, word)]


def _accepts(kernel: Kernel, word: str) -> bool:
    """Return whether the switch takes a word, and takes it for what it says (before v6.6 "force" is a "false")."""
    try:
        twin = under(kernel, MEMMAP_ON_MEMORY, word)
    except InputError:
        return False
    return kernel.profile.module_parameters(twin)[MEMMAP_ON_MEMORY].strip() == word
