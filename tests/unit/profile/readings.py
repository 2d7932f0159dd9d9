"""What tests of removal read off a machine, relative to the first hot-added page."""

from __future__ import annotations

from typing import Any

from memhotplug import Machine

BASE, BLOCK = 1 << 20, 32768


def heads(machine: Machine) -> list[tuple[int, int, int]]:
    """Return start, refcount and private of every head, the start relative to the first hot-added page."""
    found: Any = machine.to_dict()["vmemmap"]
    return [(head["start_pfn"] - BASE, head["refcount"], head["private"]) for head in found]


def memmap(machine: Machine, key: str) -> int:
    """Return one of the counts of hot-added memmap."""
    totals: Any = machine.to_dict()["memmap"]
    return int(totals[key])


def mapped(machine: Machine) -> list[tuple[int, int]]:
    """Return the hot-added pfns whose memmap is mapped, in blocks from the first one on."""
    table = machine.kernel.state.vmemmap.mapped
    starts, ends = table.clip(BASE, 1 << 40)
    return [((a - BASE) // BLOCK, (b - BASE) // BLOCK) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
