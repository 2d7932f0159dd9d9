"""Compressed files are read as the standard library reads them, and never beyond a limit."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot.source import Source
from memhotplug.formats.snapshot.streams import open_stream

_PARTS = st.lists(st.binary(max_size=300).map(lambda data: data * 40), min_size=1, max_size=3)
_SIZES = st.lists(st.integers(1, 5000), max_size=4)
_FORMATS = st.sampled_from([lzma.FORMAT_XZ, lzma.FORMAT_ALONE])


def as_read(path: Path, sizes: list[int]) -> bytes | str:
    """Return what a file has in it, read in such portions and then to its end, or what is said of it."""
    try:
        with open_stream(Source(file=str(path)), 1 << 20) as stream:
            return b"".join([*map(stream.read, sizes), stream.read()])
    except InputError as problem:
        return str(problem)


def as_known(path: Path) -> bytes | str:
    """Return the same of the standard library."""
    try:
        with lzma.open(path) as file:
            return file.read()
    except (lzma.LZMAError, EOFError) as problem:
        return f"{path}: got damaged or truncated data ({problem}), expected a complete, readable file"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    _PARTS, _FORMATS, st.binary(max_size=40), st.none() | st.floats(0, 1), st.lists(st.integers(1, 5000), max_size=4)
)
def test_xz_is_read_as_the_standard_library_does(
    tmp_path: Path, parts: list[bytes], kind: int, behind: bytes, cut: float | None, sizes: list[int]
) -> None:
    """Several streams, something else behind them, and files that end early, in whatever portions they are read."""
    data = b"".join(lzma.compress(part, kind) for part in parts) + behind
    path = tmp_path / "file.xz"
    path.write_bytes(data if cut is None else data[: 20 + int(cut * len(data))])
    assert as_read(path, sizes) == as_known(path)


def test_a_damaged_stream_is_refused(tmp_path: Path) -> None:
    """As long as its beginning is one."""
    data = bytearray(lzma.compress(bytes(range(256)) * 40))
    data[40] ^= 0xFF
    path = tmp_path / "file.xz"
    path.write_bytes(data)
    assert as_read(path, []) == as_known(path)
    assert "damaged" in str(as_read(path, []))


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (50_000_000, False)])
def test_no_more_comes_out_than_the_limit(tmp_path: Path, size: int, fits: bool) -> None:
    """However small the file is."""
    path = tmp_path / "file.xz"
    path.write_bytes(lzma.compress(bytes(size)))
    with open_stream(Source(file=str(path)), 1000) as stream:
        if fits:
            assert stream.read() == bytes(size)
            return
        with pytest.raises(InputError) as caught:
            stream.read()
    assert str(caught.value) == f"{path}: got more, expected at most 1000 bytes once decompressed"
