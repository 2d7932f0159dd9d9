"""Nodes and devices, as the log of a boot shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.firmware import Firmware, device_log
from memhotplug.formats.snapshot import read_recording
from memhotplug.naming import read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"


def firmware(name: str) -> tuple[Firmware, StepFacts]:
    """Return what a shipped recording says of its machine."""
    recording = read_recording(RECORDINGS / f"{name}.json.xz")
    facts = StepFacts(recording.steps[0], name)
    return Firmware(facts, read_machine(recording.snapshot(0))), facts


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("x86_64-6.12-three-cpu-nodes", [0, 1, 2, None]),  # domain 1 has CPUs alone, and no line
        ("x86_64-6.12-memoryless-cpu-node", [0, 2, 1, None]),  # Linux counts nodes with CPUs first
        ("x86_64-6.12-numa-off", [0, None]),
        ("ppc64el-6.12-two-cpu-nodes", [0, 1, None]),  # no such tables
    ],
)
def test_domains_have_nodes(name: str, nodes: list[int | None]) -> None:
    """As the tables name them, and what they do not name as it must be."""
    assert [firmware(name)[0].node(domain) for domain in range(len(nodes))] == nodes


def test_a_device_says_its_node() -> None:
    """A number without 0x is one as well."""
    told = device_log(firmware("x86_64-6.12-virtio-mem-node-1")[1])

    assert told["virtio0"]["nid"] == 1
    assert told["virtio0"]["region size"] == 4 << 30
