"""Ends a plugin that hangs.

An alarm goes off in the main thread; the hook that was called, or what is on the stack, says who is to blame for the
time. How long a plugin may take holds for all that happens inside of :func:`limited`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Final, TypeAlias

from memhotplug.catalog import Installed, whose_code
from memhotplug.errors import Interruption, PluginError
from memhotplug.keyspec import KeySpec
from memhotplug.manager import choose, is_below, running

__all__ = [
    "DEFAULT_TIMEOUT",
    "Watch",
    "WatchedCatalog",
    "guard",
    "limit",
    "limited",
    "unguarded",
    "watchdog",
    "who_runs",
]

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that a plugin may take where nobody says how many."""

Culprit: TypeAlias = Callable[[FrameType | None], str | None]
"""Given what runs when the time is up, says whose fault that is; None: nobody's plugin runs."""

_limit: ContextVar[float] = ContextVar("seconds that a plugin may take", default=DEFAULT_TIMEOUT)
_AGAIN: Final = 5.0
"""Seconds after which a plugin that swallowed the alarm hears it again."""
_PATIENCE: Final = 2
"""Alarms that one call of a plugin may swallow."""


def limit() -> float:
    """Return the seconds that a plugin may take here, 0 for no limit."""
    return _limit.get()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Return a block in which a plugin may take that long and no longer.

    Raises:
        PluginError: a single call of a plugin, imports included, took longer.
    """
    token = _limit.set(seconds)
    try:
        with guard(seconds):
            yield
    finally:
        _limit.reset(token)


def who_runs(frame: FrameType | None) -> str | None:
    """Return the plugin that runs: whose code it is, and if it is the core's, whose hook was called."""
    _, own = _step_on(frame)
    name = running.who()
    return own if name is None or (own is not None and own != str(running.candidate)) else name


def _step_on(frame: FrameType | None) -> tuple[FrameType | None, str | None]:
    """Return the frame that runs code of a plugin, and the plugin; libraries count as whoever called them.

    What takes long in the core is not the fault of the step that asked for it.
    """
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        found = whose_code(module, frame.f_code.co_filename)
        if found is not None or is_below(module, "memhotplug"):
            return frame, None if found is None else found[0]
        frame = frame.f_back
    return None, None


class _ExpiredError(Interruption):
    """The alarm; no Exception, so that a plugin's ``except Exception`` does not swallow it."""

    def __init__(self, culprit: str) -> None:
        super().__init__(culprit)
        self.culprit = culprit


@contextlib.contextmanager
def watchdog(seconds: float, culprit: Culprit = who_runs) -> Iterator[None]:
    """Limit how long a plugin may run inside this block; see :class:`Watch`.

    Raises:
        PluginError: the time is up.
    """
    with Watch(seconds, culprit):
        yield


class Watch:
    """Limits how long a plugin may run inside of a block, and of parts of it, at the price of one alarm.

    Only the main thread can be interrupted, and only where the system has interval timers;
    elsewhere the block runs without a limit.

    Args:
        seconds: the limit; 0 is none.
        culprit: who is to blame when the time is up; if nobody is, the block goes on.

    Raises:
        PluginError: the time is up; by the end of the block, or of the part of it.
    """

    def __init__(self, seconds: float, culprit: Culprit = who_runs) -> None:
        can_interrupt = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._is_on = can_interrupt and seconds > 0  # not a number is no limit either
        self._seconds = seconds
        self._culprit = culprit
        self._alarm = _Alarm(seconds)

    def __enter__(self) -> Watch:
        if self._is_on:
            self._before = signal.signal(signal.SIGALRM, self._ring)
            self._outer = signal.setitimer(signal.ITIMER_REAL, self._seconds, min(self._seconds, _AGAIN))
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if not self._is_on:
            return
        signal.setitimer(signal.ITIMER_REAL, *self._outer)
        signal.signal(signal.SIGALRM, self._before)
        if isinstance(problem, _ExpiredError):
            raise self._refusal(problem) from None

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Let the time begin anew, here and after this part of the block."""
        self._wind()
        try:
            yield
        except _ExpiredError as expired:
            raise self._refusal(expired) from None
        finally:
            self._wind()

    def _wind(self) -> None:
        if self._is_on:
            signal.setitimer(signal.ITIMER_REAL, self._seconds, min(self._seconds, _AGAIN))

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        name = self._culprit(frame)
        if name is not None:
            self._alarm.raised(name)

    def _refusal(self, expired: _ExpiredError) -> PluginError:
        return PluginError(expired.culprit, f"took longer than {self._seconds:g} s")


class _Alarm:
    """Ends a plugin by an exception; one that swallows it and goes on, together with the process."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._serial = -1
        self._times = 0

    def raised(self, name: str) -> None:
        self._times = self._times + 1 if running.serial == self._serial else 1
        self._serial = running.serial
        if self._times > _PATIENCE:
            text = f"mhp: plugin {name}: took longer than {self._seconds:g} s, and does not let itself be ended\n"
            os.write(2, text.encode(errors="backslashreplace"))
            os._exit(2)
        raise _ExpiredError(name)


@contextlib.contextmanager
def guard(seconds: float) -> Iterator[None]:
    """Limit how long any single call of a plugin may take inside this block, imports included.

    Raises:
        PluginError: one call took longer.
    """
    last: tuple[int, int] | None = None

    def stuck(frame: FrameType | None) -> str | None:
        nonlocal last
        name = who_runs(frame)
        # One call: that of a hook has a number, and a profile's step, which is no hook, its frame.
        step = None if running.candidate is not None else _step_on(frame)[0]
        same = (running.serial, id(step))
        if name is None or same != last:
            last = same
            return None
        return name

    with watchdog(seconds, stuck):
        yield


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


class WatchedCatalog(Installed):
    """The installed plugins, with a limit on how long each may take to load."""

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only this driver has.

        Raises:
            PluginError: the driver is missing, broken, or takes too long.
        """
        with watchdog(limit(), lambda _frame: str(choose("drivers", name))):
            return super().driver_keys(name)
