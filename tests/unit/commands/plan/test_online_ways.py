"""How blocks are onlined, for drivers that wait for it: each row of the table is the answer to its own question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.commands.plan.conftest import Ask, Plan

WAYS = ("movable", "none")
RATIO = "memory_hotplug.online_policy=auto-movable"
HOSTED = (
    "from memhotplug.plugin import hookimpl\n"
    "@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
    "    return driver_flags | kernel.flag('on_memory')\n"
)


@pytest.mark.parametrize(
    ("driver", "cmdline"),
    [
        ("virtio_mem", f"memhp_default_state=online {RATIO}"),
        ("hv_balloon", "memhp_default_state=online_kernel"),
    ],
)
def test_each_way_is_what_it_would_be_alone(driver: str, cmdline: str, ask: Ask) -> None:
    """Where the kernel is quicker than every way all of them are one, and nothing is searched twice."""
    alone = {way: ask(1 << 30, 2 << 30, driver=driver, cmdline=cmdline, online=way) for way in WAYS}
    for document in alone.values():
        rows = {row["name"]: row for row in document["policies"] if row["kind"] == "online"}
        for way in WAYS:
            row, own = rows[way], alone[way]
            assert (row["largest_clean_bytes"], row["verdict"]) == (
                own["largest_single_add"]["clean_bytes"],
                own["verdict"],
            )


def test_blocks_that_the_kernel_could_not_online_depend_on_the_way(tmp_path: Path, plan: Plan) -> None:
    """virtio_mem lets no block online that hosts its own memmap: a GiB may wait for good, if nobody onlines it."""
    policy = tmp_path / "hosted.py"
    policy.write_text(HOSTED)
    line = "memhp_default_state=online memory_hotplug.memmap_on_memory=1"
    found = {}
    for way in WAYS:
        _, out, _ = plan(
            "--boot", "2G", "--driver", "virtio_mem", "--plugin", policy, "--policy", "hosted", "--cmdline", line,
            "--add", "512M", "--online", way, "--json",
        )  # fmt: skip
        rows = [row for row in json.loads(out)["policies"] if row["kind"] == "online"]
        found[way] = {row["name"]: row["largest_clean_bytes"] for row in rows if row["name"] in WAYS}
    assert found["none"] == found["movable"] == {"none": 1 << 30, "movable": 0}
