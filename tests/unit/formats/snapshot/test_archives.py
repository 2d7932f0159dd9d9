"""Snapshots in tar archives: read like a directory; refused where they lead out, are cut off, or become too much."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.unit.formats.snapshot.test_files import message_of

from memhotplug.formats.snapshot import open_snapshot

Unpack = Callable[[Mapping[str, str]], Path]
Pack = Callable[..., Path]


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "s.tar.xz", "s.tar.bz2"])
@pytest.mark.parametrize("prefix", ["", "./", "sosreport-host-2026-11-23-abcdefg/", "./" + "long" * 40 + "/"])
def test_archive_reads_like_the_directory(
    texts: dict[str, str], unpack: Unpack, pack: Pack, name: str, prefix: str
) -> None:
    """Compression and one leading directory make no difference."""
    opened = open_snapshot(pack(texts, name, prefix))

    reference = open_snapshot(unpack(texts))
    assert {k: v.strip() for k, v in opened.files.items()} == {k: v.strip() for k, v in reference.files.items()}
    assert opened.kind == "archive"


def test_archive_of_a_directory_keeps_node_links(texts: dict[str, str], unpack: Unpack, tmp_path: Path) -> None:
    """`tar -C snap -czf snap.tar.gz .` stores links; their names tell the node."""
    root = unpack(texts)
    path = tmp_path / "made.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root, arcname=".")

    assert open_snapshot(path).files == open_snapshot(root).files


@pytest.mark.parametrize("name", ["/proc/zoneinfo", "../proc/zoneinfo", "a/../../proc/iomem"])
def test_archive_with_a_name_that_leads_out_is_refused(pack: Pack, name: str) -> None:
    """Nothing is extracted, but such an archive was made to harm somebody."""
    path = pack({name: "x"})

    expected = f"{path}: got {name!r}, expected members with a relative path inside the archive"
    assert message_of(path) == expected


def test_archive_links_are_never_followed(tmp_path: Path) -> None:
    """A link named like a wanted file has no content."""
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("proc/zoneinfo", tarfile.SYMTYPE), ("proc/iomem", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)

    assert message_of(path) == f"{path}: got none of them, expected files of a machine such as proc/zoneinfo"


def test_archive_of_two_machines_is_refused(pack: Pack) -> None:
    """The files of two hosts do not make one machine."""
    path = pack({"host-a/proc/zoneinfo": "x", "host-b/proc/buddyinfo": "y"})

    assert message_of(path) == f"{path}: got those of host-a and host-b, expected the files of one machine"


def test_archive_bomb_is_stopped(tmp_path: Path) -> None:
    """A member nobody wants still has to be decompressed to get past it."""
    path = tmp_path / "bomb.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 8 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))

    assert (
        message_of(path, stream_bytes=1 << 20) == f"{path}: got more, expected at most 1048576 bytes once decompressed"
    )


def test_archive_with_a_huge_long_name_is_stopped(tmp_path: Path) -> None:
    """Extended headers are read into memory whole."""
    path = tmp_path / "name.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("n" * 5000))

    message = message_of(path, header_bytes=4096)

    assert message == f"{path}: got a header of 5001 bytes, expected members of a sensible size"


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "s.tar.xz", "s.tar.bz2"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.8])
def test_truncated_archive_is_refused(texts: dict[str, str], pack: Pack, name: str, part: float) -> None:
    """An archive cut off anywhere is not taken for a small one."""
    path = pack(texts, name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    assert message_of(path).startswith(f"{path}: got ")


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"},
        {"GNU.sparse.map": "1,x"},
    ],
)
def test_a_tar_with_malformed_extended_headers_names_the_member(tmp_path: Path, headers: dict[str, str]) -> None:
    """Numbers of extended headers are checked by nobody but the reader."""
    path = tmp_path / "sparse.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("proc/zoneinfo")
        member.pax_headers = headers
        member.size = 512
        tar.addfile(member, io.BytesIO(b"x" * 512))

    message = message_of(path)
    assert message.startswith(f"{path}: got member 'proc/zoneinfo', whose header is malformed (")
    assert message.endswith("), expected a tar archive that can be read")
