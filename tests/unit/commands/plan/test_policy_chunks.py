"""Chunks under a policy: runs of them end where the driver itself ends, to the block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.plan import chunks
from memhotplug.commands.plan.sources import from_boot
from memhotplug.contracts import AddRequest
from memhotplug.engine.memory_hotplug.add import hot_add
from memhotplug.engine.views.document import describe_state
from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.manager import using
from memhotplug.model.blocks import OnlineType
from memhotplug.plugin_file import load

ON = "memory_hotplug.memmap_on_memory=1"
HEAD = (
    "from memhotplug.plugin import hookimpl\n"
    "@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
)
GIB = 1 << 30


def policy(folder: Path, condition: str) -> str:
    """Return the path of a policy that lets what meets a condition host its memmap."""
    path = folder / "mine.py"
    path.write_text(f"{HEAD}    return driver_flags | kernel.flag('on_memory') if {condition} else driver_flags\n")
    return str(path)


@pytest.mark.parametrize(
    ("arch", "driver", "kernel"),
    [
        ("x86_64", "hv_balloon", "linux-6.12"),
        ("x86_64", "virtio_mem", "linux-6.12"),
        ("x86_64", "hv_balloon", "linux-6.1"),
        ("x86_64", "virtio_mem", "linux-6.1"),
        ("powerpc", "pseries", "linux-6.12"),
    ],
)
@pytest.mark.parametrize(
    "condition",
    [
        "True",
        "phys_range.size > 1 << 30",
        "phys_range.start >> 30 & 1",
        "phys_range.start > 20 << 30",
        "sum(zone.free.total for zone in kernel.state.zones()) < 1000000",
    ],
    ids=["all", "large ones", "every other GiB", "behind an address", "short of memory"],
)
def test_runs_of_chunks_end_where_single_chunks_end(
    arch: str, driver: str, kernel: str, condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is asked for each chunk, never for a run of them, and again when memory has become less."""
    with using([load(policy(tmp_path, condition))]):
        machine = from_boot(4 * GIB, arch=arch, kernel=kernel, profile="lean", cmdline=ON).boot()
        machine.decide(driver, policy="mine")
    machine.kernel.state.auto_online = OnlineType.ONLINE_MOVABLE  # which virtio_mem waits for
    request = AddRequest(driver=driver, name="d", size=24 * GIB)
    single, runs = machine.copy(), machine.copy()
    expected = outcome(hot_add, single, request)
    monkeypatch.setattr(chunks, "HEAD", 4)
    assert outcome(chunks.add_device, runs, request) == expected
    assert state(runs) == state(single)


def outcome(add: Callable[..., object], machine: Machine, request: AddRequest) -> str | None:
    """Return the error of an add: virtio_mem in sub-block mode lets no block online that hosts its own memmap."""
    try:
        add(machine.kernel, request)
    except MemoryHotplugError as problem:
        return problem.name
    return None


def state(machine: Machine) -> dict[str, Any]:
    """Return what the two ways must agree in."""
    found = describe_state(machine.kernel)
    return {key: found[key] for key in ("blocks", "zones", "memmap")}
