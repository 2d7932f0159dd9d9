"""Why something is refused, and where the kernel says so: the plugins' own words and citations."""

from __future__ import annotations

import inspect
import re

from memhotplug.engine.kernel import Kernel
from memhotplug.manager import choose

__all__ = ["arch_source", "citation", "driver_source", "profile_source"]

_CITATION = re.compile(r"Models:\s+(\S+?:\w+\(\)|[\w./-]+/Kconfig:\w+|[\w./-]+\.[ch])([^;]*?)(?:;|\.\s|\.$|\n\s*\n|$)")
_VERSION = re.compile(r"\(v[\d.]+[^()]*\)")


def citation(subject: object, version: tuple[int, int]) -> str | None:
    """Return the (first) kernel function that a plugin's docstring cites, with its version, None if it cites none.

    Args:
        version: added where the citation names no version.
    """
    found = _CITATION.search(inspect.getdoc(subject) or "")
    if found is None:
        return None
    told = _VERSION.search(" ".join(found[2].split()))
    return f"{found[1]} {told[0] if told else f'(v{version[0]}.{version[1]})'}"


def profile_source(kernel: Kernel) -> str | None:
    """Return where the kernel decides whether a range may host its memmap."""
    return citation(type(kernel.profile).memmap_on_memory_refusal, kernel.version)


def arch_source(kernel: Kernel, hook: str) -> str | None:
    """Return what the architecture's hook models."""
    plugin = choose("arch", kernel.arch).load()
    return citation(getattr(plugin, hook, None), kernel.version) or citation(plugin, kernel.version)


def driver_source(kernel: Kernel, driver: str, hook: str) -> str | None:
    """Return what the driver's hook models."""
    plugin = choose("drivers", driver).load()
    return citation(getattr(plugin, hook, None), kernel.version) or citation(plugin, kernel.version)
