"""Which files belong to a snapshot, and how streams and JSON documents are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import LIMITS, Source
from memhotplug.formats.snapshot.jsondoc import JsonObject, load_json
from memhotplug.formats.snapshot.layout import block_node, is_wanted
from memhotplug.formats.snapshot.streams import open_stream

MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"


@pytest.mark.parametrize(
    "name",
    [
        "proc/zoneinfo",
        "proc/buddyinfo",
        "proc/iomem",
        "proc/meminfo",
        "proc/cmdline",
        "proc/sys/kernel/osrelease",
        f"{MEMORY}/block_size_bytes",
        f"{MEMORY}/memory12/state",
        f"{NODE}/online",
        f"{NODE}/node3/meminfo",
        "sys/module/memory_hotplug/parameters/memmap_on_memory",
        "sos_commands/kernel/uname_-a",
    ],
)
def test_machine_files_are_wanted(name: str) -> None:
    """They are read, at exactly these paths."""
    assert is_wanted(name)
    assert not is_wanted(f"{name}/x")
    assert not is_wanted(f"x/{name}")


@pytest.mark.parametrize("name", ["proc/1/environ", "etc/shadow", f"{MEMORY}/probe", f"{MEMORY}/memoryx/state", "proc"])
def test_other_files_are_left_alone(name: str) -> None:
    """A snapshot of a live system reads nothing else."""
    assert not is_wanted(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{MEMORY}/memory5/node1", (f"{MEMORY}/memory5/node", "1")),
        (f"{MEMORY}/memory5/node1/meminfo", (f"{MEMORY}/memory5/node", "1")),
        (f"{NODE}/node1/memory5", (f"{MEMORY}/memory5/node", "1")),
        (f"{NODE}/node1/memory5/state", (f"{MEMORY}/memory5/node", "1")),
        (f"{MEMORY}/memory5/node", None),
        (f"{NODE}/node1/meminfo", None),
    ],
)
def test_links_tell_a_blocks_node(name: str, expected: tuple[str, str] | None) -> None:
    """From either side, also where an archive followed them."""
    assert block_node(name) == expected


def alone(data: bytes) -> bytes:
    """Return what lzma(1) made of bytes before there was xz."""
    return lzma.compress(data, format=lzma.FORMAT_ALONE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, alone, bz2.compress])
def test_stream_reads_what_was_compressed(tmp_path: Path, pack: type[bytes]) -> None:
    """By the first bytes, whatever the name."""
    path = tmp_path / "data"
    path.write_bytes(pack(b"hello " * 100))

    with open_stream(Source(file=str(path)), 600) as stream:
        assert stream.read(5) == b"hello"
        assert stream.read() == (b"hello " * 100)[5:]
        assert stream.read() == b""


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, alone, bz2.compress])
def test_stream_reads_large_files_whole(tmp_path: Path, pack: type[bytes]) -> None:
    """In one go, or in parts that are larger than what is read at once."""
    path, data = tmp_path / "data", bytes(range(256)) * (5 << 11) + b"end"
    path.write_bytes(pack(data))

    with open_stream(Source(file=str(path)), 1 << 30) as stream:
        assert stream.read() == data
    with open_stream(Source(file=str(path)), 1 << 30) as stream:
        assert stream.read(3 << 19) + stream.read(len(data)) == data


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, alone, bz2.compress])
def test_stream_stops_at_its_limit(tmp_path: Path, pack: type[bytes]) -> None:
    """The limit counts decompressed bytes."""
    path = tmp_path / "data"
    path.write_bytes(pack(b"hello " * 100))

    with open_stream(Source(file=str(path)), 599) as stream, pytest.raises(InputError) as caught:
        stream.read()

    assert str(caught.value) == f"{path}: got more, expected at most 599 bytes once decompressed"


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_stream_that_ends_early_is_refused(tmp_path: Path, pack: type[bytes]) -> None:
    """A download that broke off."""
    path = tmp_path / "data"
    path.write_bytes(pack(b"hello " * 100)[:-9])

    with open_stream(Source(file=str(path)), 600) as stream, pytest.raises(InputError) as caught:
        stream.read()

    assert str(caught.value).startswith(f"{path}: got damaged or truncated data (")


def test_name_that_no_file_can_have_is_refused() -> None:
    """A NUL in it."""
    with pytest.raises(InputError) as caught:
        open_stream(Source(file="a\0b"), 1)

    assert str(caught.value) == "a\0b: got embedded null byte, expected a file name"


def test_json_with_a_mark_and_bad_text(tmp_path: Path) -> None:
    """A byte order mark is read over; bytes that are no UTF-8 are refused."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"\xef\xbb\xbf{}")
    bad.write_bytes(b'{"\xff": 1}')

    assert load_json(Source(file=str(good)), LIMITS) == {}
    with pytest.raises(InputError) as caught:
        load_json(Source(file=str(bad)), LIMITS)
    assert str(caught.value) == f"{bad}: got UnicodeDecodeError, expected a JSON document in UTF-8"


def test_json_object_shortens_what_it_shows() -> None:
    """An error stays one readable line."""
    value = JsonObject({"a": list(range(100)), "n": None}, Source(file="f", place="top"))

    with pytest.raises(InputError) as caught:
        value.text("a")

    shown = str(list(range(100)))[:57]
    assert str(caught.value) == f"f: top.a: got {shown}..., expected a string"
    assert (value.text_or_none("n"), value.count_or_none("none"), value.texts("n")) == (None, None, {})
    assert value.counts("a")[99] == 99
