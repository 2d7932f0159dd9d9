"""memhotplug: Linux physical memory hotplug with the memmap in the hot-added memory, as a model.

>>> from memhotplug import Machine
>>> machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
>>> dimm = machine.add_memory(driver="acpi", size="1G", mhp_flags="device")
>>> len(machine.online(dimm, zone="movable"))
8

Names are imported when they are first used, so that ``import memhotplug`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from memhotplug.contracts import PageFlag
    from memhotplug.engine.views.page import Page
    from memhotplug.engine.views.page_dtype import PAGE_DTYPE
    from memhotplug.errors import InputError, MemoryHotplugError, PluginError
    from memhotplug.machine import Machine, Memory

__all__ = [
    "PAGE_DTYPE",
    "InputError",
    "Machine",
    "Memory",
    "MemoryHotplugError",
    "Page",
    "PageFlag",
    "PluginError",
    "__version__",
]

__version__: Final = "0.1.0"

_HOMES: Final = {
    "InputError": "memhotplug.errors",
    "Machine": "memhotplug.machine",
    "Memory": "memhotplug.machine",
    "MemoryHotplugError": "memhotplug.errors",
    "PAGE_DTYPE": "memhotplug.engine.views.page_dtype",
    "Page": "memhotplug.engine.views.page",
    "PageFlag": "memhotplug.contracts",
    "PluginError": "memhotplug.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
