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
    "memhp_default_state=online_movable",
    "memhp_default_state=online_kernel",
    "memhp_default_state=online",
    "crashkernel=64M",
    "mem=1G",
    "movable_node",
    "movablecore=256M",
)
RECORDED = Path(__file__).parents[1] / "data" / "recordings"


def machine(dice: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Return a random machine: its architecture, and the options for it."""
    recorded = [
        ("x86_64", "x86_64-6.12-mom-0-a"),
        ("x86_64", "x86_64-6.12-virtio-mem-auto-movable"),
        ("x86_64", "x86_64-6.12-virtio-mem-mom1-offline"),
        ("powerpc", "ppc64el-6.12-mom-1-r"),
        ("s390", "s390x-6.12-movablecore"),
    ]
    kind = dice.random()
    if kind < 0.2:
        arch, name = dice.choice(recorded)
        return arch, ["--from", str(RECORDED / f"{name}.json.xz"), "--step", dice.choice(["0", "1", "2", "3", "4"])]
    if kind < 0.3:
        return "x86_64", ["--oom-log", str(dice.choice(sorted(LOGS.glob("*.log"))))]
    if kind < 0.35:
        (folder / "lsmem.txt").write_text(LSMEM, encoding="utf-8")
        return "x86_64", ["--from", str(folder / "lsmem.txt"), "--arch", "x86_64"]
    arch = dice.choice(sorted(DRIVERS))
    options = ["--boot", dice.choice(["512M", "1G", "2G", "3G"]), "--arch", arch, "--kernel", dice.choice(KERNELS)]
    options += ["--boot-profile", dice.choice(["lean", "distro"])]
    if dice.random() < 0.3:
        options += ["--page-size", dice.choice(PAGES.get(arch, ("4K",)))]
    if arch == "x86_64" and dice.random() < 0.3:
        options += ["--hole", dice.choice(["1G", "2G"])]
    if arch == "x86_64" and dice.random() < 0.2:
        options += ["--memory-block-size", dice.choice(["256M", "1G", "2G"])]
    return arch, options


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
        policy = dice.choice(sorted(POLICIES.glob("*.py")))
        options += ["--plugin", str(policy), "--policy", policy.stem]
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
