"""What happens inside the namespace before the command begins, and what stays beside it.

In order: mount the file system and hand its descriptor out; wait until it is served; cover the host's files; leave a
keeper behind, which covers what the machine gets later; become the command.

Whoever is outside is told by packets of JSON on a socket that closes when the command begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

if __name__ == "__main__":  # as bubblewrap begins it, without the package
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import namespace  # type: ignore[import-not-found,unused-ignore]
else:
    from memhotplug.live import namespace

__all__ = ["CANNOT_RUN", "CANNOT_SET_UP", "LARGEST", "NOT_FOUND", "become", "tell"]

CANNOT_SET_UP: Final = 125
CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127
LARGEST: Final = 1 << 18
"""Bytes of the largest packet."""

_IGNORED: Final = (signal.SIGINT, signal.SIGQUIT)


def tell(connection: socket.socket, **message: Any) -> None:
    """Send a packet, whether or not anybody listens."""
    with contextlib.suppress(OSError):
        connection.send(json.dumps(message).encode())


def become(talk: socket.socket, keep: socket.socket, home: str, command: Sequence[str]) -> None:
    """Become the command, in a namespace that is made already. Does not return.

    Args:
        talk: for what is told until the command begins.
        keep: for the keeper, which is told what is to be covered later.
        home: the empty folder at which the file system is mounted.
    """
    status = CANNOT_SET_UP
    try:
        descriptor = namespace.mount_fuse(home)
        hello = json.dumps({"process": os.getpid(), "namespace": namespace.name_of()}).encode()
        socket.send_fds(talk, [hello], [descriptor])
        os.close(descriptor)
        go = json.loads(talk.recv(LARGEST) or b"{}")
        cover = namespace.Cover(home)
        cover.cover(go["cover"])
        _leave_keeper(talk, keep, cover)
        os.environ["MHP_CTL"] = go["control"]
        _forget_signals(go["signals"])
        status = CANNOT_RUN
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        status = NOT_FOUND if status == CANNOT_RUN else status
        tell(talk, problem=f"{command[0]!r}: no such command")
    except OSError as problem:
        tell(talk, problem=f"{command[0]!r}: {problem.strerror}" if status == CANNOT_RUN else str(problem))
    except (namespace.NamespaceError, LookupError) as problem:
        tell(talk, problem=str(problem))
    finally:
        os._exit(status)


def _forget_signals(numbers: Sequence[int]) -> None:
    """Give the command the signals that everybody has to begin with."""
    for number in (signal.SIGPIPE, *_IGNORED):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [*numbers, signal.SIGCHLD])


def _leave_keeper(talk: socket.socket, keep: socket.socket, cover: Any) -> None:
    """Leave a process behind that is nobody's child here, covers what it is told, and ends with who tells it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        keep.close()
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    talk.detach()
    namespace.close_all_but([keep.fileno()])
    try:
        while data := keep.recv(LARGEST):
            with contextlib.suppress(namespace.NamespaceError, OSError):
                cover.cover(json.loads(data))
            keep.send(b"{}")
    finally:
        os._exit(0)


if __name__ == "__main__":
    _talk, _keep = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
    for _one in (_talk, _keep):
        _one.set_inheritable(False)
    os.dup2(int(sys.argv[3]), 2)
    os.close(int(sys.argv[3]))
    become(_talk, _keep, sys.argv[4], sys.argv[5:])
