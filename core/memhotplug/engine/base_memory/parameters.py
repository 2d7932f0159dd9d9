"""/sys/module/memory_hotplug/parameters. Models: kernel/params.c:param_attr_show(), param_attr_store()."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from memhotplug.contracts import Ids, SysfsFile, Write
from memhotplug.engine.kernel import Kernel

__all__ = ["files"]

_PARAMETERS: Final = "sys/module/memory_hotplug/parameters"


def files(kernel: Kernel) -> Iterator[SysfsFile]:
    """Yield a file for each parameter that the profile has."""
    for name, mode in kernel.profile.parameter_files(kernel).items():
        store = partial(_store, name) if mode & 0o200 else None
        yield SysfsFile(path=f"{_PARAMETERS}/{name}", show=partial(_show, name), store=store)


def _show(name: str, kernel: Kernel, _ids: Ids) -> str:
    return kernel.profile.module_parameters(kernel)[name]


def _store(name: str, kernel: Kernel, _ids: Ids, write: Write) -> None:
    kernel.profile.write_module_parameter(kernel, name, write.value)
