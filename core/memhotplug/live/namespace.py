"""A mount namespace in which the modelled files lie over the host's, and nothing else changes.

Nothing outside sees it, and it is gone with its last process. Root needs no user namespace; everybody else becomes
root of one of his own. No setuid helper takes part: /dev/fuse is opened and mounted inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["HOME", "NamespaceError", "cover", "die_with_parent", "enter", "mount_fuse", "own_mounts"]

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 2, 4, 4096, 16384, 1 << 18, 1 << 19
_PR_SET_PDEATHSIG: Final = 1
_SIGKILL: Final = 9

HOME: Final = "root"
"""The folder, in the folder of the machine, at which the file system itself lies."""

_SHARED: Final = frozenset(
    (
        "", "sys", "sys/devices", "sys/devices/system", "sys/devices/platform", "sys/module", "sys/firmware",
        "sys/kernel", "sys/kernel/debug", "sys/bus", "sys/dev", "sys/dev/char", "proc", "dev",
    )
)  # fmt: skip
"""Directories that the machine shares with the host: what is in them is covered one by one."""


class NamespaceError(Exception):
    """The system does not allow what is needed; the message says what."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent: int) -> None:
    """Have this process, and whatever it becomes, killed when its parent is."""
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that
        os._exit(_SIGKILL + 128)


def enter() -> None:
    """Move this process into a mount namespace of its own.

    Raises:
        NamespaceError: the system does not allow that.
    """
    uid, gid = os.geteuid(), os.getegid()
    user = 0 if uid == 0 and _may_mount() else _NEWUSER
    try:
        _call("unshare", _NEWNS | user)
    except OSError as problem:
        kind = "user and mount" if user else "mount"
        raise NamespaceError(f"no {kind} namespaces: {problem.strerror}") from None
    if user:
        _map(uid, gid)
    own_mounts()


def _may_mount() -> bool:
    """Whether root may mount here (CAP_SYS_ADMIN), as it may not in most containers."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 21 & 1)
    return False


def _map(uid: int, gid: int) -> None:
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path("/proc/self", name).write_text(text, encoding="ascii")
    except OSError as problem:
        raise NamespaceError(f"no user namespaces: {problem.strerror}") from None


def own_mounts() -> None:
    """Let no mount of this namespace be seen outside."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = (None if word is None else os.fsencode(word) for word in (source, target, kind))
    first, second, third = words
    try:
        _call("mount", first, second, third, ctypes.c_ulong(flags), None if data is None else data.encode())
    except OSError as problem:
        raise NamespaceError(f"{target} cannot be mounted: {problem.strerror}") from None


def mount_fuse(place: str) -> int:
    """Mount a file system at a folder and return the descriptor on which its requests arrive.

    Raises:
        NamespaceError: there is no /dev/fuse, or it cannot be opened or mounted.
    """
    try:
        descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as problem:
        raise NamespaceError(f"/dev/fuse: {problem.strerror}") from None
    data = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
    _mount("mhp", place, "fuse", _MS_NOSUID | _MS_NODEV, data)
    return descriptor


# ---- what is covered ----


@dataclass(slots=True)
class _Cover:
    """The work of covering: which directories were made anew, so that something can be put into them."""

    home: str
    anew: set[str] = field(default_factory=set)


def cover(home: str, is_folder: Callable[[str], bool], names: Callable[[str], list[str]]) -> None:
    """Put the modelled files over the host's.

    Args:
        home: where the file system is mounted.
        is_folder, names: tell of a path of the machine whether it is a directory, and what is in it.

    Raises:
        NamespaceError: something cannot be mounted.
    """
    work = _Cover(home)
    for path in _tops("", is_folder, names):
        _cover(work, path, is_folder(path))


def _tops(path: str, is_folder: Callable[[str], bool], names: Callable[[str], list[str]]) -> Iterator[str]:
    """Yield what is to be covered: the highest paths that the machine does not share with the host."""
    for name in names(path):
        below = f"{path}/{name}" if path else name
        if below in _SHARED and is_folder(below):
            yield from _tops(below, is_folder, names)
        else:
            yield below


def _cover(work: _Cover, path: str, folder: bool) -> None:
    target, source = f"/{path}", f"{work.home}/{path}"
    if not os.path.lexists(target) or os.path.islink(target):
        _make_room(work, os.path.dirname(target))
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
            return
        _make(target, folder)
    elif os.path.islink(source):
        return  # the host has something there that the machine only points to
    _mount(source, target, None, _MS_BIND)


def _make(path: str, folder: bool) -> None:
    if folder:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _make_room(work: _Cover, folder: str) -> None:
    """Have a directory of the host hold more than it does: an empty one in its place, with all its own in it."""
    if folder in work.anew:
        return
    if not os.path.isdir(folder):
        _make_room(work, os.path.dirname(folder))
        if not os.path.isdir(folder):
            os.mkdir(folder)
            work.anew.add(folder)
            return
    if folder == "/sys/kernel/debug":
        # So that whoever looks for debugfs finds it where it always is; only real root may.
        with contextlib.suppress(NamespaceError):
            _mount("debugfs", folder, "debugfs", 0)
    _mount_over(folder)
    work.anew.add(folder)


def _mount_over(folder: str) -> None:
    original = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        entries = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in os.scandir(folder)]
    except PermissionError:
        entries = []
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID, "mode=755")
    for name, mode in entries:
        source, target = f"/proc/self/fd/{original}/{name}", f"{folder}/{name}"
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
            continue
        _make(target, stat.S_ISDIR(mode))
        _mount(source, target, None, _MS_BIND | _MS_REC)
    os.close(original)
