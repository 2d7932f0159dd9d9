"""Ends a run whose plugin hangs.

An alarm goes off in the main thread; whoever runs a plugin says who is to blame for the time.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Final

from memhotplug.catalog import Installed
from memhotplug.errors import Interruption, PluginError
from memhotplug.keyspec import KeySpec
from memhotplug.manager import choose

__all__ = ["DEFAULT_TIMEOUT", "WatchedCatalog", "watchdog"]

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that a plugin may take."""


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
            raise _ExpiredError(name)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    except _ExpiredError as expired:
        raise PluginError(expired.culprit, f"took longer than {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
