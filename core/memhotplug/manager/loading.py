"""One plugin, imported and checked: its hooks are known, those that its kind requires are there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from itertools import repeat
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

import pluggy

from memhotplug import distributions, hookspecs
from memhotplug.errors import Interruption, PluginError, nearest
from memhotplug.keyspec import OWN_POLICY
from memhotplug.manager.blame import place_of, told
from memhotplug.manager.hooks import Hooks
from memhotplug.manager.running import running

if TYPE_CHECKING:
    from memhotplug.manager.discovery import Candidate

__all__ = ["REQUIRED", "hooks_in", "hooks_of", "load"]

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "arch": (
        "page_sizing",
        "zone_limits",
        "boot_base",
        "vmemmap_populate",
        "vmemmap_free",
        "arch_add_memory",
        "arch_remove_memory",
        "supports_memmap_on_memory",
    ),
    "profiles": ("kernel_profile",),
    "drivers": ("driver_keys", "driver_ranges", "mhp_flags"),
    "policies": ("policy_mhp_flags",),
}
"""The hooks that a plugin of each kind must have."""

_SPECS: Final[Mapping[str, type]] = {
    "arch": hookspecs.ArchSpec,
    "profiles": hookspecs.ProfileSpec,
    "drivers": hookspecs.DriverSpec,
    "policies": hookspecs.PolicySpec,
    "any": hookspecs.NotifierSpec,
}
"""The hook specifications of each kind of plugin, and of those that any may have."""


_MARK: Final = f"{hookspecs.PROJECT}_impl"
"""The attribute by which pluggy knows a function that is a hook."""


@functools.cache
def load(candidate: Candidate) -> object:
    """Import a plugin, once in this process.

    Raises:
        PluginError: it cannot be imported, lacks a required hook, has an unknown one, or could never be chosen.
    """
    if (candidate.kind, candidate.name) == ("policies", OWN_POLICY):
        raise PluginError(str(candidate), f"the name {OWN_POLICY} is the driver's own policy's; it needs another")
    try:
        with running.importing(candidate):
            plugin = distributions.load(candidate.target)
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException as problem:
        text = f"cannot be loaded: {told(problem)}"
        raise PluginError(str(candidate), text + place_of(problem, candidate.home)) from problem
    hooks_in(candidate, plugin)
    return plugin


def hooks_in(candidate: Candidate, plugin: object) -> Hooks:
    """Return the hooks of a plugin alone, and no others, shared by all machines as long as it has the same functions.

    Raises:
        PluginError: it lacks a required hook, or has an unknown one.
    """
    return _managed(candidate, plugin, tuple(map(getattr, repeat(plugin), _every_hook(), repeat(None))))


@functools.cache
def _every_hook() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for spec in _SPECS.values() for name in _names_in(spec)))


@functools.lru_cache(maxsize=256)
def _managed(candidate: Candidate, plugin: object, functions: tuple[object, ...]) -> Hooks:
    """Return the hooks of one plugin; ``functions`` only tell when those that were found earlier are out of date."""
    manager = _OwnHooks(hookspecs.PROJECT)
    try:
        manager.register(plugin, name=candidate.name)
        manager.specify()
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as problem:
        raise _unusable(candidate, plugin, problem) from problem
    have = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    missing = [hook for hook in REQUIRED[candidate.kind] if hook not in have]
    if missing:
        raise PluginError(str(candidate), f"has no hook {', '.join(missing)}")
    return Hooks(manager.hook)


def _unusable(candidate: Candidate, plugin: object, problem: Exception) -> PluginError:
    """Return the error of a plugin that pluggy refuses, with the hook that was probably meant."""
    manager = _Manager(hookspecs.PROJECT)
    manager.specify()
    known = [*hooks_of(candidate.kind), *hooks_of("any")]
    have = [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    unknown = [name for name in have if not hasattr(manager.hook, name)]
    if unknown:
        return PluginError(str(candidate), f"there is no hook {unknown[0]!r}", nearest=nearest(unknown[0], known))
    for name in have:
        specified = getattr(manager.hook, name).spec.argnames
        taken = inspect.signature(getattr(plugin, name)).parameters
        strange = [argument for argument in taken if argument not in specified]
        if strange:
            text = f"hook {name} has no argument {strange[0]!r} (there are: {', '.join(specified) or 'none'})"
            return PluginError(str(candidate), text, nearest=nearest(strange[0], specified))
    return PluginError(str(candidate), " ".join(str(problem).split()))


class _Manager(pluggy.PluginManager):
    """A plugin manager that reads the specifications once in a process, and at marked functions only of a module."""

    def specify(self) -> None:
        """Add the specifications of all hooks, which hold for what is registered already, too.

        Raises:
            pluggy.PluginValidationError: a plugin has a hook that is called otherwise.
        """
        for spec in _SPECS.values():
            self.add_hookspecs(spec)

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> pluggy.HookspecOpts | None:
        return _hookspec_opts(module_or_class, name)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if isinstance(plugin, ModuleType):
            function = vars(plugin).get(name)
            if not isinstance(function, FunctionType) or not hasattr(function, _MARK):
                return None
        elif _is_inherited(plugin, name):
            return None
        return super().parse_hookimpl_opts(plugin, name)


_OF_EVERY_OBJECT: Final = frozenset(dir(object))


def _is_inherited(plugin: object, name: str) -> bool:
    """Return whether an attribute is one that every object has, which pluggy would look for in each class in turn."""
    if name not in _OF_EVERY_OBJECT or isinstance(plugin, type):
        return False
    return not any(name in vars(kind) for kind in type(plugin).__mro__[:-1])


@functools.cache
def _hookspec_opts(spec: type, name: str) -> pluggy.HookspecOpts | None:
    return pluggy.PluginManager(hookspecs.PROJECT).parse_hookspec_opts(spec, name)


class _OwnHooks(_Manager):
    """A manager of one plugin: hooks that it does not have need no specification, and there are many of those."""

    def add_hookspecs(self, module_or_class: Any) -> None:
        if not vars(self.hook).keys().isdisjoint(_names_in(module_or_class)):
            super().add_hookspecs(module_or_class)

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> pluggy.HookspecOpts | None:
        return super().parse_hookspec_opts(module_or_class, name) if hasattr(self.hook, name) else None


def hooks_of(kind: str) -> list[str]:
    """Return the names of the hooks that a kind of plugin may have, those of any kind apart."""
    return list(_names_in(_SPECS[kind]))


@functools.cache
def _names_in(spec: type) -> tuple[str, ...]:
    return tuple(name for name, value in vars(spec).items() if callable(value) and not name.startswith("_"))
