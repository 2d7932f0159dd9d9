"""The command's namespace: made by bubblewrap or by unshare, grown while it lives, and gone with whoever ends first."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memhotplug.live.requirements import missing
from memhotplug.testing.live import ModelledMachine

Make = Callable[..., ModelledMachine]
_MHP = [sys.executable, "-m", "memhotplug"]
_STATE = "/sys/devices/system/memory/memory0/state"
_working: set[str] = set()


@pytest.fixture(params=["bwrap", "unshare"])
def kind(request: pytest.FixtureRequest, modelled_machine: Make) -> str:
    """Each way to make a namespace, where it is to be had."""
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"not installed: {name}")
    if name not in _working:
        modelled_machine("--boot", "1G", "--namespace", name).run("true")  # skips, with the reason, where it cannot
        _working.add(name)
    return name


@pytest.fixture
def begun(kind: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A machine whose command has told its pid and that of a child that it will leave behind, and waits."""
    script = f"cat {_STATE}; sleep 1000 & setsid sleep 1000 & echo $$ $!; echo $MHP_CTL; exec cat"
    command = [*_MHP, "exec", "--namespace", kind, "--boot", "1G", "--", "bash", "-c", script]
    # A temporary folder of its own, so that nobody else's machines are looked at.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def told(process: subprocess.Popen[str]) -> tuple[list[int], Path]:
    """Return the pids and the control socket that the command has told."""
    assert process.stdout is not None
    assert process.stdout.readline() == "online\n"
    pids = [int(word) for word in process.stdout.readline().split()]
    return pids, Path(process.stdout.readline().strip())


def wait_for_the_end(pids: list[int], folder: Path) -> None:
    """Wait until no process of these runs, and the folder is gone; whoever is slow is waited for."""
    for pid in pids:
        while is_alive(pid):
            pass
    while folder.exists():
        pass


def is_alive(pid: int) -> bool:
    """Whether a process runs: neither gone, nor dead and not yet buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize("victim", ["mhp", "command"])
def test_nothing_is_left_after_kill_9_of_either(begun: subprocess.Popen[str], victim: str) -> None:
    """No process, not even one in a session of its own, no folder, no mount."""
    pids, socket = told(begun)
    os.kill(begun.pid if victim == "mhp" else pids[0], signal.SIGKILL)
    assert begun.wait() == (-9 if victim == "mhp" else 137)
    wait_for_the_end(pids, socket.parent)
    assert str(socket.parent) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(begun: subprocess.Popen[str], number: signal.Signals) -> None:
    """And end the command as they do without mhp."""
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup, and so it is by what is started")
    pids, socket = told(begun)
    begun.send_signal(number)
    assert begun.wait() == 128 + number
    wait_for_the_end(pids, socket.parent)


def test_a_command_that_ends_takes_its_children_along(begun: subprocess.Popen[str]) -> None:
    """They would see a machine that is no more."""
    pids, socket = told(begun)
    assert begun.stdin is not None
    begun.stdin.close()
    assert begun.wait() == 0
    wait_for_the_end(pids, socket.parent)


@pytest.mark.parametrize(("script", "status"), [("true", 0), ("exit 64", 64), ("kill -KILL $$", 137)])
def test_exit_statuses_are_the_command_s(kind: str, modelled_machine: Make, script: str, status: int) -> None:
    """Whoever made the namespace."""
    assert modelled_machine("--boot", "1G", "--namespace", kind).run("bash", "-c", script).returncode == status


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("/no/such/command", 127, "mhp: '/no/such/command': no such command\n"),
        ("/etc/passwd", 126, "mhp: '/etc/passwd': Permission denied\n"),
    ],
)
def test_a_command_that_cannot_be_run_is_said(
    kind: str, modelled_machine: Make, command: str, status: int, message: str
) -> None:
    """As env(1) has it."""
    done = modelled_machine("--boot", "1G", "--namespace", kind).run(command)
    assert (done.returncode, done.stderr) == (status, message)


def test_a_device_that_comes_later_has_its_node_and_its_places(kind: str, modelled_machine: Make) -> None:
    """Folders of the host that the machine shares get what the machine gets, and keep what they had."""
    script = f"""
    before=$(ls /dev /sys/bus | wc -l)
    ls -d /dev/dax0.0 2>/dev/null
    {sys.executable} -m memhotplug ctl add dax0.0 256M --driver dax
    cd /sys/bus/dax/devices/dax0.0
    stat -c %F /dev/dax0.0; readlink -f .; readlink -f /sys/dev/char/$(cat dev)
    test $(ls /dev /sys/bus | wc -l) -gt $before && echo > /dev/null && echo more
    """
    done = modelled_machine("--boot", "1G", "--namespace", kind).run("bash", "-c", script)
    place = "/sys/devices/platform/hmem.0/dax0.0"
    assert done.stdout.splitlines() == ["character special file", place, place, "more"], done.stderr


def test_the_command_has_no_child_that_it_did_not_make(kind: str, modelled_machine: Make) -> None:
    """wait(2) in it finds none."""
    program = "import os\ntry:\n    os.wait()\nexcept ChildProcessError:\n    print('none')"
    done = modelled_machine("--boot", "1G", "--namespace", kind).run("python3", "-c", program)
    assert done.stdout == "none\n"


def test_without_bubblewrap_it_is_unshare(
    modelled_machine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by name, its absence is said."""
    for name in ("bash", "cat"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    modelled_machine("--boot", "1G").run("true")  # skips where there is nothing of the kind
    monkeypatch.setenv("PATH", str(tmp_path))
    assert modelled_machine("--boot", "1G").run("cat", _STATE).stdout == "online\n"
    asked = subprocess.run(
        [*_MHP, "exec", "--namespace", "bwrap", "--boot", "1G", "--", "cat"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (125, "mhp: bwrap is not installed\n")


def test_a_stuck_client_holds_nobody_up(modelled_machine: Make) -> None:
    """One that has files open and is stopped, and twenty whose writes take their turns: others read on meanwhile."""
    stopped = f"""import os, signal
files = [os.open('{_STATE}', os.O_RDWR) for _ in range(500)]
os.kill(os.getpid(), signal.SIGSTOP)"""
    script = f"""
    python3 -c "{stopped}" &
    while ! grep -q 'State:.T' /proc/$!/status; do :; done
    for block in $(seq 10 29); do echo offline > /sys/devices/system/memory/memory$block/state & done
    until grep -q going-offline /sys/devices/system/memory/memory*/state ||
        grep -q offline /sys/devices/system/memory/memory29/state; do :; done  # all done before anybody looked
    cat {_STATE}
    kill -KILL %1; wait; cat /sys/devices/system/memory/memory29/state
    """
    done = modelled_machine("--boot", "4G", "--delay", "offline=50").run("bash", "-c", script)
    assert done.stdout == "online\noffline\n", done.stderr


def test_readers_do_not_wait_for_writers_that_wait(modelled_machine: Make) -> None:
    """A hundred writers whose turn will not come in time, and whoever reads reads; who is killed is gone."""
    script = f"""
    for n in $(seq 100); do echo offline > /sys/devices/system/memory/memory$((n % 20 + 5))/state & done
    while ! cat /sys/devices/system/memory/memory*/state | grep -q going-offline; do :; done
    cat {_STATE}; head -c 6 /proc/buddyinfo
    """
    done = modelled_machine("--boot", "4G", "--delay", "offline=100000").run("bash", "-c", script)
    assert (done.stdout, done.returncode) == ("online\nNode 0", 0), done.stderr


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    """Exit status 125, whichever command; and a place that cannot be mounted at is bad input."""
    for words, message in (
        (["mount", "--boot", "1G", "nowhere"], "nowhere: got no such folder, expected an empty folder"),
        (["mount", "--boot", "1G", "/etc/passwd"], "/etc/passwd: got a file, expected an empty folder"),
        (["mount", "--boot", "1G", "/proc"], "/proc: got a mount point that is in use, expected an empty folder"),
        (["mount", "--boot", "1G", "/etc"], "/etc: got one that is not empty, expected an empty folder"),
    ):
        done = subprocess.run([*_MHP, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (2, f"mhp: {message}\n")


def test_a_mount_whose_server_is_killed_is_unmounted(tmp_path: Path) -> None:
    """By the janitor, so that the folder can be used again."""
    if missing() is not None:
        pytest.skip(missing() or "")
    place = tmp_path / "tree"
    place.mkdir()
    words = [*_MHP, "mount", "--boot", "1G", str(place)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert process.stderr is not None
    line = process.stderr.readline()
    if not line.startswith("mhp: control socket: "):
        process.wait()
        pytest.skip(line)
    state = place / "sys" / "devices" / "system" / "memory" / "memory0" / "state"
    while not (state.exists() or process.poll() is not None):
        pass
    if process.poll() is not None:
        pytest.skip(process.stderr.read())
    assert state.read_text() == "online\n"
    process.kill()
    process.wait()
    process.stderr.close()
    while os.path.ismount(place) or str(place) in Path("/proc/self/mounts").read_text():
        pass
    assert os.listdir(place) == []


_BROKEN = "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"


def test_a_bubblewrap_that_does_not_work_is_done_without(
    modelled_machine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silently, unless it is asked for; then its own words are the reason."""
    modelled_machine("--boot", "1G", "--namespace", "unshare").run("true")  # skips where there is nothing of the kind
    (tmp_path / "bwrap").write_text(_BROKEN)
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = modelled_machine("--boot", "1G").run("cat", _STATE)
    assert (done.stdout, done.stderr) == ("online\n", "")
    words = ["exec", "--namespace", "bwrap", "--boot", "1G", "--", "cat"]
    asked = subprocess.run([*_MHP, *words], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stderr) == (125, "mhp: bwrap: setting up uid map: Permission denied\n")


def test_stderr_is_the_command_s(kind: str, modelled_machine: Make) -> None:
    """All of it, and nothing else."""
    done = modelled_machine("--boot", "1G", "--namespace", kind).run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
