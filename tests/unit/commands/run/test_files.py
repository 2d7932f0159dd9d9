"""The machine-readable form, and the files of ``-o``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memhotplug.commands.run.files import write_run
from memhotplug.commands.run.runner import RunResult
from memhotplug.errors import InputError
from memhotplug.output.files import make_folder
from memhotplug.output.jsontext import render, render_line

Run = Callable[..., RunResult]

ADD = "add: {driver: acpi, name: dimm0, size: 1G}"


def test_a_document_is_one_object_with_an_entry_a_line() -> None:
    """Readable, and quick to make: the C encoder does every entry."""
    assert render({"schema": 1, "none": None, "empty": [], "list": [{"a": 1}, {"b": [2, 3]}], "by": {"0": 1}}) == (
        '{\n"schema": 1,\n"none": null,\n"empty": [],\n"list": [\n{"a": 1},\n{"b": [2, 3]}\n],\n"by": {"0": 1}\n}\n'
    )


def test_a_record_is_one_line() -> None:
    """As JSON Lines wants it, whatever the text holds."""
    assert render_line({"text": "two\nlines", "é": "\udcff"}) == '{"text": "two\\nlines", "\\u00e9": "\\udcff"}\n'


def test_values_that_plugins_put_into_events_become_plain() -> None:
    """NumPy's numbers as numbers, anything else as text; an array is no number."""
    assert json.loads(render_line({"n": np.int64(7), "b": np.bool_(True), "p": Path("x"), "a": np.array([1, 2])})) == {
        "n": 7,
        "b": True,
        "p": "x",
        "a": "[1 2]",
    }


def test_both_files_are_written(run: Run, tmp_path: Path) -> None:
    """The result as on stdout, and the events one a line."""
    result = run(ADD)

    write_run(make_folder(str(tmp_path / "a" / "b")), result)

    folder = tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "result.json"]
    assert (folder / "result.json").read_text() == render(result.to_dict())
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events == list(result.events)


def test_a_file_that_cannot_be_written_is_an_error(run: Run, tmp_path: Path) -> None:
    """A folder has its name."""
    (tmp_path / "result.json").mkdir()

    with pytest.raises(InputError) as caught:
        write_run(tmp_path, run(ADD))

    assert str(caught.value) == f"{tmp_path}/result.json: got Is a directory, expected a file that can be written"
