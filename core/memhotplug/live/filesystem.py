"""The modelled /sys and /proc as a FUSE file system, with sysfs's manners.

A file is shown when it is read from its beginning, and what was shown is read on from there, at whatever offsets; one
write is one store, wherever it is; truncation does nothing; nothing can be made, removed or renamed; no page of it
is cached, so that nobody reads what was true a moment ago.

Models: fs/seq_file.c, fs/kernfs/file.c, fs/sysfs/file.c (v6.12).
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import Any, Final

import mfusepy  # type: ignore[import-untyped]

from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import Entry, Folder, tree_of
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.live.machine import LiveMachine

__all__ = ["FileSystem", "serve"]

_WRITES: Final = os.O_WRONLY | os.O_RDWR
_BLOCK: Final = 4096
_THREADS: Final = 10
_THREADS_SINCE: Final = 312  # libfuse 3.12


class FileSystem(mfusepy.Operations):  # type: ignore[misc]  # untyped
    """The file system of one live machine; several threads call it at once.

    Args:
        live: the machine.
    """

    use_ns = True

    def __init__(self, live: LiveMachine) -> None:
        self._live = live
        self._open: dict[int, str | None] = {}
        self._next = 0
        self._lock = threading.Lock()

    def _found(self, path: str) -> Entry:
        entry = self._live.find(path.strip("/"))
        if entry is None:
            raise OSError(errno.ENOENT, path)
        return entry

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return what stat(2) says. Times are 0: a modelled machine has no clock."""
        entry = self._found(path)
        node = entry.node
        if isinstance(node, Folder):
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, "st_size": 0}
        if node.link is not None:
            return {"st_mode": stat.S_IFLNK | 0o777, "st_nlink": 1, "st_size": 0}
        if node.device is not None:
            number = os.makedev(*node.device(self._live.kernel, entry.ids))
            return {"st_mode": stat.S_IFCHR | node.mode, "st_nlink": 1, "st_size": 0, "st_rdev": number}
        return {"st_mode": stat.S_IFREG | node.mode, "st_nlink": 1, "st_size": node.size, "st_blksize": _BLOCK}

    def readdir(self, path: str, fh: int) -> list[str]:
        """Return the names in a directory."""
        entry, kernel = self._found(path), self._live.kernel
        if not isinstance(entry.node, Folder):
            raise OSError(errno.ENOTDIR, path)
        return [".", "..", *tree_of(kernel).names(kernel, entry)]

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
            text = self._answer(lambda: self._live.read(path.strip("/")))
            self._open[fh] = text
        return text.encode()[offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Do one store; of a longer write the first 4096 bytes are taken."""
        capable = mfusepy.fuse_get_context()[0] == 0
        count: int = self._answer(lambda: self._live.write(path.strip("/"), data, capable=capable))
        return count

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

    mkdir = rmdir = unlink = rename = link = symlink = mknod = create = chmod = chown = _refuse
    setxattr = removexattr = utimens = fallocate = _refuse

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Return that there are no extended attributes."""
        raise OSError(errno.EOPNOTSUPP, path)

    listxattr = getxattr


def serve(live: LiveMachine, place: str, **options: object) -> None:
    """Answer requests until the file system is unmounted.

    Args:
        place: an empty directory, or ``/dev/fd/N`` of a /dev/fuse that is mounted already.

    Raises:
        RuntimeError: it cannot be mounted.
    """
    if mfusepy._libfuse.fuse_version() >= _THREADS_SINCE:  # which else complains about its own default
        options |= {"max_threads": _THREADS, "max_idle_threads": _THREADS}
    options |= {"entry_timeout": 0, "attr_timeout": 0, "negative_timeout": 0}  # what is gone is gone at once
    mfusepy.FUSE(FileSystem(live), place, foreground=True, direct_io=True, **options)
