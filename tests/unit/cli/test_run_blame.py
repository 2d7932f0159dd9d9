"""``mhp run`` with plugins that fail: who is named, what ends them, and what can be seen of their calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.places import unplaced
from tests.unit.cli.conftest import HEAD

Mhp = Callable[..., Any]

ADD = "add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}"
ONLINE = "online: {range: dimm0, zone: movable}"
HANGING = """
import signal
from memhotplug.plugin import hookimpl
@hookimpl
def driver_keys():
    return {}
@hookimpl
def mhp_flags():
    return 0
@hookimpl
def driver_ranges(kernel, request):
    while True:
        signal.pause()
"""
RAISING = HANGING.replace("while True:\n        signal.pause()", "raise RuntimeError('no luck')")
BROKEN_PROFILE = """
from memhotplug.plugin import hookimpl
import memhotplug_profiles.v2_2019 as series
Base = type(series.kernel_profile())
class Broken(Base):
    name = "broken"
    def online(self, kernel, rows, zone):
        return 1 / 0
@hookimpl
def kernel_profile():
    return Broken()
"""


def test_a_driver_that_raises_is_named(process: Mhp, tmp_path: Path) -> None:
    """Status 2, one line, the package it came from."""
    (tmp_path / "s.yaml").write_text(HEAD + "  - add: {driver: acme, size: 1G}\n")

    done = process("run", "s.yaml", plugins={"drivers.acme": RAISING})

    assert (done.status, done.out) == (2, "")
    assert unplaced(done.err) == (
        "mhp: s.yaml:4:5: steps[0].add: plugin acme (acme 1.0, memhotplug.drivers = acme_0): "
        "hook driver_ranges raised RuntimeError: no luck\n"
    )


def test_a_driver_that_hangs_is_named(process: Mhp, tmp_path: Path) -> None:
    """After the time that it was given."""
    (tmp_path / "s.yaml").write_text(HEAD + "  - add: {driver: acme, size: 1G}\n")

    done = process("run", "s.yaml", "--plugin-timeout", "3", plugins={"drivers.acme": HANGING})

    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "mhp: s.yaml:4:5: steps[0].add: plugin acme (acme 1.0, memhotplug.drivers = acme_0), hook driver_ranges: "
        "took longer than 3 s\n"
    )


def test_a_profile_that_raises_is_named(process: Mhp, tmp_path: Path) -> None:
    """Profiles are called without a hook in between."""
    head = HEAD.replace("v2-2019", "broken")
    (tmp_path / "s.yaml").write_text(head + f"  - {ADD}\n  - {ONLINE}\n")

    done = process("run", "s.yaml", plugins={"profiles.broken": BROKEN_PROFILE})

    assert done.status == 2
    assert unplaced(done.err) == (
        "mhp: s.yaml:5:5: steps[1].online: plugin broken (acme 1.0, memhotplug.profiles = acme_0): "
        "raised ZeroDivisionError: division by zero\n"
    )


def test_a_broken_plugin_that_is_not_used_harms_nobody(process: Mhp, tmp_path: Path) -> None:
    """It is not even imported."""
    (tmp_path / "s.yaml").write_text(HEAD + f"  - {ADD}\n")

    done = process("run", "s.yaml", plugins={"drivers.acme": "raise ImportError('broken')"})

    assert (done.status, done.err) == (0, "")


SWALLOWING = RAISING.replace(
    "raise RuntimeError('no luck')",
    "while True:\n        try:\n            signal.pause()\n        except BaseException: pass",
)


def test_a_driver_that_swallows_the_alarm_is_ended_and_named(process: Mhp, tmp_path: Path) -> None:
    """Together with the process, since nothing else ends it."""
    (tmp_path / "s.yaml").write_text(HEAD + "  - add: {driver: acme, size: 1G}\n")
    done = process("run", "s.yaml", "--plugin-timeout", "0.3", plugins={"drivers.acme": SWALLOWING})
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "mhp: plugin acme (acme 1.0, memhotplug.drivers = acme_0), hook driver_ranges: took longer than 0.3 s, "
        "and does not let itself be ended\n"
    )


def test_a_command_without_steps_has_the_limit_too(process: Mhp) -> None:
    """A plugin that hangs while it is imported is named by whoever asked it."""
    hanging = "import signal\nwhile True: signal.pause()\n"
    done = process("plugins", "acme", "--plugin-timeout=0.5", plugins={"drivers.acme": hanging})
    assert "plugin acme (acme 1.0, memhotplug.drivers = acme_0): took longer than 0.5 s" in done.err


def test_debug_shows_the_plugins_own_traceback(process: Mhp, tmp_path: Path) -> None:
    """Without it the message ends in file and line."""
    (tmp_path / "s.yaml").write_text(HEAD + "  - add: {driver: acme, size: 1G}\n")
    done = process("--debug", "run", "s.yaml", plugins={"drivers.acme": RAISING})
    lines = done.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "RuntimeError: no luck" in lines
    assert lines[-1].startswith("mhp: s.yaml:4:5: steps[0].add: plugin acme ")


def test_hook_calls_are_traced_on_stderr(process: Mhp, tmp_path: Path) -> None:
    """Plugin, hook, arguments in short, answer; the same bytes each time, and none of them on stdout."""
    (tmp_path / "s.yaml").write_text(HEAD + f"  - {ADD}\n  - {ONLINE}\n")
    done, again = (process("run", "s.yaml", "--trace-hooks", "--json") for _ in range(2))
    assert done.err == again.err
    assert json.loads(done.out)["ok"]
    lines = done.err.splitlines()
    acpi = [line for line in lines if line.startswith("acpi (memhotplug ")]
    assert acpi[0].endswith(": driver_ranges(request=dimm0 1G) -> [0x100000000+1G]")
    assert any(": arch_add_memory(start_pfn=0x100000, nr_pages=0x40000, nid=0, " in line for line in lines)


def test_the_call_that_fails_is_traced_too(process: Mhp, tmp_path: Path) -> None:
    """With what it raised, before the error itself."""
    (tmp_path / "s.yaml").write_text(HEAD + "  - add: {driver: acme, name: sled, size: 1G}\n")
    done = process("run", "s.yaml", "--trace-hooks", plugins={"drivers.acme": RAISING})
    call, error = done.err.splitlines()[-2:]
    assert call.startswith("acme (")
    assert call.endswith(": driver_ranges(request=sled 1G) -> RuntimeError('no luck')")
    assert error.startswith("mhp: s.yaml:4:5: steps[0].add: plugin acme ")
