"""``mhp run``: what is on stdout and stderr, and in the folder of ``-o``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import HEAD

import memhotplug

Mhp = Callable[..., Any]
Write = Callable[..., Path]

ADD = "add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}"
ONLINE = "online: {range: dimm0, zone: movable}"
BUSY = "remove: {range: dimm0}"


def test_people_get_a_line_a_step_and_the_tables(mhp: Mhp, scenario: Write) -> None:
    """Nothing on stderr, status 0."""
    scenario(ADD, ONLINE, "remove: {range: dimm0, fails: EBUSY}")

    done = mhp("run", "s.yaml")

    lines = done.out.splitlines()
    assert (done.status, done.err) == (0, "")
    assert lines[:5] == [
        "add dimm0  acpi  1G at 0x0000000100000000-0x000000013fffffff  blocks 32-39  ok",
        "online dimm0  zone movable  blocks 32-39  ok",
        "remove dimm0  blocks 32-39  ok (EBUSY as expected: memory blocks 32-39 are not offline)",
        "",
        "RANGE                                 SIZE  STATE REMOVABLE BLOCK   ZONES NODE VMEMMAP DEVICE",
    ]
    assert "0x0000000100000000-0x000000013fffffff   1G online       yes 32-39 Movable    0    4096 dimm0" in lines
    assert "   0 Movable   1048576  262144  262144  258048  258048" in lines
    assert lines[lines.index("Memmap of the hot-added memory:") + 2].split() == ["self-hosted", "4096", "16M"]


def test_output_that_is_piped_is_plain(mhp: Mhp, scenario: Write) -> None:
    """No escape sequence, no blank at the end of a line."""
    scenario(ADD, ONLINE)

    out = mhp("run", "s.yaml").out

    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


def test_json_is_one_object_with_the_keys_of_the_contract(mhp: Mhp, scenario: Write) -> None:
    """In their order, and all there."""
    scenario(ADD, ONLINE)

    done = mhp("run", "s.yaml", "--json")
    document = json.loads(done.out)

    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("\n}\n")
    assert list(document) == [
        "schema", "mhp", "scenario", "ok", "machine", "steps",
        "blocks", "zones", "vmemmap", "memmap", "iomem", "warnings", "violations",
    ]  # fmt: skip
    assert (document["schema"], document["mhp"], document["scenario"]) == (1, memhotplug.__version__, "s.yaml")
    assert document["ok"] is True
    assert list(document["machine"]) == [
        "arch", "kernel", "page_size", "section_size", "memory_block_size",
        "struct_page_size", "pageblock_pages", "max_order",
    ]  # fmt: skip
    assert document["blocks"][-8] == {
        "id": 32, "state": "online", "node": 0, "zone": "Movable", "valid_zones": ["Movable"],
        "start": 4 << 30, "size": 128 << 20, "vmemmap_pages": 4096, "usable_pages": 28672, "device": "dimm0",
    }  # fmt: skip
    assert document["vmemmap"] == [
        {
            "start_pfn": 1048576,
            "nr_pages": 4096,
            "refcount": 8,
            "private": 4096,
            "serves": [1048576, 1310720],
            "device": "dimm0",
        }
    ]
    assert document["violations"] == []


def test_json_twice_is_the_same_bytes(mhp: Mhp, scenario: Write) -> None:
    """Deterministic."""
    scenario(ADD, ONLINE)

    assert mhp("run", "s.yaml", "--json").out == mhp("run", "s.yaml", "--json").out


def test_a_failure_is_the_whole_object_one_line_and_status_1(mhp: Mhp, scenario: Write) -> None:
    """The steps up to the one that failed are there."""
    scenario(ADD, ONLINE, BUSY, "offline: {range: dimm0}")

    done = mhp("run", "s.yaml", "--json")
    document = json.loads(done.out)

    assert done.status == 1
    assert document["ok"] is False
    assert [record["ok"] for record in document["steps"]] == [True, True, False]
    assert len(document["blocks"]) == 40
    assert done.err == "mhp: s.yaml:6:5: steps[2].remove: EBUSY: memory blocks 32-39 are not offline\n"


def test_a_failure_still_shows_people_the_machine(mhp: Mhp, scenario: Write) -> None:
    """They want to see why."""
    scenario("expect: {zone: Movable, managed: 5}")

    done = mhp("run", "s.yaml")

    assert done.status == 1
    assert done.out.startswith(
        "expect zone Movable, managed 5  FAILED zone Movable of node 0: managed is 0, expected 5\n\nRANGE "
    )
    assert done.err == "mhp: s.yaml:4:5: steps[0].expect: zone Movable of node 0: managed is 0, expected 5\n"


def test_a_dash_reads_stdin(mhp: Mhp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors and the result call it <stdin>."""
    text = HEAD + f"  - {ADD}\n  - {BUSY}\n  - {BUSY}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    done = mhp("run", "-", "--json")

    assert done.status == 1
    assert json.loads(done.out)["scenario"] == "<stdin>"
    assert done.err == "mhp: <stdin>:6:5: steps[2].remove: ENODEV: there is no memory of 'dimm0'\n"


def test_stdin_that_is_no_text_is_bad_input(mhp: Mhp, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line of the first bad byte."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"schema: 1\n# \xff\n")))

    done = mhp("run", "-")

    assert (done.status, done.err) == (2, "mhp: <stdin>:2: got byte 0xff, expected UTF-8 text\n")


def test_no_stdin_is_an_empty_scenario(mhp: Mhp, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ``<&-``."""
    monkeypatch.setattr(sys, "stdin", None)

    assert mhp("run", "-").status == 2


def test_a_folder_gets_result_and_events(mhp: Mhp, scenario: Write) -> None:
    """The result is what ``--json`` prints."""
    scenario(ADD, ONLINE)

    done = mhp("run", "s.yaml", "--json", "-o", "out")

    assert Path("out/result.json").read_text() == done.out
    events = [json.loads(line) for line in Path("out/events.jsonl").read_text().splitlines()]
    assert [(event["step"], event["event"]) for event in events] == [
        (0, "added"),
        (0, "step"),
        (1, "onlined"),
        (1, "step"),
    ]


def test_a_failed_run_leaves_its_files_too(mhp: Mhp, scenario: Write) -> None:
    """They are most needed then."""
    scenario(ADD, ONLINE, BUSY)

    assert mhp("run", "s.yaml", "-o", "out").status == 1
    assert json.loads(Path("out/result.json").read_text())["ok"] is False


def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(mhp: Mhp, scenario: Write) -> None:
    """Nothing is on stdout yet."""
    scenario(ADD)

    done = mhp("run", "s.yaml", "-o", "s.yaml/out")

    assert (done.status, done.out) == (2, "")
    assert done.err == "mhp: s.yaml/out: got Not a directory, expected a folder that can be written\n"


def test_check_stops_at_a_broken_invariant(mhp: Mhp, scenario: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1 and its name; without --check it is only listed."""
    from memhotplug.machine import Machine

    real = Machine.apply

    def apply(self: Machine, op: str, step: Any) -> Any:
        outcome = real(self, op, step)
        next(self.kernel.state.zones()).managed += 1
        return outcome

    monkeypatch.setattr(Machine, "apply", apply)
    scenario(ADD)

    assert mhp("run", "s.yaml").status == 0
    done = mhp("run", "s.yaml", "--check", "--json")
    assert done.status == 1
    assert done.err.startswith("mhp: s.yaml:4:5: steps[0].add: breaks an invariant: I")
    assert json.loads(done.out)["violations"] != []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["run", "s.yaml", "--csv", ""], "mhp: got an empty path, expected a file that can be written\n"),
        (["run", "s.yaml", "--csv", "."], "mhp: .: got a folder, expected a file that can be written\n"),
        (["plan", "--boot", "4G", "--scenario", ""], "mhp: got an empty path, expected a file that can be written\n"),
        (["plan", "--boot", "4G", "--scenario", "/"], "mhp: /: got a folder, expected a file that can be written\n"),
    ],
)
def test_a_file_that_can_be_none_is_refused(mhp: Mhp, scenario: Write, words: list[str], error: str) -> None:
    """Before a step is played or anything is answered."""
    scenario(ADD)
    done = mhp(*words)
    assert (done.status, done.out, done.err) == (2, "", error)
