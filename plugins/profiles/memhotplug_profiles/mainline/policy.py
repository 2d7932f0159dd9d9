"""Which zone a plain online goes to under online_policy=auto-movable.

Models: mm/memory_hotplug.c:auto_movable_zone_for_pfn(), auto_movable_can_online_movable(),
auto_movable_stats_account_zone() (v5.15 to v6.12).
"""

from __future__ import annotations

from memhotplug.plugin import BlockState, Kernel, OnlineType, Zone, ZoneKind, round_down, zone_for_run
from memhotplug_profiles.mainline.params import Group, MainlineState, Policy, state_of

__all__ = ["zone_for_rows"]


def zone_for_rows(kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
    """Return the zone of the first of some offline blocks, and how many of them share it in turn."""
    state = state_of(kernel)
    if online_type is not OnlineType.ONLINE or state.policy is Policy.CONTIG:
        return zone_for_run(kernel.state, rows, online_type, movable_node="movable_node" in kernel.params)
    nid, group = kernel.state.blocks.value("nid", rows.start), kernel.state.blocks.value("group", rows.start)
    same = (kernel.state.blocks.nid[rows] == nid) & (kernel.state.blocks.group[rows] == group)
    count = int(same.argmin()) if not same.all() else len(same)
    dynamic = group >= 0 and not state.groups[group].max_pages
    if _movable(kernel, state, rows.start, nid, group):
        # What a static group still needs shrinks as what is movable grows.
        movable = kernel.state.nodes[nid].zones[ZoneKind.MOVABLE]
        return movable, count if group >= 0 and not dynamic else 1
    # The kernel zone is chosen as by online_kernel, block by block; what goes there lets more of its
    # own dynamic group be movable.
    run = slice(rows.start, rows.start + (1 if dynamic else count))
    return zone_for_run(kernel.state, run, OnlineType.ONLINE_KERNEL, movable_node=False)


def _movable(kernel: Kernel, state: MainlineState, row: int, nid: int, group: int) -> bool:
    if not state.ratio:
        return False
    own = state.groups[group] if group >= 0 else None
    need = _needed(kernel, row, own)
    if need is None:
        return False
    if not _can_online_movable(kernel, state, own, need, None):
        return False
    return not state.numa_aware or _can_online_movable(kernel, state, own, need, nid)


def _needed(kernel: Kernel, row: int, group: Group | None) -> int | None:
    """Return the pages that must still fit into Movable, None if the device belongs to the kernel zone already."""
    block = kernel.geometry.pages_per_block
    if group is not None and group.max_pages:
        return None if group.present_kernel else group.max_pages - group.present_movable
    if group is None or group.unit_pages <= block:
        return block
    return _unit_needed(kernel, row, group.unit_pages)


def _unit_needed(kernel: Kernel, row: int, unit_pages: int) -> int | None:
    blocks = kernel.state.blocks
    per_unit = unit_pages // kernel.geometry.pages_per_block
    first = round_down(blocks.value("id", row), per_unit)
    rows = blocks.rows(first, first + per_unit - 1)
    online = blocks.state[rows] == BlockState.ONLINE
    if (blocks.zone[rows][online] != ZoneKind.MOVABLE).any():
        return None
    return unit_pages - int(online.sum()) * kernel.geometry.pages_per_block


def _can_online_movable(kernel: Kernel, state: MainlineState, own: Group | None, need: int, nid: int | None) -> bool:
    """Return whether ``need`` more movable pages keep the ratio, on one node or on all."""
    zones = [zone for zone in kernel.state.zones() if nid in (None, zone.nid) and zone.present]
    cma = sum(zone.cma for zone in zones)
    kernel_early = sum(zone.present_early for zone in zones if zone.kind is not ZoneKind.MOVABLE) - cma
    movable = sum(zone.present for zone in zones if zone.kind is ZoneKind.MOVABLE) + cma
    required = 0
    for group in state.groups:
        if group is own or not group.unit_pages or nid not in (None, group.nid):
            continue
        required += max(group.present_movable * 100 // state.ratio - group.present_kernel, 0)
        movable -= group.present_movable
    if kernel_early <= required:
        return False
    kernel_early -= required
    if own is not None and own.unit_pages:
        kernel_early += own.present_kernel
    return movable + need <= state.ratio * kernel_early // 100
