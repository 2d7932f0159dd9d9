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

    def canonical(self, kind: str, word: str) -> str | None:
        """Return the installed name that a word means: itself, or what it is an alias of; None if nothing."""
        ...

    def suggestion(self, kind: str, word: str) -> str | None:
        """Return the name or alias that is nearest to a word that means nothing, None if none is near."""
        ...

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only the driver ``name`` has."""
        ...

    def machine_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``machine`` that only the architecture ``name`` has."""
        ...

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """Return a block in which plugins from files count as installed; InputError where one cannot be used."""
        ...


class CatalogCache:
    """A catalog that asks another one for everything only once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._names: dict[str, list[str]] = {}
        self._keys: dict[tuple[str, str], Mapping[str, KeySpec]] = {}
        self._meant: dict[tuple[str, str], str | None] = {}

    def names(self, kind: str) -> list[str]:
        """Return the installed names of a kind, ascending."""
        if kind not in self._names:
            self._names[kind] = sorted(self._catalog.names(kind), key=natural_key)
        return self._names[kind]

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only the driver ``name`` has."""
        if ("drivers", name) not in self._keys:
            self._keys["drivers", name] = self._catalog.driver_keys(name)
        return self._keys["drivers", name]

    def machine_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``machine`` that only the architecture ``name`` has."""
        if ("arch", name) not in self._keys:
            self._keys["arch", name] = self._catalog.machine_keys(name)
        return self._keys["arch", name]

    def canonical(self, kind: str, word: str) -> str | None:
        """Return the installed name that a word means, None if it means nothing."""
        if word in self.names(kind):
            return word
        if (kind, word) not in self._meant:
            self._meant[kind, word] = self._catalog.canonical(kind, word)
        return self._meant[kind, word]

    def suggestion(self, kind: str, word: str) -> str | None:
        """Return the name or alias that is nearest to a word that means nothing, None if none is near."""
        return self._catalog.suggestion(kind, word)

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """Return a block in which plugins from files count as installed; nothing may have been asked before."""
        return self._catalog.using(files)
