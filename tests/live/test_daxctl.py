"""Debian's daxctl on a modelled device; skipped, with the reason, where it or what it needs is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import load_scenario
from memhotplug.testing.live import Done, ModelledMachine

Make = Callable[..., ModelledMachine]
Dax = Callable[..., ModelledMachine]


@pytest.fixture
def dax(modelled_machine: Make, tmp_path: Path) -> Dax:
    """Return a function that makes 1 GiB and a character device of 512 MiB, blocks 32-35; its arguments are options."""
    if shutil.which("daxctl") is None:
        pytest.skip("not installed: daxctl")
    scenario = tmp_path / "dax.yaml"
    scenario.write_text(
        "schema: 1\n"
        "machine: {arch: x86_64, kernel: linux-6.12, memory: 1G, cmdline: memory_hotplug.memmap_on_memory=1}\n"
        "steps:\n  - add: {driver: dax, name: dax0.0, size: 512M, mode: devdax}\n"
    )
    return lambda *options: modelled_machine(str(scenario), *options)


def online(done: Done) -> list[int]:
    """Return the blocks of the device that are online afterwards."""
    return [block["id"] for block in done.result["blocks"] if block["device"] and block["state"] == "online"]


def test_list_shows_region_device_and_mapping(dax: Dax) -> None:
    """A character device."""
    done = dax().run("daxctl", "list", "--regions", "--devices", "--mappings")
    assert (done.returncode, done.stderr) == (0, "")
    device = {
        "chardev": "dax0.0",
        "size": 512 << 20,
        "target_node": 0,
        "align": 2 << 20,
        "mode": "devdax",
        "mappings": [{"page_offset": 0, "start": 4 << 30, "end": (4 << 30) + (512 << 20) - 1, "size": 512 << 20}],
    }
    (region,) = json.loads(done.stdout)
    assert {key: region[key] for key in ("id", "size", "align")} == {"id": 0, "size": 512 << 20, "align": 2 << 20}
    assert region["devices"] == [device]


def test_a_device_is_reconfigured_taken_offline_and_back(dax: Dax) -> None:
    """To system-ram, which onlines it to Movable; offline, online; offline, and a character device once more."""
    script = """
    daxctl reconfigure-device --mode=system-ram dax0.0 && lsmem -n -o STATE,BLOCK -a --summary=never | tail -4
    daxctl offline-memory dax0.0 && cat /sys/devices/system/memory/memory3[2-5]/state
    daxctl online-memory dax0.0 && cat /sys/devices/system/memory/memory32/valid_zones
    daxctl reconfigure-device --mode=devdax dax0.0; echo refused $?
    daxctl offline-memory dax0.0 && daxctl reconfigure-device --mode=devdax dax0.0
    ls -d /sys/devices/system/memory/memory32
    """
    done = dax().run("bash", "-c", script)
    shown = [line.split() for line in done.stdout.splitlines() if line[:1] not in "[{ ]}"]
    assert shown == [
        *(["online", f"{block}"] for block in (32, 33, 34, 35)),
        *([["offline"]] * 4),
        ["Movable"],
        ["refused", "240"],
    ]
    assert "ls: cannot access" in done.stderr
    assert [json.loads(text)["mode"] for text in done.stdout.split("[")[1:] for text in [text.split("]")[0]]] == [
        "system-ram",
        "devdax",
    ]
    again = run_scenario(load_scenario(str(done.steps), Installed()))
    assert again.failure is None
    assert again.to_dict()["iomem"] == done.result["iomem"]


def test_the_attribute_memmap_on_memory_is_written_before(dax: Dax) -> None:
    """And while kmem has the device it is EBUSY."""
    attribute = "/sys/bus/dax/devices/dax0.0/memmap_on_memory"
    script = f"""
    echo 1 > {attribute} && daxctl reconfigure-device --no-online --mode=system-ram dax0.0 > /dev/null
    cat {attribute}; echo 0 > {attribute}
    """
    done = dax().run("bash", "-c", script)
    assert done.stdout == "1\n"
    assert "Device or resource busy" in done.stderr
    hosting = [block["vmemmap_pages"] for block in done.result["blocks"] if block["device"]]
    assert hosting == [512] * 4


def test_a_block_that_stays_online_is_an_error(dax: Dax) -> None:
    """A fault on one block: daxctl says which, and what went before it is done."""
    script = "daxctl reconfigure-device -m system-ram dax0.0 > /dev/null; daxctl offline-memory dax0.0"
    done = dax("--fail", "offline:34=EBUSY").run("bash", "-c", script)
    assert done.returncode != 0
    assert "Failed to offline /sys/devices/system/node/node0/memory34/state: Device or resource busy" in done.stderr
    assert online(done) == [34, 35]


def test_auto_onlining_is_noticed(dax: Dax) -> None:
    """daxctl refuses, unless forced, where the kernel's policy would be quicker."""
    script = """
    echo online > /sys/devices/system/memory/auto_online_blocks
    daxctl reconfigure-device -m system-ram dax0.0
    """
    done = dax().run("bash", "-c", script)
    assert done.returncode != 0
    assert "kernel policy will auto-online memory" in done.stderr
    assert online(done) == []


def test_a_device_is_made_smaller(dax: Dax) -> None:
    """While it is a character device that nobody has."""
    script = "daxctl disable-device dax0.0 && daxctl reconfigure-device -s 256M dax0.0; daxctl list -i | grep size"
    done = dax().run("bash", "-c", script)
    assert '"size":268435456' in done.stdout.replace(" ", ""), done.stderr
