"""Folders and files that commands leave."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from memhotplug import InputError
from memhotplug.output.files import file_at, make_folder, write_text


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError) as caught:
        make_folder(str(tmp_path / "file" / "out"))

    assert str(caught.value) == f"{tmp_path}/file/out: got Not a directory, expected a folder that can be written"


def test_a_name_with_a_nul_is_an_error() -> None:
    """No system takes it."""
    with pytest.raises(InputError) as caught:
        make_folder("a\0b")

    assert caught.value.expected == "a folder that can be written"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "got an empty path, expected a file that can be written"),
        (".", ".: got a folder, expected a file that can be written"),
        ("/", "/: got a folder, expected a file that can be written"),
        ("a/..", "a/..: got a folder, expected a file that can be written"),
    ],
)
def test_what_can_be_no_file_is_refused(path: str, message: str) -> None:
    """Before anything is done for it."""
    with pytest.raises(InputError) as caught:
        file_at(path)

    assert str(caught.value) == message


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """Its old text is there until the new one is."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_text(path, "new")

    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """Text that cannot be written is noticed before the old file is touched."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InputError, match=r"a\.txt: got .*surrogates not allowed, expected a file that can be written$"):
        write_text(path, "\udcff")

    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_link_is_followed(tmp_path: Path) -> None:
    """As ``/dev/stdout`` is one."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "text")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """And stays one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "text")
    reader.join()

    assert got == ["text"]
    assert pipe.is_fifo()
