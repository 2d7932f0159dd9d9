"""/proc/zoneinfo, /proc/buddyinfo and /proc/pagetypeinfo.

Models: mm/vmstat.c:zoneinfo_show_print(), frag_show_print(), pagetypeinfo_show() (v6.1 to v7.2). Simplified: all
free pages of a zone are on the lists of Movable, where the model does not know better from a recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs import counters
from memhotplug.engine.procfs.items import NODE_ITEMS, NUMA_ITEMS, ZONE_ITEMS, has_config, names
from memhotplug.model.zones import Node, Zone
from memhotplug.units import div_round_up

__all__ = ["buddyinfo", "pagetypeinfo", "zoneinfo"]

_TYPES: Final = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")


def zoneinfo(kernel: Kernel) -> str:
    """Return /proc/zoneinfo."""
    lines: list[str] = []
    for node in kernel.state.nodes.values():
        if node.online:
            lines += _node(kernel, node)
    return "\n".join([*lines, ""])


def _node(kernel: Kernel, node: Node) -> Iterator[str]:
    told = False
    for kind in counters.printed_zones(kernel):
        zone = node.zones[kind]
        yield f"Node {node.nid}, zone {kind.label:>8}"
        if zone.present and not told:
            told = True
            yield "  per-node stats"
            for name in names(kernel, NODE_ITEMS):
                yield f"      {name:<12} {counters.node_counter(kernel, node.nid, name)}"
        yield from _sizes(kernel, zone)
        if zone.present:
            yield from _counters(kernel, zone)
    if has_config(kernel, "ZONE_DEVICE"):
        yield f"Node {node.nid}, zone {'Device':>8}"
        empty = Zone(node.nid, kind)
        yield from _sizes(kernel, empty)


def _sizes(kernel: Kernel, zone: Zone) -> Iterator[str]:
    low, mid, high = zone.wmark
    reserve = [zone.protection[kind] for kind in counters.printed_zones(kernel)]
    if has_config(kernel, "ZONE_DEVICE"):
        reserve.append(zone.protection[-1])
    yield f"  pages free     {zone.free.total}"
    yield "        boost    0"
    yield f"        min      {low}"
    yield f"        low      {mid}"
    yield f"        high     {high}"
    if kernel.has("promo_watermark"):
        yield f"        promo    {high + mid - low}"
    yield f"        spanned  {zone.spanned}"
    yield f"        present  {zone.present}"
    yield f"        managed  {zone.managed}"
    yield f"        cma      {zone.cma}"
    yield f"        protection: ({', '.join(map(str, reserve))})"


def _counters(kernel: Kernel, zone: Zone) -> Iterator[str]:
    for name in names(kernel, (*ZONE_ITEMS, *NUMA_ITEMS)):
        yield f"      {name:<12} {counters.zone_counter(kernel, zone, name)}"
    yield "  pagesets"
    nr_cpus = counters.cpus(kernel)
    lists = dict(counters.pageset(kernel, zone))
    width = 9 if kernel.has("pcp_bounds_printed") else 6
    if not kernel.has("pcp_bounds_printed"):
        lists = {name: lists[name] for name in ("count", "high", "batch")}
    allowed = counters.threshold(zone.managed, kernel.geometry.page_shift, nr_cpus)
    for cpu in range(nr_cpus):
        yield f"    cpu: {cpu}"
        for name, value in lists.items():
            yield f"              {name + ':':<{width}} {0 if cpu and name == 'count' else value}"
        yield f"  vm stats threshold: {allowed}"
    yield "  node_unreclaimable:  0"
    yield f"  start_pfn:           {zone.start_pfn}"
    if kernel.has("pcp_bounds_printed"):
        yield "  reserved_highatomic: 0"
        yield "  free_highatomic:     0"


def _populated(kernel: Kernel, node: Node) -> list[Zone]:
    return [node.zones[kind] for kind in counters.printed_zones(kernel) if node.zones[kind].present]


def buddyinfo(kernel: Kernel) -> str:
    """Return /proc/buddyinfo."""
    lines = []
    for node in kernel.state.nodes.values():
        for zone in _populated(kernel, node):
            lines.append(
                f"Node {node.nid}, zone {zone.kind.label:>8} {_row(counters.zone_free_by_order(kernel, zone))}"
            )
    return "\n".join([*lines, ""])


def _row(counts: list[int], width: int = 6) -> str:
    return "".join(f"{count:>{width}} " for count in counts)


def pagetypeinfo(kernel: Kernel) -> str:
    """Return /proc/pagetypeinfo."""
    lines: list[str] = []
    for node in kernel.state.nodes.values():
        if node.present:
            lines += _types_of_node(kernel, node)
    return "\n".join([*lines, ""])


def _types_of_node(kernel: Kernel, node: Node) -> Iterator[str]:
    geometry = kernel.geometry
    types = [name for name in _TYPES if name != "CMA" or has_config(kernel, "CMA")]
    yield f"Page block order: {geometry.pageblock_order}"
    yield f"Pages per block:  {geometry.pageblock_pages}"
    yield ""
    orders = list(range(geometry.max_order + 1))
    yield f"{'Free pages count per migrate type at order ':<43} {_row(orders)}"
    for zone in _populated(kernel, node):
        free = counters.zone_free_by_order(kernel, zone)
        for name in types:
            shown = free if name == "Movable" else [0] * len(free)
            yield f"Node {node.nid:>4}, zone {zone.kind.label:>8}, type {name:>12} {_row(shown)}"
    yield ""
    yield f"{'Number of blocks type ':<23}{''.join(f'{name:>12} ' for name in types)}"
    for zone in _populated(kernel, node):
        blocks = div_round_up(zone.present, geometry.pageblock_pages)
        counts = [blocks if name == "Movable" else 0 for name in types]
        yield f"Node {node.nid}, zone {zone.kind.label:>8} {_row(counts, 12)}"
