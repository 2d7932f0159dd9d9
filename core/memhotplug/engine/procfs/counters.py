"""What the counters of zones and nodes are: the model's own values, else those that were recorded, else 0.

Simplified: what the kernel and its users take is not told apart, so that slab, page cache and the like are those
of the recorded machine, or 0 on one that was made up.

Models: mm/vmstat.c, mm/page_alloc.c:calculate_totalreserve_pages(), zone_batchsize(), zone_highsize(),
mm/show_mem.c:si_mem_available(), mm/page-writeback.c:domain_dirty_limits() (v6.12).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from memhotplug.engine.kernel import Kernel
from memhotplug.model.buddy import free_by_order
from memhotplug.model.state import MachineState
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import Zone, ZoneKind

__all__ = [
    "Recorded",
    "available_pages",
    "cpus",
    "dirty_thresholds",
    "memmap_pages",
    "node_counter",
    "pageset",
    "printed_zones",
    "recorded",
    "threshold",
    "zone_counter",
    "zone_free_by_order",
]

_ZONE: Final = re.compile(r"Node +(\d+), zone +(\w+)")
_ITEM: Final = re.compile(r" +(\w+):? +(-?\d+)\Z")
_CPUS_MAX: Final = 4096


class Recorded(NamedTuple):
    """The counters of a recorded zoneinfo, by node and by zone, and of meminfo, in kB and by label.

    Attributes:
        cpus: how many CPUs have page sets.
    """

    nodes: Mapping[int, Mapping[str, int]]
    zones: Mapping[tuple[int, str], Mapping[str, int]]
    meminfo: Mapping[str, int]
    cpus: int


def recorded(kernel: Kernel) -> Recorded:
    """Return what was recorded of a machine; empty for one that was made up."""
    known = kernel.memo.get("recorded")
    if not isinstance(known, Recorded):
        known = kernel.memo["recorded"] = _read(kernel.recorded)
    return known


def _read(files: Mapping[str, str]) -> Recorded:
    nodes: dict[int, dict[str, int]] = {}
    zones: dict[tuple[int, str], dict[str, int]] = {}
    found = 0
    values: dict[str, int] = {}
    zone: tuple[int, str] = (0, "")
    for line in files.get("proc/zoneinfo", "").splitlines():
        head = _ZONE.match(line)
        if head:
            zone = int(head[1]), head[2]
            values = zones.setdefault(zone, {})
        elif line == "  per-node stats":
            values = nodes.setdefault(zone[0], {})
        elif line.startswith("  pages free"):
            values = zones[zone]
        elif item := _ITEM.match(line):
            if item[1] == "cpu":
                found = max(found, int(item[2]) + 1)
            values.setdefault(item[1], int(item[2]))
    meminfo = {}
    for line in files.get("proc/meminfo", "").splitlines():
        label, _, rest = line.partition(":")
        if rest.split()[:1] and rest.split()[0].isdecimal():
            meminfo[label] = int(rest.split()[0])
    return Recorded(nodes, zones, meminfo, min(max(found, 1), _CPUS_MAX))


def cpus(kernel: Kernel) -> int:
    """Return how many CPUs there are: as recorded, else one on each node that has any."""
    if kernel.recorded:
        return recorded(kernel).cpus
    return max(sum(node.has_cpu for node in kernel.state.nodes.values()), 1)


def printed_zones(kernel: Kernel) -> tuple[ZoneKind, ...]:
    """Return the zones that a kernel of this architecture is built with, Device apart."""
    known = kernel.memo.get("zones")
    if not isinstance(known, tuple):
        limits = kernel.plugins.call(kernel.plugins.arch, "zone_limits", geometry=kernel.geometry)
        known = kernel.memo["zones"] = (*(limit.kind for limit in limits), ZoneKind.MOVABLE)
    return known


def zone_counter(kernel: Kernel, zone: Zone, name: str) -> int:
    """Return a counter of a zone, in pages."""
    if name == "nr_free_pages":
        return zone.free.total
    if name == "nr_free_pages_blocks":
        order = kernel.geometry.pageblock_order
        return sum(count << at for at, count in enumerate(zone_free_by_order(kernel, zone)) if at >= order)
    return recorded(kernel).zones.get((zone.nid, zone.kind.label), {}).get(name, 0)


def node_counter(kernel: Kernel, nid: int, name: str) -> int:
    """Return a counter of a node."""
    return recorded(kernel).nodes.get(nid, {}).get(name, 0)


def zone_free_by_order(kernel: Kernel, zone: Zone) -> list[int]:
    """Return the chunks on each free list of a zone."""
    return free_by_order(zone.free, kernel.geometry.max_order)


def threshold(managed: int, page_shift: int, nr_cpus: int) -> int:
    """Return how far a per-cpu counter may drift. Models: mm/vmstat.c:calculate_normal_threshold()."""
    mem = managed >> (27 - page_shift)
    return min(2 * nr_cpus.bit_length() * (1 + mem.bit_length()), 125)


def pageset(kernel: Kernel, zone: Zone) -> Mapping[str, int]:
    """Return what zoneinfo prints of each CPU's list of free pages; what waits there is all on the first."""
    nr_cpus = cpus(kernel)
    batch = min(zone.managed >> 10, (1 << 20) // kernel.geometry.page_size) // 4
    batch = max(_rounddown_pow_of_two(max(batch, 1) * 3 // 2) - 1, 1)
    low = max(zone.wmark[1] // nr_cpus, batch * 4)
    return {
        "count": zone.pcp.total,
        "high": low,
        "batch": batch,
        "high_min": low,
        "high_max": max(zone.managed // 8 // nr_cpus, batch * 4),
    }


def _rounddown_pow_of_two(number: int) -> int:
    return 1 << (number.bit_length() - 1)


def _reserve(state: MachineState) -> int:
    return sum(min(max(zone.protection) + zone.wmark[2], zone.managed) for zone in state.zones())


def available_pages(kernel: Kernel) -> int:
    """Return MemAvailable in pages."""
    state = kernel.state
    low = sum(zone.wmark[1] for zone in state.zones())

    def of(*names: str) -> int:
        return sum(node_counter(kernel, nid, name) for nid in state.nodes for name in names)

    cached = of("nr_active_file", "nr_inactive_file")
    reclaimable = of("nr_slab_reclaimable", "nr_kernel_misc_reclaimable")
    free = sum(zone.free.total for zone in state.zones()) - _reserve(state)
    spare = sum(pages - min(pages // 2, low) for pages in (cached, reclaimable))
    return max(free + spare, 0)


def dirty_thresholds(kernel: Kernel) -> tuple[int, int]:
    """Return nr_dirty_threshold and nr_dirty_background_threshold, in pages: 20 and 10 % of what may be dirty."""
    state, page_size = kernel.state, kernel.geometry.page_size
    free = sum(zone.free.total for zone in state.zones())
    files = sum(node_counter(kernel, n, name) for n in state.nodes for name in ("nr_active_file", "nr_inactive_file"))
    dirtyable = max(free - _reserve(state), 0) + files
    hard, background = (percent * page_size // 100 * dirtyable // page_size for percent in (20, 10))
    return hard, background


def memmap_pages(kernel: Kernel) -> tuple[int, int]:
    """Return nr_memmap_pages and nr_memmap_boot_pages: of hot-added memory, and of boot memory."""
    runs = kernel.state.vmemmap.runs
    pages = (runs.end - runs.start) // kernel.state.vmemmap.described_per_page
    boot = runs.source == Source.BOOT
    return int(pages[~boot].sum()), int(pages[boot].sum())
