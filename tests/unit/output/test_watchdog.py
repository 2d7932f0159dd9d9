"""What hangs is ended, and only that."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from memhotplug.errors import PluginError
from memhotplug.output.watchdog import WatchedCatalog, unguarded, watchdog
from memhotplug.plugin import hookimpl

ErrorOf = Callable[..., Any]

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")


def _hang() -> None:
    """Wait for a signal that raises."""
    while True:
        signal.pause()


def _hang_stubbornly() -> None:
    while True:
        with contextlib.suppress(Exception):
            _hang()


def test_what_takes_too_long_is_an_error_that_names_the_culprit() -> None:
    """The alarm interrupts even what swallows every Exception."""
    with pytest.raises(PluginError) as caught, watchdog(0.01, lambda: "acme"):
        _hang_stubbornly()

    assert str(caught.value) == "plugin acme: took longer than 0.01 s"


def test_time_that_no_plugin_takes_is_not_limited() -> None:
    """The alarm rings, nobody's hook is running, and it rings again later."""
    rung: list[None] = []

    def culprit() -> str | None:
        rung.append(None)
        return "acme" if len(rung) > 2 else None

    with pytest.raises(PluginError), watchdog(0.01, culprit):
        _hang()

    assert len(rung) == 3


def test_nothing_is_left_armed() -> None:
    """Neither the timer nor the handler."""
    before = signal.getsignal(signal.SIGALRM)

    with watchdog(60, lambda: "acme"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_zero_and_nonsense_are_no_limit(seconds: float) -> None:
    """Nothing is armed at all."""
    with watchdog(seconds, lambda: "acme"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_another_thread_runs_without_a_limit() -> None:
    """Only the main thread gets signals."""
    seen: list[tuple[float, float]] = []

    def work() -> None:
        with watchdog(60, lambda: "acme"):
            seen.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [(0.0, 0.0)]


def test_a_hook_that_hangs_ends_the_run(error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the plugin and the hook, and the step."""
    import memhotplug_drivers.acpi

    @hookimpl
    def driver_ranges(kernel: object, request: object) -> None:
        _hang()

    monkeypatch.setattr(memhotplug_drivers.acpi, "driver_ranges", driver_ranges)

    error = error_of("add: {driver: acpi, size: 1G}", plugin_timeout=2)

    assert isinstance(error, PluginError)
    assert error.plugin.startswith("acpi (memhotplug ")
    assert error.plugin.endswith(", hook driver_ranges")
    assert error.problem == "took longer than 2 s"
    assert (error.line, error.path) == (4, "steps[0].add")


def test_a_driver_that_hangs_while_it_says_its_keys_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a scenario asks drivers for their keys."""
    from memhotplug import manager

    def hang(kind: str, name: str) -> None:
        _hang()

    monkeypatch.setattr(manager, "own_keys", hang)
    catalog = WatchedCatalog(0.01)

    with pytest.raises(PluginError) as caught:
        catalog.driver_keys("acpi")

    assert str(caught.value).startswith("plugin acpi (memhotplug ")
    assert str(caught.value).endswith(": took longer than 0.01 s")


def test_a_catalog_answers_like_any_other() -> None:
    """The limit is all that it adds."""
    from memhotplug.catalog import Installed

    assert WatchedCatalog(60).driver_keys("acpi") == Installed().driver_keys("acpi")
    assert WatchedCatalog(60).names("arch") == Installed().names("arch")


def test_no_alarm_rings_for_what_waits_for_somebody_else() -> None:
    """The alarm is stopped, and goes on afterwards."""
    with watchdog(3600, lambda: "slow"):
        with unguarded():
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
