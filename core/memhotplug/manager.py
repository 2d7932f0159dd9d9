"""Plugins: found, chosen, loaded and called, with the blame put where it belongs.

Three steps that must not be confused: *discover* reads entry points and imports nothing; *load*
imports one chosen plugin into a plugin manager of its own, once for all machines; *register* lets one
machine use it. A plugin that is broken but not chosen harms nobody.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeAlias, cast

import pluggy

from memhotplug import distributions, hookspecs
from memhotplug.contracts import ArchTraits, DriverTraits
from memhotplug.errors import InputError, Interruption, MemoryHotplugError, PluginError, nearest
from memhotplug.keyspec import COMMON_KEYS, KeySpec
from memhotplug.units import natural_key

__all__ = [
    "GROUPS",
    "Candidate",
    "Plugins",
    "Tracer",
    "arch_traits",
    "ask_alone",
    "candidates",
    "choose",
    "driver_traits",
    "files_in_use",
    "frames_of",
    "hooks_of",
    "is_below",
    "left_out",
    "module_of",
    "names",
    "own_keys",
    "place_of",
    "running",
    "tracing",
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

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
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

_SPECS: Final[Mapping[str, type]] = {
    "arch": hookspecs.ArchSpec,
    "profiles": hookspecs.ProfileSpec,
    "drivers": hookspecs.DriverSpec,
    "policies": hookspecs.PolicySpec,
    "any": hookspecs.NotifierSpec,
}
"""The hook specifications of each kind of plugin, and of those that any may have."""


_KEY_HOOKS: Final = {"arch": "machine_keys", "drivers": "driver_keys"}
_TRAITS: Final[Mapping[str, tuple[str, type[ArchTraits] | type[DriverTraits]]]] = {
    "arch": ("arch_traits", ArchTraits),
    "drivers": ("driver_traits", DriverTraits),
}


class _Running:
    """Whose code runs right now in this process, for whoever limits its time.

    Attributes:
        serial: counts every beginning, so that one long call is told from many short ones.
        candidate, hook: the plugin and its hook; the hook is None while the plugin is imported.
    """

    __slots__ = ("candidate", "hook", "serial")

    def __init__(self) -> None:
        self.serial = 0
        self.candidate: Candidate | str | None = None
        self.hook: str | None = None

    @contextmanager
    def importing(self, candidate: Candidate | str) -> Iterator[None]:
        """Say that a plugin is being imported, or asked before any machine exists; what it prints is no answer."""
        outer = self.candidate, self.hook
        self.serial, self.candidate, self.hook = self.serial + 1, candidate, None
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self.candidate, self.hook = outer

    def who(self) -> str | None:
        """Return the plugin that runs, and in which hook; None if none does."""
        if self.candidate is None:
            return None
        return str(self.candidate) if self.hook is None else f"{self.candidate}, hook {self.hook}"


running: Final = _Running()


@dataclass(frozen=True, slots=True)
class Candidate:
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
        return _load(self)


@functools.cache
def _load(candidate: Candidate) -> object:
    try:
        with running.importing(candidate):
            plugin = distributions.load(candidate.target)
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException as problem:
        text = f"cannot be loaded: {type(problem).__name__}: {problem}"
        raise PluginError(str(candidate), text + place_of(problem, candidate.home)) from problem
    _hooks_of(candidate, plugin)
    return plugin


def _hooks_of(candidate: Candidate, plugin: object) -> pluggy.HookRelay:
    """Return the hooks of a plugin alone, shared by all machines for as long as it has the same functions.

    Raises:
        PluginError: it lacks a required hook, or has an unknown one.
    """
    return _managed(candidate, plugin, tuple(getattr(plugin, name, None) for name in _every_hook())).hook


@functools.cache
def _every_hook() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for spec in _SPECS.values() for name in dir(spec) if not name.startswith("_")))


@functools.lru_cache(maxsize=256)
def _managed(candidate: Candidate, plugin: object, functions: tuple[object, ...]) -> pluggy.PluginManager:
    """Return a manager of one plugin; ``functions`` only tell when one that was made earlier is out of date."""
    manager = _new_manager()
    try:
        manager.register(plugin, name=candidate.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as problem:
        raise _unusable(manager, candidate, plugin, problem) from problem
    have = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    missing = [hook for hook in _REQUIRED[candidate.kind] if hook not in have]
    if missing:
        raise PluginError(str(candidate), f"has no hook {', '.join(missing)}")
    return manager


def _unusable(manager: pluggy.PluginManager, candidate: Candidate, plugin: object, problem: Exception) -> PluginError:
    """Return the error of a plugin that pluggy refuses, with the hook that was probably meant."""
    known = [*hooks_of(candidate.kind), *hooks_of("any")]
    have = [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    unknown = [name for name in have if not hasattr(manager.hook, name) or not getattr(manager.hook, name).spec]
    if not unknown:
        return PluginError(str(candidate), " ".join(str(problem).split()))
    return PluginError(str(candidate), f"there is no hook {unknown[0]!r}", nearest=nearest(unknown[0], known))


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    for spec in _SPECS.values():
        manager.add_hookspecs(spec)
    return manager


def hooks_of(kind: str) -> list[str]:
    """Return the names of the hooks that a kind of plugin may have, those of any kind apart."""
    return [name for name, value in vars(_SPECS[kind]).items() if callable(value) and not name.startswith("_")]


@functools.cache
def _discovered() -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Return the plugins of all distributions, and the distributions whose entry points cannot be read."""
    kinds = {group: kind for kind, group in GROUPS.items()}
    entries, unreadable = distributions.entries(_GROUP_PREFIX)
    found = {
        Candidate(kinds[entry.group], entry.name, entry.distribution, entry.version, entry.value)
        for entry in entries
        if entry.group in kinds
    }
    return tuple(sorted(found, key=_order)), tuple(sorted(set(unreadable)))


def left_out() -> tuple[str, ...]:
    """Return the distributions that were left out since their entry points cannot be read, with the reason."""
    return _discovered()[1]


def _order(candidate: Candidate) -> tuple[object, ...]:
    return candidate.kind, natural_key(candidate.name), candidate.distribution, candidate.version, candidate.target


Tracer: TypeAlias = Callable[[str, str, Mapping[str, object], object], None]
"""Is told of each hook call: plugin, hook, arguments, and the answer or the refusal."""

_tracing: ContextVar[Tracer | None] = ContextVar("who is told of hook calls", default=None)


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Have a tracer told of every hook call of the machines that are booted inside this block."""
    token = _tracing.set(tracer)
    try:
        yield
    finally:
        _tracing.reset(token)


def place_of(problem: BaseException, home: str) -> str:
    """Return where in a plugin an exception was raised, as ``, at FILE:LINE`` behind a sentence.

    Args:
        home: the plugin's module; the innermost frame of it, or of what is below it, counts.
    """
    for trace in frames_of(problem):
        if is_below(module_of(trace), home):
            return f", at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return ""


def frames_of(problem: BaseException) -> list[TracebackType]:
    """Return the frames that an exception passed through, the innermost first."""
    found: list[TracebackType] = []
    trace = problem.__traceback__
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return found[::-1]


def module_of(trace: TracebackType) -> str:
    """Return the name of the module whose code runs in a frame."""
    return str(trace.tb_frame.f_globals.get("__name__", ""))


def is_below(module: str, home: str) -> bool:
    """Return whether a module is another one or inside of it."""
    return module == home or module.startswith(f"{home}.")


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
        taken = [found for found in (*_discovered()[0], *known) if (found.kind, found.name) == same]
        if taken:
            raise PluginError(str(candidate), f"the name is taken by {taken[0]}; set PLUGIN_NAME in the file")
        known = (*known, candidate)
    return _use(known)


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
    found: Sequence[Candidate] = _discovered()[0]
    if _in_use.get():
        found = sorted((*found, *_in_use.get()), key=_order)
    return [candidate for candidate in found if kind in (None, candidate.kind)]


def names(kind: str) -> list[str]:
    """Return the names of the plugins of one kind, ascending, numbers in them by value.

    A name that several packages have is told apart by the package: ``acme-hotplug:acpi``.
    """
    found = candidates(kind)
    times = Counter(candidate.name for candidate in found)
    return sorted({_name(candidate, times) for candidate in found}, key=natural_key)


def _name(candidate: Candidate, times: Mapping[str, int]) -> str:
    return candidate.name if times[candidate.name] == 1 else f"{candidate.distribution}:{candidate.name}"


def choose(kind: str, name: str) -> Candidate:
    """Return the one plugin of a kind and name.

    Raises:
        PluginError: there is none, or there are several.
    """
    package, _, own = name.rpartition(":")
    found = [
        candidate for candidate in candidates(kind)
        if candidate.name == name or (package and (candidate.distribution, candidate.name) == (package, own))
    ]  # fmt: skip
    if len(found) > 1:
        hint = f"write {found[0].distribution}:{name}"
        raise PluginError(name, f"is provided by more than one package: {', '.join(map(str, found))}; {hint}")
    if found:
        return found[0]
    known = names(kind)
    if not known:
        raise PluginError(name, f"no plugins of the group {GROUPS[kind]} are installed; run: pip install -e .")
    raise PluginError(name, f"not installed (there are: {', '.join(known)})", nearest=nearest(name, known))


class Plugins:
    """The plugins of one machine and the only way to call their hooks.

    Args:
        arch, profile: names of the two plugins that a machine always has.
    """

    def __init__(self, arch: str, profile: str) -> None:
        self._candidates: dict[str, Candidate] = {}
        self._hooks: dict[str, pluggy.HookRelay] = {}
        self._callers: dict[tuple[str, str], Callable[..., Any] | None] = {}
        self._listeners: list[str] | None = None
        self._files = files_in_use()
        self._tracer = _tracing.get()
        self.arch = self._register("arch", arch)
        self.profile = self._register("profiles", profile)

    def _register(self, kind: str, name: str) -> str:
        key = f"{kind}:{name}"
        if key not in self._candidates:
            with self.in_scope():
                candidate = choose(kind, name)
            self._hooks[key] = _hooks_of(candidate, candidate.load())
            self._candidates[key] = candidate
            self._listeners = None
        return key

    def in_scope(self) -> AbstractContextManager[None]:
        """Return a block in which the files that this machine was booted with count as installed."""
        return using(self._files)

    def policy(self, name: str) -> str:
        """Register a policy if it is not yet, and return its key for :meth:`call`.

        Raises:
            PluginError: there is no such policy, or it is broken.
        """
        return self._register("policies", name)

    def driver(self, name: str) -> str:
        """Register a driver if it is not yet, and return its key for :meth:`call`.

        Raises:
            PluginError: there is no such driver, or it is broken.
        """
        return self._register("drivers", name)

    def can_resize(self, driver: str) -> bool:
        """Return whether devices of a driver can be asked for another size."""
        return self.has(self.driver(driver), "driver_resize")

    @property
    def listeners(self) -> list[str]:
        """Keys of the plugins that listen to memory_notify, ascending by name."""
        if self._listeners is None:
            self._listeners = sorted(key for key in self._candidates if self.has(key, "memory_notify"))
        return self._listeners

    @property
    def current(self) -> str | None:
        """The plugin whose hook runs, and which; None if none does."""
        return running.who()

    @property
    def keys(self) -> Sequence[str]:
        """Keys of all registered plugins, in the order in which they came."""
        return list(self._candidates)

    def has(self, key: str, hook: str) -> bool:
        """Return whether a registered plugin implements a hook."""
        return self._caller(key, hook) is not None

    def _caller(self, key: str, hook: str) -> Callable[..., Any] | None:
        known = self._callers.get((key, hook), self)
        if known is not self:
            return known  # type: ignore[return-value]  # narrowed by the sentinel
        found = getattr(self._hooks[key], hook, None)
        caller = _bound(found) if found is not None and found.get_hookimpls() else None
        self._callers[key, hook] = caller
        return caller

    def call(self, key: str, hook: str, **arguments: object) -> Any:
        """Call one plugin's hook.

        Raises:
            MemoryHotplugError, InputError: the plugin refused.
            PluginError: the plugin does not have the hook, or raised anything else.
        """
        caller = self._caller(key, hook)
        if caller is None:
            raise self.blame(key, f"has no hook {hook}")
        now = running
        outer = now.candidate, now.hook
        now.serial, now.candidate, now.hook = now.serial + 1, self._candidates[key], hook
        printed, sys.stdout = sys.stdout, sys.stderr  # which belongs to the answer
        try:
            answer = caller(**arguments)
        except (MemoryHotplugError, InputError, KeyboardInterrupt, Interruption) as refusal:
            if self._tracer is not None:
                self._tracer(str(self._candidates[key]), hook, arguments, refusal)
            raise
        except BaseException as problem:
            raise self._raised(key, hook, problem) from problem
        finally:
            now.candidate, now.hook = outer
            sys.stdout = printed
        if self._tracer is not None:
            self._tracer(str(self._candidates[key]), hook, arguments, answer)
        return answer

    def _raised(self, key: str, hook: str, problem: BaseException) -> PluginError:
        """Return the error that blames whoever raised: the hook, or another plugin that the core asked meanwhile.

        Other plugins' hooks are called through here and blame themselves; a profile's steps are called directly.
        """
        what = f"raised {type(problem).__name__}: {problem}"
        own = self._candidates[key].home
        for trace in frames_of(problem):
            module = module_of(trace)
            if is_below(module, own):
                break
            # The machine's own profile first: one from a file is no longer installed where the machine is used.
            profiles = self._candidates[self.profile], *candidates("profiles")
            if any(is_below(module, found.home) for found in profiles):
                place = f", at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
                return self.blame(self.profile, what + place)
        return self.blame(key, f"hook {hook} {what}{place_of(problem, own)}")

    def ask(self, key: str, hook: str, answer: type, **arguments: object) -> Any:
        """Call one plugin's hook and insist on the type of its answer.

        Raises:
            PluginError: as :meth:`call`, or the answer is of another type.
        """
        got = self.call(key, hook, **arguments)
        if not isinstance(got, answer) or (isinstance(got, bool) and answer is int):
            raise self.blame(key, f"hook {hook} answered {got!r}, which is no {answer.__name__}")
        return got

    @property
    def arch_traits(self) -> ArchTraits:
        """What is true of every machine of the architecture."""
        return cast(ArchTraits, _traits(self._candidates[self.arch]))

    def driver_traits(self, name: str) -> DriverTraits:
        """Return what is true of a driver, which is registered if it is not yet.

        Raises:
            PluginError: there is no such driver, or it is broken.
        """
        return cast(DriverTraits, _traits(self._candidates[self.driver(name)]))

    def blame(self, key: str, problem: str) -> PluginError:
        """Return the error that says what is wrong with a registered plugin."""
        return PluginError(str(self._candidates[key]), problem)


def _bound(caller: pluggy.HookCaller) -> Callable[..., Any]:
    """Return what calls a hook: the function itself, where it is the only one and nothing is wrapped around it.

    It gets the arguments that it names, as pluggy would hand them to it.
    """
    only, *others = caller.get_hookimpls()
    if others or only.wrapper or only.hookwrapper or caller.spec is None or not caller.spec.opts["firstresult"]:
        return caller
    function, names = only.function, only.argnames

    def call(**arguments: object) -> Any:
        return function(*[arguments[name] for name in names])

    return call


def ask_alone(candidate: Candidate, hook: str) -> object:
    """Ask one plugin a question before any machine exists; None if it does not have the (optional) hook.

    Raises:
        PluginError: the plugin is broken.
    """
    hooks = _hooks_of(candidate, candidate.load())
    try:
        with running.importing(candidate):
            return getattr(hooks, hook)()
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException as problem:
        text = f"hook {hook} raised {type(problem).__name__}: {problem}{place_of(problem, candidate.home)}"
        raise PluginError(str(candidate), text) from problem


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
    if keys is None and hook not in _REQUIRED[candidate.kind]:
        return {}
    if not isinstance(keys, Mapping) or not all(
        isinstance(key, str) and isinstance(spec, KeySpec) for key, spec in keys.items()
    ):
        raise PluginError(str(candidate), f"hook {hook} answered {keys!r}, which is no mapping of KeySpec")
    shadowed = sorted(COMMON_KEYS[candidate.kind] & set(keys))
    if shadowed:
        raise PluginError(str(candidate), f"hook {hook} answered the key {shadowed[0]!r}, which everybody has")
    return keys


def driver_traits(name: str) -> DriverTraits:
    """Return what is true of a driver.

    Raises:
        PluginError: the driver is missing or broken, or its answer is no DriverTraits.
    """
    return cast(DriverTraits, _traits(choose("drivers", name)))


def arch_traits(name: str) -> ArchTraits:
    """Return what is true of every machine of an architecture.

    Raises:
        PluginError: the architecture is missing or broken, or its answer is no ArchTraits.
    """
    return cast(ArchTraits, _traits(choose("arch", name)))


@functools.cache
def _traits(candidate: Candidate) -> ArchTraits | DriverTraits:
    hook, kind = _TRAITS[candidate.kind]
    got = ask_alone(candidate, hook)
    if got is None:
        return kind()
    if not isinstance(got, kind):
        raise PluginError(str(candidate), f"hook {hook} answered {got!r}, which is no {kind.__name__}")
    return got
