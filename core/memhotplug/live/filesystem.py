"""The modelled /sys and /proc as a FUSE file system, with sysfs's manners.

A file is shown when it is read from its beginning, and what was shown is read on from there, at whatever offsets; one
write is one store, wherever it is; truncation does nothing; nothing can be made, removed or renamed; no page of it
is cached, so that nobody reads what was true a moment ago. Names and attributes are, until the machine has other files:
then the kernel is told, before the operation that did it is over.

Models: fs/seq_file.c, fs/kernfs/file.c, fs/sysfs/file.c (v6.12).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import mfusepy  # type: ignore[import-untyped]

from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import Entry, Folder
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.live.machine import LiveMachine

__all__ = ["FileSystem", "serve"]

_WRITES: Final = os.O_WRONLY | os.O_RDWR
_BLOCK: Final = 4096
_THREADS: Final = 10
_MOST_THREADS: Final = 1000  # writers that wait for their turn must not keep readers waiting
_THREADS_SINCE: Final = 312  # libfuse 3.12
_LONG: Final = 86400.0  # seconds for which names and attributes hold, unless the kernel is told otherwise
_SAME: Final = 0xFFFFFFFF
_SOON: Final = (0.02, 1.0)


class FileSystem(mfusepy.Operations):  # type: ignore[misc]  # untyped
    """The file system of one live machine; several threads call it at once.

    Args:
        live: the machine.

    Attributes:
        was_mounted: whether it has ever answered anybody.
    """

    use_ns = True

    def __init__(self, live: LiveMachine) -> None:
        self._live = live
        self._open: dict[int, str | None] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._mount = threading.Lock()
        self._set: dict[str, dict[str, Any]] = {}
        self._fuse: ctypes.c_void_p | None = None
        self._device = -1
        self.was_mounted = False

    def init_with_config(self, conn_info: Any, config: Any) -> None:
        """Learn which mount this is, to be able to say what has changed."""
        config.entry_timeout = config.attr_timeout = _LONG
        config.negative_timeout = 0
        self._fuse = ctypes.c_void_p(mfusepy._libfuse.fuse_get_context().contents.fuse)
        self._device = _device_of(self._fuse)
        self._live.doubt(self._doubt)
        self.was_mounted = True

    def destroy(self, path: str) -> None:
        """Know that the mount has ended."""
        with self._mount:
            self._fuse = None
            os.close(self._device)

    def _doubt(self, paths: Sequence[str]) -> None:
        """Have the kernel ask anew about paths: now, and again when whoever was just looking one up has his answer."""
        self._set = {path: told for path, told in self._set.items() if self._live.view.find(path[1:]) is not None}
        self._forget(paths)
        for seconds in _SOON:
            again = threading.Timer(seconds, self._forget, (paths,))
            again.daemon = True
            again.start()

    def _forget(self, paths: Sequence[str]) -> None:
        with self._mount:
            for path in map(os.fsencode, paths):
                # libfuse frees the names that it knows before it calls destroy(); none is asked for after the unmount.
                if self._fuse is None or not _is_connected(self._device):
                    return
                mfusepy._libfuse.fuse_invalidate_path(self._fuse, b"/" + path)

    def _found(self, path: str) -> Entry:
        entry = self._live.view.find(path[1:])
        if entry is None:
            raise OSError(errno.ENOENT, path)
        return entry

    def getattr(self, path: str, fh: int | None = None) -> Mapping[str, Any]:
        """Return what stat(2) says. Times are 0 until somebody sets them: a modelled machine has no clock."""
        entry = self._found(path)
        node = entry.node
        if isinstance(node, Folder):
            found: Mapping[str, Any] = _FOLDER
        elif node.device is not None:
            found = {**_of_file(node), "st_rdev": os.makedev(*node.device(self._live.kernel, entry.ids))}
        else:
            found = _of_file(node)
        return {**found, **self._set[path]} if path in self._set else found

    def chmod(self, path: str, mode: int) -> int:
        """Set the permissions of a file. Models: fs/kernfs/inode.c:kernfs_iop_setattr()."""
        return self._change(path, st_mode=stat.S_IFMT(self.getattr(path)["st_mode"]) | stat.S_IMODE(mode))

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Set the owner of a file, -1 for what stays."""
        owner = {"st_uid": uid, "st_gid": gid}
        return self._change(path, **{key: value for key, value in owner.items() if value not in (-1, _SAME)})

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Set the times of a file, in nanoseconds."""
        accessed, modified = times or (0, 0)
        return self._change(path, st_atime=accessed, st_mtime=modified)

    def _change(self, path: str, **attributes: int) -> int:
        self._found(path)
        self._set = {**self._set, path: {**self._set.get(path, {}), **attributes}}
        return 0

    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, int, int]]:
        """Yield the names in a directory, each with its type and no position."""
        view = self._live.view
        entry = view.find(path[1:])
        if entry is None or not isinstance(entry.node, Folder):
            raise OSError(errno.ENOENT if entry is None else errno.ENOTDIR, path)
        yield from ((name, stat.S_IFDIR, 0) for name in (".", ".."))
        for name, node in view.tree.entries(view.kernel, entry):
            yield name, (_FOLDER if isinstance(node, Folder) else _of_file(node))["st_mode"], 0

    def readlink(self, path: str) -> str:
        """Return where a link points."""
        entry = self._found(path)
        if not isinstance(entry.node, SysfsFile) or entry.node.link is None:
            raise OSError(errno.EINVAL, path)
        return entry.node.link(self._live.kernel, entry.ids)

    def open(self, path: str, flags: int) -> int:
        """Open a file; EACCES for what it cannot do, whoever asks. Models: fs/kernfs/file.c:kernfs_fop_open()."""
        node = self._found(path).node
        if isinstance(node, SysfsFile):
            writes, reads = flags & _WRITES, (flags & os.O_ACCMODE) != os.O_WRONLY
            if (writes and node.store is None) or (reads and node.show is None):
                raise OSError(errno.EACCES, path)
        with self._lock:
            self._next += 1
            self._open[self._next] = None
            return self._next

    def release(self, path: str, fh: int) -> int:
        """Forget an open file."""
        with self._lock:
            self._open.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return a part of what the file showed when it was last read from its beginning."""
        text = self._open.get(fh)
        if offset == 0 or text is None:
            text = self._answer(lambda: self._live.view.read(path[1:]))
            self._open[fh] = text
        return text.encode()[offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Do one store; of a longer write the first 4096 bytes are taken."""
        capable = mfusepy.fuse_get_context()[0] == 0
        count: int = self._answer(
            lambda: self._live.write(path[1:], data, capable=capable, interrupted=self._is_interrupted)
        )
        return count

    def _is_interrupted(self) -> bool:
        """Return whether whoever asked has got a signal, or the mount is about to end, which waits for this answer."""
        library = mfusepy._libfuse
        if library.fuse_interrupted() or self._fuse is None or not _is_connected(self._device):
            return True
        return bool(library.fuse_session_exited(_session_of(self._fuse)))

    @staticmethod
    def _answer(action: Any) -> Any:
        """Do something; whatever goes wrong is an errno for the caller and never the end of the file system."""
        try:
            return action()
        except MemoryHotplugError as problem:
            raise OSError(problem.errno, problem.reason) from None
        except InputError as problem:
            raise OSError(errno.EINVAL, str(problem)) from None

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Do nothing, as sysfs does."""
        self._found(path)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """Return that there is no room for anything."""
        return {"f_bsize": _BLOCK, "f_frsize": _BLOCK, "f_namemax": 255}

    def _refuse(self, path: str, *_others: object) -> int:
        raise OSError(errno.EPERM, path)

    mkdir = rmdir = unlink = rename = link = symlink = mknod = setxattr = removexattr = fallocate = _refuse

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        """Refuse to make a file, as whoever has no operation for it does. Models: fs/namei.c:may_o_create()."""
        raise OSError(errno.EACCES, path)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Return that there are no extended attributes."""
        raise OSError(errno.EOPNOTSUPP, path)

    listxattr = getxattr


class _Polled(ctypes.Structure):
    """struct pollfd."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


def _session_of(fuse: ctypes.c_void_p) -> ctypes.c_void_p:
    library = mfusepy._libfuse
    library.fuse_get_session.restype = ctypes.c_void_p
    return ctypes.c_void_p(library.fuse_get_session(fuse))


def _device_of(fuse: ctypes.c_void_p) -> int:
    """Return a descriptor of the /dev/fuse that a mount is served by, of our own: libfuse closes its one."""
    return os.dup(mfusepy._libfuse.fuse_session_fd(_session_of(fuse)))


def _is_connected(device: int) -> bool:
    """Return whether a mount is still there. Models: fs/fuse/dev.c:fuse_dev_poll(): EPOLLERR from the unmount on.

    It is asked without letting other threads go on, so that what follows does follow at once.
    """
    polled = _Polled(device, 0, 0)
    ctypes.pythonapi.poll(ctypes.byref(polled), 1, 0)
    return not polled.revents


def serve(live: LiveMachine, place: str, **options: object) -> None:
    """Answer requests until the file system is unmounted, or a signal ends it.

    Args:
        place: an empty directory, or ``/dev/fd/N`` of a /dev/fuse that is mounted already.

    Raises:
        RuntimeError: it cannot be mounted.
    """
    if mfusepy._libfuse.fuse_version() >= _THREADS_SINCE:  # which else complains about its own default
        options |= {"max_threads": _MOST_THREADS, "max_idle_threads": _THREADS}
    files = FileSystem(live)
    try:
        mfusepy.FUSE(files, place, foreground=True, direct_io=True, **options)
    except RuntimeError:
        if not files.was_mounted:
            raise  # and else it is a signal that has ended it, which libfuse calls an error too


_FOLDER: Final = {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
_of_files: dict[int, tuple[SysfsFile, Mapping[str, Any]]] = {}


def _of_file(node: SysfsFile) -> Mapping[str, Any]:
    """Return what stat(2) says of a file of the table, worked out once."""
    known = _of_files.get(id(node))
    if known is not None and known[0] is node:
        return known[1]
    found: dict[str, Any] = {"st_nlink": 1, "st_mode": stat.S_IFREG | node.mode}
    if node.link is not None or node.device is not None:
        found["st_mode"] = (stat.S_IFLNK if node.link is not None else stat.S_IFCHR) | node.mode
    else:
        found |= {"st_size": node.size, "st_blksize": _BLOCK}
    _of_files[id(node)] = node, found
    return found
