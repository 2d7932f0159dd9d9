"""Exit statuses and the one line on stderr, for everything that can go wrong."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from memhotplug.cli.exits import ExitCode, explain, say
from memhotplug.errors import InputError, MemoryHotplugError, PluginError

Mhp = Callable[..., Any]
Write = Callable[..., Path]

ADD = "add: {driver: acpi, name: dimm0, size: 1G}"


def test_exit_statuses_are_those_of_the_contract() -> None:
    """Other programs rely on the numbers."""
    assert [(code.name, int(code)) for code in ExitCode] == [
        ("OK", 0),
        ("FAILURE", 1),
        ("USAGE", 2),
        ("RISKY", 3),
        ("DOES_NOT_FIT", 4),
    ]


def test_what_would_steer_a_terminal_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A plugin's own words, or a file's name, cannot colour or clear the screen of who reads the error."""
    say("s.yaml: EBUSY: one\nline, \x1b[31mred\x07 … and “words”")
    assert capsys.readouterr().err == "mhp: s.yaml: EBUSY: one line, \\x1b[31mred\\x07 … and “words”\n"


# ---- usage ----


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["rnu"], "mhp: no such command 'rnu'; did you mean 'run'?"),
        (["zzzzz"], "mhp: no such command 'zzzzz'; see 'mhp --help'"),
        (["--jsn"], "mhp: no such option '--jsn'; see 'mhp --help'"),
        (["run", "s.yaml", "--jsno"], "mhp: no such option '--jsno'; did you mean '--json'?"),
        (["run"], "mhp: missing argument 'SCENARIO'; see 'mhp run --help'"),
        (["run", "a", "b"], "mhp: got unexpected extra argument (b); see 'mhp run --help'"),
        (["run", "a", "-o"], "mhp: option '-o' requires an argument"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(mhp: Mhp, args: list[str], line: str) -> None:
    """With the nearest name where there is one."""
    done = mhp(*args)

    assert (done.status, done.out, done.err) == (2, "", line + "\n")


@pytest.mark.parametrize("args", [["run", "a", "--plugin-timeout", "-1"], ["schema", "plan"]])
def test_a_value_that_is_not_accepted_is_status_2(mhp: Mhp, args: list[str]) -> None:
    """The words are click's."""
    done = mhp(*args)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("mhp: ")


def test_wrong_usage_is_also_json_if_that_was_asked_for(mhp: Mhp) -> None:
    """The same object as for a bad scenario."""
    done = mhp("run", "s.yaml", "--json", "--chek")

    assert done.status == 2
    assert json.loads(done.out) == {
        "schema": 1,
        "ok": False,
        "error": {
            "file": None,
            "line": None,
            "column": None,
            "path": None,
            "got": "--chek",
            "expected": "no such option '--chek'",
            "nearest": "--check",
        },
    }
    assert done.err == "mhp: no such option '--chek'; did you mean '--check'?\n"


# ---- bad input ----


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\tschema: 1\n",
        "schema: 2\n",
        "schema: 1\nmachine: *x\n",
        "schema: 1\nmachine: \x00\n",
        "a: \u202e\n",
        "[" * 5000,
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G, memory: 5G}\n",
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: -4G}\n",
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 0}\n",
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 1M}\n",
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 16P}\n",
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, snapshot: nowhere}\n",
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps: [add: {driver: acip, size: 1G}]\n",
    ],
)
def test_a_bad_scenario_is_one_line_and_status_2(mhp: Mhp, scenario: Write, text: str) -> None:
    """Never a traceback, nothing on stdout, and the file first."""
    scenario(head=text)

    done = mhp("run", "s.yaml")

    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("mhp: s.yaml") or "snapshot" in text
    assert "expected" in done.err


def test_the_line_has_place_path_got_expected_and_the_nearest(mhp: Mhp, scenario: Write) -> None:
    """Everything that is needed to repair it."""
    scenario("add: {driver: acip, size: 1G}")

    assert mhp("run", "s.yaml").err.startswith(
        "mhp: s.yaml:4:19: steps[0].add.driver: got acip, expected an installed driver, "
    )
    assert mhp("run", "s.yaml").err.endswith("; did you mean 'acpi'?\n")


def test_with_json_the_error_is_also_an_object_on_stdout(mhp: Mhp, scenario: Write) -> None:
    """With exactly these keys, in this order."""
    scenario("add: {driver: acpi, size: 1G, nmae: x}")

    done = mhp("run", "s.yaml", "--json")

    document = json.loads(done.out)
    assert done.status == 2
    assert done.out.endswith("\n")
    assert list(document) == ["schema", "ok", "error"]
    assert (document["schema"], document["ok"]) == (1, False)
    assert list(document["error"]) == ["file", "line", "column", "path", "got", "expected", "nearest"]
    assert document["error"]["file"] == "s.yaml"
    assert (document["error"]["line"], document["error"]["column"]) == (4, 35)
    assert (document["error"]["path"], document["error"]["got"]) == ("steps[0].add.nmae", "nmae")
    assert document["error"]["nearest"] == "name"


def test_an_error_in_the_middle_of_a_run_is_only_the_error(mhp: Mhp, scenario: Write) -> None:
    """A half-finished result would be taken for a whole one."""
    head = "schema: 1\nmachine: {arch: s390, kernel: v2-2019, memory: 4G}\nsteps:\n"
    scenario("add: {driver: sclp, size: 1G}", "add: {driver: sclp, size: 1G, node: 1}", head=head)

    done = mhp("run", "s.yaml", "--json")

    assert done.status == 2
    assert list(json.loads(done.out)) == ["schema", "ok", "error"]
    assert done.err == ("mhp: s.yaml:5:41: steps[1].add.node: got 1, expected node 0, the only one that sclp adds to\n")


@pytest.mark.parametrize(("path", "problem"), [("nowhere.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_bad_input(mhp: Mhp, scenario: Write, path: str, problem: str) -> None:
    """The system's own words."""
    scenario()
    done = mhp("run", path)

    assert (done.status, done.out) == (2, "")
    assert done.err == f"mhp: {path}: got {problem}, expected a scenario file that can be read\n"


# ---- everything else ----


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Return a function that makes every command raise something."""
    import memhotplug.cli.schema

    def prepare(problem: BaseException) -> None:
        def catalog() -> None:
            raise problem

        monkeypatch.setattr(memhotplug.cli.schema, "_catalog", catalog)

    return prepare


@pytest.mark.parametrize(
    ("problem", "status", "line"),
    [
        (InputError("more", got="less", file="f", line=1, path="a.b"), 2, "f:1: a.b: got less, expected more"),
        (PluginError("acme", "is broken"), 2, "plugin acme: is broken"),
        (MemoryHotplugError(16, "it is in use"), 1, "EBUSY: it is in use"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (
            MemoryError(),
            1,
            "out of memory: the machine of this scenario is too large to be modelled here",
        ),
        (OSError(28, "No space left on device"), 1, "cannot write the output: No space left on device"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "this is a bug in mhp, please report it ('mhp --debug …' shows where): ZeroDivisionError: by zero",
        ),
        (
            SystemExit(3),
            1,
            "this is a bug in mhp, please report it ('mhp --debug …' shows where): SystemExit: 3",
        ),
    ],
)
def test_every_exception_has_a_status_and_one_line(
    mhp: Mhp, raising: Callable[..., None], problem: BaseException, status: int, line: str
) -> None:
    """And never a traceback."""
    raising(problem)

    done = mhp("schema")

    assert (done.status, done.out, done.err) == (status, "", f"mhp: {line}\n")


def test_a_plugin_error_with_a_place_says_it(mhp: Mhp, raising: Callable[..., None]) -> None:
    """In front of the plugin."""
    error = PluginError("acme", "is broken")
    error.file, error.line, error.column, error.path = "s.yaml", 4, 5, "steps[0].add"
    raising(error)

    assert mhp("schema").err == "mhp: s.yaml:4:5: steps[0].add: plugin acme: is broken\n"


def test_debug_shows_where_a_bug_is(mhp: Mhp, raising: Callable[..., None]) -> None:
    """The traceback first, the line last."""
    raising(ZeroDivisionError("by zero"))

    done = mhp("--debug", "schema")

    assert done.status == 1
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert done.err.endswith("\nmhp: this is a bug in mhp, please report it: ZeroDivisionError: by zero\n")


def test_debug_shows_no_traceback_for_bad_input(mhp: Mhp) -> None:
    """That is nobody's bug."""
    assert mhp("--debug", "run", "nowhere.yaml").err.count("\n") == 1


def test_json_behind_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a file's name."""
    assert explain(InputError("more"), ["run", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_reader_that_goes_away_is_no_bug(scenario: Write) -> None:
    """As ``mhp run … | head -1`` does; nothing is said, the status is that of a failure."""
    import subprocess

    scenario(ADD)
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "memhotplug", "run", "s.yaml"],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write)

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said(scenario: Write) -> None:
    """Output that was not written is a failure."""
    import subprocess

    scenario(ADD)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "memhotplug", "run", "s.yaml"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    assert (done.returncode, done.stderr) == (1, b"mhp: cannot write the output: No space left on device\n")


def test_streams_that_are_closed_are_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ``>&- 2>&-``."""
    from memhotplug.cli import main

    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    assert main(["--version"]) == 0


def test_a_terminal_that_knows_only_ascii_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ellipsis of a shortened value must not be the end of it."""
    from memhotplug.cli import main

    out = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(out, encoding="ascii"))
    assert main(["run", "x" * 4 + "é"]) == 2
    sys.stderr.flush()

    assert (
        out.getvalue() == b"mhp: xxxx\\xe9: got No such file or directory, expected a scenario file that can be read\n"
    )
