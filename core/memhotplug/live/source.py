"""Where a live machine comes from: a scenario whose steps run first, a recorded machine, or a fresh guest.

All three become one scenario document, so that what programs did to the machine can be written down as more steps
of the same scenario.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from memhotplug.commands.run.runner import RunResult, run_scenario
from memhotplug.errors import InputError
from memhotplug.formats.scenario import loads_scenario
from memhotplug.machine import Machine
from memhotplug.naming import assumed_arch, assumed_kernel
from memhotplug.output.watchdog import WatchedCatalog

__all__ = ["Source", "from_boot", "from_scenario", "from_snapshot"]

_BOOTED: Final = "--boot"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A machine and how it came to be.

    Attributes:
        machine: the machine after the steps of the scenario.
        document: the scenario as plain data; paths in it are absolute.
    """

    machine: Machine
    document: Mapping[str, Any]


def from_scenario(text: str, file: str) -> Source:
    """Return the machine at the end of a scenario.

    Args:
        file: what messages call it, and what names in it are relative to.

    Raises:
        InputError: the scenario cannot be used, or one of its steps does not do what it says.
    """
    result = run_scenario(loads_scenario(text, catalog=WatchedCatalog(), file=file))
    _check(result)
    document = yaml.safe_load(text)
    base = os.path.dirname(os.path.abspath(file))
    machine = dict(document["machine"])
    if "snapshot" in machine:
        ref = machine["snapshot"]
        ref = dict(ref) if isinstance(ref, dict) else {"path": ref}
        machine["snapshot"] = {**ref, "path": os.path.join(base, ref["path"])}
    plugins = [os.path.join(base, file) for file in document.get("plugins", ())]
    kept = {**document, "machine": machine} | ({"plugins": plugins} if plugins else {})
    return Source(machine=result.machine, document=kept)


def from_boot(
    size: int, *, arch: str | None, kernel: str | None, cmdline: str, block_size: int | None, page_size: int | None
) -> Source:
    """Return a fresh guest with ``size`` bytes of boot memory."""
    machine = {
        "arch": arch or assumed_arch(),
        "kernel": kernel or assumed_kernel(),
        "memory": size,
        "cmdline": cmdline or None,
        "memory_block_size": block_size,
        "page_size": page_size,
    }
    return _booted({key: value for key, value in machine.items() if value is not None})


def from_snapshot(path: str, *, step: int | None, arch: str | None, kernel: str | None, cmdline: str | None) -> Source:
    """Return a recorded machine, whose module parameters are as recorded.

    Raises:
        InputError: it cannot be read, or does not say its architecture and nobody else does.
    """
    from memhotplug.commands.plan.sources import from_snapshot as subject_of

    subject = subject_of(path, step=step, arch=arch, kernel=kernel, cmdline=cmdline)
    recorded = {"path": os.path.abspath(path)} | ({} if step is None else {"step": step})
    machine = {"arch": subject.arch, "kernel": subject.kernel, "snapshot": recorded}
    line = _parameters(path, step) if cmdline is None else cmdline
    return _booted(machine | ({"cmdline": line} if line else {}))


def _parameters(path: str, step: int | None) -> str:
    """Return what the module's parameters were when the machine was recorded, as a command line."""
    from memhotplug.formats.snapshot import open_snapshot

    files = open_snapshot(path, step)
    folder = "sys/module/memory_hotplug/parameters/"
    told = {name.removeprefix(folder): text for name, text in files.files.items() if name.startswith(folder)}
    told = dict(files.meta.parameters) | told
    return " ".join(f"memory_hotplug.{name}={value.strip()}" for name, value in sorted(told.items()))


def _booted(machine: Mapping[str, object]) -> Source:
    document = {"schema": 1, "machine": dict(machine), "steps": []}
    text = yaml.safe_dump(document, sort_keys=False)
    result = run_scenario(loads_scenario(text, catalog=WatchedCatalog(), file=None))
    _check(result)
    return Source(machine=result.machine, document=document)


def _check(result: RunResult) -> None:
    if result.failure is not None:
        raise InputError("a scenario whose steps do what it says", got=result.failure)
