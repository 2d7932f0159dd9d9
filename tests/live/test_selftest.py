"""The kernel's own selftest of memory hotplug on a modelled machine, unchanged; it does not come with this project.

MHP_MEM_ON_OFF_TEST says where it is: tools/testing/selftests/memory-hotplug/mem-on-off-test.sh of a kernel's source.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from memhotplug.testing.live import ModelledMachine

Make = Callable[..., ModelledMachine]
_VARIABLE = "MHP_MEM_ON_OFF_TEST"
_MODULES = 16  # CAP_SYS_MODULE


@pytest.fixture
def script() -> str:
    """Return where the selftest is."""
    place = os.environ.get(_VARIABLE)
    if not place:
        pytest.skip(f"{_VARIABLE} does not say where the kernel's mem-on-off-test.sh is")
    if not Path(place).is_file():
        pytest.fail(f"{_VARIABLE}: there is no {place}")
    capable = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    if capable and int(capable[1], 16) >> _MODULES & 1 and Path("/sbin/modprobe").exists():
        pytest.skip("it would load a module into this kernel: run it without CAP_SYS_MODULE")
    return place


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    """Return 1 GiB of boot memory, blocks 0-7, and a DIMM of 1 GiB that is offline, blocks 32-39."""
    path = tmp_path / "dimm.yaml"
    path.write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 1G, "
        "cmdline: memory_hotplug.online_policy=auto-movable}\n"
        "steps:\n  - add: {driver: acpi, name: dimm0, size: 1G}\n"
    )
    return str(path)


@pytest.mark.parametrize("error", [-12, -16])
def test_the_kernel_s_selftest_runs_unchanged(modelled_machine: Make, script: str, scenario: str, error: int) -> None:
    """Error injection included: what it complains of are blocks that hold the kernel's own, as on hardware."""
    done = modelled_machine(scenario).run("bash", script, "-r", "100", "-e", str(error), timeout=300)
    assert "Test with memory notifier error injection" in done.stdout, done.stderr
    assert "skip" not in done.stderr
    complaints = re.findall(r"^(\w+) (\d+): unexpected (\w+)$", done.stderr, re.MULTILINE)
    assert {(what, how) for what, _, how in complaints} <= {("offline_memory_expect_success", "fail")}
    movable = {block["id"] for block in done.result["blocks"] if block["zone"] == "Movable"}
    assert movable
    assert not {int(block) for _, block, _ in complaints} & movable

    writes = [step["write"] for step in yaml.safe_load(done.steps.read_text())["steps"] if "write" in step]
    states = [write for write in writes if write["path"].endswith("/state")]
    name = {-12: "ENOMEM", -16: "EBUSY"}[error]
    told = Counter((write["value"].strip(), write.get("fails")) for write in states)
    online = [block["id"] for block in done.result["blocks"] if block["state"] == "online"]
    assert len(online) == 16
    # Everything that could go offline was refused onlining once, and all was refused offlining once.
    taken = told["offline", None] // 2
    assert told["online", name] == taken
    assert told["offline", name] >= len(movable)
    assert done.result["violations"] == []
