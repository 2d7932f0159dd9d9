"""The recordings of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import recordings_in


def test_a_folder_has_the_recordings_that_lie_in_it(tmp_path: Path) -> None:
    """By name, compressed or not; a file is itself, whatever its name, and whether there is one or not."""
    for name in ("b.json", "a.json.xz", "c.json.gz", "d.json.bz2", "e.json.zst", "notes.md"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.json").mkdir()

    assert [Path(path).name for path in recordings_in(str(tmp_path))] == [
        "a.json.xz",
        "b.json",
        "c.json.gz",
        "d.json.bz2",
    ]
    assert recordings_in(str(tmp_path / "notes.md")) == [str(tmp_path / "notes.md")]
    assert recordings_in("gone") == ["gone"]


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    """Rather than replayed without a word."""
    with pytest.raises(InputError) as refused:
        recordings_in(str(tmp_path))
    assert str(refused.value) == (
        f"{tmp_path}: got a folder without any, expected recordings (*.json, *.json.xz, *.json.gz, *.json.bz2)"
    )
