"""What a failed operation changed although it should have changed nothing.

The names I17 and I18 are those of docs/model.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.spans import own_span
from memhotplug.model.blocks import BlockTable
from memhotplug.model.vmemmap import Source

__all__ = ["left_behind"]

_COLUMNS = ("id", "state", "zone", "nid", "altmap_pages")


def left_behind(before: Kernel, after: Kernel, *, leaks: bool) -> list[str]:
    """Return one sentence for each thing that a failed operation did not put back.

    Page tables, section roots and the kernel's other small objects may stay.

    Args:
        before, after: the kernel before the operation, and when it had failed.
        leaks: whether the real kernel leaks memory in this failure, which the operation has listed.
    """
    found = [*_blocks(before, after), *_zones(before, after)]
    return found if leaks else [*found, *_memmap(before, after)]


def _blocks(before: Kernel, after: Kernel) -> Iterator[str]:
    if not _same_columns(before.state.blocks, after.state.blocks):
        yield "I17: memory blocks are not as before the failed operation"
    if list(before.state.resources) != list(after.state.resources):
        yield "I17: resources are not as before the failed operation"


def _same_columns(old: BlockTable, new: BlockTable) -> bool:
    return all(np.array_equal(getattr(old, name), getattr(new, name)) for name in _COLUMNS)


def _zones(before: Kernel, after: Kernel) -> Iterator[str]:
    spans = after.has("spans_come_back")
    old = {zone.key: zone for zone in before.state.zones()}
    for zone in after.state.zones():
        was = old.get(zone.key)
        if was is None:
            continue  # a node that stays without memory
        if (was.present, was.managed, was.present_early) != (zone.present, zone.managed, zone.present_early):
            yield f"I17: {zone.title}: present and managed are not as before the failed operation"
        if spans and own_span(before.state, was) != own_span(after.state, zone):
            yield f"I17: {zone.title}: its span is not as before the failed operation"


def _memmap(before: Kernel, after: Kernel) -> Iterator[str]:
    """Free pages may only have become page tables and other objects of the kernel itself."""
    if before.state.sections != after.state.sections:
        yield "I18: sections stay behind the failed operation"
    if before.state.vmemmap.backing_from(Source.ALLOCATOR) != after.state.vmemmap.backing_from(Source.ALLOCATOR):
        yield "I18: memmap stays behind the failed operation"
    lost = _free(before) - _free(after)
    kept = _kernel_objects(after) - _kernel_objects(before)
    if lost != kept:
        yield f"I18: {lost} free pages are missing after the failed operation, {kept} of them hold page tables"


def _free(kernel: Kernel) -> int:
    return sum(zone.nr_free for zone in kernel.state.zones())


def _kernel_objects(kernel: Kernel) -> int:
    return sum(held.pages.total for held in kernel.state.allocations.values() if held.kernel)
