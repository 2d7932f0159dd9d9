"""Would the request that failed in a kernel log succeed, and from which zone?"""

from __future__ import annotations

from memhotplug.commands.plan.question import FailedRequest
from memhotplug.machine import Machine
from memhotplug.model.allocator import allocatable_chunks
from memhotplug.model.buddy import first_pages
from memhotplug.model.zones import ZoneKind
from memhotplug.units import div_round_up

__all__ = ["ratio_for_all_movable", "zone_that_gives"]


def zone_that_gives(machine: Machine, failed: FailedRequest) -> str | None:
    """Return ``NODE ZONE`` of the first zone that could serve a request, None if none can.

    Models: mm/page_alloc.c:get_page_from_freelist() (v6.12) against the min watermark. Simplified: no reclaim and no
    compaction, and the request begins at the lowest node.
    """
    state = machine.kernel.state
    highest = ZoneKind.MOVABLE if failed.movable else ZoneKind.NORMAL
    for zone in state.zonelist(min(state.nodes), highest):
        if allocatable_chunks(zone, failed.order, highest, 0) <= 0:
            continue
        open_to = zone.open_to(movable=failed.movable)
        if len(first_pages(open_to, failed.order, 1, state.geometry.max_order)):
            return f"{zone.nid} {zone.kind.label}"
    return None


def ratio_for_all_movable(before: Machine, added: int) -> int | None:
    """Return the smallest auto_movable_ratio, in percent, under which all that is added goes to Movable.

    Args:
        added: bytes.

    Models: mm/memory_hotplug.c:auto_movable_can_online_movable() (v5.15 to v6.12): Movable pages may be that many per
    hundred of the pages that kernel zones had at boot. None without such pages.
    """
    zones = list(before.kernel.state.zones())
    kernel = sum(zone.present_early for zone in zones if zone.kind is not ZoneKind.MOVABLE)
    movable = sum(zone.present for zone in zones if zone.kind is ZoneKind.MOVABLE)
    wanted = movable + before.kernel.geometry.pfn(added)
    return div_round_up(100 * wanted, kernel) if kernel else None
