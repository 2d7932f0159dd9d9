"""``mhp check`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memhotplug.cli import main

HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 1G}\n"
DEVICE = HEAD + "drivers: {acpi: {mhp_flags: device}}\nexplore: {drivers: acpi, blocks: 2, operations: [add, remove]}\n"
SOUND = HEAD + "explore: {drivers: acpi, sizes: 128M, blocks: 1, operations: [add, remove]}\n"


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
        "tried: add, remove; adding 128M by acpi, at most 1 hot-added blocks",
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
        "mhp: explore: expected something to explore; what 'explore' allows, this machine cannot do\n"
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
