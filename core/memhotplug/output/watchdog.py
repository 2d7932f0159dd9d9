"""Ends a plugin that hangs.

An alarm goes off in the main thread now and then; what is on the stack says whose code runs. There is one rule: one
call of a plugin, of a hook or of a profile's step, or its import, may take so many seconds in the plugin's own code.
What the core or another plugin does for it does not count, nor does the wait for a processor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Final

from memhotplug.catalog import Installed, whose_code
from memhotplug.errors import Interruption, PluginError
from memhotplug.keyspec import KeySpec
from memhotplug.manager import is_below, running

__all__ = ["DEFAULT_TIMEOUT", "Ledger", "WatchedCatalog", "ended", "guard", "limit", "limited", "unguarded"]

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that a plugin may take where nobody says how many."""

_limit: ContextVar[float] = ContextVar("seconds that a plugin may take", default=DEFAULT_TIMEOUT)
_LOADERS: Final = ("memhotplug.manager", "memhotplug.plugin_file")
_LONGEST: Final = 5.0
"""Seconds from one look at what runs to the next, at most."""
_LOOKS: Final = 8
"""Looks until the time is up, at least."""
_PATIENCE: Final = 2
"""Alarms that one call of a plugin may swallow."""


def limit() -> float:
    """Return the seconds that a plugin may take here, 0 for no limit."""
    return _limit.get()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Return a block in which a call of a plugin may take that long and no longer.

    Raises:
        PluginError: one took longer.
    """
    token = _limit.set(seconds)
    try:
        with guard(seconds):
            yield
    finally:
        _limit.reset(token)


class _ExpiredError(Interruption):
    """The alarm; no Exception, so that a plugin's ``except Exception`` does not swallow it."""

    def __init__(self, culprit: str, seconds: float) -> None:
        super().__init__(culprit)
        self.refusal = PluginError(culprit, f"took longer than {seconds:g} s")


@contextlib.contextmanager
def ended() -> Iterator[None]:
    """Turn the alarm into the error that names the plugin, for whoever can say where that was.

    Raises:
        PluginError: inside of a :func:`guard`, a call of a plugin took too long.
    """
    try:
        yield
    except _ExpiredError as expired:
        raise expired.refusal from None


@contextlib.contextmanager
def guard(seconds: float) -> Iterator[None]:
    """Limit how long each call of a plugin may take inside this block; 0 is no limit.

    Only the main thread can be interrupted, and only where the system has interval timers;
    elsewhere the block runs without a limit.

    Raises:
        PluginError: one call took longer.
    """
    can_interrupt = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not can_interrupt or not seconds > 0:  # not a number is no limit either
        yield
        return
    period = min(seconds / _LOOKS, _LONGEST)
    alarm = _Alarm(seconds, period)
    before = signal.signal(signal.SIGALRM, alarm.ring)
    outer = signal.setitimer(signal.ITIMER_REAL, period, period)
    try:
        with ended():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Stop the alarm for as long as this block lasts: what waits for somebody else is no plugin that hangs."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    outer = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)


class _Alarm:
    """Ends a plugin by an exception; one that swallows it and goes on, together with the process."""

    def __init__(self, seconds: float, period: float) -> None:
        self._seconds = seconds
        self._period = period
        self._ledger = Ledger(seconds)
        self._waited = 0.0  # the first look only notes what runs, and for how long it has waited since
        self._ended: FrameType | None = None
        self._times = 0

    def ring(self, _number: int, frame: FrameType | None) -> None:
        """Look at what runs, and end it where its time is up."""
        before, self._waited = self._waited, _waited_for_processor()
        call = self._ledger.overdue(frame, max(0.0, self._period - (self._waited - before)))
        if call is None:
            return
        first, name = call
        self._times = self._times + 1 if first is self._ended else 1
        self._ended = first
        if self._times > _PATIENCE:
            text = f"mhp: plugin {name}: took longer than {self._seconds:g} s, and does not let itself be ended\n"
            os.write(2, text.encode(errors="backslashreplace"))
            os._exit(2)
        raise _ExpiredError(name, self._seconds)


class Ledger:
    """How long the calls of plugins that are on the stack have run in the plugins' own code.

    A call is told by its first frame, which is kept, so that no later one can be taken for it.

    Args:
        seconds: how long one call may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._taken: dict[FrameType, float] = {}

    def overdue(self, frame: FrameType | None, seconds: float) -> tuple[FrameType, str] | None:
        """Note that so many seconds have gone by; return the call that has taken too long, and the plugin, if any.

        Args:
            frame: what runs now.
        """
        stack = set(_stack(frame))
        self._taken = {first: taken for first, taken in self._taken.items() if first in stack}
        call = _call_on(frame)
        if call is None:
            return None
        first, _ = call
        if first not in self._taken:  # it may have begun just now
            self._taken[first] = 0.0
            return None
        self._taken[first] += seconds
        return call if self._taken[first] >= self._seconds else None


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _call_on(frame: FrameType | None) -> tuple[FrameType, str] | None:
    """Return the call of a plugin whose own code runs, by its first frame, and the plugin; None if it is the core's.

    Libraries count as whoever called them.
    """
    first: FrameType | None = None
    name: str | None = None
    for one in _stack(frame):
        module = str(one.f_globals.get("__name__", ""))
        found = whose_code(module, one.f_code.co_filename)
        if found is None and is_below(module, "memhotplug"):
            return _named(first, name, one, module)
        name = name or (found and found[0])
        first = one
    return _named(first, name, None, "")


def _named(
    first: FrameType | None, name: str | None, caller: FrameType | None, module: str
) -> tuple[FrameType, str] | None:
    """Return a call with what messages name the plugin by.

    Args:
        caller, module: the frame of the core that called, and its module.
    """
    who, plain = running.who(), str(running.candidate)
    if name is not None and first is not None:
        return first, who if who is not None and name == plain else name
    by_loader = any(is_below(module, loader) for loader in _LOADERS)
    if who is None or caller is None or not by_loader:
        return None  # the core, or a library that it uses
    if first is None and running.hook is not None:
        return None  # the core, on its way into a hook or out of it
    return first or caller, who


def _waited_for_processor() -> float:
    """Return the seconds for which the process could have run and did not, 0 where the system does not tell.

    Models: Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat (Linux).
    """
    try:
        with open("/proc/self/schedstat", encoding="ascii") as stream:
            return int(stream.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class WatchedCatalog(Installed):
    """The installed plugins, with a limit on how long each may take to load."""

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only this driver has.

        Raises:
            PluginError: the driver is missing, broken, or takes too long.
        """
        with guard(limit()):
            return super().driver_keys(name)
