"""The installed plugins, as the scenario format asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from memhotplug import manager, naming, plugin_file
from memhotplug.keyspec import KeySpec

__all__ = ["Installed"]


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
