"""Unmodified programs on a modelled machine; skipped, with the reason, where the system lacks what they need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.scenarios import PINNED

from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import load_scenario
from memhotplug.testing.live import Done, ModelledMachine

Make = Callable[..., ModelledMachine]
_STATE = "/sys/devices/system/memory/memory{}/state"


def need(*programs: str) -> None:
    """Skip the test where a program is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def machine(modelled_machine: Make, tmp_path: Path) -> Make:
    """Return a function that makes 1 GiB with a DIMM of 1 GiB, blocks 32-39; its arguments are further options."""
    scenario = tmp_path / "dimm.yaml"
    scenario.write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 1G}\n"
        "steps:\n  - add: {driver: acpi, name: dimm0, size: 1G}\n"
    )
    return lambda *options: modelled_machine(str(scenario), *options)


def shell(machine: ModelledMachine, script: str) -> Done:
    """Run a shell script."""
    return machine.run("bash", "-c", script)


def states(done: Done) -> dict[int, str]:
    """Return the state of each block afterwards."""
    return {block["id"]: block["state"] for block in done.result["blocks"]}


def test_lsmem_shows_every_column(machine: Make) -> None:
    """As JSON, with node, zones and all."""
    need("lsmem")
    done = machine().run("lsmem", "-J", "-a", "--output-all")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["memory"]
    assert len(rows) == 16
    offline = {
        "range": "0x0000000100000000-0x0000000107ffffff",
        "size": "128M",
        "state": "offline",
        "block": "32",
        "node": 0,
        "zones": "Normal/Movable",
    }
    assert {key: rows[8][key] for key in offline} == offline


@pytest.mark.parametrize("form", [[], ["-P"], ["-r"], ["-n", "-b"], ["--summary=only"], ["-S", "NODE", "-o", "+ZONES"]])
def test_lsmem_says_the_same_of_plain_files(machine: Make, tmp_path: Path, form: list[str]) -> None:
    """In each of its forms."""
    need("lsmem")
    script = f"lsmem {' '.join(form)}; cp -r /sys/devices/system {tmp_path}/copied 2>/dev/null"
    alive = shell(machine(), script)
    (tmp_path / "sys" / "devices").mkdir(parents=True)
    (tmp_path / "copied").rename(tmp_path / "sys" / "devices" / "system")
    plain = machine().run("lsmem", "--sysroot", str(tmp_path), *form)
    assert alive.stdout == plain.stdout
    assert plain.stdout


@pytest.mark.parametrize(
    ("options", "arguments", "status", "online"),
    [
        ((), "--enable 0x100000000-0x107ffffff", 0, [32]),
        ((), "--enable 256M", 0, [32, 33]),
        ((), "--enable -b 38-39", 0, [38, 39]),
        ((), "--enable -b 34 --zone Movable", 0, [34]),
        ((), "--enable -b 32 --zone DMA32", 1, []),
        ((), "--enable 64G", 64, list(range(32, 40))),
        (("--fail", "online:34=ENOMEM"), "--enable -b 33-35", 64, [33, 35]),
        (("--fail", "online=ENOMEM"), "--enable -b 33-35", 1, []),
    ],
)
def test_chmem_enables(machine: Make, options: tuple[str, ...], arguments: str, status: int, online: list[int]) -> None:
    """By range, size, blocks and zone; 1 for failure, 64 for partial success."""
    need("chmem")
    done = machine(*options).run("chmem", *arguments.split())
    assert done.returncode == status, done.stderr
    assert [block for block, state in states(done).items() if block >= 32 and state == "online"] == online


def test_chmem_disables(machine: Make) -> None:
    """What it has enabled, in the zone it has chosen."""
    need("chmem")
    done = shell(machine(), "chmem -e -b 32-39 -z Movable && chmem -d 512M")
    assert done.returncode == 0, done.stderr
    assert sum(state == "online" for block, state in states(done).items() if block >= 32) == 4


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["free", "-k"], "Mem:"),
        (["vmstat", "-s"], "K total memory"),
        (["numactl", "--hardware"], "node 0 size:"),
        (["numastat", "-m"], "MemTotal"),
        (["find", "/sys/devices/system/memory/memory32", "-type", "f"], "memory32/valid_zones"),
    ],
)
def test_other_programs_read_these_trees(machine: Make, command: list[str], expected: str) -> None:
    """procps, numactl and findutils."""
    need(command[0])
    done = machine().run(*command)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_files_have_the_manners_of_sysfs(machine: Make) -> None:
    """Sizes, modes, odd offsets, truncation, read-back, errno."""
    script = """
    cd /sys/devices/system/memory
    stat -c '%s %a' block_size_bytes memory32/state probe /proc/zoneinfo
    dd if=block_size_bytes bs=1 skip=2 count=3 status=none; echo
    echo online_movable > memory32/state && cat memory32/state memory32/valid_zones
    : > memory32/state; echo truncated $?
    python3 -c '
import errno
for path, mode, text in (("memory32/state", "r+b", b"online"), ("block_size_bytes", "r+b", b"1"), ("probe", "rb", b"")):
    try:
        with open(path, mode, buffering=0) as file:
            file.write(text) if text else file.read()
    except OSError as problem:
        print(path, errno.errorcode[problem.errno])
'
    mkdir x 2>/dev/null; rm memory32/state 2>/dev/null; mv memory32 memory99 2>/dev/null; ls -d memory32
    """
    done = shell(machine(), script)
    assert done.stdout.split("\n") == [
        "4096 444", "4096 644", "4096 200", "0 444", "000", "online", "Movable", "truncated 0",
        "memory32/state EINVAL", "block_size_bytes EACCES", "probe EACCES", "memory32", "",
    ]  # fmt: skip


def test_memory_that_comes_meanwhile_appears(machine: Make) -> None:
    """mhp ctl inside the machine; events are told."""
    script = """
    mhp() { "$0" -m memhotplug "$@"; }
    mhp ctl events --count 3 > events & sleep 1
    mhp ctl add dimm1 256M && cat /sys/devices/system/memory/memory4[01]/state
    echo online > /sys/devices/system/memory/memory40/state; wait; cat events
    """
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = machine().run("bash", "-c", f"cd {folder}; {script}", sys.executable)
    assert done.stdout.splitlines() == [
        "offline",
        "offline",
        "KERNEL add      /devices/system/memory/memory40 (memory)",
        "KERNEL add      /devices/system/memory/memory41 (memory)",
        "KERNEL online   /devices/system/memory/memory40 (memory)",
    ]


@pytest.mark.parametrize(
    ("script", "status"),
    [("true", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_exit_statuses_are_the_command_s(machine: Make, script: str, status: int) -> None:
    """128 and the signal if one ended it."""
    assert shell(machine(), script).returncode == status


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("/no/such/command", 127, "mhp: '/no/such/command': no such command\n"),
        ("/etc/passwd", 126, "mhp: '/etc/passwd': Permission denied\n"),
    ],
)
def test_a_command_that_cannot_be_run_is_said(machine: Make, command: str, status: int, message: str) -> None:
    """As env(1) has it."""
    done = machine().run(command)
    assert (done.returncode, done.stderr) == (status, message)


def test_what_a_program_did_is_a_scenario(machine: Make) -> None:
    """Which ends where the program did."""
    words = (("online_movable", 33), ("bogus", 34), ("offline", 33))
    script = "; ".join(f"echo {word} > {_STATE.format(block)}" for word, block in words)
    done = shell(machine("--fail", "offline:33=EBUSY"), script)
    again = run_scenario(load_scenario(str(done.steps), Installed()))
    assert again.failure is None
    assert [record["errno"] for record in again.steps] == [None, None, "EINVAL", "EBUSY"]
    assert again.to_dict()["blocks"] == done.result["blocks"]


def test_a_folder_for_what_is_left_may_be_relative(
    modelled_machine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To where the command was typed; serving a file system changes the working directory."""
    modelled_machine("--boot", "1G").run("true")  # skips where there is none
    monkeypatch.chdir(tmp_path)
    words = [sys.executable, "-m", "memhotplug", "exec", "--boot", "1G", "-o", "left", "--", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "left").iterdir()) == ["result.json", "steps.yaml"]


def test_the_host_is_not_touched(machine: Make) -> None:
    """The namespace is the command's own, and all else in it is the host's."""
    mounts = Path("/proc/self/mounts").read_text()
    done = shell(machine(), "cat /proc/version; ls /sys /sys/kernel > /dev/null; echo $?")
    assert done.stdout == Path("/proc/version").read_text() + "0\n"
    assert Path("/proc/self/mounts").read_text() == mounts


_HOSTILE = """
import os, random, sys, mmap
random.seed(int(sys.argv[1]))
files = [os.path.join(folder, name) for top in ("/sys/devices/system/memory", "/sys/devices/system/node",
         "/sys/module/memory_hotplug", "/sys/bus/dax", "/sys/devices/platform/hmem.0", "/sys/firmware/memory")
         for folder, _, names in os.walk(top) for name in names]
for _ in range(25):
    path = random.choice(files)
    words = [b"x" * 200_000, b"online\\n", b"offline\\n", b"-12"]
    data = random.choice([random.randbytes(random.randrange(1, 64)), *words])
    for action in (
        lambda: os.write(os.open(path, os.O_WRONLY | random.choice([0, os.O_TRUNC, os.O_APPEND])), data),
        lambda: os.pread(os.open(path, os.O_RDONLY), 7, random.randrange(5000)),
        lambda: mmap.mmap(os.open(path, os.O_RDWR), 4096),
        lambda: os.rename(path, path + "x"), lambda: os.chmod(path, 0o777), lambda: os.unlink(path),
        lambda: os.mkdir(path + "y"), lambda: os.truncate(path, 1 << 40),
    ):
        try:
            action()
        except (OSError, ValueError):
            pass
"""


_DIMM = "{arch: x86_64, kernel: linux-6.12, memory: 1G}", "{driver: acpi, size: 1G}"
_DAX = "{arch: x86_64, kernel: linux-6.12, memory: 1G}", "{driver: dax, name: dax0.0, size: 1G, mode: devdax}"
_STANDBY = "{arch: s390, kernel: linux-6.19, memory: 1G}", "{driver: sclp, name: standby, size: 1G, config: false}"


@pytest.mark.parametrize(("system", "added"), [_DIMM, _DAX, _STANDBY], ids=["dimm", "dax", "s390"])
def test_hostile_clients_break_nothing(modelled_machine: Make, tmp_path: Path, system: str, added: str) -> None:
    """64 processes that do anything to any file: the machine answers to the end, and its invariants hold."""
    (tmp_path / "hostile.py").write_text(_HOSTILE)
    (tmp_path / "machine.yaml").write_text(f"schema: 1\nmachine: {system}\nsteps:\n  - add: {added}\n")
    script = f"for n in $(seq 64); do python3 {tmp_path}/hostile.py $n & done; wait; cat {_STATE.format(0)}"
    done = modelled_machine(str(tmp_path / "machine.yaml")).run("bash", "-c", script, timeout=300)
    assert done.stdout in ("online\n", "offline\n"), done.stderr
    assert done.result["violations"] == []


def test_what_is_gone_is_gone_at_once_and_back_at_once(machine: Make) -> None:
    """However often its names were looked up: names are kept by the kernel until something changes."""
    script = """
    mhp() { "$0" -m memhotplug "$@"; }
    cd /sys/devices/system
    for round in 1 2 3; do
      stat -c %s memory/memory32/state && ls -d node/node0/memory32/state
      mhp ctl eject dimm0
      stat memory/memory32 memory/memory32/state node/node0/memory32/state 2>&1 | grep -c 'No such file'
      ls memory | grep -c memory32
      mhp ctl add dimm0 1G
    done
    """
    import sys

    done = machine().run("bash", "-c", script, sys.executable)
    assert done.stdout.splitlines() == ["4096", "node/node0/memory32/state", "3", "0"] * 3, done.stderr


def test_owners_modes_and_times_can_be_set_as_in_sysfs(machine: Make) -> None:
    """Until the file goes; a file can neither be made nor removed."""
    script = """
    cd /sys/devices/system/memory
    chmod 600 memory32/state && touch -d @7 memory32/state && stat -c '%a %Y %s' memory32/state memory33/state
    cat memory32/state
    touch new; echo $?; rm -f memory32/state; echo $?
    """
    done = shell(machine(), script)
    assert done.stdout.splitlines() == ["600 7 4096", "644 0 4096", "offline", "1", "1"]
    assert "touch: cannot touch 'new': Permission denied" in done.stderr


def test_an_offline_that_cannot_be_is_tried_until_a_signal_comes(modelled_machine: Make, tmp_path: Path) -> None:
    """A shell that would write again and again waits instead, with one step noted; and a release lets it through."""
    scenario = tmp_path / "pinned.yaml"
    scenario.write_text(PINNED)
    script = """
    cd /sys/devices/system/memory
    timeout 0.3 sh -c 'echo offline > memory39/state'; echo $? $(cat memory39/state)
    (echo offline > memory39/state; echo written) &
    while ! cat memory39/state | grep -q going-offline; do :; done
    timeout 0.3 sh -c 'echo offline > memory38/state'; echo $?
    $0 -m memhotplug ctl qmp x-mhp '{"op": "release", "args": {"name": "app"}}' > /dev/null
    wait; cat memory39/state
    """
    done = modelled_machine(str(scenario)).run("bash", "-c", script, sys.executable)
    assert done.stdout.split("\n")[:-1] == ["124 online", "124", "written", "offline"], done.stderr
