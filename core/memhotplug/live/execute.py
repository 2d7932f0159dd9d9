"""``mhp exec``: a command that sees the machine, and a supervisor that serves it and passes on its exit status.

Three processes: the supervisor, which is the file system; the command, in its own mount namespace, killed with the
supervisor; and a janitor that waits for the supervisor's end, however it comes, and removes its folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import Folder, tree_of
from memhotplug.live import namespace
from memhotplug.live.machine import LiveMachine
from memhotplug.live.namespace import NamespaceError
from memhotplug.output.apart import answer_back

__all__ = ["CANNOT_RUN", "CANNOT_SET_UP", "CONTROL", "NOT_FOUND", "execute", "private_folder"]

CANNOT_SET_UP: Final = 125
CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127

CONTROL: Final = "control"
"""The name of the control socket in the machine's folder."""

_PASSED_ON: Final = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
    signal.SIGWINCH, signal.SIGALRM,
)  # fmt: skip
_FROM_KERNEL: Final = 0x80  # si_code of what a terminal sends, which the command gets itself


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """Make a folder that nobody else can look into, and that a janitor removes even if this process is killed."""
    folder = tempfile.mkdtemp(prefix="mhp-")
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork() == 0:
        _janitor(folder, reader, writer)
    os.close(reader)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(writer)
        with contextlib.suppress(ChildProcessError):
            os.wait()


def _janitor(folder: str, reader: int, writer: int) -> None:
    """Wait until nobody holds the other end of a pipe, then remove the folder."""
    os.setsid()
    os.close(writer)
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.dup2(reader if number == 0 else os.open(os.devnull, os.O_WRONLY), number)
    os.read(reader, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def execute(
    live: LiveMachine,
    command: Sequence[str],
    folder: str,
    say: Callable[[str], None],
    start: Callable[[], None] = lambda: None,
) -> int:
    """Run a command on a machine and return its exit status.

    Args:
        folder: the machine's folder, with the control socket.
        start: starts whatever has threads, which must not be there yet when the command's process is made.
        say: is told why the command could not be run.
    """
    os.mkdir(os.path.join(folder, namespace.HOME))
    ours, theirs = socket.socketpair()
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, signal.SIGCHLD))
    sys.stdout.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ours.close()
        _become(live, command, folder, theirs, parent)
    theirs.close()
    problem, descriptor = _hear(ours)
    if problem is not None or descriptor is None:
        os.waitpid(child, 0)
        say(problem or "the namespace could not be made")
        return CANNOT_SET_UP
    _serve(live, descriptor)
    start()
    ours.sendall(b"+")
    problem, _ = _hear(ours)
    status = _wait(child)
    if problem is not None:
        say(problem)
    return status


def _hear(connection: socket.socket) -> tuple[str | None, int | None]:
    """Return what the command's process says went wrong, and the descriptor that it sends."""
    data, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
    if not data or data == b"+":
        return None, descriptors[0] if descriptors else None
    return data.decode("utf-8", "replace"), None


def _serve(live: LiveMachine, descriptor: int) -> None:
    from memhotplug.live.filesystem import serve

    def run() -> None:
        try:
            serve(live, f"/dev/fd/{descriptor}")
        except RuntimeError:
            # Whoever asks it for anything gets ENOTCONN then, and does not wait for ever.
            with contextlib.suppress(OSError):
                os.close(descriptor)

    threading.Thread(target=run, daemon=True, name="fuse").start()


def _become(live: LiveMachine, command: Sequence[str], folder: str, connection: socket.socket, parent: int) -> None:
    """In the child: make the namespace, then become the command. Does not return."""
    status = CANNOT_SET_UP
    try:
        namespace.die_with_parent(parent)
        namespace.enter()
        home = os.path.join(folder, namespace.HOME)
        descriptor = namespace.mount_fuse(home)
        socket.send_fds(connection, [b"+"], [descriptor])
        os.close(descriptor)
        connection.recv(1)
        namespace.cover(home, _is_folder(live), _names(live))
        os.environ["MHP_CTL"] = os.path.join(folder, CONTROL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_PASSED_ON, signal.SIGCHLD))
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        status = CANNOT_RUN
        answer_back()
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        status = NOT_FOUND
        _tell(connection, f"{command[0]!r}: no such command")
    except OSError as problem:
        _tell(connection, f"{command[0]!r}: {problem.strerror}" if status == CANNOT_RUN else str(problem))
    except NamespaceError as problem:
        _tell(connection, str(problem))
    finally:
        os._exit(status)


def _tell(connection: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(text.encode())


def _is_folder(live: LiveMachine) -> Callable[[str], bool]:
    def is_folder(path: str) -> bool:
        entry = live.find(path)
        return entry is not None and isinstance(entry.node, Folder)

    return is_folder


def _names(live: LiveMachine) -> Callable[[str], list[str]]:
    def names(path: str) -> list[str]:
        entry = live.find(path)
        if entry is None or isinstance(entry.node, SysfsFile):
            return []
        return list(tree_of(live.kernel).names(live.kernel, entry))

    return names


def _wait(child: int) -> int:
    """Pass signals on until the command ends; return its exit status, 128 and the signal if one ended it."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        info = signal.sigwaitinfo((*_PASSED_ON, signal.SIGCHLD))
        from_terminal = info.si_code == _FROM_KERNEL and info.si_signo in (signal.SIGINT, signal.SIGQUIT)
        if info.si_signo != signal.SIGCHLD and not from_terminal:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, info.si_signo)
