"""``mhp check`` as it is typed."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import rich.status

from memhotplug.cli import main

HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 1G}\n"
DEVICE = HEAD + "drivers: {acpi: {mhp_flags: device}}\nexplore: {drivers: acpi, blocks: 2, operations: [add, remove]}\n"
MAINLINE = HEAD.replace("v2-2019", "linux-6.12")
SOUND = HEAD + "explore: {drivers: acpi, sizes: 128M, blocks: 1, operations: [add, remove]}\n"

Stopped: TypeAlias = Callable[[int, str], str]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A scenario that breaks in two steps."""
    path = tmp_path / "device.yaml"
    path.write_text(DEVICE, encoding="utf-8")
    return path


def test_what_breaks_is_told_shortest_first_and_the_verdict_last(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1; each way with its steps and the kernel's function."""
    assert main(["check", str(given), "--depth", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "I11: the memmap of blocks 33 lies in removed memory (1024 pages)",
        "  1. add acpi m0 size 256M",
        "  2. remove block 32",
        "  kernel: mm/sparse-vmemmap.c:vmemmap_populate(), vmemmap_free()",
    ]
    assert lines[-1] == "3 ways found in which something breaks"
    assert max(map(len, lines)) <= 80


def test_nothing_found_says_what_was_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0; that it was everything is said."""
    path = tmp_path / "sound.yaml"
    path.write_text(SOUND, encoding="utf-8")
    assert main(["check", str(path), "--depth", "9"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "tried: add, remove; adding 128M by acpi, at most 1 hot-added block",
        "2 states, 2 transitions; that is everything that can ever happen here",
        "nothing broke",
    ]


def test_json_has_every_key(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps as a scenario has them, and the file that repeats them; mhp run --check fails on it."""
    folder = tmp_path / "found"
    assert main(["check", str(given), "--depth", "2", "--json", "-o", str(folder)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert list(document) == [
        "schema", "ok", "states", "transitions", "depth", "exhaustive", "closed", "interrupted", "against",
        "violations",
    ]  # fmt: skip
    first = document["violations"][0]
    assert first == {
        "invariant": "I11",
        "text": "I11: the memmap of blocks 33 lies in removed memory (1024 pages)",
        "steps": [{"add": {"driver": "acpi", "name": "m0", "size": "256M"}}, {"remove": {"range": "block 32"}}],
        "scenario": str(folder / "00-I11.yaml"),
    }
    assert main(["run", "--check", first["scenario"]]) == 1


def test_another_kernel_is_named(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is not installed is refused as in a scenario."""
    assert main(["check", str(given), "--against", "plan9"]) == 2
    assert capsys.readouterr().err == "mhp: --against: got plan9, expected a kernel or a policy\n"


@pytest.mark.parametrize(
    ("explore", "place", "error"),
    [
        ("{operation: add}", "3:11", "explore.operation: got operation, expected one of the keys: "
         "operations, drivers, sizes, zones, blocks; did you mean 'operations'?"),
        ("{operations: []}", "3:23", "explore.operations: got a list, expected one or a list of: add, online, "
         "offline, remove, eject, resize, write, allocate, release; an empty list leaves nothing to explore"),
        ("{blocks: 0}", "3:19", "explore.blocks: got 0, expected a number of blocks from 1 to 4096"),
    ],
)  # fmt: skip
def test_bad_input_has_one_line(
    explore: str, place: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the place, and the nearest key."""
    path = tmp_path / "bad.yaml"
    path.write_text(f"{HEAD}explore: {explore}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == f"mhp: {path}:{place}: {error}\n"


def test_nothing_to_explore_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no block that could go online."""
    path = tmp_path / "empty.yaml"
    path.write_text(f"{HEAD}explore: {{operations: online}}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"mhp: {path}: explore: expected something to explore; what 'explore' allows, this machine cannot do\n"
    )


def test_a_driver_that_is_not_there_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that could be tried of it is a refusal, and that nothing broke would say nothing."""
    path = tmp_path / "absent.yaml"
    path.write_text(f"{HEAD}explore: {{drivers: [acpi, sclp]}}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"mhp: {path}: explore.drivers: got sclp, expected drivers that this machine has; "
        "there is no sclp on x86_64: only s390 has this service processor\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("--operations", "0", "0 is not in the range x>=1"),
        ("--depth", "0", "0 is not in the range x>=1"),
        ("--jobs", "0", "0 is not in the range x>=1"),
        ("--seconds", "0", "0.0 is not in the range x>0"),
    ],
)
def test_a_budget_of_nothing_is_refused(
    option: str, value: str, error: str, given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name."""
    assert main(["check", str(given), option, value]) == 2
    assert capsys.readouterr().err == f"mhp: invalid value for '{option}': {error}; see 'mhp check --help'\n"


def test_a_start_that_is_broken_already_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is tried, and the counterexample is the scenario itself."""
    path = tmp_path / "broken.yaml"
    path.write_text(
        DEVICE + "steps: [add: {driver: acpi, name: d, size: 256M}, remove: {range: block 32}]\n", encoding="utf-8"
    )
    assert main(["check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "I11: the memmap of blocks 33 lies in removed memory (1024 pages)",
        "  in the machine as it is at the end of the scenario",
        "  kernel: mm/sparse-vmemmap.c:vmemmap_populate(), vmemmap_free()",
    ]
    assert lines[-2:] == [
        "nothing was tried: the scenario itself ends in a machine that is broken",
        "2 ways found in which something breaks",
    ]


STOPPING = """\
import signal

from memhotplug.plugin import hookimpl

calls = 0


@hookimpl
def policy_mhp_flags(kernel, request, phys_range, driver_flags):
    global calls
    calls += 1
    if calls == {count}:
        signal.raise_signal(signal.SIGINT)
    return driver_flags
"""


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Stopped]:
    """A scenario whose policy stops the program at its so-manieth call, as Ctrl-C does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background ignores it

    def make(count: int, head: str) -> str:
        path = tmp_path / "stopped.yaml"
        policy = tmp_path / f"stopping{count}.py"  # a file that was read keeps its counter
        policy.write_text(STOPPING.format(count=count), encoding="utf-8")
        rest = f"plugins: [{policy.name}]\ndrivers: {{acpi: {{policy: {policy.stem}}}}}\nexplore: {{drivers: acpi}}\n"
        path.write_text(head + rest, encoding="utf-8")
        return str(path)

    yield make
    signal.signal(signal.SIGINT, before)


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the last lines: what was covered, in one line, and the verdict."""
    *lines, verdict = capsys.readouterr().out.splitlines()
    covered = next(index for index in range(len(lines) - 1, -1, -1) if " transitions; " in lines[index])
    return [" ".join(lines[covered:]), verdict]


def test_ctrl_c_gives_what_was_found_so_far(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    """What broke until then is told, and the exit status is as if nobody had stopped it."""
    given = stopped(100, HEAD)
    assert main(["check", given, "--depth", "6", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["interrupted"], document["exhaustive"], document["closed"]) == (True, False, False)
    assert document["violations"][0]["text"] == "I11: the memmap of blocks 33 lies in removed memory (1024 pages)"

    assert main(["check", stopped(101, HEAD), "--depth", "6"]) == 1
    covered, verdict = told(capsys)
    assert covered.endswith("transitions; interrupted, everything within 2 operations was seen")
    assert verdict.endswith(" ways found in which something breaks")


def test_ctrl_c_before_anything_was_found_is_no_verdict(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    """As of any program that was stopped."""
    assert main(["check", stopped(20, MAINLINE), "--depth", "6"]) == 130
    covered, verdict = told(capsys)
    assert covered.endswith("transitions; interrupted, everything within 1 operation was seen")
    assert verdict == "nothing broke so far"


def test_ctrl_c_ends_random_lives(stopped: Stopped, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how many there were."""
    assert main(["check", stopped(113, MAINLINE), "--depth", "6", "--operations", "400"]) == 130
    covered, verdict = told(capsys)
    assert covered == (
        "173 states, 348 transitions; interrupted, everything within 2 operations was seen, "
        "beyond it 2 random lives of 24 operations (seed 0)"
    )
    assert verdict == "nothing broke so far"


def test_what_ended_it_is_what_there_may_be_more_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Time, or operations."""
    path = tmp_path / "deep.yaml"
    path.write_text(f"{MAINLINE}explore: {{drivers: acpi}}\n", encoding="utf-8")
    assert main(["check", str(path), "--depth", "9", "--seconds", "1e-6"]) == 0
    assert told(capsys)[0].endswith("everything within 0 operations was seen; more with --seconds")
    assert main(["check", str(path), "--depth", "9", "--operations", "100"]) == 0
    assert told(capsys)[0] == (
        "56 states, 123 transitions; everything within 1 operation was seen, "
        "beyond it 2 random lives of 24 operations (seed 0); more with --operations"
    )


class Terminal(io.StringIO):
    """Collects what would be shown."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_far_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """By depth, and during random lives by their number."""
    from memhotplug.cli.check import _Meter
    from memhotplug.commands.check.search import Progress

    shown: list[str] = []
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(rich.status.Status, "update", lambda self, text: shown.append(re.sub(r"\d+ a", "? a", text)))
    with _Meter() as meter:
        meter.show(Progress(states=5, transitions=30, depth=2))
        meter.show(Progress(states=5, transitions=54, depth=2, lives=1))
    assert shown == [
        "depth 3: 5 states, 30 transitions, ? a second, 0 found",
        "random life 1: 5 states, 54 transitions, ? a second, 0 found",
    ]
