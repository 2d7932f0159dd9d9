"""What the scenario format needs to know of the installed plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from memhotplug.keyspec import KeySpec
from memhotplug.units import natural_key

__all__ = ["Catalog", "CatalogCache"]


class Catalog(Protocol):
    """Who answers which plugins there are; the plugin manager does."""

    def names(self, kind: str) -> list[str]:
        """Return the installed names of a kind: ``arch``, ``profiles``, ``drivers`` or ``policies``."""
        ...

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only the driver ``name`` has."""
        ...

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """Return a block in which plugins from files count as installed; InputError where one cannot be used."""
        ...


class CatalogCache:
    """A catalog that asks another one for everything only once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._names: dict[str, list[str]] = {}
        self._keys: dict[str, Mapping[str, KeySpec]] = {}

    def names(self, kind: str) -> list[str]:
        """Return the installed names of a kind, ascending."""
        if kind not in self._names:
            self._names[kind] = sorted(self._catalog.names(kind), key=natural_key)
        return self._names[kind]

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only the driver ``name`` has."""
        if name not in self._keys:
            self._keys[name] = self._catalog.driver_keys(name)
        return self._keys[name]

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """Return a block in which plugins from files count as installed; nothing may have been asked before."""
        return self._catalog.using(files)
