"""Which zone a plain online goes to under online_policy=auto-movable.

Models: mm/memory_hotplug.c:auto_movable_zone_for_pfn(), auto_movable_can_online_movable(),
auto_movable_stats_account_zone() (v5.15 to v6.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from memhotplug.plugin import (
    Array,
    BlockState,
    Kernel,
    OnlineType,
    Zone,
    ZoneKind,
    div_round_up,
    np,
    round_down,
    zone_for_run,
)
from memhotplug_profiles.mainline.params import Group, MainlineState, Policy, state_of

__all__ = ["zone_for_rows", "zone_keys"]

_ONLINE: Final = BlockState.ONLINE
_MOVABLE: Final = ZoneKind.MOVABLE


def zone_for_rows(kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
    """Return the zone of the first of some offline blocks, and how many of them share it in turn."""
    state = state_of(kernel)
    if online_type is not OnlineType.ONLINE or state.policy is Policy.CONTIG:
        return zone_for_run(kernel.state, rows, online_type, movable_node="movable_node" in kernel.params)
    nid, group = kernel.state.blocks.value("nid", rows.start), kernel.state.blocks.value("group", rows.start)
    count = _leading_of(kernel, rows, nid, group)
    movable, alike = _decision(kernel, state, rows.start, nid, group)
    count = count if alike is None else min(alike, count)
    if movable:
        return kernel.state.nodes[nid].zones[_MOVABLE], count
    # The kernel zone is chosen as by online_kernel.
    return zone_for_run(
        kernel.state, slice(rows.start, rows.start + count), OnlineType.ONLINE_KERNEL, movable_node=False
    )


def _leading_of(kernel: Kernel, rows: slice, nid: int, group: int) -> int:
    """Return how many leading blocks are on the node and in the memory group of the first one."""
    blocks = kernel.state.blocks
    if blocks.common("nid", rows) is not None and blocks.common("group", rows) is not None:
        count: int = rows.stop - rows.start
        return count
    same = (blocks.nid[rows] == nid) & (blocks.group[rows] == group)
    return int(np.argmin(same))


def zone_keys(kernel: Kernel) -> Sequence[Array]:
    """Return the unit that a block of a dynamic group lies in: its other blocks decide too, under auto-movable."""
    state = state_of(kernel)
    if state.policy is Policy.CONTIG or not any(group.unit_pages for group in state.groups):
        return ()
    pages = kernel.geometry.pages_per_block
    sizes = np.array([*(group.unit_pages // pages for group in state.groups), 0])  # the last is that of no group, -1
    per_unit = sizes[kernel.state.blocks.group]
    return (np.where(per_unit > 1, kernel.state.blocks.id // np.maximum(per_unit, 1), -1),)


def _decision(kernel: Kernel, state: MainlineState, row: int, nid: int, group: int) -> tuple[bool, int | None]:
    """Return whether a block goes to Movable, and with how many in turn it shares that: None if with all of its device.

    What a static group still needs shrinks as what is movable grows, and so does what a unit of a dynamic group needs.
    Elsewhere each movable block leaves less room, and each kernel block of a dynamic group makes more for its device.
    """
    block = kernel.geometry.pages_per_block
    own = state.groups[group] if group >= 0 else None
    need = _needed(kernel, row, own)
    nodes = (None, nid) if state.numa_aware else (None,)
    rooms = [_room(kernel, state, own, node) for node in nodes] if state.ratio and need is not None else []
    movable = bool(rooms) and all(room is not None and room.movable_for(need or 0) for room in rooms)
    if own is not None and own.max_pages:
        return movable, None
    if own is not None and own.unit_pages > block:
        per_unit = own.unit_pages // block
        return movable, per_unit - kernel.state.blocks.value("id", row) % per_unit
    if movable:
        return True, min(room.left_for(block) for room in rooms if room is not None)
    if own is None or not rooms or None in rooms:
        return False, None
    return False, max(room.lacking_for(block) for room in rooms if room is not None)


class _Room(NamedTuple):
    """Pages that are movable, and the kernel pages by which they are judged; on one node or on all.

    Attributes:
        ratio: movable pages per hundred kernel pages.
    """

    movable: int
    kernel: int
    ratio: int

    def movable_for(self, need: int) -> bool:
        """Return whether that many more movable pages keep the ratio."""
        return self.movable + need <= self.ratio * self.kernel // 100

    def left_for(self, block: int) -> int:
        """Return how many movable blocks in turn keep the ratio."""
        return (self.ratio * self.kernel // 100 - self.movable) // block

    def lacking_for(self, block: int) -> int:
        """Return how many kernel blocks in turn it takes until a movable one keeps the ratio; 0 if one does now."""
        wanted = div_round_up(100 * (self.movable + block), self.ratio)
        return max(div_round_up(wanted - self.kernel, block), 0)


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
    columns = zip(blocks.listed("state", rows), blocks.listed("zone", rows), strict=True)
    zones = [zone for state, zone in columns if state == _ONLINE]
    if zones.count(_MOVABLE) < len(zones):
        return None
    return unit_pages - len(zones) * kernel.geometry.pages_per_block


def _room(kernel: Kernel, state: MainlineState, own: Group | None, nid: int | None) -> _Room | None:
    """Return what is there to judge by, on one node or on all; None if other groups need all kernel pages."""
    kernel_early = movable = required = 0
    for zone in kernel.state.zones():
        if not zone.present or nid not in (None, zone.nid):
            continue
        if zone.kind is _MOVABLE:
            movable += zone.present
        else:
            kernel_early += zone.present_early - zone.cma  # which only movable pages may use
            movable += zone.cma
    for group in state.groups:
        if group is own or not group.unit_pages or nid not in (None, group.nid):
            continue
        required += max(group.present_movable * 100 // state.ratio - group.present_kernel, 0)
        movable -= group.present_movable
    if kernel_early <= required:
        return None
    kernel_early -= required
    if own is not None and own.unit_pages:
        kernel_early += own.present_kernel
    return _Room(movable, kernel_early, state.ratio)
