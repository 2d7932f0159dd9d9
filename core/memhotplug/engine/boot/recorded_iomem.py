"""The ranges of a recorded machine: who has them, and which are only described."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from memhotplug.formats.snapshot import RecordedMachine
from memhotplug.formats.snapshot.iomem import IomemEntry
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import SYSTEM_RAM, Resource

__all__ = ["opened", "recorded_resources"]


def recorded_resources(machine: RecordedMachine) -> Iterable[Resource]:
    """Yield the top level of /proc/iomem; without it, System RAM where zones have pages."""
    if machine.iomem:
        yield from _tree(machine.iomem)
        return
    pages = ExtentSet()
    for zone in machine.zones:
        runs = np.array(zone.extents, dtype=np.int64).reshape(-1, 2)
        pages.add_many(runs[:, 0], runs[:, 1])
    for low, high in pages:
        yield Resource(start=low * machine.page_size, end=high * machine.page_size - 1, name=SYSTEM_RAM)


def opened(entries: Iterable[Resource], is_open: re.Pattern[str]) -> tuple[list[Resource], list[Resource]]:
    """Return the ranges that somebody has, and those that are only described: others put their memory into them.

    Models: kernel/resource.c:__request_region() (v5.2 to v6.12), which descends into what is not IORESOURCE_BUSY.
    Simplified: Reserved ranges and PCI windows are taken, where firmware puts no memory.
    """
    taken: list[Resource] = []
    described: list[Resource] = []
    for entry in entries:
        if is_open.match(entry.name) is None:
            taken.append(entry)
            continue
        described.append(entry._replace(children=()))
        inner = opened(entry.children, is_open)
        taken += inner[0]
        described += inner[1]
    return taken, described


def _tree(entries: Sequence[IomemEntry]) -> list[Resource]:
    """Return the outermost resources, each with those that stand below it in the file; what hangs on none is left out.

    From the last one back: what a resource holds is known when it is met.
    """
    waiting: list[list[Resource]] = [[]]  # by depth, those that are still to be put into what holds them
    for start, end, name, depth in reversed(entries):
        inner = waiting[depth + 1] if len(waiting) > depth + 1 else []
        del waiting[depth + 1 :]
        waiting += [[] for _ in range(depth + 1 - len(waiting))]
        waiting[depth].append(Resource(start, end, name, False, False, tuple(inner[::-1])))
    return waiting[0][::-1]
