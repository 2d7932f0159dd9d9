"""What plugins say of themselves before any machine exists: their traits and the keys that only they have."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, cast

from memhotplug.contracts import ArchTraits, DriverTraits
from memhotplug.errors import Interruption, PluginError
from memhotplug.keyspec import COMMON_KEYS, KeySpec
from memhotplug.manager.blame import place_of, shown, told
from memhotplug.manager.discovery import Candidate, choose
from memhotplug.manager.loading import REQUIRED, hooks_in
from memhotplug.manager.running import running

__all__ = ["arch_traits", "ask_about", "ask_alone", "driver_traits", "own_keys", "traits_of"]

_KEY_HOOKS: Final = {"arch": "machine_keys", "drivers": "driver_keys"}
_TRAITS: Final[Mapping[str, tuple[str, type[ArchTraits] | type[DriverTraits]]]] = {
    "arch": ("arch_traits", ArchTraits),
    "drivers": ("driver_traits", DriverTraits),
}


_waiting: ContextVar[tuple[tuple[Candidate, str], ...]] = ContextVar("questions that are not answered yet", default=())


class _CircleError(PluginError):
    """Nobody below is to blame: it is told as it is."""


def ask_alone(candidate: Candidate, hook: str) -> object:
    """Ask one plugin a question before any machine exists; None if it does not have the (optional) hook.

    Raises:
        PluginError: the plugin is broken, or its answer takes that answer, as of profiles that are based on each other.
    """
    hooks = hooks_in(candidate, candidate.load())
    waiting = _waiting.get()
    if (candidate, hook) in waiting:
        names = [found.name for found, _ in waiting[waiting.index((candidate, hook)) :]]
        raise _CircleError(str(candidate), f"hook {hook} needs its own answer: {' for '.join([*names, names[0]])}")
    token = _waiting.set((*waiting, (candidate, hook)))
    try:
        with running.importing(candidate):
            caller = hooks[hook]
            return None if caller is None else caller({})
    except (KeyboardInterrupt, Interruption, _CircleError):
        raise
    except BaseException as problem:
        text = f"hook {hook} raised {told(problem)}{place_of(problem, candidate.home)}"
        raise PluginError(str(candidate), text) from problem
    finally:
        _waiting.reset(token)


def ask_about(candidate: Candidate) -> None:
    """Load a plugin and ask it for everything that it says of itself.

    Raises:
        PluginError: the plugin is broken.
    """
    candidate.load()
    if candidate.kind in _KEY_HOOKS:
        _keys_of(candidate)
    if candidate.kind in _TRAITS:
        traits_of(candidate)


def own_keys(kind: str, name: str) -> Mapping[str, KeySpec]:
    """Return the keys that only one plugin has: a driver's of ``add``, an architecture's of ``machine``.

    Raises:
        PluginError: the plugin is missing or broken, or its answer is no mapping of KeySpec.
    """
    return _keys_of(choose(kind, name))


@functools.cache
def _keys_of(candidate: Candidate) -> Mapping[str, KeySpec]:
    hook = _KEY_HOOKS[candidate.kind]
    keys = ask_alone(candidate, hook)
    if keys is None and hook not in REQUIRED[candidate.kind]:
        return {}
    if not isinstance(keys, Mapping) or not all(
        isinstance(key, str) and isinstance(spec, KeySpec) for key, spec in keys.items()
    ):
        raise PluginError(str(candidate), f"hook {hook} answered {shown(keys)}, which is no mapping of KeySpec")
    shadowed = sorted(COMMON_KEYS[candidate.kind] & set(keys))
    if shadowed:
        raise PluginError(str(candidate), f"hook {hook} answered the key {shadowed[0]!r}, which everybody has")
    return keys


def driver_traits(name: str) -> DriverTraits:
    """Return what is true of a driver.

    Raises:
        PluginError: the driver is missing or broken, or its answer is no DriverTraits.
    """
    return cast(DriverTraits, traits_of(choose("drivers", name)))


def arch_traits(name: str) -> ArchTraits:
    """Return what is true of every machine of an architecture.

    Raises:
        PluginError: the architecture is missing or broken, or its answer is no ArchTraits.
    """
    return cast(ArchTraits, traits_of(choose("arch", name)))


@functools.cache
def traits_of(candidate: Candidate) -> ArchTraits | DriverTraits:
    """Return what a driver or an architecture says of itself, asked once in this process.

    Raises:
        PluginError: it is broken, or its answer is of another type.
    """
    hook, kind = _TRAITS[candidate.kind]
    got = ask_alone(candidate, hook)
    if got is None:
        return kind()
    if not isinstance(got, kind):
        raise PluginError(str(candidate), f"hook {hook} answered {shown(got)}, which is no {kind.__name__}")
    return got
