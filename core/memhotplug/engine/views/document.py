"""A machine as plain data: the ``machine``, ``blocks``, ``zones`` … of the JSON output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np

from memhotplug.engine.base_memory import valid_zones_by_row
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.views.invariants import violations
from memhotplug.model.blocks import BlockState
from memhotplug.model.buddy import free_by_order
from memhotplug.model.resources import PLATFORM, Resource
from memhotplug.model.state import Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import ZoneKind

if TYPE_CHECKING:
    from memhotplug.documents.machine import (
        BlockDocument,
        IomemDocument,
        MachineDocument,
        MemmapTotals,
        StateDocument,
        VmemmapHead,
        ZoneDocument,
    )

__all__ = ["describe_machine", "describe_state", "memmap_totals"]


def describe_machine(kernel: Kernel) -> MachineDocument:
    """Return the JSON object ``machine``; sizes in bytes, ``max_order`` inclusive."""
    geometry = kernel.geometry
    return {
        "arch": kernel.plugins.arch.partition(":")[2],
        "kernel": kernel.profile.name,
        "page_size": geometry.page_size,
        "section_size": geometry.section_size,
        "memory_block_size": geometry.memory_block_size,
        "struct_page_size": geometry.struct_page_size,
        "pageblock_pages": geometry.pageblock_pages,
        "max_order": geometry.max_order,
    }


def describe_state(kernel: Kernel) -> StateDocument:
    """Return the rest of the JSON object, ``steps`` apart."""
    return {
        "blocks": _blocks(kernel),
        "zones": _zones(kernel),
        "vmemmap": cast("list[VmemmapHead]", list(kernel.profile.heads(kernel))),
        "memmap": memmap_totals(kernel),
        "iomem": _iomem(kernel),
        "warnings": list(kernel.journal.warnings),
        "violations": violations(kernel),
    }


def _iomem(kernel: Kernel) -> list[IomemDocument]:
    """Return who has which range, and the platform's windows before what lies in them; not the regions of devices.

    Of a recorded machine these are there as they were recorded, and System RAM inside of them behind each.
    """
    recorded = [inner for entry in kernel.state.resources for inner in (entry, *_ram_inside(entry))]
    entries = [*kernel.state.claims.get(PLATFORM, ()), *recorded]
    return [_resource(entry) for entry in sorted(entries, key=lambda entry: (entry.start, -entry.end))]


def _ram_inside(entry: Resource) -> Iterator[Resource]:
    """Yield the System RAM that lies in a resource that is none itself."""
    for child in () if entry.is_ram else entry.children:
        if child.is_ram:
            yield child
        yield from _ram_inside(child)


def _blocks(kernel: Kernel) -> list[BlockDocument]:
    state, blocks = kernel.state, kernel.state.blocks
    size, pages = kernel.geometry.memory_block_size, kernel.geometry.pages_per_block
    hosted = state.vmemmap_pages_by_block()
    memmap = hosted.tolist()
    # A self-hosting block may reserve more than its memmap fills (memmap_on_memory=force).
    kept = np.maximum(state.blocks.altmap_pages - hosted, 0) * (state.blocks.altmap_pages > 0)
    withheld = (state.withheld_by_block() + kept).tolist()
    names = [device.name for device in state.devices]
    zones = valid_zones_by_row(kernel)
    state_labels = {int(word): word.label for word in BlockState}
    zone_labels = {int(kind): kind.label for kind in ZoneKind}
    columns = (blocks.id, blocks.state, blocks.nid, blocks.zone, blocks.device)
    rows = zip(*(column.tolist() for column in columns), zones, memmap, withheld, strict=True)
    return [
        {
            "id": block,
            "state": state_labels[number],
            "node": nid,
            "zone": zone_labels.get(zone),
            "valid_zones": valid,
            "start": block * size,
            "size": size,
            "vmemmap_pages": held,
            "usable_pages": pages - held - kept,
            "device": names[device] if device >= 0 else None,
        }
        for block, number, nid, zone, device, valid, held, kept in rows
    ]


def _zones(kernel: Kernel) -> list[ZoneDocument]:
    return [
        {
            "node": zone.nid,
            "zone": zone.kind.label,
            "start_pfn": zone.start_pfn,
            "spanned": zone.spanned,
            "present": zone.present,
            "managed": zone.managed,
            "free": zone.nr_free,
            "free_by_order": free_by_order(zone.free, kernel.geometry.max_order),
        }
        for zone in kernel.state.zones()
        if zone.spanned
    ]


def memmap_totals(kernel: Kernel) -> MemmapTotals:
    """Return what the memmap of hot-added memory costs, in pages, and on which nodes it lies."""
    state = kernel.state
    hosted, allocated = state.vmemmap.backing_from(Source.ALTMAP), state.vmemmap.backing_from(Source.ALLOCATOR)
    by_node: dict[int, int] = {}
    backing = allocated.copy()
    backing.update(hosted)
    for nid in sorted(state.blocks.values("nid")):
        held = backing.covered_by(state.pages_with("nid", nid))
        if held:
            by_node[nid] = held
    left = backing.copy()
    left.difference_update(state.pages_of())
    for low, high in left:  # where a kernel without arch_remove_memory() left it behind, with its memory gone
        nid = kernel.node_of_address(low * kernel.geometry.page_size)
        by_node[nid] = by_node.get(nid, 0) + high - low
    return {
        "self_hosted_pages": hosted.total,
        "allocated_pages": allocated.total,
        "page_table_pages": sum(
            held.pages.total for held in state.allocations.values() if held.is_for(Use.PAGE_TABLES)
        ),
        "by_node": {str(nid): count for nid, count in sorted(by_node.items())},
    }


def _resource(entry: Resource) -> IomemDocument:
    return {"start": entry.start, "end": entry.end, "name": entry.name}
