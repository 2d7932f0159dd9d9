"""``plan --scenario`` and ``run``: the question comes out as the verdict says, whatever was asked.

A few random questions by default; MHP_EXAMPLES for more, MHP_SEED for where they begin.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from memhotplug.cli import main
from memhotplug.manager import names

EXAMPLES = int(os.environ.get("MHP_EXAMPLES", "40"))
FIRST = int(os.environ.get("MHP_SEED", "0"))
DRIVERS = {
    "x86_64": ("acpi", "virtio_mem", "dax", "hv_balloon", "xen", "probe"),
    "arm64": ("acpi", "virtio_mem", "dax"),
    "powerpc": ("pseries", "dax"),
    "s390": ("sclp", "virtio_mem"),
}
PAGES = {"arm64": ("4K", "16K", "64K"), "powerpc": ("4K", "64K")}
POLICIES = Path(__file__).parents[2] / "examples" / "policies"
LOGS = Path(__file__).parents[1] / "data" / "oomlogs"
LSMEM = """\
RANGE                                  SIZE  STATE BLOCK NODE  ZONES
0x0000000000000000-0x00000000bfffffff    3G online  0-23    0  DMA32
0x0000000100000000-0x000000017fffffff    2G online 32-47    0 Normal

Memory block size:       128M
"""
KERNELS = tuple(sorted(names("profiles")))
ODD = (0,) * 12 + (16, 64, 128)  # M more than whole blocks
WORDS = (
    "numa=off",
    "cma=128M",
    "kernelcore=512M",
    "disable_radix",
    "transparent_hugepage=never",
    "acpi_no_memhotplug",
    "memory_hotplug.auto_movable_numa_aware=0",
    "memory_hotplug.memmap_on_memory=1",
    "memory_hotplug.memmap_on_memory=force",
    "memory_hotplug.online_policy=auto-movable",
    "memory_hotplug.auto_movable_ratio=150",
    "memory_hotplug.auto_movable_ratio=0",
    "memory_hotplug.auto_movable_ratio=33",
    "memory_hotplug.auto_movable_ratio=1000",
    "memory_hotplug.online_policy=auto-movable memhp_default_state=online",
    "memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio=25",
    "memhp_default_state=online_movable",
    "memhp_default_state=online_kernel",
    "memhp_default_state=online",
    "crashkernel=64M",
    "mem=1G",
    "movable_node",
    "movablecore=256M",
)
RECORDED = Path(__file__).parents[1] / "data" / "recordings"


BLOCKS = {"x86_64": ("256M", "1G", "2G"), "powerpc": ("16M", "32M", "256M", "1G")}
SIGNS = {
    "arm64": ("DMA", 4, 11, "pstate: 60400005 (nZCv daif +PAN -UAO)"),
    "powerpc": ("Normal", 64, 9, "NIP:  00007fff9e3c1b24 LR: 0000000000000000"),
    "s390": ("Normal", 4, 11, "Krnl PSW : 0704c00180000000 00000000001ab2c4"),
}
"""Of kernel logs: the zone, kB of a page, how many sizes of chunks, and a line that tells the architecture."""
CONDITIONS = (
    "True",
    "phys_range.size > 1 << 30",
    "phys_range.start >> 30 & 1",
    "phys_range.start > 20 << 30",
    "sum(zone.free.total for zone in kernel.state.zones()) < 100000",
)
FLAGS = ("none", "device", "memblock", "on_memory")


def recorded(dice: random.Random) -> tuple[str, list[str]]:
    """Return one of the recorded machines, in the beginning or later."""
    path = dice.choice(sorted(RECORDED.glob("*.json.xz")))
    arch = {"ppc64el": "powerpc", "s390x": "s390"}.get(word := path.name.partition("-")[0], word)
    return arch, ["--from", str(path), "--step", str(dice.choice((0, 0, 1, 2, 3, 5, 8)))]


def logged(dice: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Return a machine of which there is a kernel log: a real one, or one of another architecture."""
    arch = dice.choice(("x86_64", *SIGNS))
    if arch == "x86_64":
        return arch, ["--oom-log", str(dice.choice(sorted(LOGS.glob("*.log"))))]
    zone, page, sizes, sign = SIGNS[arch]
    counts = [dice.randrange(200) for _ in range(sizes)]
    free = sum(count << order for order, count in enumerate(counts)) * page
    listed = " ".join(f"{count}*{page << order}kB" for order, count in enumerate(counts))
    (folder / "log.txt").write_text(
        f"{sign}\nMem-Info:\nNode 0 {zone} free:{free}kB boost:0kB min:8192kB low:16384kB high:24576kB "
        f"present:4194304kB managed:4128768kB free_pcp:640kB free_cma:{dice.choice((0, 0, 64 * 1024))}kB\n"
        f"lowmem_reserve[]: 0 0\nNode 0 {zone}: {listed} = {free}kB\n",
        encoding="utf-8",
    )
    return arch, ["--oom-log", str(folder / "log.txt")]


def exported(dice: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Return a modelled machine as a snapshot."""
    arch = dice.choice(sorted(DRIVERS))
    out = str(folder / "machine")
    words = ["--boot", "2G", "--arch", arch, "--kernel", dice.choice(KERNELS[:-1])]
    refused = main(["export", *words, "--cmdline", dice.choice(WORDS), "-o", out]) != 0  # a value of newer kernels
    assert not refused or main(["export", *words, "-o", out]) == 0
    return arch, ["--from", out, "--arch", arch]


def machine(dice: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Return a random machine: its architecture, and the options for it."""
    kind = dice.random()
    if kind < 0.25:
        return recorded(dice)
    if kind < 0.35:
        return logged(dice, folder)
    if kind < 0.4:
        return exported(dice, folder)
    if kind < 0.45:
        (folder / "lsmem.txt").write_text(LSMEM, encoding="utf-8")
        return "x86_64", ["--from", str(folder / "lsmem.txt"), "--arch", "x86_64"]
    arch = dice.choice(sorted(DRIVERS))
    options = ["--boot", dice.choice(["512M", "1G", "2G", "3G"]), "--arch", arch, "--kernel", dice.choice(KERNELS)]
    options += ["--boot-profile", dice.choice(["lean", "distro"])]
    if dice.random() < 0.3:
        options += ["--page-size", dice.choice(PAGES.get(arch, ("4K",)))]
    if arch == "x86_64" and dice.random() < 0.3:
        options += ["--hole", dice.choice(["1G", "2G"])]
    if arch in BLOCKS and dice.random() < 0.2:
        options += ["--memory-block-size", dice.choice(BLOCKS[arch])]
    return arch, options


def policy(dice: random.Random, folder: Path) -> list[str]:
    """Return the options for a policy: one of the examples, or one that decides by something for some flags."""
    path = dice.choice([*sorted(POLICIES.glob("*.py")), folder / "mine.py"])
    if path.name == "mine.py":
        flag, other = dice.sample(FLAGS, 2)
        text = f"kernel.flag({flag!r}) if {dice.choice(CONDITIONS)} else kernel.flag({other!r})"
        head = "from memhotplug.plugin import hookimpl\n\n\n@hookimpl\n"
        hook = "def policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
        path.write_text(f"{head}{hook}    return {text}\n", encoding="utf-8")
    return ["--plugin", str(path), "--policy", path.stem]


def question(seed: int, folder: Path) -> list[str]:
    """Return the options of a random question; sizes around what the machine can take."""
    dice = random.Random(seed)
    arch, options = machine(dice, folder)
    words = dice.sample(WORDS, dice.choice([0, 0, 1, 2]))
    options += ["--cmdline", " ".join(words)] if words else []
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        options += ["--add", f"{(dice.choice([1, 2, 3, 6, 16, 40, 80]) << 8 << dice.randrange(3)) + dice.choice(ODD)}M"]
    options += ["--driver", dice.choice(DRIVERS[arch]), "--online", dice.choice(["auto", "movable", "kernel", "none"])]
    if dice.random() < 0.2:
        options += policy(dice, folder)
    if dice.random() < 0.15:
        options += ["--node", dice.choice(["0", "0", "1"])]
    if dice.random() < 0.15:
        options += ["--address", dice.choice(["0x200000000", "0x140000000", "0x100100000", "0x0", "0x4000000000000"])]
    return options + (["--slots", "2"] if dice.random() < 0.2 else [])


@pytest.mark.parametrize("seed", range(FIRST, FIRST + EXAMPLES))
def test_run_comes_out_as_the_plan_says(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fits and risky: exit status 0. Does not fit: 1, at the last step of the scenario."""
    file = tmp_path / "question.yaml"
    options = question(seed, tmp_path)
    capsys.readouterr()
    status = main(["plan", *options, "--scenario", str(file), "--json"])
    planned: dict[str, Any] = json.loads(capsys.readouterr().out)
    if status == 2:  # no such machine
        assert not file.exists()
        return

    ran = main(["run", str(file), "--json"])

    result = json.loads(capsys.readouterr().out)
    assert (ran, result["ok"]) == ((1, False) if planned["verdict"] == "does-not-fit" else (0, True)), options
    online = sum(block["state"] == "online" for block in result["blocks"])
    if ran == 0:
        page = result["machine"]["page_size"]
        free = sum(zone["free"] for zone in result["zones"]) * page
        assert (free, online) == (planned["free"]["after_bytes"], planned_online(planned, result)), options


def planned_online(planned: dict[str, Any], result: dict[str, Any]) -> int:
    """Return the blocks that are online after the plan's trial, those of the machine included."""
    mine = ("plan0", "plan1", "plan2")
    before = len([b for b in result["blocks"] if b["state"] == "online" and b["device"] not in mine])
    return before + int(planned["uevents"]["online"])
