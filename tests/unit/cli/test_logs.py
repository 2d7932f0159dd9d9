"""Warnings and logs on stderr: once, as text or JSON, and at no cost while there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import HEAD

from memhotplug.cli.logs import Log

Mhp = Callable[..., Any]
Write = Callable[..., Path]

WARNED = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: memhp_default_state=maybe}\nsteps:\n"
ADD = "add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}"


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
        ("warning", "warning", None),
        ("info", "added", 0),
        ("info", "step", 0),
    ]


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
