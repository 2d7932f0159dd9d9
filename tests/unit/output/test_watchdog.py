"""What hangs is ended, and only that."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.cli import main
from memhotplug.cli.group import COMMANDS, mhp
from memhotplug.errors import PluginError
from memhotplug.output import watchdog
from memhotplug.output.watchdog import (
    DEFAULT_TIMEOUT,
    Ledger,
    WatchedCatalog,
    guard,
    limit,
    limited,
    unguarded,
)
from memhotplug.plugin import hookimpl

ErrorOf = Callable[..., Any]

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")


def _hang() -> None:
    """Wait for a signal that raises."""
    while True:
        signal.pause()


def test_nothing_is_left_armed() -> None:
    """Neither the timer nor the handler."""
    before = signal.getsignal(signal.SIGALRM)

    with guard(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_zero_and_nonsense_are_no_limit(seconds: float) -> None:
    """Nothing is armed at all."""
    with guard(seconds):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_another_thread_runs_without_a_limit() -> None:
    """Only the main thread gets signals."""
    seen: list[tuple[float, float]] = []

    def work() -> None:
        with guard(60):
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

    with limited(2):
        error = error_of("add: {driver: acpi, size: 1G}")

    assert isinstance(error, PluginError)
    assert error.plugin.startswith("acpi (memhotplug ")
    assert error.plugin.endswith(", hook driver_ranges")
    assert error.problem == "took longer than 2 s"
    assert (error.line, error.path) == (4, "steps[0].add")


def test_a_driver_that_hangs_while_it_says_its_keys_is_named(tmp_path: Path) -> None:
    """Reading a scenario asks drivers for their keys."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import signal\nfrom memhotplug.plugin import hookimpl\n"
        "@hookimpl\ndef driver_keys():\n    while True:\n        signal.pause()\n"
        "@hookimpl\ndef driver_ranges(kernel, request):\n    return []\n"
        "@hookimpl\ndef mhp_flags(kernel, request, phys_range):\n    return 0\n",
        encoding="utf-8",
    )
    with Installed().using((str(path),)), pytest.raises(PluginError) as caught, limited(0.01):
        WatchedCatalog().driver_keys("mine")

    assert str(caught.value) == f"plugin mine ({path}): took longer than 0.01 s"


def test_a_catalog_answers_like_any_other() -> None:
    """The limit is all that it adds."""
    assert WatchedCatalog().driver_keys("acpi") == Installed().driver_keys("acpi")
    assert WatchedCatalog().names("arch") == Installed().names("arch")


def test_no_alarm_rings_for_what_waits_for_somebody_else() -> None:
    """The alarm is stopped, and goes on afterwards."""
    with guard(3600):
        with unguarded():
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0


# ---- how long, and in whose code ----


def test_the_limit_holds_inside_its_block() -> None:
    """Outside of any, and again after it, the usual one."""
    assert limit() == DEFAULT_TIMEOUT
    with limited(2):
        assert limit() == 2
        with limited(0):
            assert limit() == 0
        assert limit() == 2
    assert limit() == DEFAULT_TIMEOUT


def test_a_limit_that_is_left_by_an_error_is_gone() -> None:
    """It held for the block alone."""

    def fail() -> None:
        with limited(2):
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert limit() == DEFAULT_TIMEOUT
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


SLOW = """
import signal
from memhotplug.plugin import hookimpl, profile_of


class Mine(profile_of("linux-6.12")):
    def {step}(self, *args, **keywords):
        while True:
            signal.pause()


@hookimpl
def kernel_profile():
    return Mine()
"""


def _slow(folder: Path, step: str) -> Path:
    Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")  # what is imported by now takes no time later
    path = folder / "mine.py"
    path.write_text(SLOW.format(step=step), encoding="utf-8")
    return path


@pytest.mark.parametrize("limiting", [limited, guard])
def test_a_step_of_a_profile_that_hangs_is_ended(limiting: Any, tmp_path: Path) -> None:
    """Though no hook was called: what is on the stack says whose code it is."""
    path = _slow(tmp_path, "new_state")
    with pytest.raises(PluginError) as caught, limiting(0.2):
        Machine.boot(arch="x86_64", kernel="mine", memory="4G", plugins=path)
    assert str(caught.value) == f"plugin mine ({path}): took longer than 0.2 s"


def test_a_view_of_a_profile_that_hangs_is_ended(tmp_path: Path) -> None:
    """The machine is still there."""
    machine = Machine.boot(arch="x86_64", kernel="mine", memory="4G", plugins=_slow(tmp_path, "heads"))
    with pytest.raises(PluginError, match=r"took longer than 0\.2 s"), limited(0.2):
        machine.to_dict()
    assert machine.violations() == []


# ---- whose time it is ----

CORE = "memhotplug.engine.slow"
DRIVER = "memhotplug_drivers.acpi"
ARCH = "memhotplug_x86_64.mapping"


def _frame(*modules: str, inside: Callable[[FrameType], object]) -> None:
    """Call functions of some modules, each from the one before, and show the frame of the last one to ``inside``."""
    scope: dict[str, Any] = {"__name__": modules[0], "sys": sys, "inside": inside, "rest": modules[1:], "go": _frame}
    call = "go(*rest, inside=inside)" if modules[1:] else "inside(sys._getframe())"
    exec(f"def work():\n    {call}", scope)
    scope["work"]()


def _overdue(ledger: Ledger, *modules: str, seconds: float = 1.0, times: int = 1) -> list[str | None]:
    """Return what a ledger says while one call lasts, at each of some looks."""
    said: list[str | None] = []

    def look(frame: FrameType) -> None:
        for _ in range(times):
            call = ledger.overdue(frame, seconds)
            said.append(None if call is None else call[1].split()[0])

    _frame(*modules, inside=look)
    return said


def test_one_call_may_take_so_long() -> None:
    """At the first look it may have begun just now."""
    assert _overdue(Ledger(3), CORE, DRIVER, times=5) == [None, None, None, "acpi", "acpi"]


def test_many_short_calls_are_no_long_one() -> None:
    """However long they take together, and although their frames may lie where those before them lay."""
    ledger = Ledger(3)
    assert [_overdue(ledger, CORE, DRIVER, times=2) for _ in range(20)] == [[None, None]] * 20


def test_time_in_which_the_process_waits_for_a_processor_is_nobodys_fault() -> None:
    """On a machine that is too busy for it."""
    ledger = Ledger(3)
    assert _overdue(ledger, CORE, DRIVER, seconds=0.0, times=1000) == [None] * 1000


def test_time_that_the_core_takes_is_nobodys_fault() -> None:
    """Not even if a plugin asked for it, and neither is what a library does for the core."""
    assert _overdue(Ledger(3), CORE, DRIVER, CORE, times=9) == [None] * 9
    assert _overdue(Ledger(3), CORE, DRIVER, CORE, "numpy.core", times=9) == [None] * 9


def test_what_a_library_does_for_a_plugin_is_the_plugins() -> None:
    """As if it were its own code."""
    assert _overdue(Ledger(1), CORE, DRIVER, "json", times=3) == [None, "acpi", "acpi"]


def test_a_call_has_its_own_time_while_it_asks_others() -> None:
    """What another plugin takes meanwhile is the other's, and the first goes on where it was."""
    ledger = Ledger(3)
    said: list[str | None] = []

    def look(frame: FrameType) -> None:
        outer = frame.f_back
        while outer is not None and outer.f_globals.get("__name__") != DRIVER:
            outer = outer.f_back
        for one in (outer, frame, outer, frame, outer, outer):
            call = ledger.overdue(one, 1.0)
            said.append(None if call is None else call[1].split()[0])

    _frame(CORE, DRIVER, CORE, ARCH, inside=look)
    # The inner call is on no stack that ends further out, so that its time begins anew.
    assert said == [None, None, None, None, None, "acpi"]


def test_the_clock_of_a_starved_process_is_read_from_the_scheduler() -> None:
    """Seconds that only grow; where there is no such file, none."""
    first = watchdog._waited_for_processor()
    assert 0 <= first <= watchdog._waited_for_processor()


def test_what_swallows_every_exception_is_ended_too(tmp_path: Path) -> None:
    """The alarm is no Exception."""
    path = _slow(tmp_path, "new_state")
    text = path.read_text(encoding="utf-8")
    text = text.replace(
        "            signal.pause()",
        "            try:\n                signal.pause()\n            except Exception:\n                pass",
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PluginError) as caught, limited(0.2):
        Machine.boot(arch="x86_64", kernel="mine", memory="4G", plugins=path)
    assert str(caught.value) == f"plugin mine ({path}): took longer than 0.2 s"


def test_a_plugin_that_spins_is_ended(tmp_path: Path) -> None:
    """In its own helpers, one call of them after the other."""
    path = _slow(tmp_path, "new_state")
    text = path.read_text(encoding="utf-8").replace("signal.pause()", "sum(range(9))")
    path.write_text(text.replace("sum(range(9))", "turn()") + "\n\ndef turn():\n    sum(range(9))\n", encoding="utf-8")
    with pytest.raises(PluginError) as caught, limited(0.2):
        Machine.boot(arch="x86_64", kernel="mine", memory="4G", plugins=path)
    assert str(caught.value) == f"plugin mine ({path}): took longer than 0.2 s"


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--boot", "1G", "--add", "1G", "--kernel", "mine"],
        ["explain", "--driver", "acpi", "--kernel", "mine"],
        ["align", "--range", "0x100000000+1G", "--kernel", "mine"],
        ["run", "SCENARIO"],
        ["compare", "SCENARIO", "--vary", "machine.memory=1G,2G"],
        ["check", "SCENARIO"],
        ["page", "SCENARIO", "0"],
        ["report", "SCENARIO", "-o", "FOLDER/out.html"],
        ["export", "SCENARIO", "-o", "FOLDER/out"],
        ["sweep", "SCENARIO", "--vary", "machine.memory=1G,2G", "-o", "FOLDER/out.sqlite", "--jobs", "1"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_asks_plugins_has_the_limit(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same option, the same words."""
    path = _slow(tmp_path, "new_state")
    scenario = tmp_path / "s.yaml"
    scenario.write_text("schema: 1\nmachine: {arch: x86_64, kernel: mine, memory: 4G}\nsteps: []\n", encoding="utf-8")
    own = [word.replace("SCENARIO", str(scenario)).replace("FOLDER", str(tmp_path)) for word in words]
    assert main([*own, "--plugin", str(path), "--plugin-timeout", "0.3"]) == 2
    assert capsys.readouterr().err.endswith(f"plugin mine ({path}): took longer than 0.3 s\n")


@pytest.mark.parametrize("step", ["new_state", "add_memory_resource"])
def test_a_sweep_ends_with_a_plugin_that_hangs_in_a_worker(
    step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it does: that says nothing of a case, and a worker has alarms of its own."""
    path = _slow(tmp_path, step)
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: mine, memory: 4G}\nsteps:\n  - add: {driver: acpi, size: 256M}\n",
        encoding="utf-8",
    )
    question = ["sweep", str(scenario), "--vary", "machine.memory=1G,2G", "-o", str(tmp_path / "out.sqlite")]
    assert main([*question, "--jobs", "2", "--plugin", str(path), "--plugin-timeout", "0.3"]) == 2
    assert capsys.readouterr().err.endswith(f"plugin mine ({path}): took longer than 0.3 s\n")


def test_commands_that_take_plugins_take_the_limit() -> None:
    """And no command has one of the two options without the other."""
    for name in COMMANDS:
        command = mhp.get_command(click.Context(mhp), name)
        assert command is not None
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--plugin" in options) == ("--plugin-timeout" in options), name
