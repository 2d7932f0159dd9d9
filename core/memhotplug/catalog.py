"""The installed plugins, as the scenario format asks for them, and which of them an exception comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ContextDecorator
from typing import Final

from memhotplug import manager, naming, plugin_file
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.keyspec import KeySpec

__all__ = ["Installed", "blaming", "plugin_at_fault", "whose_code"]

_CORE: Final = "memhotplug"
"""The package of the core, and the distribution that brings it and the built-in plugins."""


class Installed:
    """Answers from entry points; a plugin is imported when its keys or aliases are asked for."""

    def names(self, kind: str) -> list[str]:
        """Return the installed names of a kind: a key of GROUPS."""
        return manager.names(kind)

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only this driver has.

        Raises:
            PluginError: the driver is missing or broken, or its answer is no mapping of KeySpec.
        """
        return manager.own_keys("drivers", name)

    def machine_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``machine`` that only this architecture has.

        Raises:
            PluginError: the architecture is missing or broken, or its answer is no mapping of KeySpec.
        """
        return manager.own_keys("arch", name)

    def canonical(self, kind: str, word: str) -> str | None:
        """Return the installed name that a word means: itself, or what it is an alias of; None if nothing."""
        return naming.canonical(kind, word)

    def suggestion(self, kind: str, word: str) -> str | None:
        """Return the name or alias that is nearest to a word that means nothing, None if none is near."""
        return naming.suggestion(kind, word)

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """Return a block in which plugins from files count as installed.

        Raises:
            InputError: a file cannot be read, is no plugin, or has a name that is taken.
        """
        return manager.using([plugin_file.load(path) for path in files])


def plugin_at_fault(problem: BaseException) -> PluginError | None:
    """Return the error that names the plugin in whose code ``problem`` was raised, None if in none's.

    A profile is called without a detour through the plugin manager, so nobody else has looked. What the core
    raises when somebody else's plugin calls it is that plugin's fault, as far as anybody can tell; what it raises
    when a plugin of this distribution does is a bug.
    """
    within = ""  # the module of the core that raised
    for trace in manager.frames_of(problem):
        module, file = manager.module_of(trace), trace.tb_frame.f_code.co_filename
        if manager.is_below(module, _CORE):
            within = within or module
            continue
        found = whose_code(module, file)
        if found is None or (within and not _is_somebody_elses(module)):
            continue
        if within and isinstance(problem, MemoryError):  # the machine is too large, whoever asked last
            return None
        name, home = found
        where = f" in {within}, called at {file}:{trace.tb_lineno}" if within else manager.place_of(problem, home)
        return PluginError(name, f"raised {manager.told(problem)}{where}")
    return None


def _is_somebody_elses(module: str) -> bool:
    """Return whether no plugin of the core's own distribution is in a module."""
    if plugin_file.is_from_file(module):
        return True
    owners = {one.distribution for one in manager.candidates() if manager.is_below(module, one.home)}
    return _CORE not in owners


def whose_code(module: str, file: str) -> tuple[str, str] | None:
    """Return the plugin, as messages name it, and its module, whose code is in a module; None if it is no plugin's.

    Args:
        file: where the code was read from.
    """
    if plugin_file.is_from_file(module):  # whether it still counts as installed or no longer
        from pathlib import Path

        return f"{Path(file).stem} ({file})", module
    for candidate in manager.candidates():
        if manager.is_below(module, candidate.home):
            return str(candidate), candidate.home
    return None


class blaming(ContextDecorator):  # noqa: N801  # used as a function is
    """A block in which an exception that no plugin should raise becomes one that names the plugin.

    Raises:
        PluginError: the block failed inside a plugin.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, (Exception, SystemExit)) and not isinstance(problem, (MemoryHotplugError, InputError)):
            culprit = plugin_at_fault(problem)
            if culprit is not None:
                raise culprit from problem
