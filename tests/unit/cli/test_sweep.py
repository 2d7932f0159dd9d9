"""``mhp sweep`` as it is typed."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from memhotplug.cli import main
from memhotplug.cli.sweep import _report
from memhotplug.commands.sweep.answer import Progress

TEXT = (
    "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 1G}\ndrivers: {acpi: {mhp_flags: none}}\n"
    "steps: [add: {driver: acpi, name: d, size: 1G}, online: {range: d, zone: movable}]\n"
)
VARY = ["--vary", "steps.0.add.size=1G,80G", "--vary", "drivers.acpi.mhp_flags=none,device"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario and the results of a sweep of it."""
    monkeypatch.chdir(tmp_path)
    Path("grow.yaml").write_text(TEXT, encoding="utf-8")
    assert main(["sweep", "grow.yaml", *VARY, "-o", "r.sqlite", "--jobs", "1"]) == 0
    return tmp_path


def test_what_came_of_it_is_said_in_two_lines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And that the rest was there already."""
    capsys.readouterr()
    assert main(["sweep", "grow.yaml", *VARY, "-o", "s.sqlite"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 of 4 cases, 0 of them there already; 1 of 4 had a step that failed",
        "mhp sweep --show s.sqlite summarises them",
    ]
    assert main(["sweep", "grow.yaml", *VARY, "-o", "r.sqlite", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "schema": 1, "ok": True, "cases": 4, "done": 4, "skipped": 4, "failed": 0, "per_second": 0.0,
    }  # fmt: skip


def test_what_could_not_be_played_is_counted_apart(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that the kernel does not have fails no step."""
    capsys.readouterr()
    command = ["sweep", "grow.yaml", "--vary", "drivers.acpi.mhp_flags=on_memory,none", "-o", "s.sqlite"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "2 of 2 cases, 0 of them there already; 0 of 2 had a step that failed, 1 could not be played"
    )


def test_rows_of_steps_have_the_values_of_their_case(place: Path) -> None:
    """Behind its number; and types do not depend on whether anything failed."""
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["sweep", "grow.yaml", *VARY, "-o", "s.sqlite", "--jobs", "1", "--steps"]) == 0
    assert main(["sweep", "--export", "s.csv", "--steps", "s.sqlite"]) == 0
    assert main(["sweep", "--export", "s.parquet", "--steps", "s.sqlite"]) == 0
    header, *lines = Path("s.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("case,steps.0.add.size,drivers.acpi.mhp_flags,step,op,name,ok,errno,node,zone,")
    assert list(dict.fromkeys(",".join(line.split(",")[:3]) for line in lines)) == [
        "0,1G,none",
        "1,1G,device",
        "2,80G,none",
        "3,80G,device",
    ]
    assert parquet.read_table("s.parquet").num_rows == len(lines)
    assert main(["sweep", "grow.yaml", "--vary", "steps.0.add.size=1G,2G", "-o", "ok.sqlite", "--jobs", "1"]) == 0
    assert main(["sweep", "--export", "ok.parquet", "ok.sqlite"]) == 0
    schema = parquet.read_schema("ok.parquet")
    assert [str(schema.field(name).type) for name in ("failed_step", "errno", "message", "memmap_bytes")] == [
        "int64",
        "string",
        "string",
        "int64",
    ]


def test_more_rows_than_are_written_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, and all of them."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("memhotplug.commands.sweep.export._ROWS_AT_ONCE", 3)
    assert main(["sweep", "--export", "t.parquet", "r.sqlite"]) == 0
    assert parquet.read_table("t.parquet").column("case").to_pylist() == [0, 1, 2, 3]


def test_a_dumb_terminal_gets_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For there a bar would show nothing."""
    from memhotplug.cli.sweep import _Meter
    from memhotplug.commands.sweep.answer import Progress

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _Meter() as meter:
        meter.show(Progress(cases=1000, played=100, seconds=10))
    assert capsys.readouterr().err == "mhp: 100 of 1000 cases, 10 cases/s, 90 s left\n"


def test_the_summary_ends_with_what_failed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Best, worst, groups, and where the outcome flips."""
    capsys.readouterr()
    assert main(["sweep", "--show", "r.sqlite", "--group-by", "drivers.acpi.mhp_flags"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "none                       2  50%   16M   902M 902M ENOMEM 1" in lines
    assert "  steps.0.add.size: 1G ok, 80G ENOMEM  with drivers.acpi.mhp_flags=none" in lines
    assert lines[-1] == "4 cases: 1 failed, 3 ok, ENOMEM 1"


def test_results_are_exported_by_the_ending(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV and Parquet have the same columns and rows."""
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["sweep", "--export", "t.csv", "r.sqlite"]) == 0
    assert main(["sweep", "--export", "t.parquet", "r.sqlite"]) == 0
    header, *rows = Path("t.csv").read_text(encoding="utf-8").splitlines()
    table = parquet.read_table("t.parquet")
    assert table.column_names == header.split(",")
    assert table.num_rows == len(rows) == 4
    assert table.column("memmap_bytes").to_pylist()[0] == 16 << 20


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["grow.yaml", *VARY], "say where the results are kept: -o FILE; see 'mhp sweep --help'"),
        (["grow.yaml", "-o", "x.sqlite"], "expected something to vary, --vary KEY=V1,V2, or a --trace"),
        (["grow.yaml", "--vary", "steps.7.add.size=1G", "-o", "x"],
         "--vary steps.7.add.size: got steps[7], expected the path of a value that the scenario has"),
        (["grow.yaml", "--vary", "steps.0.add.siez=1G", "-o", "x"],
         "--vary steps.0.add.siez: got siez, expected one of the keys: driver, name, size, address, node, mhp_flags, "
         "fails, veto, fail_allocation, resources; did you mean 'size'?"),
        (["grow.yaml", "--vary", "machine.memory=1G,2G", "-o", "r.sqlite"],
         "r.sqlite: got another question, expected the same question as before, or another file: the values differ"),
        (["other.yaml", *VARY, "-o", "r.sqlite"],
         "r.sqlite: got another question, expected the same question as before, or another file: "
         "the scenario, its plugins, its snapshot or its trace differ"),
        (["grow.yaml", "--vary", "steps.0.add.size=1G..2000G/1G", "--vary", "machine.memory=1G..2000G/1G", "-o", "x"],
         "got 4000000, expected at most 1000000 cases; draw some of them with --sample"),
        (["grow.yaml", "--vary", "steps.0.add.size=1G..99G/0", "-o", "x"],
         "--vary: got 1G..99G/0, expected a range that ascends, FIRST..LAST/STEP with a step above 0"),
        (["grow.yaml", *VARY, "-o", "text"], "text: got file is not a database, expected the results of a sweep"),
        (["grow.yaml", *VARY, "-o", "foreign.db"],
         "foreign.db: got a database of another program, expected the results of a sweep"),
        (["grow.yaml", *VARY, "-o", "no/r.sqlite"],
         "no/r.sqlite: got unable to open database file, expected a file that can be opened and written"),
        (["none.yaml", *VARY, "-o", "x"],
         "none.yaml: got No such file or directory, expected a scenario file that can be read"),
        (["--show", "none.sqlite"], "none.sqlite: got no such file, expected the results of a sweep"),
        (["--show", "r.sqlite", "--measure", "memmap"],
         "--measure: got memmap, expected a measure that the results have; did you mean 'memmap_bytes'?"),
        (["--show", "r.sqlite", "--group-by", "machine.memory"],
         "--group-by: got machine.memory, expected a varied key: steps.0.add.size, drivers.acpi.mhp_flags"),
        (["--export", "t.xls", "r.sqlite"], "--export: got t.xls, expected a file that ends in .csv or .parquet"),
        (["--export", "t.csv", "--steps", "r.sqlite"],
         "r.sqlite: got none, expected results that were made with --steps"),
        (["--export", "no/t.csv", "r.sqlite"],
         "no/t.csv: got No such file or directory, expected a file that can be written"),
        (["--export", "t.csv"], "say which results: mhp sweep --export FILE RESULTS; see 'mhp sweep --help'"),
        (["grow.yaml", *VARY, "-o", "x", "--jobs", "2", "--scheduler", "a"],
         "give one of --jobs and --scheduler; see 'mhp sweep --help'"),
        (["grow.yaml", *VARY, "-o", ""], "got nothing, expected a path for the results"),
        (["grow.yaml", *VARY, "-o", "x", "--show", "r.sqlite"],
         "--show RESULTS reads results, and --vary goes nowhere beside it; see 'mhp sweep --help'"),
        (["grow.yaml", "--show", "r.sqlite"],
         "--show RESULTS reads results, and SCENARIO goes nowhere beside it; see 'mhp sweep --help'"),
        (["--show", "r.sqlite", "--export", "t.csv"],
         "--show RESULTS reads results, and --export goes nowhere beside it; see 'mhp sweep --help'"),
        (["--export", "t.csv", "r.sqlite", "--group-by", "x"],
         "--export FILE RESULTS reads results, and --group-by goes nowhere beside it; see 'mhp sweep --help'"),
        (["grow.yaml", *VARY, "-o", "x", "--measure", "memmap_bytes"],
         "--measure goes with --show RESULTS; see 'mhp sweep --help'"),
        (["--export", "", "r.sqlite"], "--export: got nothing, expected a file that ends in .csv or .parquet"),
        (["grow.yaml", "--vary", "steps.0.add.size=1G", "--vary", "steps[0].add.size=2G", "-o", "x"],
         "--vary: got steps[0].add.size, expected each key once"),
        (["grow.yaml", "--vary", "steps.0.add.size=1G", "--vary", "steps.0.add={driver: acpi, size: 2G}", "-o", "x"],
         "--vary steps.0.add: got it behind steps.0.add.size, expected steps.0.add before steps.0.add.size, "
         "which is a part of it"),
        ([], "say which scenario, or give --show RESULTS or --export FILE RESULTS; see 'mhp sweep --help'"),
    ],
)  # fmt: skip
def test_bad_input_has_one_line(
    arguments: list[str], problem: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, and no file is made or changed."""
    (place / "other.yaml").write_text(TEXT.replace("1G}", "2G}", 1), encoding="utf-8")
    (place / "text").write_text("hello, this is no database at all\n" * 40, encoding="utf-8")
    with sqlite3.connect(place / "foreign.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert main(["sweep", *arguments]) == 2
    assert capsys.readouterr().err == f"mhp: {problem}\n"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_scenario_may_come_through_stdin(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same question as that of a file with the same content."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    capsys.readouterr()
    assert main(["sweep", "-", *VARY, "-o", "r.sqlite", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "4 of 4 cases, 4 of them there already; none was played now"


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(cases=4, played=4, failed=1), "4 of 4 cases, 0 of them there already; 1 of 4 had a step that failed"),
        (
            Progress(cases=4, skipped=1, played=3, failed=2, refused=1),
            "4 of 4 cases, 1 of them there already; "
            "1 of the 3 played now had a step that failed, 1 could not be played",
        ),
        (Progress(cases=4, skipped=2), "2 of 4 cases, 2 of them there already; none was played now"),
    ],
)
def test_failures_are_counted_among_the_cases_of_this_run(
    capsys: pytest.CaptureFixture[str], progress: Progress, told: str
) -> None:
    """A run that went on does not speak for those that were there already."""
    _report(progress, {"as_json": False, "output": "r.sqlite"})
    assert capsys.readouterr().out.splitlines()[0] == told


def test_a_changed_plugin_file_makes_another_question(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that the scenario itself names."""
    plugin = (
        "from memhotplug.plugin import hookimpl\n@hookimpl\n"
        "def policy_mhp_flags(kernel, request, phys_range, driver_flags): return kernel.flag('memblock')\n"
    )
    (place / "mine.py").write_text(plugin, encoding="utf-8")
    (place / "own.yaml").write_text(TEXT + "plugins: [./mine.py]\n", encoding="utf-8")
    command = ["sweep", "own.yaml", "--vary", "drivers.acpi.policy=default,mine", "-o", "own.sqlite", "--jobs", "1"]
    assert main(command) == 0
    (place / "mine.py").write_text(plugin.replace("memblock", "device"), encoding="utf-8")
    capsys.readouterr()
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "mhp: own.sqlite: got another question, expected the same question as before, or another file: "
        "the scenario, its plugins, its snapshot or its trace differ\n"
    )


def test_a_scheduler_that_does_not_answer_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time that it was given."""
    pytest.importorskip("distributed")
    from memhotplug.commands.sweep import workers

    monkeypatch.setattr(workers, "_ANSWER_SECONDS", 0.2)
    capsys.readouterr()
    assert main(["sweep", "grow.yaml", *VARY, "-o", "y.sqlite", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert capsys.readouterr().err == (
        "mhp: --scheduler: got tcp://127.0.0.1:9, expected a Dask scheduler that answers within 0.2 s\n"
    )
    assert not (place / "y.sqlite").exists()


def test_a_log_gets_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """With rate and time left; nothing in between."""
    from memhotplug.cli.sweep import _Meter
    from memhotplug.commands.sweep.answer import Progress

    with _Meter() as meter:
        for seconds in (1, 9.9, 10, 12, 19, 20.5, 21):
            meter.show(Progress(cases=1000, skipped=100, played=int(10 * seconds), seconds=seconds))
    assert capsys.readouterr().err.splitlines() == [
        "mhp: 200 of 1000 cases, 10 cases/s, 80 s left",
        "mhp: 305 of 1000 cases, 10 cases/s, 70 s left",
    ]


def test_processes_are_as_many_as_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as many as the machine has."""
    from memhotplug.cli.sweep import _usable_cpus

    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {3, 5, 7}, raising=False)
    assert _usable_cpus() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert _usable_cpus() == 8
