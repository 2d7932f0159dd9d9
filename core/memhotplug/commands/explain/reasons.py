"""Where the kernel says so: the plugins' own citations."""

from __future__ import annotations

from memhotplug.citations import citation_of
from memhotplug.engine.kernel import Kernel
from memhotplug.manager import choose

__all__ = ["arch_source", "driver_source", "profile_source"]


def profile_source(kernel: Kernel) -> str | None:
    """Return where the kernel decides whether a range may host its memmap.

    A profile on top of another one follows the same function, unless it says that it follows another one.
    """
    for kind in type(kernel.profile).__mro__:
        found = citation_of(vars(kind).get("memmap_on_memory_refusal"), kernel.version)
        if found is not None:
            return found
    return None


def arch_source(kernel: Kernel, hook: str) -> str | None:
    """Return what the architecture's hook models."""
    return citation_of(getattr(choose("arch", kernel.arch).load(), hook, None), kernel.version)


def driver_source(kernel: Kernel, driver: str, hook: str) -> str | None:
    """Return what the driver's hook models."""
    return citation_of(getattr(choose("drivers", driver).load(), hook, None), kernel.version)
