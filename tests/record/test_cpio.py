"""The initramfs: the archive's bytes, and what the guest finds in it."""

from __future__ import annotations

import gzip
import stat

from hypothesis import given
from hypothesis import strategies as st
from tools.record.cpio import CpioEntry, compress, pack
from tools.record.initramfs import build_initramfs


def _unpack(archive: bytes) -> list[tuple[str, int, tuple[int, int], bytes]]:
    """Return name, mode, device and data of each entry, read as the kernel's unpacker does."""
    entries: list[tuple[str, int, tuple[int, int], bytes]] = []
    position = 0
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        start = position + 110
        name = archive[start : start + fields[11] - 1].decode()
        data = -(-(start + fields[11]) // 4) * 4
        position = -(-(data + fields[6]) // 4) * 4
        if name == "TRAILER!!!":
            assert position == len(archive)
            return entries
        entries.append((name, fields[1], (fields[9], fields[10]), archive[data : data + fields[6]]))


def test_record_has_header_name_and_data_padded_to_four_bytes() -> None:
    """One file of five bytes: 110 bytes of header, the name with its NUL, and two paddings."""
    archive = pack([CpioEntry.program("init", b"abcde")])

    header = "07070100000001000081ED" + "00000000" * 2 + "000000010000000000000005" + "00000000" * 4
    assert archive[:110].decode() == header + "0000000500000000"
    assert archive[110:124] == b"init\0\0abcde\0\0\0"
    assert len(archive) % 4 == 0


def test_archive_ends_with_the_trailer() -> None:
    """An empty archive is the trailer alone."""
    assert _unpack(pack([])) == []


@given(st.lists(st.tuples(st.text("abc/", min_size=1, max_size=9), st.binary(max_size=40)), max_size=6))
def test_what_is_packed_comes_out_again(files: list[tuple[str, bytes]]) -> None:
    """Names and contents of any length survive."""
    entries = [CpioEntry.program(name, data) for name, data in files]

    assert [(name, data) for name, _, _, data in _unpack(pack(entries))] == files


def test_compressed_archive_is_the_same_every_time() -> None:
    """Neither a time nor a file name gets into it."""
    archive = pack([CpioEntry.directory("proc")])

    assert compress(archive) == compress(archive)
    assert gzip.decompress(compress(archive)) == archive
    assert compress(archive)[4:8] == bytes(4)


def test_initramfs_holds_mount_points_console_and_init_only() -> None:
    """The console exists before devtmpfs is mounted, or init would have no standard input."""
    entries = _unpack(gzip.decompress(build_initramfs(b"\x7fELF")))

    assert [name for name, *_ in entries] == ["dev", "proc", "sys", "dev/console", "init"]
    assert all(stat.S_ISDIR(mode) for _, mode, _, _ in entries[:3])
    assert entries[3][1:] == (stat.S_IFCHR | 0o600, (5, 1), b"")
    assert entries[4][1:] == (stat.S_IFREG | 0o755, (0, 0), b"\x7fELF")
