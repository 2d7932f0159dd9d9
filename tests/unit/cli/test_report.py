"""``mhp report``: one HTML file of a run or a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Mhp, Write

STEPS = ("add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}", "online: {range: dimm0, zone: movable}")


def test_it_writes_one_file(mhp: Mhp, scenario: Write) -> None:
    """And says how large it is."""
    done = mhp("report", scenario(*STEPS), "-o", "r.html")
    size = Path("r.html").stat().st_size
    assert (done.status, done.out, done.err) == (0, f"r.html: {size // 1024 + 1} KiB\n", "")
    assert Path("r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>\n")
    assert sorted(path.name for path in Path().iterdir()) == ["r.html", "s.yaml"]


def test_json_is_about_the_file(mhp: Mhp, scenario: Write) -> None:
    """Its name and its bytes."""
    done = json.loads(mhp("report", scenario(*STEPS), "-o", "r.html", "--json").out)
    assert done == {"schema": 1, "ok": True, "file": "r.html", "bytes": Path("r.html").stat().st_size}


def test_variants_are_in_it(mhp: Mhp, scenario: Write) -> None:
    """As a heat map below the run."""
    assert mhp("report", scenario(*STEPS), "--vary", "steps.0.add.mhp_flags=none,device", "-o", "r.html").status == 0
    text = Path("r.html").read_text(encoding="utf-8")
    assert "<h2>Variants</h2>" in text
    assert "<h2>Memory map</h2>" in text


def test_results_of_a_sweep(mhp: Mhp, scenario: Write) -> None:
    """Known by what is in the file, whatever it is called."""
    mhp("sweep", scenario(*STEPS), "--vary", "steps.0.add.size=1G,2G", "-o", "results", "--jobs", "1")
    assert mhp("report", "results", "-o", "r.html").status == 0
    assert "<h2>memmap_bytes</h2>" in Path("r.html").read_text(encoding="utf-8")


def test_a_run_that_stops_is_written_all_the_same(mhp: Mhp, scenario: Write) -> None:
    """With the reason, and exit status 1."""
    done = mhp("report", scenario(*STEPS, "remove: {range: dimm0}"), "-o", "r.html")
    assert done.status == 1
    assert done.err.startswith("mhp: s.yaml:6:5: steps[2].remove: EBUSY: ")
    assert "Stopped: s.yaml:6:5: steps[2].remove: EBUSY: " in Path("r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "r.txt"], "-o takes a file that ends in .html, not 'r.txt'; see 'mhp report --help'"),
        (["-o", "r.html", "--step", "7"], "--step: got 7, expected a step from 0 to 1"),
        (["-o", "r.html", "--measure", "x"], "--measure belongs to the results of a sweep; see 'mhp report --help'"),
        (
            ["-o", "no/such/r.html"],
            "no/such/r.html: got No such file or directory, expected a file that can be written",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(mhp: Mhp, scenario: Write, arguments: list[str], said: str) -> None:
    """And nothing is written."""
    done = mhp("report", scenario(*STEPS), *arguments)
    assert (done.status, done.out, done.err) == (2, "", f"mhp: {said}\n")
    assert [path.name for path in Path().iterdir()] == ["s.yaml"]
