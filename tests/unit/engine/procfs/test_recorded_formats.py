"""Recorded files of /proc and generated ones differ in values only, for each architecture and kernel recorded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.formats.snapshot import SnapshotFiles, open_snapshot
from memhotplug.naming import choose_profile

_RECORDINGS = sorted((Path(__file__).resolve().parents[3] / "data" / "recordings").glob("*.json.xz"))
_FILES = (
    "proc/zoneinfo",
    "proc/buddyinfo",
    "proc/pagetypeinfo",
    "proc/meminfo",
    "proc/vmstat",
    "proc/iomem",
    "sys/devices/system/node/node0/meminfo",
    "sys/devices/system/node/has_memory",
    "sys/devices/system/node/has_normal_memory",
    "sys/devices/system/node/has_generic_initiator",
    "sys/devices/system/node/online",
    "sys/devices/system/node/possible",
    "sys/devices/system/memory/block_size_bytes",
    "sys/devices/system/memory/auto_online_blocks",
)
_NUMBER = re.compile(r" *-?\b[0-9a-f]*[0-9][0-9a-f]*\b")


def _snapshot(path: Path) -> SnapshotFiles:
    return open_snapshot(path, 0)


def _shape(name: str, text: str) -> str:
    """Return a file without its values, and without the blanks that pad them."""
    if name == "proc/vmstat":  # of which only these lines were recorded
        text = "".join(line for line in text.splitlines(keepends=True) if line.startswith("nr_"))
    if name == "proc/iomem":
        return re.sub(r"[0-9a-f]+-[0-9a-f]+ :", "# :", text)
    return _NUMBER.sub("#", text)


def _machine(path: Path) -> Machine:
    meta = _snapshot(path).meta
    assert meta.arch is not None
    assert meta.kernel_release is not None
    return Machine.boot(
        arch=meta.arch, kernel=choose_profile(meta.kernel_release), snapshot={"path": str(path), "step": 0}
    )


def _name(path: Path) -> str:
    return path.name.removesuffix(".json.xz")


@pytest.mark.parametrize("path", _RECORDINGS, ids=_name)
def test_recorded_and_generated_differ_in_values_only(path: Path) -> None:
    """Every line, label, blank and order, the number of columns included."""
    machine, files = _machine(path), _snapshot(path).files

    for name in _FILES:
        if name in files:
            assert _shape(name, machine.read("/" + name)) == _shape(name, files[name]), name


@pytest.mark.parametrize("path", _RECORDINGS, ids=_name)
def test_what_the_model_knows_comes_back_byte_for_byte(path: Path) -> None:
    """Sizes, watermarks, free pages and the address space are as recorded, to the last blank."""
    machine, files = _machine(path), _snapshot(path).files

    for name in ("proc/iomem", "proc/buddyinfo"):
        assert machine.read("/" + name) == files[name], name
    assert _known(machine.read("/proc/zoneinfo")) == _known(files["proc/zoneinfo"])
    # Two recordings were taken while a counter was on its way: their own numbers disagree.
    total = machine.kernel.state.total_managed() * machine.kernel.geometry.page_size >> 10
    free = sum(zone.free.total for zone in machine.kernel.state.zones()) * machine.kernel.geometry.page_size >> 10
    if f"MemTotal: {total:>14} kB" in files["proc/meminfo"] and f"MemFree: {free:>15} kB" in files["proc/meminfo"]:
        assert _lines(machine.read("/proc/meminfo"), _OWN) == _lines(files["proc/meminfo"], _OWN)


_OWN = ("MemTotal", "MemFree", "MemAvailable", "CommitLimit", "CmaTotal", "Slab", "Percpu", "VmallocTotal")


def _lines(text: str, labels: tuple[str, ...]) -> list[str]:
    return [line for line in text.splitlines() if line.split(":")[0] in labels]


def _known(text: str) -> list[str]:
    """Return zoneinfo without what the kernel tunes as it goes, and without counts that may be a page apart."""
    tuned = re.compile(
        r" +(count|high|batch|high_min|high_max|reserved_highatomic|free_highatomic|nr_free_pages_blocks):? "
        r"|  vm stats threshold|  pages free|      nr_free_pages "
    )
    kept, in_lists = [], False
    for line in text.splitlines():
        in_lists = "pagesets" in line or (in_lists and "node_unreclaimable" not in line)
        if not tuned.match(line) or (line.startswith("        high ") and not in_lists):
            kept.append(line)
    return kept
