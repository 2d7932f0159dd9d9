"""Texts that a user names: files, compressed ones, pipes, and what cannot be read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug import InputError
from memhotplug.formats.snapshot.source import LIMITS, Source
from memhotplug.formats.textfile import read_text

TEXT = "Mem-Info:\nactive_anon:1 kB\n"


def read(path: Path | str) -> str:
    """Return the text of a file."""
    return read_text(Source(file=str(path)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_file_may_be_compressed(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Its first bytes say how."""
    path = tmp_path / "log"
    path.write_bytes(pack(TEXT.encode()))
    assert read(path) == TEXT


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    """A log may have anything in it."""
    path = tmp_path / "log"
    path.write_bytes(b"a\xffb\n")
    assert read(path) == "a\ufffdb\n"


def test_an_empty_file_is_an_empty_text(tmp_path: Path) -> None:
    """Whoever asked for it says what is missing."""
    (tmp_path / "log").touch()
    assert read(tmp_path / "log") == ""


def _piped(data: bytes) -> int:
    """Return the end of a pipe out of which some bytes come."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as stream:
            stream.write(data)

    threading.Thread(target=write, daemon=True).start()
    return reader


def test_a_pipe_is_read_as_it_is() -> None:
    """It cannot be looked at before it is read, so that it has to be plain."""
    reader = _piped(TEXT.encode())
    try:
        assert read(f"/dev/fd/{reader}") == TEXT
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere", "got No such file or directory, expected a readable file"),
        (".", "got Is a directory, expected a readable file"),
        ("a\0b", "got embedded null byte, expected a file name"),
    ],
)
def test_what_cannot_be_opened_is_bad_input(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file's name before it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read(name)
    assert str(caught.value) == f"{name}: {text}"


def test_what_is_damaged_is_bad_input(tmp_path: Path) -> None:
    """It ends early."""
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 100)[:-9])
    with pytest.raises(InputError, match="expected a complete, readable file"):
        read(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_has_a_limit_whatever_it_is_packed_in(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it becomes counts."""
    monkeypatch.setattr("memhotplug.formats.textfile.LIMITS", type(LIMITS)(file_bytes=100))
    path = tmp_path / "log"
    path.write_bytes(pack(b"x" * 100))
    assert len(read(path)) == 100
    path.write_bytes(pack(b"x" * 101))
    with pytest.raises(InputError, match=r"expected at most 100 bytes"):
        read(path)


def test_a_pipe_has_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may never end."""
    monkeypatch.setattr("memhotplug.formats.textfile.LIMITS", type(LIMITS)(file_bytes=100))
    reader = _piped(b"x" * 101)
    try:
        with pytest.raises(InputError, match=r"got more, expected at most 100 bytes"):
            read(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
