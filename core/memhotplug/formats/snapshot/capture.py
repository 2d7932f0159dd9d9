"""Recording a machine into what ``open_snapshot`` reads: a directory with the files at their real paths, or a tar.

Only files that tell about memory are read, each on its own, so that one that cannot be read costs nothing but
itself. A link between a block and its node is read as ``memoryN/node`` with the node's number, and written as the
kernel's link again, so that lsmem and others find it.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from memhotplug.errors import InputError, words_of
from memhotplug.formats.snapshot.layout import MEMORY, NODE, PARAMETERS, SYSCTLS, THP, VM, block_node
from memhotplug.formats.snapshot.source import LIMITS

__all__ = ["Collected", "Skipped", "collect", "is_archive_name", "write_snapshot"]

_PROC: Final = (
    "proc/zoneinfo",  # and what counts the same pages right after it
    "proc/buddyinfo",
    "proc/pagetypeinfo",
    "proc/meminfo",
    "proc/cmdline",
    "proc/iomem",
    "proc/sys/kernel/arch",
    "proc/sys/kernel/osrelease",
    "proc/version",
    "proc/vmstat",
    *(f"{VM}/{name}" for name in SYSCTLS),
    f"{THP}/enabled",
)
_OPTIONAL: Final = ("proc/sys/kernel/arch", *(f"{VM}/{name}" for name in SYSCTLS), f"{THP}/enabled")
"""Files that older kernels or copied trees do not have and that are not worth a word when they are missing."""
_SYSFS: Final = (MEMORY, NODE)
_NOT_OURS: Final = ("power", "hugepages", "uevent")
"""What the driver core and others have below each block and node."""
_BLOCK: Final = re.compile(rf"{MEMORY}/memory\d+")
_SUBFOLDER: Final = re.compile(r"(memory|node)\d+")
_PIECE: Final = 1 << 16
_ARCHIVES: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz")
_OTHERS: Final = (
    ".zip",
    ".7z",
    ".rar",
    ".cpio",
    ".gz",
    ".xz",
    ".txz",
    ".bz2",
    ".tbz2",
    ".zst",
    ".tzst",
    ".lz4",
    ".lzma",
)
"""Names of archives that are not written: nobody wants a folder of such a name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A file that is not in the snapshot, and why: ``missing``, or the errno's text."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What was read of a machine.

    Attributes:
        files: text by real path without a leading slash, ascending.
        skipped: what is missing or could not be read, ascending.
    """

    files: Mapping[str, str]
    skipped: tuple[Skipped, ...]


def collect(root: str | os.PathLike[str] = "/") -> Collected:
    """Read the machine files below ``root``.

    Raises:
        InputError: there are none.
    """
    reader = _Collector(os.fspath(root))
    reader.run()
    if not any(name.startswith(("proc/zoneinfo", "proc/buddyinfo", MEMORY)) for name in reader.files):
        raise InputError("a root with proc/zoneinfo, proc/buddyinfo or memory blocks", got="none", file=reader.root)
    skipped = (Skipped(path=path, reason=reason) for path, reason in sorted(reader.skipped.items()))
    return Collected(files=dict(sorted(reader.files.items())), skipped=tuple(skipped))


class _Collector:
    """Reads one machine."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def run(self) -> None:
        for name in _PROC:
            self._read(name)
        for folder in _SYSFS:
            self._folder(folder)
        for entry in self._names(PARAMETERS):
            self._read(f"{PARAMETERS}/{entry}")
        if not any(_BLOCK.match(name) for name in self.files):
            self.skipped.setdefault(f"{MEMORY}/memoryN", "missing")
        for path in [path for path in self.skipped if path in _OPTIONAL]:
            del self.skipped[path]

    def _folder(self, folder: str) -> None:
        """Read the attributes in a folder and in the folders of blocks and nodes below it."""
        for entry in self._names(folder):
            name = f"{folder}/{entry}"
            path = os.path.join(self.root, name)
            link = block_node(name)
            if link is not None:
                self.files.setdefault(link[0], f"{link[1]}\n")
            elif entry in _NOT_OURS or (os.path.islink(path) and not os.path.exists(path)):
                continue
            elif os.path.isdir(path):
                if folder in _SYSFS and _SUBFOLDER.fullmatch(entry) and not os.path.islink(path):
                    self._folder(name)
            else:
                self._read(name)

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self.root, folder)))
        except OSError as problem:
            self.skipped[folder] = _reason(problem)
            return []

    def _read(self, name: str) -> None:
        path = os.path.join(self.root, name)
        try:
            mode = os.stat(path).st_mode
            if not stat.S_ISREG(mode) or (name.startswith("sys/") and not mode & 0o444):
                return  # a switch that is only written to has nothing to tell
            self.files[name] = _content(path)
        except OSError as problem:
            self.skipped[name] = _reason(problem)


def _reason(problem: OSError) -> str:
    return "missing" if problem.errno in (errno.ENOENT, errno.ENOTDIR) else words_of(problem)


def _content(path: str) -> str:
    """Return the file's text, in pieces: files of /proc have no size, and some refuse a large buffer."""
    pieces: list[bytes] = []
    left = LIMITS.file_bytes
    with open(path, "rb", buffering=0) as handle:
        while left > 0 and (piece := handle.read(min(_PIECE, left))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces).decode("utf-8", "replace")


# ---- writing ----


def is_archive_name(path: str) -> bool:
    """Return whether a snapshot of that name is written as a tar archive."""
    return path.endswith(_ARCHIVES)


def write_snapshot(collected: Collected, output: str, *, force: bool = False, root: str = "/") -> None:
    """Write a snapshot; it appears whole or not at all.

    Args:
        output: a directory, or an archive by its name (``.tar``, ``.tar.gz``, ``.tgz``, ``.tar.xz``).
        force: replace an earlier snapshot of that name. Nothing else is ever replaced.
        root: the machine that was read, which is never written into.

    Raises:
        InputError: the output has no name, exists, is no snapshot, or cannot be written.
    """
    if not output:
        raise InputError("an output that can be written", got="an empty path")
    try:
        target = os.path.realpath(output)
        if target == os.path.realpath(root):
            raise InputError("an output that is not the machine itself", got="its root", file=output)
        if is_archive_name(output):
            _write_archive(collected.files, output, target, force=force)
        elif output.lower().endswith(_OTHERS):
            raise InputError(f"a folder, or an archive *{', *'.join(_ARCHIVES)}", got="another archive", file=output)
        else:
            _write_directory(collected.files, output, target, force=force)
    except InputError:
        raise
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise InputError("an output that can be written", got=words_of(problem), file=output) from problem


def _write_archive(files: Mapping[str, str], output: str, target: str, *, force: bool) -> None:
    if os.path.lexists(target):
        _may_replace(output, force, regular=os.path.isfile(target))
    data = _archive(files)
    handle, partial = tempfile.mkstemp(prefix=".mhp-", dir=os.path.dirname(target))
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(_compressed(data, output))
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _compressed(data: bytes, name: str) -> bytes:
    if name.endswith("xz"):
        return lzma.compress(data)
    return gzip.compress(data, mtime=0) if name.endswith("gz") else data


def _archive(files: Mapping[str, str]) -> bytes:
    """Return a tar archive that is the same for the same files: no owner, no time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in files.items():
            link, data = _link(name, text), text.encode()
            member = tarfile.TarInfo(name if link is None else link.path)
            if link is None:
                member.size = len(data)
            else:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, link.target, 0o777
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


class _Link(NamedTuple):
    path: str
    target: str


def _link(name: str, text: str) -> _Link | None:
    """Return the link that stands for a file ``memoryN/node``, None for other files."""
    folder, _, last = name.rpartition("/")
    if last != "node" or not _BLOCK.fullmatch(folder) or not text.strip().isdecimal():
        return None
    node = f"node{int(text)}"
    return _Link(f"{folder}/{node}", f"../../node/{node}")


def _write_directory(files: Mapping[str, str], output: str, target: str, *, force: bool) -> None:
    exists = os.path.lexists(target)
    if exists and not (os.path.isdir(target) and not os.listdir(target)):
        _may_replace(output, force, regular=_is_snapshot(target))
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".mhp-", dir=parent)
    try:
        os.chmod(partial, 0o755)
        for name, text in files.items():
            link = _link(name, text)
            path = os.path.join(partial, name if link is None else link.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if link is not None:
                os.symlink(link.target, path)
                continue
            with open(path, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
        if exists:
            shutil.rmtree(target)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _may_replace(output: str, force: bool, *, regular: bool) -> None:
    if not regular:
        raise InputError("a new name, an empty directory, or an earlier snapshot", got="something else", file=output)
    if not force:
        raise InputError("a name that does not exist, or --force", got="one that is there already", file=output)


def _is_snapshot(path: str) -> bool:
    """Return whether a directory holds nothing but what snapshots have, so that it may be replaced."""
    if not os.path.isdir(path) or not set(os.listdir(path)) <= {"proc", "sys"}:
        return False
    return all(_is_plain(found) for found in _below(path))


def _below(path: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)


def _is_plain(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return not os.path.ismount(entry.path)
    if entry.is_symlink():
        return os.readlink(entry.path) == f"../../node/{entry.name}"
    return entry.is_file(follow_symlinks=False)
