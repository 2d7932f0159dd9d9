"""Reading a snapshot from a directory that holds files at their real paths (``/`` itself is one)."""

from __future__ import annotations

import os
import stat

from memhotplug.errors import words_of
from memhotplug.formats.snapshot.layout import MEMORY, NODE, PARAMETERS, THP, VM, block_node, is_wanted
from memhotplug.formats.snapshot.source import Limits, Source

__all__ = ["read_directory"]

_FOLDERS = (
    "proc",
    "proc/sys/kernel",
    VM,
    THP,
    "sos_commands/kernel",
    "sos_commands/host",
    "sos_commands/memory",
    PARAMETERS,
    MEMORY,
    NODE,
)
_TOP = ("proc", "sys")
_PIECE = 1 << 16


def read_directory(source: Source, limits: Limits) -> dict[str, str]:
    """Return path -> text of the machine files below the directory ``source.file``.

    They may lie below one further directory, as in an unpacked sos report. Links are followed only
    where they stay inside.

    Raises:
        InputError: no machine files there, one that cannot be read, or more than the limits.
    """
    return _Directory(source, limits).read()


class _Directory:
    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.root = _find_root(source)
        self.real_root = os.path.realpath(self.root)
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.nr_bytes = 0
        self.count = 0

    def read(self) -> dict[str, str]:
        for folder in _FOLDERS:
            self._read_folder(folder, deeper=folder in (MEMORY, NODE))
        return self.links | self.files

    def _read_folder(self, folder: str, *, deeper: bool) -> None:
        path = os.path.join(self.root, folder)
        if not os.path.isdir(path) or not self._inside(path):
            return
        for entry in sorted(self._names(path, folder)):
            name = f"{folder}/{entry}"
            link = block_node(name)
            if link is not None:
                self.links[link[0]] = link[1]
            elif is_wanted(name):
                self._read_file(name)
            elif deeper and entry.startswith(("memory", "node")):
                self._read_folder(name, deeper=False)

    def _names(self, path: str, folder: str) -> list[str]:
        try:
            names = os.listdir(path)
        except OSError as exc:
            raise self.source.at(folder).error("a readable directory", got=words_of(exc)) from exc
        self.count += len(names)
        if self.count > self.limits.members:
            raise self.source.error(f"at most {self.limits.members} files", got="more")
        return names

    def _read_file(self, name: str) -> None:
        path = os.path.join(self.root, name)
        where = self.source.at(name)
        if os.path.islink(path) and not self._inside(path):
            raise where.error("a file inside the snapshot", got="a link out of it")
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return
            data = _read(path, self.limits.file_bytes)
        except PermissionError:
            return  # as unprivileged users find it: left out, and inferred later
        except OSError as exc:
            if name.startswith("sys/"):
                return  # sysfs attributes may refuse to be read
            raise where.error("a readable file", got=words_of(exc)) from exc
        self._count(len(data), name)
        self.files[name] = data.decode("utf-8", "replace")

    def _count(self, nr_bytes: int, name: str) -> None:
        if nr_bytes > self.limits.file_bytes:
            raise self.source.at(name).error(f"a file of at most {self.limits.file_bytes} bytes", got="more")
        self.nr_bytes += nr_bytes
        if self.nr_bytes > self.limits.total_bytes:
            raise self.source.error(f"at most {self.limits.total_bytes} bytes of machine files", got="more")

    def _inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return os.path.commonpath((real, self.real_root)) == self.real_root


def _read(path: str, limit: int) -> bytes:
    """Return the file's bytes, a little more than ``limit`` if it holds more.

    In pieces: /proc/sys refuses a large buffer with ENOMEM, and the size of such files is not known.
    Models: fs/proc/proc_sysctl.c:proc_sys_call_handler() (v6.12)
    """
    pieces: list[bytes] = []
    left = limit + 1
    with open(path, "rb", buffering=0) as handle:
        while left > 0 and (piece := handle.read(_PIECE)):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _find_root(source: Source) -> str:
    root = source.file
    if _has_top(root):
        return root
    try:
        below = sorted(os.path.join(root, name) for name in os.listdir(root))
    except OSError as exc:
        raise source.error("a readable directory", got=words_of(exc)) from exc
    found = [path for path in below if _has_top(path)]
    if len(found) == 1:
        return found[0]
    raise source.error("a directory with proc/ and sys/ of one machine", got="several" if found else "none")


def _has_top(path: str) -> bool:
    return any(os.path.isdir(os.path.join(path, top)) for top in _TOP)
