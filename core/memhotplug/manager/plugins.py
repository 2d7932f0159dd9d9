"""The plugins of one machine, and the only way to call their hooks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, cast

from memhotplug.contracts import ArchTraits, DriverTraits
from memhotplug.errors import InputError, Interruption, MemoryHotplugError, PluginError
from memhotplug.manager import traits
from memhotplug.manager.blame import frames_of, is_below, module_of, place_of, shown, told
from memhotplug.manager.discovery import Candidate, candidates, choose, files_in_use, using
from memhotplug.manager.hooks import Hooks
from memhotplug.manager.loading import hooks_in
from memhotplug.manager.running import running

__all__ = ["Plugins", "Tracer", "tracing"]

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


class Plugins:
    """The plugins of one machine and the only way to call their hooks.

    Args:
        arch, profile: names of the two plugins that a machine always has.
    """

    def __init__(self, arch: str, profile: str) -> None:
        self._candidates: dict[str, Candidate] = {}
        self._hooks: dict[str, Hooks] = {}
        self._having: dict[str, tuple[str, ...]] = {}
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
            self._hooks[key] = hooks_in(candidate, candidate.load())
            self._candidates[key] = candidate
            self._having, self._listeners = {}, None
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
            self._listeners = sorted(self.having("memory_notify"))
        return self._listeners

    @property
    def current(self) -> str | None:
        """The plugin whose hook runs, and which; None if none does."""
        return running.who()

    def having(self, hook: str) -> tuple[str, ...]:
        """Return the keys of the registered plugins that implement a hook, in the order in which they came."""
        found = self._having.get(hook)
        if found is None:
            found = self._having[hook] = tuple(key for key in self._candidates if self.has(key, hook))
        return found

    def has(self, key: str, hook: str) -> bool:
        """Return whether a registered plugin implements a hook."""
        return self._hooks[key][hook] is not None

    def call(self, key: str, hook: str, **arguments: object) -> Any:
        """Call one plugin's hook.

        Raises:
            MemoryHotplugError, InputError: the plugin refused.
            PluginError: the plugin does not have the hook, or raised anything else.
        """
        caller = self._hooks[key][hook]
        if caller is None:
            raise self.blame(key, f"has no hook {hook}")
        now = running
        outer = now.candidate, now.hook
        now.candidate, now.hook = self._candidates[key], hook
        printed, sys.stdout = sys.stdout, sys.stderr  # which belongs to the answer
        try:
            answer = caller(arguments)
        except (MemoryHotplugError, InputError, KeyboardInterrupt, Interruption) as refusal:
            if self._tracer is not None:
                self._tracer(str(self._candidates[key]), hook, arguments, refusal)
            raise
        except BaseException as problem:
            if self._tracer is not None:
                self._tracer(str(self._candidates[key]), hook, arguments, problem)
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
        what = f"raised {told(problem)}"
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
            raise self.blame(key, f"hook {hook} answered {shown(got)}, which is no {answer.__name__}")
        return got

    @property
    def arch_traits(self) -> ArchTraits:
        """What is true of every machine of the architecture."""
        return cast(ArchTraits, traits.traits_of(self._candidates[self.arch]))

    def driver_traits(self, name: str) -> DriverTraits:
        """Return what is true of a driver, which is registered if it is not yet.

        Raises:
            PluginError: there is no such driver, or it is broken.
        """
        return cast(DriverTraits, traits.traits_of(self._candidates[self.driver(name)]))

    def blame(self, key: str, problem: str) -> PluginError:
        """Return the error that says what is wrong with a registered plugin."""
        return PluginError(str(self._candidates[key]), problem)
