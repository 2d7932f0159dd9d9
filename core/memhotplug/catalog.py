"""The installed plugins, as the scenario format asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from memhotplug import manager
from memhotplug.keyspec import KeySpec

__all__ = ["Installed"]


class Installed:
    """Answers from entry points; a driver is imported when its keys are asked for."""

    def names(self, kind: str) -> list[str]:
        """Return the installed names of a kind: ``arch``, ``profiles`` or ``drivers``."""
        return manager.names(kind)

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only this driver has.

        Raises:
            PluginError: the driver is missing or broken, or its answer is no mapping of KeySpec.
        """
        return _keys(name)


@cache
def _keys(name: str) -> Mapping[str, KeySpec]:
    keys: Mapping[str, KeySpec] = manager.own_keys("drivers", name)
    return keys
