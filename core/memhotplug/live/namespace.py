"""A mount namespace in which the modelled files lie over the host's, and nothing else changes.

Nothing outside sees it, and it is gone with its last process. Root needs no user namespace; everybody else becomes
root of one of his own. No setuid helper takes part: /dev/fuse is opened and mounted inside.

Imports nothing but the standard library, and little of that: bubblewrap begins it anew, as a script (``inside.py``).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final

__all__ = ["HOME", "Cover", "NamespaceError", "close_all_but", "die_with_parent", "enter", "kill_all", "may_mount",
           "mount_fuse", "name_of", "prctl", "tops", "unmount"]  # fmt: skip

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 2, 4, 4096, 16384, 1 << 18, 1 << 19
_PR_SET_PDEATHSIG: Final = 1
_SIGKILL: Final = 9
_ROUNDS: Final = 100
_MNT_DETACH: Final = 2

HOME: Final = "root"
"""The folder, in the folder of the machine, at which the file system itself lies."""

_SHARED: Final = frozenset(
    (
        "", "sys", "sys/devices", "sys/devices/system", "sys/devices/platform", "sys/module", "sys/firmware",
        "sys/kernel", "sys/kernel/debug", "sys/bus", "sys/dev", "sys/dev/char", "proc", "proc/sys", "proc/sys/vm",
        "sys/kernel/mm", "sys/kernel/mm/transparent_hugepage", "dev",
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


def prctl(option: int, value: int) -> None:
    """Set something of this process. Raises: OSError."""
    _call("prctl", option, value, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have this process, and whatever it becomes, killed when its parent is."""
    prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(_SIGKILL + 128)


def enter() -> None:
    """Move this process into a mount namespace of its own.

    Raises:
        NamespaceError: the system does not allow that.
    """
    uid, gid = os.geteuid(), os.getegid()
    user = 0 if uid == 0 and may_mount() else _NEWUSER
    try:
        _call("unshare", _NEWNS | user)
    except OSError as problem:
        kind = "user and mount" if user else "mount"
        raise NamespaceError(f"no {kind} namespaces: {problem.strerror}") from None
    if user:
        _map(uid, gid)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)  # no mount of this namespace is seen outside


def may_mount() -> bool:
    """Return whether this process may mount (CAP_SYS_ADMIN), as even root may not in most containers."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
        return any(line.startswith("CapEff:") and int(line.split()[1], 16) >> 21 & 1 for line in status)


def _map(uid: int, gid: int) -> None:
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as problem:
        raise NamespaceError(f"no user namespaces: {problem.strerror}") from None


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


class Cover:
    """The work of putting the modelled files over the host's, piece by piece.

    Args:
        home: where the file system is mounted.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._anew: set[str] = set()  # directories that were made anew, so that something can be put into them
        self._done: set[str] = set()

    def cover(self, places: Iterable[tuple[str, bool]]) -> None:
        """Cover paths that are not covered yet, each given with whether it is a directory.

        Raises:
            NamespaceError: something cannot be mounted.
        """
        for path, folder in places:
            if path not in self._done:
                self._cover(path, folder)
                self._done.add(path)

    def _cover(self, path: str, folder: bool) -> None:
        target, source = f"/{path}", f"{self._home}/{path}"
        if not os.path.lexists(target) or os.path.islink(target):
            self._make_room(os.path.dirname(target))
            if os.path.islink(source):
                os.symlink(os.readlink(source), target)
                return
            _make(target, folder)
        elif os.path.islink(source):
            return  # the host has something there that the machine only points to
        _mount(source, target, None, _MS_BIND)

    def _make_room(self, folder: str) -> None:
        """Have a directory of the host hold more than it does: an empty one in its place, with all its own in it."""
        if folder in self._anew:
            return
        if not os.path.isdir(folder):
            self._make_room(os.path.dirname(folder))
            if not os.path.isdir(folder):
                os.mkdir(folder)
                self._anew.add(folder)
                return
        if folder == "/sys/kernel/debug":
            # So that whoever looks for debugfs finds it where it always is; only real root may.
            with contextlib.suppress(NamespaceError):
                _mount("debugfs", folder, "debugfs", 0)
        _mount_over(folder)
        self._anew.add(folder)


def tops(
    is_folder: Callable[[str], bool], names: Callable[[str], Iterable[str]], path: str = ""
) -> Iterator[tuple[str, bool]]:
    """Yield what is to be covered: the highest paths that the machine does not share with the host.

    Args:
        is_folder, names: tell of a path of the machine whether it is a directory, and what is in it.
    """
    for name in names(path):
        below = f"{path}/{name}" if path else name
        folder = is_folder(below)
        if below in _SHARED and folder:
            yield from tops(is_folder, names, below)
        else:
            yield below, folder


def _make(path: str, folder: bool) -> None:
    if folder:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


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


# ---- the end ----


def unmount(place: str) -> None:
    """Unmount a file system whose server is gone; nothing if it is gone too."""
    try:
        os.statvfs(place)  # which nobody but the server answers
    except OSError as problem:
        if problem.errno != errno.ENOTCONN:
            return
    else:
        return
    with contextlib.suppress(OSError):
        _call("umount2", os.fsencode(place), _MNT_DETACH)
        return
    with contextlib.suppress(OSError):
        os.spawnlp(os.P_WAIT, "fusermount3", "fusermount3", "-u", "-z", place)


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor but some, so that nobody waits for this process to end."""
    for number in [int(entry) for entry in os.listdir("/proc/self/fd")]:
        if number not in kept:
            with contextlib.suppress(OSError):
                os.close(number)


def name_of(process: int | str = "self") -> str:
    """Return by what name a process's mount namespace is known, empty if nobody tells."""
    try:
        return os.readlink(f"/proc/{process}/ns/mnt")
    except OSError:
        return ""


def kill_all(namespace: str) -> None:
    """Kill every process in a mount namespace that is not this process's own."""
    if not namespace or namespace == name_of():
        return
    for _ in range(_ROUNDS):  # whoever forks meanwhile is met in the next one
        found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and name_of(entry) == namespace]
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, _SIGKILL)
        if not found:
            return
