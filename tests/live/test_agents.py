"""Agents, monitors and stress tests that know nothing of the model; each is skipped where it is not installed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.testing.live import Done, ModelledMachine

Make = Callable[..., ModelledMachine]


@pytest.fixture
def run(modelled_machine: Make, tmp_path: Path) -> Callable[..., Done]:
    """Return a function that runs a Python program, one that begins another, on 1 GiB with a DIMM of 512 MiB."""
    scenario = tmp_path / "dimm.yaml"
    scenario.write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 1G}\n"
        "steps:\n  - add: {driver: acpi, name: dimm0, size: 512M}\n"
    )

    def start(needed: str, *command: str, options: tuple[str, ...] = ()) -> Done:
        if shutil.which(needed) is None:
            pytest.skip(f"not installed: {needed}")
        return modelled_machine(str(scenario), *options).run(*command)

    return start


_GUEST_AGENT = """
import json, os, socket, subprocess, tempfile
folder = tempfile.mkdtemp()
words = ["-m", "unix-listen", "-p", f"{folder}/socket", "-t", folder, "-f", f"{folder}/pid"]
agent = subprocess.Popen(["qemu-ga", *words])
while not os.path.exists(f"{folder}/socket"):
    assert agent.poll() is None
client = socket.socket(socket.AF_UNIX)
client.connect(f"{folder}/socket")
stream = client.makefile("rw")
def do(name, **arguments):
    stream.write(json.dumps({"execute": name, "arguments": arguments}))
    stream.flush()
    return json.loads(stream.readline())["return"]
wanted = [{"phys-index": block, "online": online} for block, online in ((32, True), (33, True), (0, False), (99, True))]
answers = [do("guest-get-memory-block-info"), do("guest-get-memory-blocks")]
print(json.dumps([*answers, do("guest-set-memory-blocks", **{"mem-blks": wanted})]))
agent.kill()
"""


def test_the_qemu_guest_agent_lists_and_sets_memory_blocks(run: Callable[..., Done]) -> None:
    """guest-get-memory-blocks, guest-set-memory-blocks, with what the kernel answers in each case."""
    done = run("qemu-ga", "python3", "-c", _GUEST_AGENT, options=("--fail", "online:33=ENOMEM"))
    assert done.returncode == 0, done.stderr
    info, blocks, answers = json.loads(done.stdout)
    assert info == {"size": 128 << 20}
    assert {block["phys-index"]: block["online"] for block in blocks} == {
        **dict.fromkeys(range(8), True),
        **dict.fromkeys(range(32, 36), False),
    }
    assert answers == [
        {"phys-index": 32, "response": "success"},
        {"phys-index": 33, "response": "operation-failed", "error-code": 12},
        {"phys-index": 0, "response": "operation-failed", "error-code": 22},
        {"phys-index": 99, "response": "not-found", "error-code": 2},
    ]
    online: list[int] = [block["id"] for block in done.result["blocks"] if block["state"] == "online"]
    assert online == [*range(8), 32]


def test_stress_ng_takes_memory_offline_and_back(run: Callable[..., Done]) -> None:
    """As often as it is told, and nothing is broken afterwards."""
    done = run("stress-ng", "stress-ng", "--memhotplug", "2", "--memhotplug-ops", "8", "--metrics-brief", "--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed: 2: memhotplug (2)" in done.stdout + done.stderr or "successful run" in done.stdout + done.stderr
    assert "/state" in done.steps.read_text()
    assert done.result["violations"] == []


_EXPORTER = """
import re, subprocess, sys, urllib.request
collectors = [f"--collector.{name}" for name in ("zoneinfo", "buddyinfo", "meminfo", "meminfo_numa")]
words = ["--collector.disable-defaults", *collectors, "--web.listen-address=127.0.0.1:0"]
exporter = subprocess.Popen(["prometheus-node-exporter", *words], stderr=subprocess.PIPE, text=True)
port = next(match[1] for line in exporter.stderr if (match := re.search(r"address=127.0.0.1:([0-9]+)", line)))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(opener.open(f"http://127.0.0.1:{port}/metrics").read().decode())
exporter.kill()
"""


def test_the_node_exporter_exports_what_the_model_has(run: Callable[..., Done]) -> None:
    """Zones, free pages by order, and memory by node."""
    done = run("prometheus-node-exporter", "python3", "-c", _EXPORTER)
    assert done.returncode == 0, done.stderr
    found = {name: float(value) for name, value in re.findall(r"^(node_\S+) (\S+)$", done.stdout, re.MULTILINE)}
    (zone,) = (zone for zone in done.result["zones"] if zone["zone"] == "DMA32")
    assert found['node_zoneinfo_managed_pages{node="0",zone="DMA32"}'] == zone["managed"]
    assert found['node_zoneinfo_present_pages{node="0",zone="DMA32"}'] == zone["present"]
    by_order = [
        found[f'node_buddyinfo_blocks{{node="0",size="{order}",zone="DMA32"}}']
        for order in range(len(zone["free_by_order"]))
    ]
    assert by_order == zone["free_by_order"]
    managed = sum(one["managed"] for one in done.result["zones"])
    assert found["node_memory_MemTotal_bytes"] == found['node_memory_numa_MemTotal{node="0"}'] == managed * 4096


def test_hwloc_sees_the_machine_s_memory(run: Callable[..., Done]) -> None:
    """What node0/meminfo says, and no more."""
    done = run("lstopo-no-graphics", "lstopo-no-graphics", "--of", "xml")
    assert done.returncode == 0, done.stderr
    total: Any = sum(zone["managed"] for zone in done.result["zones"]) * 4096
    assert re.findall(r'type="NUMANode".*?local_memory="(\d+)"', done.stdout) == [str(total)]
