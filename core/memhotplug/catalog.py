"""The installed plugins, as the scenario format asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from memhotplug import manager, plugin_file
from memhotplug.keyspec import KeySpec

__all__ = ["Installed"]


class Installed:
    """Answers from entry points; a driver is imported when its keys are asked for."""

    def names(self, kind: str) -> list[str]:
        """Return the installed names of a kind: a key of GROUPS."""
        return manager.names(kind)

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only this driver has.

        Raises:
            PluginError: the driver is missing or broken, or its answer is no mapping of KeySpec.
        """
        return manager.own_keys("drivers", name)

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """Return a block in which plugins from files count as installed.

        Raises:
            InputError: a file cannot be read, is no plugin, or has a name that is taken.
        """
        return manager.using([plugin_file.load(path) for path in files])
