"""Ends a run whose plugin hangs.

An alarm goes off in the main thread; whoever runs a plugin says who is to blame for the time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Final

from memhotplug.catalog import Installed
from memhotplug.errors import Interruption, PluginError
from memhotplug.keyspec import KeySpec
from memhotplug.manager import choose, running

__all__ = ["DEFAULT_TIMEOUT", "WatchedCatalog", "guard", "unguarded", "watchdog"]

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that a plugin may take."""
_AGAIN: Final = 5.0
"""Seconds after which a plugin that swallowed the alarm hears it again."""
_PATIENCE: Final = 2
"""Alarms that one call of a plugin may swallow."""


class _ExpiredError(Interruption):
    """The alarm; no Exception, so that a plugin's ``except Exception`` does not swallow it."""

    def __init__(self, culprit: str) -> None:
        super().__init__(culprit)
        self.culprit = culprit


@contextlib.contextmanager
def watchdog(seconds: float, culprit: Callable[[], str | None]) -> Iterator[None]:
    """Limit how long a plugin may run inside this block.

    Only the main thread can be interrupted, and only where the system has interval timers;
    elsewhere the block runs without a limit.

    Args:
        seconds: the limit; 0 is none.
        culprit: who runs when the time is up; None: nobody's plugin does, and the block goes on.

    Raises:
        PluginError: the time is up.
    """
    can_interrupt = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not (can_interrupt and seconds > 0):  # not a number is no limit either
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        name = culprit()
        if name is not None:
            alarm.raised(name)

    alarm = _Alarm(seconds)
    before = signal.signal(signal.SIGALRM, ring)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, min(seconds, _AGAIN))
    try:
        yield
    except _ExpiredError as expired:
        raise PluginError(expired.culprit, f"took longer than {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, before)


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
    last = -1

    def stuck() -> str | None:
        nonlocal last
        name, serial = running.who(), running.serial
        if name is None or serial != last:
            last = serial
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

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        """Return the keys of ``add`` that only this driver has.

        Raises:
            PluginError: the driver is missing, broken, or takes too long.
        """
        with watchdog(self._seconds, lambda: str(choose("drivers", name))):
            return super().driver_keys(name)
