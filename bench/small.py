"""Small operations in units of an interpreter's start: each figure is CPU time over that of ``python -S -c pass``.

A ratio to something that the same machine does at the same moment says the same on a slow machine and on a busy one.
Each figure is a median; what an operation needs beforehand (a machine, its drivers, their imports) is not counted.
"""

from __future__ import annotations

import compileall
import gc
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memhotplug import Machine

__all__ = ["GOALS", "compile_sources", "measure", "searches", "write_scenarios"]

MIB, GIB = 1 << 20, 1 << 30
_DRIVERS = {
    "sclp": ("s390", 256 * MIB),
    "pseries": ("powerpc", 256 * MIB),
    "hv_balloon": ("x86_64", 128 * MIB),
    "virtio_mem": ("x86_64", 128 * MIB),
}
"""Drivers that add block by block, with an architecture and a block size that they have."""
_AMONG = (256, 4096, 16384)
_MORE = 8  # virtio_mem stops at 1 GiB that is not online
_ON = "memory_hotplug.memmap_on_memory=1"

GOALS = {
    "boot of 4G": 0.15,
    "copy, add 1 GiB, online, offline, remove": 0.10,
    **{f"a block of {driver} among {count}": 0.015 for driver in _DRIVERS for count in _AMONG},
    "write of state": 0.01,
    "to_dict of 40 blocks": 0.1,
    "violations of 40 blocks": 0.1,
    "a transition of mhp check": 0.1,
    "a case of mhp sweep": 0.14,  # a thousand a second where an interpreter starts in 7 ms
    "compare of 3 flags at 2 TiB, in runs": 4.0,
    "mhp --help": 3.0,
    "mhp run (1 GiB)": 18.0,
    "mhp plan --boot 256M --add 12G": 16.0,
    "mhp plugins": 10.0,
    "mhp explain": 25.0,
}
"""What each figure should not exceed."""


def cpu_of(*command: str, said: list[bytes] | None = None) -> float:
    """Return the CPU seconds, user and system, of one process and of what it started and waited for.

    Args:
        said: gets what the process printed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=False, capture_output=True)  # a plan's verdict is an exit status
    if said is not None:
        said.append(done.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wall_of(*command: str) -> float:
    """Return the seconds that one process takes, as whoever started it waits for it."""
    begin = time.perf_counter()
    subprocess.run(command, check=False, capture_output=True)
    return time.perf_counter() - begin


def typical(action: Callable[[], object], runs: int, prepare: Callable[[], object] = lambda: None) -> float:
    """Return the median CPU seconds of an action, each time after something that is not counted.

    As timeit has it: one after the other, as in a sweep, and without the garbage collector.
    """
    timings = []
    gc.collect()
    gc.disable()
    for _ in range(runs):
        prepare()
        begin = time.process_time()
        action()
        timings.append(time.process_time() - begin)
    gc.enable()
    return statistics.median(timings)


def compile_sources(root: Path) -> None:
    """Compile the project's modules, as they are where it is installed: elsewhere the first import does it."""
    for folder in ("core", "plugins", "drivers"):
        compileall.compile_dir(root / folder, quiet=2)


def measure(root: Path) -> dict[str, float]:
    """Return all figures by name; the base, in seconds, is ``python -S -c pass``."""
    compile_sources(root)
    start = [partial(cpu_of, sys.executable, "-S", "-c", "pass") for _ in range(15)]
    starts = [run() for run in start]
    seconds = _operations() | _blocks() | _views() | searches()
    base = statistics.median(starts + [run() for run in start])  # before and after: machines change their pace
    found = {name: value / base for name, value in seconds.items()}
    found["compare of 3 flags at 2 TiB, in runs"] = _compare()
    site = min(wall_of(sys.executable, "-c", "pass") for _ in range(15))
    mhp = str(Path(sys.executable).with_name("mhp"))
    for name, arguments in _commands(root).items():
        found[name] = min(wall_of(mhp, *arguments) for _ in range(7)) / site
    return {"base": base, **found}


def _operations() -> dict[str, float]:
    from memhotplug import Machine

    boot = partial(Machine.boot, arch="x86_64", kernel="linux-6.12", memory="4G", cmdline=_ON)
    machine = boot()

    def life() -> None:
        twin = machine.copy()
        twin.add_memory(driver="acpi", name="d", size=GIB)
        twin.online("d", zone="movable")
        twin.offline("d")
        twin.remove("d")

    other = machine.copy()
    other.add_memory(driver="acpi", name="d", size=GIB)
    path = f"/sys/devices/system/memory/memory{other.memory('d').blocks[0]}/state"
    life()
    return {
        "boot of 4G": typical(boot, 25),
        "copy, add 1 GiB, online, offline, remove": typical(life, 25),
        "write of state": typical(
            partial(other.write, path, "online_movable"), 25, prepare=partial(_offline_if_online, other, path)
        ),
    }


def _offline_if_online(machine: Machine, path: str) -> None:
    if machine.read(path).strip() == "online":
        machine.write(path, "offline")


def _blocks() -> dict[str, float]:
    """A block of eight that one add brings, for drivers that add block by block, on machines that have many already."""
    from memhotplug import Machine

    found = {}
    for driver, (arch, size) in _DRIVERS.items():
        for count in _AMONG:
            machine = Machine.boot(arch=arch, kernel="linux-6.12", memory=count * size, memory_block_size=size)
            twins: list[Machine] = []

            def prepare(machine: Machine = machine, twins: list[Machine] = twins) -> None:
                twins[:] = [machine.copy()]

            def add(twins: list[Machine] = twins, driver: str = driver, size: int = size) -> None:
                twins[0].add_memory(driver=driver, name="d", size=_MORE * size)

            prepare()
            add()
            found[f"a block of {driver} among {count}"] = typical(add, 7, prepare) / _MORE
    return found


def _views() -> dict[str, float]:
    from memhotplug import Machine

    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory=4 * GIB, cmdline=_ON)
    machine.add_memory(driver="acpi", name="d", size=GIB)
    machine.to_dict()
    return {
        "to_dict of 40 blocks": typical(machine.to_dict, 25),
        "violations of 40 blocks": typical(machine.violations, 25),
    }


_AT_2_TIB = """
schema: 1
machine: {arch: x86_64, kernel: v2-2019, memory: 64G}
drivers: {acpi: {mhp_flags: none}}
steps:
  - add: {name: d, driver: acpi, size: 2T}
  - online: {range: d, zone: movable}
  - offline: {range: d}
  - remove: {range: d}
"""


def _compare() -> float:
    """Return what a comparison of three flags costs, as a multiple of one run of its scenario."""
    mhp = str(Path(sys.executable).with_name("mhp"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "big.yaml")
        path.write_text(_AT_2_TIB)
        vary = ("--vary", "drivers.acpi.mhp_flags=none,memblock,device")
        compare = statistics.median(cpu_of(mhp, "compare", str(path), *vary) for _ in range(3))
        run = statistics.median(cpu_of(mhp, "run", str(path)) for _ in range(3))
    return compare / run


_CHECKED = """
schema: 1
machine: {arch: x86_64, kernel: linux-6.12, memory: 1G, cmdline: memory_hotplug.memmap_on_memory=1}
explore: {operations: [add, online, offline, remove], drivers: acpi, sizes: [256M], blocks: 4}
steps: []
"""
_SWEPT = """
schema: 1
machine: {arch: x86_64, kernel: linux-6.12, memory: 1G}
steps:
  - add: {name: d, driver: acpi, size: 1G, address: 8G}
  - online: {range: d, zone: movable}
"""


def write_scenarios(folder: Path) -> tuple[str, str]:
    """Write what is checked and what is swept; return the paths."""
    checked, swept = folder / "check.yaml", folder / "sweep.yaml"
    checked.write_text(_CHECKED)
    swept.write_text(_SWEPT)
    return str(checked), str(swept)


def searches() -> dict[str, float]:
    """Return what a transition and a case cost in seconds of CPU time: that of many, less that of a start with few."""
    mhp = str(Path(sys.executable).with_name("mhp"))
    with tempfile.TemporaryDirectory() as folder:
        checked, swept = write_scenarios(Path(folder))
        numbers = itertools.count()

        def check(count: int) -> tuple[float, int]:
            command = (mhp, "check", checked, "--depth", "6", "--operations", str(count), "--json")
            said: list[bytes] = []
            taken = cpu_of(*command, said=said)
            return taken, int(json.loads(said[0])["transitions"])

        def sweep(count: int) -> tuple[float, int]:
            vary = f"steps.0.add.address=8G..{7 + count}G/1G"
            results = ("-o", str(Path(folder, f"{next(numbers)}.sqlite")), "--jobs", "1")
            return cpu_of(mhp, "sweep", swept, "--vary", vary, *results), count

        return {
            "a transition of mhp check": _each(check, 1500),
            "a case of mhp sweep": _each(sweep, 200),
        }


def _each(cost: Callable[[int], tuple[float, int]], count: int) -> float:
    """Return the CPU seconds of one of many things, without what comes once."""
    found = []
    for _ in range(3):
        (few, least), (many, most) = cost(1), cost(count)
        found.append((many - few) / (most - least))
    return statistics.median(found)


def _commands(root: Path) -> dict[str, list[str]]:
    return {
        "mhp --help": ["--help"],
        "mhp run (1 GiB)": ["run", str(root / "scenarios" / "cover-letter-device.yaml")],
        "mhp plan --boot 256M --add 12G": ["plan", "--boot", "256M", "--add", "12G"],
        "mhp plugins": ["plugins"],
        "mhp explain": ["explain"],
    }
