"""Mapping a memmap from an altmap, many leaves at a time."""

from __future__ import annotations

import pytest

from memhotplug.engine import sparse_vmemmap
from memhotplug.machine import Machine
from memhotplug.model.vmemmap import Source


@pytest.mark.parametrize(
    ("kernel", "flags"), [("linux-6.12", "on_memory"), ("v2-2019", "device"), ("v2-2019", "memblock")]
)
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_leaves_taken_in_pieces_lie_where_those_taken_at_once_lie(
    kernel: str, flags: str, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces bound the memory that a large add takes; they change nothing of its result."""
    machine = Machine.boot(arch=arch, kernel=kernel, memory="4G", cmdline="memory_hotplug.memmap_on_memory=1")
    whole, pieces = machine.copy(), machine.copy()
    whole.add_memory(driver="acpi", name="d", size="3G", mhp_flags=flags)
    monkeypatch.setattr(sparse_vmemmap, "_LEAVES", 7)
    pieces.add_memory(driver="acpi", name="d", size="3G", mhp_flags=flags)

    assert pieces.to_dict() == whole.to_dict()
    assert pieces.kernel.state.vmemmap.backing_from(Source.ALTMAP).total
