"""The installed plugins, as the scenario format asks for them, and which of them an exception comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ContextDecorator

from memhotplug import manager, naming, plugin_file
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.keyspec import KeySpec

__all__ = ["Installed", "blaming", "plugin_at_fault", "whose_code"]


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

    A profile is called without a detour through the plugin manager, so nobody else has looked.
    """
    for trace in manager.frames_of(problem):
        module = manager.module_of(trace)
        if manager.is_below(module, "memhotplug"):
            return None
        found = whose_code(module, trace.tb_frame.f_code.co_filename)
        if found is not None:
            name, home = found
            return PluginError(name, f"raised {manager.told(problem)}{manager.place_of(problem, home)}")
    return None


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
