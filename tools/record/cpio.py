"""Writes an initramfs: a cpio archive in the "newc" format that the kernel unpacks.

Models: init/initramfs.c:do_header() (v6.12): "070701", then 13 fields of 8 hexadecimal digits,
the name with its NUL, and the data, both padded to 4 bytes.
"""

from __future__ import annotations

import gzip
import stat
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CpioEntry", "compress", "pack"]

_END = "TRAILER!!!"


@dataclass(frozen=True, kw_only=True, slots=True)
class CpioEntry:
    """One file of an archive.

    Attributes:
        name: path without a leading slash; directories come before what is in them.
        mode: type and permissions, as st_mode.
        data: a regular file's content.
        device: major and minor number of a device.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)

    @classmethod
    def directory(cls, name: str) -> CpioEntry:
        """Return a directory that everybody may enter."""
        return cls(name=name, mode=stat.S_IFDIR | 0o755)

    @classmethod
    def program(cls, name: str, data: bytes) -> CpioEntry:
        """Return an executable file."""
        return cls(name=name, mode=stat.S_IFREG | 0o755, data=data)

    @classmethod
    def character_device(cls, name: str, major: int, minor: int) -> CpioEntry:
        """Return a character device that only root may use."""
        return cls(name=name, mode=stat.S_IFCHR | 0o600, device=(major, minor))


def pack(entries: Iterable[CpioEntry]) -> bytes:
    """Return the archive of the entries, in their order, owned by root and without times."""
    archive = bytearray()
    for inode, entry in enumerate(entries, start=1):
        archive += _record(entry, inode)
    return bytes(archive + _record(CpioEntry(name=_END, mode=0), 0))


def compress(archive: bytes) -> bytes:
    """Return the archive as gzip, the same bytes every time."""
    return gzip.compress(archive, mtime=0)


def _record(entry: CpioEntry, inode: int) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
