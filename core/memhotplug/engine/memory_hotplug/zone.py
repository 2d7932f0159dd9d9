"""Which zone a block goes to, and what ``valid_zones`` says about it.

Models: mm/memory_hotplug.c:zone_for_pfn_range(), default_kernel_zone_for_pfn(),
default_zone_for_pfn() (v5.2 to v6.12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memhotplug.lazy import np
from memhotplug.model.blocks import OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.state import MachineState
from memhotplug.model.zones import Zone, ZoneKind

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["contig_zone", "kernel_zone", "movable_zone", "zone_for_run"]


def kernel_zone(state: MachineState, nid: int, start_pfn: int, end_pfn: int) -> Zone:
    """Return the lowest kernel zone below Normal whose span the range touches, else Normal."""
    zones = state.nodes[nid].zones
    for kind in (ZoneKind.DMA, ZoneKind.DMA32):
        if zones[kind].intersects(start_pfn, end_pfn):
            return zones[kind]
    return zones[ZoneKind.NORMAL]


def movable_zone(state: MachineState, nid: int) -> Zone:
    """Return the node's Movable zone."""
    return state.nodes[nid].zones[ZoneKind.MOVABLE]


def contig_zone(state: MachineState, nid: int, start_pfn: int, end_pfn: int, *, movable_node: bool) -> Zone:
    """Return the zone of a plain ``online`` under the contig-zones policy.

    If the range touches the span of just one of the kernel and the Movable zone, that one;
    otherwise Movable on a movable_node machine, else the kernel zone.
    """
    kernel, movable = kernel_zone(state, nid, start_pfn, end_pfn), movable_zone(state, nid)
    in_kernel, in_movable = kernel.intersects(start_pfn, end_pfn), movable.intersects(start_pfn, end_pfn)
    if in_kernel != in_movable:
        return kernel if in_kernel else movable
    return movable if movable_node else kernel


def zone_for_run(state: MachineState, rows: slice, online_type: OnlineType, *, movable_node: bool) -> tuple[Zone, int]:
    """Return the zone of the first block of a run under contig-zones, and how many blocks share it.

    Args:
        rows: neighbouring offline blocks, onlined ascending, one after the other.
    """
    blocks, pages = state.blocks, state.geometry.pages_per_block
    nid, start_pfn = blocks.value("nid", rows.start), blocks.value("id", rows.start) * pages
    zone = _one_zone(state, nid, start_pfn, start_pfn + pages, online_type, movable_node=movable_node)
    if rows.stop - rows.start == 1:
        return zone, 1
    nids = blocks.nid[rows]
    if online_type is OnlineType.ONLINE_MOVABLE:
        return zone, _leading(nids == nid)
    starts, ends = state.block_bounds(rows)
    touched = {other.kind: _touched(other, zone, starts, ends) for other in state.nodes[nid].zones.values()}
    kernel = np.where(touched[ZoneKind.DMA], ZoneKind.DMA, ZoneKind.NORMAL)
    kernel = np.where(~touched[ZoneKind.DMA] & touched[ZoneKind.DMA32], ZoneKind.DMA32, kernel)
    chosen = kernel
    if online_type is OnlineType.ONLINE:
        in_kernel = np.choose(kernel, [touched[kind] for kind in (ZoneKind.DMA, ZoneKind.DMA32, ZoneKind.NORMAL)])
        in_movable = touched[ZoneKind.MOVABLE]
        fallback = np.full(len(starts), ZoneKind.MOVABLE) if movable_node else kernel
        chosen = np.where(in_kernel == in_movable, fallback, np.where(in_kernel, kernel, ZoneKind.MOVABLE))
    return zone, max(_leading((chosen == zone.kind) & (nids == nid)), 1)


def _one_zone(
    state: MachineState, nid: int, start_pfn: int, end_pfn: int, online_type: OnlineType, *, movable_node: bool
) -> Zone:
    if online_type is OnlineType.ONLINE_KERNEL:
        return kernel_zone(state, nid, start_pfn, end_pfn)
    if online_type is OnlineType.ONLINE_MOVABLE:
        return movable_zone(state, nid)
    return contig_zone(state, nid, start_pfn, end_pfn, movable_node=movable_node)


def _touched(zone: Zone, growing: Zone, starts: Array, ends: Array) -> npt.NDArray[np.bool_]:
    """Return for each block whether the zone's span overlaps it when its turn comes.

    The span of ``growing`` has then grown over all blocks before it, so everything up to the old
    end of that span is inside.
    """
    if not zone.spanned:
        return np.zeros(len(starts), dtype=np.bool_)
    touched = (starts < zone.end_pfn) & (ends > zone.start_pfn)
    if zone is growing:
        touched[1:] = starts[1:] < zone.end_pfn
    return touched


def _leading(values: npt.NDArray[np.bool_]) -> int:
    """Return how many values are true before the first false one."""
    return len(values) if values.all() else int(np.argmin(values))
