"""Searches and sweeps: how many transitions and cases a second one core does, and a million of them at once."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import small

__all__ = ["report_many", "report_searches"]

_JOBS = 2
_MANY = {"transitions of mhp check": 1_000_000, "cases of mhp sweep": 100_000}


def report_searches() -> None:
    """Transitions and cases a second and core, start-up apart."""
    print("searches, a second of CPU time; a transition is an operation, its laws and its normal form, a case is")
    print("an add and an online of 1 GiB on a machine of 1 GiB that is booted once, the invariants and the measures")
    for name, seconds in small.searches().items():
        print(f"  {name:<28} {1 / seconds:6.0f} a second and core")


def report_many() -> None:
    """A million transitions, a quarter of them in random lives, and a hundred thousand cases, on two processes."""
    mhp = str(Path(sys.executable).with_name("mhp"))
    with tempfile.TemporaryDirectory() as folder:
        checked, swept = small.write_scenarios(Path(folder))
        count = _MANY["cases of mhp sweep"] // 2
        commands = {
            "transitions of mhp check": [mhp, "check", checked, "--depth", "99", "--jobs", str(_JOBS), "--json",
                                         "--operations", str(_MANY["transitions of mhp check"])],
            "cases of mhp sweep": [mhp, "sweep", swept, "--vary", f"steps.0.add.address=8G..{7 + count}G/1G",
                                   "--vary", "steps.1.online.zone=movable,kernel", "-o", f"{folder}/r.sqlite",
                                   "--jobs", str(_JOBS), "--json"],
        }  # fmt: skip
        for name, command in commands.items():
            _report(name, command)


def _report(name: str, command: list[str]) -> None:
    """Play one command and print what it took; memory is looked at every second."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peaks: list[float] = []
    parent: list[float] = []
    watched = threading.Thread(target=_watch, args=(process, peaks, parent))
    watched.start()
    document = json.loads(process.communicate()[0])
    watched.join()
    wall = time.perf_counter() - begin
    done = document.get("transitions") or document["done"]
    half = len(peaks) // 2
    print(f"  {done} {name}: {wall:.0f} s, {done / wall:.0f} a second, {done / wall / _JOBS:.0f} for each process")
    if half:
        first, second = max(peaks[:half]), max(peaks[half:])
        print(f"    memory of all processes: {first:.0f} MB in the first half, {second:.0f} MB in the second")
    if parent:
        print(f"    the parent: {parent[-1]:.0f} s of CPU time, {100 * parent[-1] / wall:.1f} % of one core")


def _watch(process: subprocess.Popen[str], peaks: list[float], parent: list[float]) -> None:
    for _ in itertools.takewhile(lambda _: process.poll() is None, itertools.count()):
        peaks.append(sum(_resident(pid) for pid in _family(process.pid)))
        parent += _cpu(process.pid)
        time.sleep(1)


def _cpu(pid: int) -> list[float]:
    """Return the CPU seconds of a process that is there, user and system, without those of its children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")]


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
