"""A run as a time series."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from memhotplug.cli import main
from memhotplug.commands.run.series import COLUMNS

TEXT = (
    "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 1G}\n"
    "steps: [add: {driver: acpi, name: d, size: 1G, mhp_flags: device}, online: {range: d, zone: movable},\n"
    "  remove: {range: d, fails: EBUSY}]\n"
)


def test_a_row_for_each_step_and_zone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages, the ratio of Movable to kernel pages, and with what a step was refused."""
    (tmp_path / "s.yaml").write_text(TEXT, encoding="utf-8")
    assert main(["run", str(tmp_path / "s.yaml"), "--csv", str(tmp_path / "t.csv")]) == 0
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["step"], row["op"], row["zone"]) for row in rows] == [
        ("0", "add", "DMA"), ("0", "add", "DMA32"), ("1", "online", "DMA"), ("1", "online", "DMA32"),
        ("1", "online", "Movable"), ("2", "remove", "DMA"), ("2", "remove", "DMA32"), ("2", "remove", "Movable"),
    ]  # fmt: skip
    last = rows[-1]
    assert (last["ok"], last["errno"], last["present"], last["managed"]) == ("true", "EBUSY", "262144", "258048")
    kernel = sum(int(row["managed"]) for row in rows[-3:-1])
    assert float(last["movable_kernel_ratio"]) == round(100 * 258048 / kernel, 2)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, after the run."""
    (tmp_path / "s.yaml").write_text(TEXT, encoding="utf-8")
    target = tmp_path / "none" / "t.csv"
    assert main(["run", str(tmp_path / "s.yaml"), "--csv", str(target)]) == 2
    error = capsys.readouterr().err
    assert error == f"mhp: {target}: got No such file or directory, expected a file that can be written\n"


def test_the_map_is_drawn_at_boot_and_after_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a legend once; not in JSON."""
    path = tmp_path / "s.yaml"
    path.write_text(TEXT, encoding="utf-8")
    assert main(["run", str(path), "--map"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("K kernel zone  M Movable")
    assert [line for line in lines if line.startswith("0x0000000100000000 ")][:3] == [
        "0x0000000100000000 --------",
        "0x0000000100000000 MMMMMMMM",
        "0x0000000100000000 MMMMMMMM",
    ]
    assert main(["run", str(path), "--map", "--json"]) == 0
    assert capsys.readouterr().out.startswith('{\n"schema": 1,')
