"""What people call architectures, kernels and drivers, and which plugin that is: the same answer everywhere.

The plugin manager knows exact names only. Whatever a user types, a scenario says or a recording holds goes
through here first: aliases are the plugins' own data, and a kernel release is the newest mainline profile,
called ``linux-X.Y``, that is not newer.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from memhotplug.contracts import ArchTraits
from memhotplug.errors import InputError, PluginError, nearest
from memhotplug.manager import arch_traits, driver_traits, names

if TYPE_CHECKING:
    from memhotplug.formats.snapshot import Architectures, RecordedMachine, SnapshotFiles
    from memhotplug.formats.snapshot.known import Known

__all__ = [
    "arches",
    "architectures",
    "assumed_arch",
    "assumed_kernel",
    "canonical",
    "choose_profile",
    "first_mainline",
    "is_mainline",
    "kernels",
    "mainline_since",
    "newest_kernel",
    "oldest_profile",
    "read_machine",
    "resolve",
    "suggestion",
]

_MAINLINE: Final = "linux-"
_RELEASE: Final = re.compile(r"(?:linux-|v)?(\d+\.\d+\S*)")
_ASSUMED_RELEASE: Final = "6.12"  # the long-term release that most machines run
_OPTIONS: Final = {"arch": "--arch", "profiles": "--kernel", "drivers": "--driver", "policies": "--policy"}


def canonical(kind: str, word: str) -> str | None:
    """Return the name of the installed plugin that a word means, None if it means none.

    Args:
        kind: ``arch``, ``profiles``, ``drivers`` or ``policies``.
        word: a plugin's name or one of its aliases, whatever their case, with dashes for underscores; for a
            profile also a release, such as ``6.12``, ``6.12.107+deb13`` or ``linux-6.13``.
    """
    installed = names(kind)
    if word in installed:
        return word
    if kind == "profiles":
        return _profile_of_release(word)
    wanted = _plain(word)
    found = [name for name in installed if wanted == _plain(name)]
    found = found or [name for name in installed if wanted in map(_plain, _aliases(kind, name))]
    return found[0] if len(found) == 1 else None


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def _aliases(kind: str, name: str) -> tuple[str, ...]:
    """Return a plugin's aliases; none if it cannot be loaded, as it may be another one that is meant."""
    try:
        if kind == "arch":
            return arch_traits(name).aliases
        return driver_traits(name).aliases if kind == "drivers" else ()
    except PluginError:
        return ()


def _profile_of_release(word: str) -> str | None:
    match = _RELEASE.fullmatch(word)
    if match is None:
        return None
    try:
        return choose_profile(match[1])
    except InputError:
        return None


def resolve(kind: str, word: str, option: str | None = None) -> str:
    """Return the name of the installed plugin that a word means.

    Args:
        option: what the user typed it behind, by default the option that all commands have for it.

    Raises:
        InputError: it means none; with the nearest name.
    """
    name = canonical(kind, word)
    if name is not None:
        return name
    path = option or _OPTIONS[kind]
    if kind == "profiles" and (match := _RELEASE.fullmatch(word)):
        try:
            return choose_profile(match[1])
        except InputError as problem:
            raise InputError(problem.expected, got=word, path=path) from None
    known = names(kind)
    if not known and kind == "policies":
        raise InputError("an installed policy, or one from a file (--plugin FILE)", got=word, path=path)
    raise InputError(f"one of {', '.join(known)}", got=word, path=path, nearest=suggestion(kind, word))


def suggestion(kind: str, word: str) -> str | None:
    """Return the name or alias that is nearest to a word that means nothing, None if none is near."""
    known = names(kind)
    return nearest(word, [*known, *(alias for name in known for alias in _aliases(kind, name))])


def kernels() -> list[str]:
    """Return the names of the installed profiles, oldest first, mainline behind the others."""
    return sorted(names("profiles"), key=is_mainline)


def newest_kernel() -> str:
    """Return the name of the newest mainline profile.

    Raises:
        InputError: none is installed.
    """
    found = [name for name in kernels() if is_mainline(name)]
    if not found:
        raise InputError("an installed profile of mainline Linux (linux-…)", got="none")
    return found[-1]


def is_mainline(profile: str) -> bool:
    """Return whether a profile stands for a release of mainline Linux, which its name says."""
    return profile.startswith(_MAINLINE)


def choose_profile(release: str | None) -> str:
    """Return the newest mainline profile that is not newer than a kernel release.

    Raises:
        InputError: there is none, or the release cannot be read.
    """
    wanted, profiles = _version(release or ""), _mainline()
    usable = [version for version in profiles if version and wanted and version <= wanted]
    if not usable:
        raise InputError(f"a kernel release that a profile covers ({', '.join(profiles.values())})", got=release)
    return profiles[max(usable)]


def first_mainline() -> str:
    """Return the oldest mainline profile.

    Raises:
        InputError: none is installed.
    """
    versions = [version for version in _mainline() if version]
    if not versions:
        raise InputError("an installed profile of mainline Linux (linux-…)", got="none")
    return _mainline()[min(versions)]


def oldest_profile(release: str) -> str | None:
    """Return the oldest mainline profile if a kernel release is older than that, else None."""
    wanted, profiles = _version(release), _mainline()
    oldest = min((version for version in profiles if version), default=None)
    return profiles[oldest] if wanted and oldest and wanted < oldest else None


def mainline_since(profile: str) -> list[tuple[str, tuple[int, int]]]:
    """Return a mainline profile and all newer ones, each with its version, oldest first; none for another profile."""
    found = sorted((version, name) for version, name in _mainline().items() if version)
    first = _version(profile.removeprefix(_MAINLINE)) if is_mainline(profile) else None
    return [(name, version) for version, name in found if first and version >= first]


def _mainline() -> dict[tuple[int, int] | None, str]:
    return {_version(name.removeprefix(_MAINLINE)): name for name in names("profiles") if is_mainline(name)}


@functools.lru_cache(maxsize=64)  # the names of the installed profiles are asked for again and again
def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def assumed_kernel() -> str:
    """Return the profile that is assumed where nobody says which kernel.

    Raises:
        InputError: no mainline profile is installed that covers it.
    """
    return choose_profile(_ASSUMED_RELEASE)


def assumed_arch() -> str:
    """Return the architecture that is assumed where nobody says which: the last that says so, else the first by name.

    The first that says so ends the search, so that the others are not loaded for it.

    Raises:
        InputError: no architecture is installed.
    """
    known = names("arch")
    if not known:
        raise InputError("an installed architecture", got="none")
    for name in reversed(known):
        try:
            if arch_traits(name).is_assumed:
                return name
        except PluginError:
            continue
    return known[0]


def arches() -> dict[str, ArchTraits]:
    """Return what is true of each installed architecture; those that cannot be loaded are left out."""
    found = {}
    for name in names("arch"):
        try:
            found[name] = arch_traits(name)
        except PluginError:
            continue
    return found


def architectures() -> Architectures:
    """Return the installed architectures, as snapshots are read with."""
    from memhotplug.formats.snapshot import ArchFacts, Architectures

    return Architectures(
        ArchFacts(name=name, aliases=traits.aliases, page_sizes=traits.page_sizes, zones=traits.zones)
        for name, traits in arches().items()
    )


def read_machine(files: SnapshotFiles, arch: str | None = None, known: Known | None = None) -> RecordedMachine:
    """Parse a snapshot of a machine of any installed architecture.

    Args:
        arch: the architecture where nothing recorded tells it.
        known: what of the recording was read already.

    Raises:
        InputError: as :func:`memhotplug.formats.snapshot.read_machine`.
    """
    from memhotplug.formats.snapshot import read_machine as read

    return read(files, architectures(), arch, known)
