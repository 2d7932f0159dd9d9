"""``mhp exec``: a command that sees the machine, and a supervisor that serves it and passes on its exit status.

Four processes: the supervisor, which is the file system; the command, in its own mount namespace, killed with the
supervisor; a keeper beside it (:mod:`memhotplug.live.inside`); and a janitor that waits for the supervisor's end,
however it comes, ends whatever is left in the namespace, and removes the machine's folder.

The namespace is bubblewrap's where that is installed, else one that is made by unshare(2).
"""

from __future__ import annotations

import contextlib
import json
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
from memhotplug.engine.base_memory import Folder
from memhotplug.live import inside, namespace
from memhotplug.live.inside import CANNOT_SET_UP, LARGEST
from memhotplug.live.machine import LiveMachine
from memhotplug.live.namespace import NamespaceError
from memhotplug.output.apart import answer_back
from memhotplug.output.threads import threads_back

__all__ = ["CONTROL", "KINDS", "Home", "execute", "private_folder"]

CONTROL: Final = "control"
"""The name of the control socket in the machine's folder."""

KINDS: Final = ("bwrap", "unshare")
"""How a namespace can be made, the better one first."""

_PASSED_ON: Final = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
    signal.SIGWINCH, signal.SIGALRM,
)  # fmt: skip
_FROM_KERNEL: Final = 0x80  # si_code of what a terminal sends, which the command gets itself
_SUBREAPER: Final = 36
_PATIENCE: Final = 5.0  # seconds that a keeper, or the end of the file system, is waited for


class Home:
    """The folder of a machine, and the namespace that ends with it."""

    def __init__(self, folder: str, writer: int) -> None:
        self.folder = folder
        self.namespace = ""
        self._writer = writer
        self._serving: threading.Thread | None = None
        self._held = -1

    def belongs_to(self, name: str, process: int) -> None:
        """Have whatever is in a process's mount namespace killed at the end.

        The namespace is held until then: the kernel gives the name of one that is gone to the next that is made.
        """
        self.namespace = name
        with contextlib.suppress(OSError):
            self._held = os.open(f"/proc/{process}/ns/mnt", os.O_RDONLY)
        os.write(self._writer, f"namespace {name}\0".encode())

    def is_served_by(self, thread: threading.Thread) -> None:
        """Have a thread waited for at the end, once nobody is left whom it could serve."""
        self._serving = thread

    def close(self) -> None:
        """End whatever is left in the namespace, and the file system with it; the folder goes."""
        namespace.kill_all(self.namespace)
        with contextlib.suppress(BrokenPipeError):  # the janitor is gone
            os.write(self._writer, b"ended \0")
        if self._held >= 0:
            os.close(self._held)
        if self._serving is not None:
            # What libfuse calls must still be there when it takes leave: an interpreter that ends is not.
            self._serving.join(_PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._writer)

    def is_mounted_at(self, place: str) -> None:
        """Have a place unmounted at the end, if nobody else has done it."""
        os.write(self._writer, f"place {place}\0".encode())


@contextlib.contextmanager
def private_folder() -> Iterator[Home]:
    """Make a folder that nobody else can look into, and that a janitor removes even if this process is killed."""
    folder = tempfile.mkdtemp(prefix="mhp-")
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    janitor = os.fork()
    if janitor == 0:
        _janitor(folder, reader)
    os.close(reader)
    home = Home(folder, writer)
    try:
        yield home
    finally:
        home.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(janitor, 0)


def _janitor(folder: str, reader: int) -> None:
    """Wait until nobody holds the other end of a pipe; then kill what is in the namespace, and remove the folder."""
    os.setsid()
    namespace.close_all_but([reader])
    told = b""
    while data := os.read(reader, 4096):
        told += data
    lines = [line.partition(" ") for line in told.decode().split("\0")[:-1]]
    ended = any(kind == "ended" for kind, _, _ in lines)  # by now the namespace's name may be another one's
    for kind, _, name in lines:
        if kind == "namespace" and not ended:
            namespace.kill_all(name)
        elif kind == "place":
            namespace.unmount(name)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def execute(
    live: LiveMachine,
    command: Sequence[str],
    home: Home,
    say: Callable[[str], None],
    start: Callable[[], None] = lambda: None,
    *,
    kind: str | None = None,
) -> int:
    """Run a command on a machine and return its exit status.

    Args:
        home: the machine's folder, with the control socket.
        start: starts whatever has threads, which must not be there yet when the command's process is made.
        say: is told why the command could not be run.
        kind: how the namespace is made, one of ``KINDS``; None for the first that works.
    """
    os.mkdir(os.path.join(home.folder, namespace.HOME))
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, signal.SIGCHLD))
    namespace.prctl(_SUBREAPER, 1)
    problem = "no namespaces"
    for one in KINDS if kind is None else (kind,):
        if one == "bwrap" and shutil.which("bwrap") is None:
            problem = "bwrap is not installed"
            continue
        begun = _begin(command, home.folder, one)
        if begun.problem is None:
            return _go_on(live, begun, home, say, start)
        problem = begun.problem
    say(problem)
    return CANNOT_SET_UP


class _Begun:
    """A namespace in which somebody waits to become the command, or what went wrong with it.

    Args:
        words: a file with what whoever makes the namespace had to say.
    """

    def __init__(self, child: int, talk: socket.socket, keep: socket.socket, words: int) -> None:
        self.child, self.talk, self.keep = child, talk, keep
        data, descriptors, _, _ = socket.recv_fds(talk, LARGEST, 1)
        hello = json.loads(data) if data else {}
        self.problem: str | None = hello.get("problem")
        self.process: int = hello.get("process", child)
        self.namespace: str = hello.get("namespace", "")
        self.descriptor = descriptors[0] if descriptors else -1
        if not descriptors:
            os.waitpid(child, 0)
            said = os.pread(words, LARGEST, 0).decode(errors="replace").split("\n")
            self.problem = self.problem or said[0] or "the namespace could not be made"
        os.close(words)


def _begin(command: Sequence[str], folder: str, kind: str) -> _Begun:
    talk, their_talk = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keep, their_keep = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = os.memfd_create("words")
    sys.stdout.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        talk.close()
        keep.close()
        os.set_inheritable(words, True)
        _enter(
            their_talk,
            their_keep,
            os.path.join(folder, namespace.HOME),
            command,
            parent,
            None if kind == "unshare" else words,
        )
    their_talk.close()
    their_keep.close()
    return _Begun(child, talk, keep, words)


def _enter(
    talk: socket.socket, keep: socket.socket, home: str, command: Sequence[str], parent: int, words: int | None
) -> None:
    """In the child: make the namespace, then become the command. Does not return.

    Args:
        words: where bubblewrap may say what it has to say; None without bubblewrap.
    """
    try:
        answer_back()
        threads_back()
        namespace.die_with_parent(parent)
        if words is None:
            namespace.enter()
            inside.become(talk, keep, home, command)
        else:
            _become_bwrap(talk, keep, home, command, words)
    except (NamespaceError, OSError) as problem:
        inside.tell(talk, problem=str(problem))
    finally:
        os._exit(CANNOT_SET_UP)


def _become_bwrap(talk: socket.socket, keep: socket.socket, home: str, command: Sequence[str], words: int) -> None:
    """Have bubblewrap make the namespace; what is needed inside begins anew there, as a script.

    What bubblewrap itself says is not the command's: stderr waits under another number.
    """
    for one in (talk, keep):
        one.set_inheritable(True)
    stderr = os.dup(2)
    os.set_inheritable(stderr, True)
    os.dup2(words, 2)
    os.close(words)
    for number in (signal.SIGINT, signal.SIGQUIT):  # bubblewrap waits for the command, whatever the terminal sends
        signal.signal(number, signal.SIG_IGN)
    user = () if namespace.may_mount() else ("--unshare-user", "--uid", "0", "--gid", "0")
    script = (sys.executable, "-I", "-S", inside.__file__, f"{talk.fileno()}", f"{keep.fileno()}", f"{stderr}", home)
    os.execvp("bwrap", ["bwrap", "--dev-bind", "/", "/", *user, "--cap-add", "ALL", "--", *script, *command])


def _go_on(live: LiveMachine, begun: _Begun, home: Home, say: Callable[[str], None], start: Callable[[], None]) -> int:
    home.belongs_to(begun.namespace, begun.process)
    home.is_served_by(_serve(live, begun.descriptor))
    start()
    covered = _covered(live)
    inside.tell(
        begun.talk, cover=covered, control=os.path.join(home.folder, CONTROL), signals=[int(one) for one in _PASSED_ON]
    )
    live.doubt(lambda _paths: _keep(live, begun.keep, covered))
    last = begun.talk.recv(LARGEST)
    status = _wait(begun)
    if last:
        say(json.loads(last)["problem"])
    return status


def _keep(live: LiveMachine, keep: socket.socket, covered: list[tuple[str, bool]]) -> None:
    """Have what the machine has got by now covered too, before whoever gave it to the machine goes on."""
    new = [place for place in _covered(live) if place not in covered]
    if not new:
        return
    covered += new
    with contextlib.suppress(OSError):
        keep.settimeout(_PATIENCE)
        keep.send(json.dumps(new).encode())
        keep.recv(LARGEST)


def _covered(live: LiveMachine) -> list[tuple[str, bool]]:
    view = live.view

    def is_folder(path: str) -> bool:
        entry = view.find(path)
        return entry is not None and isinstance(entry.node, Folder)

    def names(path: str) -> list[str]:
        entry = view.find(path)
        return [] if entry is None or isinstance(entry.node, SysfsFile) else list(view.tree.names(view.kernel, entry))

    return list(namespace.tops(is_folder, names))


def _serve(live: LiveMachine, descriptor: int) -> threading.Thread:
    from memhotplug.live.filesystem import serve

    def run() -> None:
        try:
            serve(live, f"/dev/fd/{descriptor}")
        except RuntimeError:
            # Whoever asks it for anything gets ENOTCONN then, and does not wait for ever.
            with contextlib.suppress(OSError):
                os.close(descriptor)

    thread = threading.Thread(target=run, daemon=True, name="fuse")
    thread.start()
    return thread


def _wait(begun: _Begun) -> int:
    """Pass signals on until the command ends; return its exit status, 128 and the signal if one ended it.

    What the command leaves without a parent is this process's, and is buried too.
    """
    while True:
        status = _buried(begun.child)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        info = signal.sigwaitinfo((*_PASSED_ON, signal.SIGCHLD))
        from_terminal = info.si_code == _FROM_KERNEL and info.si_signo in (signal.SIGINT, signal.SIGQUIT)
        if info.si_signo != signal.SIGCHLD and not from_terminal:
            with contextlib.suppress(ProcessLookupError):
                os.kill(begun.process, info.si_signo)


def _buried(child: int) -> int | None:
    """Return how a child ended, None if it lives; take leave of all others in the meantime."""
    while True:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        _, status = os.waitpid(info.si_pid, 0)
        if info.si_pid == child:
            return status
