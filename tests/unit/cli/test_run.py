"""``mhp run``: what is on stdout and stderr, and in the folder of ``-o``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.places import unplaced

import memhotplug
from memhotplug.cli.logs import Log
from memhotplug.cli.terminal import has_colour, paint_for, width_of

Mhp = Callable[..., Any]
Write = Callable[..., Path]

HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n"
WARNED = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: memhp_default_state=maybe}\nsteps:\n"
ADD = "add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}"
ONLINE = "online: {range: dimm0, zone: movable}"
BUSY = "remove: {range: dimm0}"
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
            "start_pfn": 1048576, "nr_pages": 4096, "refcount": 8, "private": 4096,
            "serves": [1048576, 1310720], "device": "dimm0",
        }
    ]  # fmt: skip
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
        (0, "added"), (0, "step"), (1, "onlined"), (1, "step"),
    ]  # fmt: skip


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


# ---- logs ----


def test_a_warning_is_said_once(mhp: Mhp, scenario: Write) -> None:
    """Below the tables; stderr has it only for programs, and for whoever asked for a log."""
    scenario(ADD, head=WARNED)
    warning = "memhp_default_state=maybe is not known to v2-2019 and ignored"

    done = mhp("run", "s.yaml")
    assert (done.status, done.err) == (0, "")
    assert done.out.count(warning) == 1

    assert mhp("run", "s.yaml", "--log-json").err.count(warning) == 1
    assert mhp("run", "s.yaml", "-v").err.startswith("[warning  ] warning ")


def test_logs_can_be_json(mhp: Mhp, scenario: Write) -> None:
    """With -v every event, one object a line."""
    scenario(ADD, head=WARNED)

    done = mhp("run", "s.yaml", "-v", "--log-json")

    lines = [json.loads(line) for line in done.err.splitlines()]
    assert [(line["level"], line["event"], line["step"]) for line in lines] == [
        ("warning", "warning", None), ("info", "added", 0), ("info", "step", 0),
    ]  # fmt: skip


def test_structlog_is_not_imported_for_nothing(process: Mhp, tmp_path: Path) -> None:
    """It takes longer than a small run."""
    (tmp_path / "s.yaml").write_text(HEAD + f"  - {ADD}\n")
    poison = "raise ImportError('structlog is not wanted here')\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "structlog.py").write_text(poison)
    (tmp_path / "site" / "rich.py").write_text(poison)

    assert process("run", "s.yaml").status == 0


def test_a_log_writes_what_is_important_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings always, the rest only with -v."""
    Log(0, as_json=True).write({"step": 1, "event": "added"})
    Log(0, as_json=True).write({"step": 1, "event": "warning", "text": "x"})
    Log(1, as_json=True).write({"step": 1, "event": "added"})

    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["warning", "added"]


# ---- colour ----


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "stream", "colour"),
    [
        ({"TERM": "xterm"}, _Terminal(), True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, _Terminal(), False),
        ({"TERM": "xterm", "NO_COLOR": ""}, _Terminal(), True),
        ({"TERM": "dumb"}, _Terminal(), False),
        ({"TERM": "xterm"}, io.StringIO(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, io.StringIO(), True),
        ({"FORCE_COLOR": "0"}, io.StringIO(), False),
        ({"FORCE_COLOR": ""}, io.StringIO(), False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, _Terminal(), False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], stream: io.StringIO, colour: bool
) -> None:
    """NO_COLOR and FORCE_COLOR count unless they are empty, and the first wins."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert has_colour(stream) is colour
    assert (paint_for(stream)("ok", "green") == "\x1b[32mok\x1b[0m") is colour
    assert (paint_for(stream)("ok", "green") == "ok") is not colour


# ---- plugins of others ----


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


@pytest.mark.parametrize(
    ("terminal", "forced", "width"), [(True, "", 77), (False, "", None), (False, "1", 77), (True, "1", 77)]
)
def test_only_a_terminal_has_a_width(
    terminal: bool, forced: str, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is piped keeps its lines; COLUMNS says how wide a terminal is, FORCE_COLOR makes one of anything."""
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.setenv("FORCE_COLOR", forced)
    stream = _Terminal() if terminal else io.StringIO()

    assert width_of(stream) == width


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
