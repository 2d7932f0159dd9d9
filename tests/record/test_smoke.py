"""A real kernel in a real QEMU, where this machine has both."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("qemu.qmp", reason="the library qemu.qmp is not installed (extra: record)")

from tools.record.arch import ARCHITECTURES
from tools.record.scenario import parse
from tools.record.session import Host, record, write_recording

from memhotplug.commands.conform.worlds import replay_file

KERNEL_VARIABLE = "MHP_RECORD_KERNEL"


@pytest.fixture
def host(init_program: Path) -> Host:
    """Return this machine's QEMU and an x86_64 kernel: of the environment, or the newest in /boot."""
    qemu = shutil.which(ARCHITECTURES["x86_64"].binary)
    if qemu is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    if os.uname().machine != "x86_64":
        pytest.skip("the guest's init is linked for this machine, which is not x86_64")
    named = os.environ.get(KERNEL_VARIABLE)
    kernels = [Path(named)] if named else sorted(Path("/boot").glob("vmlinuz-*-amd64"))
    if not kernels or not os.access(kernels[-1], os.R_OK):
        pytest.skip(f"no readable kernel in /boot, and {KERNEL_VARIABLE} names none")
    return Host(qemu=qemu, kernel=kernels[-1], init=init_program, recorded_on="2026-11-23")


def test_real_kernel_is_recorded_and_replayed(host: Host, tmp_path: Path) -> None:
    """Boot, add, online: the model agrees with every observation."""
    scenario = parse(
        {
            "name": "smoke",
            "what": "boot 512M, add 128M, online movable",
            "arch": "x86_64",
            "memory": "512M",
            "cmdline": "memhp_default_state=offline memory_hotplug.memmap_on_memory=1",
            "timeout": 60,
            "steps": [{"add": {"dimm": "d0", "size": "128M"}}, {"online": {"blocks": "d0", "type": "online_movable"}}],
        }
    )
    path = tmp_path / "smoke.json.xz"

    write_recording(asyncio.run(record(scenario, host)), path)
    replayed = replay_file(str(path))

    assert replayed.steps == 3
    assert [observation for observation in replayed.observations if not observation.matches] == []
