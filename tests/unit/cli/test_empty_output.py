"""An output whose path is empty, as of a variable that is not set: refused by every command, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ADD = "add: {driver: acpi, name: dimm0, size: 1G}"
FOLDER = "mhp: got an empty path, expected a folder that can be written\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("run s.yaml -o", FOLDER),
        ("check s.yaml -o", FOLDER),
        ("examples -o", FOLDER),
        ("export s.yaml -o", FOLDER),
        ("snapshot -o", "mhp: got an empty path, expected an output that can be written\n"),
        ("snapshot --force -o", "mhp: got an empty path, expected an output that can be written\n"),
        ("report s.yaml -o", "mhp: -o takes a file that ends in .html, not ''; see 'mhp report --help'\n"),
        ("sweep s.yaml --vary machine.memory=2G,4G -o", "mhp: got nothing, expected a path for the results\n"),
    ],
)
def test_an_empty_path_is_refused(
    mhp: Callable[..., Any], scenario: Callable[..., Path], words: str, error: str
) -> None:
    """It would be the current folder, or its parent's."""
    folder = scenario(ADD).parent
    done = mhp(*words.split(), "")
    assert (done.status, done.out, done.err) == (2, "", error)
    assert [path.name for path in folder.iterdir()] == ["s.yaml"]
