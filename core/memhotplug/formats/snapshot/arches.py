"""What reading a snapshot needs to know of architectures; whoever reads one says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ArchFacts", "Architectures"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchFacts:
    """One architecture.

    Attributes:
        name: the architecture plugin's name.
        aliases: what ``uname -m``, distributions and recordings call it.
        page_sizes: the base page sizes in bytes that it offers.
        zones: the zones that lie at fixed addresses on every machine: name, first byte, first byte behind.
    """

    name: str
    aliases: tuple[str, ...] = ()
    page_sizes: tuple[int, ...] = ()
    zones: tuple[tuple[str, int, int], ...] = ()


class Architectures:
    """All architectures that may have been recorded.

    >>> Architectures([ArchFacts(name="vax", aliases=("vax780",))]).named("vax780")
    'vax'
    """

    def __init__(self, known: Iterable[ArchFacts]) -> None:
        self._facts = {facts.name: facts for facts in known}
        self._names = {alias: facts.name for facts in self._facts.values() for alias in facts.aliases}
        self._names |= {name: name for name in self._facts}

    @property
    def words(self) -> list[str]:
        """Everything that an architecture is called, ascending."""
        return sorted(self._names)

    def named(self, word: str) -> str | None:
        """Return the architecture of that name or alias, None if there is none."""
        return self._names.get(word)

    def page_sizes(self, arch: str | None) -> tuple[int, ...]:
        """Return the page sizes that an architecture offers; none if it is not known."""
        return self._facts[arch].page_sizes if arch in self._facts else ()

    def zones(self, arch: str | None) -> tuple[tuple[str, int, int], ...]:
        """Return the zones at fixed addresses; none if the architecture has none or is not known."""
        return self._facts[arch].zones if arch in self._facts else ()

    def by_zone_end(self, zone: str, end: int) -> str | None:
        """Return the one architecture whose zone of that name always ends at an address, None if several or none do."""
        found = [
            facts.name
            for facts in self._facts.values()
            if any(name == zone and last == end for name, _, last in facts.zones)
        ]
        return found[0] if len(found) == 1 else None

    def by_zones(self, zones: Iterable[str]) -> str | None:
        """Return the one architecture that has all of its lower zones among these, None if several or none have."""
        there = set(zones)
        lower = {facts.name: {name for name, *_ in facts.zones[:-1]} for facts in self._facts.values()}
        found = [name for name, wanted in lower.items() if wanted and wanted <= there]
        return found[0] if len(found) == 1 else None
