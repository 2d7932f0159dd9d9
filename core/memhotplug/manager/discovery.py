"""What plugins there are: read from entry points, or loaded from files; none is imported to be listed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, NamedTuple

from memhotplug import distributions
from memhotplug.errors import PluginError, nearest
from memhotplug.manager.loading import load
from memhotplug.units import natural_key

__all__ = [
    "GROUPS",
    "Candidate",
    "Discovery",
    "candidates",
    "choose",
    "discovered",
    "files_in_use",
    "left_out",
    "names",
    "using",
]

GROUPS: Final[Mapping[str, str]] = {
    "arch": "memhotplug.arch",
    "profiles": "memhotplug.profiles",
    "drivers": "memhotplug.drivers",
    "policies": "memhotplug.policies",
}
"""Entry point group of each kind of plugin."""
_GROUP_PREFIX: Final = "memhotplug."


class Candidate(NamedTuple):
    """A plugin that is there: installed and not imported yet, or a file that was loaded.

    Attributes:
        kind: a key of GROUPS.
        name: what scenarios call it.
        distribution, version: the package that brought it; of a file, nothing and a digest of what it contains.
        target: the module (and attribute) to import.
        file: the path that a plugin from a file was given by, None for an installed one.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    file: str | None = None

    def __str__(self) -> str:
        if self.file is not None:
            return f"{self.name} ({self.file})"
        return f"{self.name} ({self.distribution} {self.version}, {GROUPS[self.kind]} = {self.target})"

    @property
    def home(self) -> str:
        """The module that it is."""
        return self.target.partition(":")[0]

    def load(self) -> object:
        """Import the plugin.

        Raises:
            PluginError: it cannot be imported, lacks a required hook, or has an unknown one.
        """
        return load(self)


@dataclass(frozen=True, eq=False, slots=True)
class Discovery:
    """What was found; another search is another discovery, whatever it finds.

    Attributes:
        plugins: those of all distributions, ascending by kind and name.
        unreadable: the distributions whose entry points cannot be read, with the reason.
    """

    plugins: tuple[Candidate, ...]
    unreadable: tuple[str, ...]


@functools.cache
def discovered() -> Discovery:
    """Return what is installed, which is looked for once."""
    kinds = {group: kind for kind, group in GROUPS.items()}
    entries, unreadable = distributions.entries(_GROUP_PREFIX)
    found = {
        Candidate(kinds[entry.group], entry.name, entry.distribution, entry.version, entry.value)
        for entry in entries
        if entry.group in kinds
    }
    return Discovery(tuple(sorted(found, key=_order)), tuple(sorted(set(unreadable))))


def left_out() -> tuple[str, ...]:
    """Return the distributions that were left out since their entry points cannot be read, with the reason."""
    return discovered().unreadable


def _order(candidate: Candidate) -> tuple[object, ...]:
    return candidate.kind, natural_key(candidate.name), candidate.distribution, candidate.version, candidate.target


_in_use: ContextVar[tuple[Candidate, ...]] = ContextVar("plugins from files", default=())


def using(files: Iterable[Candidate]) -> AbstractContextManager[None]:
    """Return a block inside which, and nowhere else, plugins from files count as installed.

    Raises:
        PluginError: there is another plugin of the same kind and name.
    """
    known = _in_use.get()
    for candidate in files:
        if candidate.target in {found.target for found in known}:
            continue  # the same content at the same place, by whatever path
        same = (candidate.kind, candidate.name)
        taken = [found for found in (*discovered().plugins, *known) if (found.kind, found.name) == same]
        if taken:
            raise PluginError(str(candidate), f"the name is taken by {taken[0]}; set PLUGIN_NAME in the file")
        known = (*known, candidate)
    return nullcontext() if known is _in_use.get() else _use(known)


@contextmanager
def _use(candidates: tuple[Candidate, ...]) -> Iterator[None]:
    token = _in_use.set(candidates)
    try:
        yield
    finally:
        with suppress(ValueError):  # left where it was not entered, as by the collector: nobody there uses them
            _in_use.reset(token)


def files_in_use() -> tuple[Candidate, ...]:
    """Return the plugins from files that count as installed here."""
    return _in_use.get()


def candidates(kind: str | None = None) -> list[Candidate]:
    """Return the plugins of one kind or of all, ascending by kind and name."""
    return list(_candidates(discovered(), _in_use.get(), kind))


@functools.lru_cache(maxsize=64)
def _candidates(found: Discovery, files: tuple[Candidate, ...], kind: str | None) -> tuple[Candidate, ...]:
    every = sorted((*found.plugins, *files), key=_order) if files else found.plugins
    return tuple(candidate for candidate in every if kind in (None, candidate.kind))


def names(kind: str) -> list[str]:
    """Return the names of the plugins of one kind, ascending, numbers in them by value.

    A name that several packages have is told apart by the package: ``acme-hotplug:acpi``.
    """
    return list(_names(discovered(), _in_use.get(), kind))


@functools.lru_cache(maxsize=64)
def _names(found: Discovery, files: tuple[Candidate, ...], kind: str) -> tuple[str, ...]:
    those = _candidates(found, files, kind)
    times = Counter(candidate.name for candidate in those)
    return tuple(sorted({_name(candidate, times) for candidate in those}, key=natural_key))


def _name(candidate: Candidate, times: Mapping[str, int]) -> str:
    return candidate.name if times[candidate.name] == 1 else f"{candidate.distribution}:{candidate.name}"


def choose(kind: str, name: str) -> Candidate:
    """Return the one plugin of a kind and name.

    Raises:
        PluginError: there is none, or there are several.
    """
    found = _called(discovered(), _in_use.get(), kind, name)
    if len(found) > 1:
        hint = f"write {found[0].distribution}:{name}"
        raise PluginError(name, f"is provided by more than one package: {', '.join(map(str, found))}; {hint}")
    if found:
        return found[0]
    known = names(kind)
    if not known:
        raise PluginError(name, f"no plugins of the group {GROUPS[kind]} are installed; run: pip install -e .")
    raise PluginError(name, f"not installed (there are: {', '.join(known)})", nearest=nearest(name, known))


@functools.lru_cache(maxsize=256)
def _called(found: Discovery, files: tuple[Candidate, ...], kind: str, name: str) -> tuple[Candidate, ...]:
    """Return the plugins of a kind that a name means, with or without their package."""
    package, _, own = name.rpartition(":")
    return tuple(
        candidate
        for candidate in _candidates(found, files, kind)
        if candidate.name == name or (package and (candidate.distribution, candidate.name) == (package, own))
    )
