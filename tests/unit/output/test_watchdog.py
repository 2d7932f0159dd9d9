"""What hangs is ended, and only that."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest

from memhotplug import Machine
from memhotplug.cli import main
from memhotplug.cli.group import COMMANDS, mhp
from memhotplug.errors import PluginError
from memhotplug.output.watchdog import (
    DEFAULT_TIMEOUT,
    Watch,
    WatchedCatalog,
    guard,
    limit,
    limited,
    unguarded,
    watchdog,
)
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
    with pytest.raises(PluginError) as caught, watchdog(0.01, lambda _frame: "acme"):
        _hang_stubbornly()

    assert str(caught.value) == "plugin acme: took longer than 0.01 s"


def test_time_that_no_plugin_takes_is_not_limited() -> None:
    """The alarm rings, nobody's hook is running, and it rings again later."""
    rung: list[None] = []

    def culprit(_frame: FrameType | None) -> str | None:
        rung.append(None)
        return "acme" if len(rung) > 2 else None

    with pytest.raises(PluginError), watchdog(0.01, culprit):
        _hang()

    assert len(rung) == 3


def test_nothing_is_left_armed() -> None:
    """Neither the timer nor the handler."""
    before = signal.getsignal(signal.SIGALRM)

    with watchdog(60, lambda _frame: "acme"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_zero_and_nonsense_are_no_limit(seconds: float) -> None:
    """Nothing is armed at all."""
    with watchdog(seconds, lambda _frame: "acme"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_another_thread_runs_without_a_limit() -> None:
    """Only the main thread gets signals."""
    seen: list[tuple[float, float]] = []

    def work() -> None:
        with watchdog(60, lambda _frame: "acme"):
            seen.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [(0.0, 0.0)]


def test_the_time_of_each_part_begins_anew() -> None:
    """A handler for all of them, and an alarm that each sets for itself."""
    with Watch(3600, lambda _frame: "acme") as watch:
        handler = signal.getsignal(signal.SIGALRM)
        signal.setitimer(signal.ITIMER_REAL, 1800)
        with watch.part():
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 3000
            assert signal.getsignal(signal.SIGALRM) == handler
            signal.setitimer(signal.ITIMER_REAL, 1800)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 3000

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_part_that_takes_too_long_says_so_itself() -> None:
    """So that whoever plays it can say where that was."""
    with Watch(0.01, lambda _frame: "acme") as watch, pytest.raises(PluginError) as caught, watch.part():
        _hang_stubbornly()

    assert str(caught.value) == "plugin acme: took longer than 0.01 s"


def test_what_hangs_between_two_parts_is_ended_too() -> None:
    """The alarm stays armed."""
    watch = Watch(0.01, lambda _frame: "acme")

    def between() -> None:
        with watch:
            with watch.part():
                pass
            _hang()

    with pytest.raises(PluginError) as caught:
        between()
    assert str(caught.value) == "plugin acme: took longer than 0.01 s"


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


def test_a_driver_that_hangs_while_it_says_its_keys_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a scenario asks drivers for their keys."""
    from memhotplug import manager

    def hang(kind: str, name: str) -> None:
        _hang()

    monkeypatch.setattr(manager, "own_keys", hang)
    with pytest.raises(PluginError) as caught, limited(0.01):
        WatchedCatalog().driver_keys("acpi")

    assert str(caught.value).startswith("plugin acpi (memhotplug ")
    assert str(caught.value).endswith(": took longer than 0.01 s")


def test_a_catalog_answers_like_any_other() -> None:
    """The limit is all that it adds."""
    from memhotplug.catalog import Installed

    assert WatchedCatalog().driver_keys("acpi") == Installed().driver_keys("acpi")
    assert WatchedCatalog().names("arch") == Installed().names("arch")


def test_no_alarm_rings_for_what_waits_for_somebody_else() -> None:
    """The alarm is stopped, and goes on afterwards."""
    with watchdog(3600, lambda _frame: "slow"):
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


@pytest.mark.parametrize("limiting", [limited, guard, watchdog])
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


def test_time_that_the_core_takes_is_nobodys_fault() -> None:
    """Not even if a plugin asked for it: the alarm rings on."""
    core: dict[str, Any] = {"__name__": "memhotplug.engine.slow", "pause": signal.pause, "rung": []}
    exec("def work():\n    for _ in range(4):\n        pause()\n        rung.append(None)", core)
    plugin: dict[str, Any] = {"__name__": "memhotplug_drivers.acpi", "work": core["work"]}
    exec("def go(): work()", plugin)
    with guard(0.01):
        plugin["go"]()
    assert len(core["rung"]) == 4


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
