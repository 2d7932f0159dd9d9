"""/proc/meminfo, /proc/vmstat, and a node's meminfo, numastat and vmstat.

Models: fs/proc/meminfo.c:meminfo_proc_show(), mm/vmstat.c:vmstat_start(), drivers/base/node.c:node_read_meminfo(),
node_read_numastat(), node_read_vmstat() (v6.1 to v7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs import counters
from memhotplug.engine.procfs.items import (
    MEMINFO,
    NODE_ITEMS,
    NODE_MEMINFO,
    NUMA_ITEMS,
    VM_EVENTS,
    ZONE_ITEMS,
    Item,
    names,
)
from memhotplug.model.zones import Zone

__all__ = ["meminfo", "node_meminfo", "node_numastat", "node_vmstat", "vmstat"]

_COUNTS: Final = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")

_HUGETLB: Final = frozenset((*_COUNTS, "Hugepagesize", "Hugetlb"))

# The lines of meminfo that are counters of nodes and zones.
_OF_NODE: Final[Mapping[str, tuple[str, ...]]] = {
    "Active": ("nr_active_anon", "nr_active_file"),
    "Inactive": ("nr_inactive_anon", "nr_inactive_file"),
    "Active(anon)": ("nr_active_anon",),
    "Inactive(anon)": ("nr_inactive_anon",),
    "Active(file)": ("nr_active_file",),
    "Inactive(file)": ("nr_inactive_file",),
    "Unevictable": ("nr_unevictable",),
    "Dirty": ("nr_dirty",),
    "Writeback": ("nr_writeback",),
    "FilePages": ("nr_file_pages",),
    "Mapped": ("nr_mapped",),
    "AnonPages": ("nr_anon_pages",),
    "Shmem": ("nr_shmem",),
    "PageTables": ("nr_page_table_pages",),
    "SecPageTables": ("nr_sec_page_table_pages",),
    "WritebackTmp": ("nr_writeback_temp",),
    "KReclaimable": ("nr_slab_reclaimable", "nr_kernel_misc_reclaimable"),
    "Slab": ("nr_slab_reclaimable", "nr_slab_unreclaimable"),
    "SReclaimable": ("nr_slab_reclaimable",),
    "SUnreclaim": ("nr_slab_unreclaimable",),
    "SwapCached": ("nr_swapcached",),
}


def _line(label: str, value: int) -> str:
    return f"{label + ':':<16}{value:>8} kB"


def meminfo(kernel: Kernel) -> str:
    """Return /proc/meminfo, with the architecture's own lines behind it."""
    kb = kernel.geometry.page_size >> 10
    state = kernel.state
    total = state.total_managed()
    own = {
        "MemTotal": total,
        "MemFree": sum(zone.free.total for zone in state.zones()),
        "MemAvailable": counters.available_pages(kernel),
        "CommitLimit": total // 2,
        "CmaTotal": sum(zone.cma for zone in state.zones()),
    }
    kept = {"Hugepagesize": kernel.geometry.pmd_size >> 10, **counters.recorded(kernel).meminfo}
    lines = []
    for label in _labels(kernel, MEMINFO):
        value = own[label] * kb if label in own else kept.get(label, 0)
        lines.append(f"{label + ':':<17}{value:>7}" if label in _COUNTS else _line(label, value))
    text = "\n".join([*lines, ""])
    if kernel.plugins.has(kernel.plugins.arch, "arch_report_meminfo"):
        text += kernel.plugins.ask(kernel.plugins.arch, "arch_report_meminfo", str, kernel=kernel)
    return text


def _labels(kernel: Kernel, items: Iterable[Item]) -> list[str]:
    """Return the lines of a meminfo, without those of huge pages where a recorded machine has none.

    Models: mm/hugetlb.c:hugetlb_report_meminfo(), hugepages_supported() (v5.2 to v6.12).
    """
    told = counters.recorded(kernel).meminfo
    none = "AnonHugePages" in told and "Hugepagesize" not in told
    return [label for label in names(kernel, items) if not (none and label in _HUGETLB)]


def vmstat(kernel: Kernel) -> str:
    """Return /proc/vmstat; of its events only those that tools insist on, all 0."""
    state = kernel.state
    values: dict[str, int] = {}
    for name in names(kernel, (*ZONE_ITEMS, *NUMA_ITEMS)):
        values[name] = sum(counters.zone_counter(kernel, zone, name) for zone in state.zones())
    for name in names(kernel, NODE_ITEMS):
        values[name] = sum(counters.node_counter(kernel, nid, name) for nid in state.nodes)
    values["nr_dirty_threshold"], values["nr_dirty_background_threshold"] = counters.dirty_thresholds(kernel)
    if kernel.has("memmap_counted"):
        values["nr_memmap_pages"], values["nr_memmap_boot_pages"] = counters.memmap_pages(kernel)
    values |= dict.fromkeys((*VM_EVENTS, "nr_unstable"), 0)
    return _pairs(values)


def _pairs(values: Mapping[str, int]) -> str:
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _zones(kernel: Kernel, nid: int) -> Iterable[Zone]:
    return kernel.state.nodes[nid].zones.values()


def node_meminfo(kernel: Kernel, nid: int) -> str:
    """Return a node's meminfo."""
    kb = kernel.geometry.page_size >> 10
    total, free = (sum(part) for part in zip(*((z.managed, z.free.total) for z in _zones(kernel, nid)), strict=True))
    own = {"MemTotal": total, "MemFree": free, "MemUsed": total - free, "Mlocked": _sum(kernel, nid, "nr_mlock")}
    lines = []
    for label in _labels(kernel, NODE_MEMINFO):
        if label in _COUNTS:
            lines.append(f"Node {nid} {label + ':':<16} {0:>5}")
            continue
        pages = own.get(label)
        if pages is None:
            pages = sum(counters.node_counter(kernel, nid, name) for name in _OF_NODE.get(label, ()))
        value = counters.node_counter(kernel, nid, "nr_kernel_stack") if label == "KernelStack" else pages * kb
        lines.append(f"Node {nid} {_line(label, value)}")
    return "\n".join([*lines, ""])


def _sum(kernel: Kernel, nid: int, name: str) -> int:
    return sum(counters.zone_counter(kernel, zone, name) for zone in _zones(kernel, nid))


def node_numastat(kernel: Kernel, nid: int) -> str:
    """Return a node's numastat."""
    words = ("numa_hit", "numa_miss", "numa_foreign", "numa_interleave", "numa_local", "numa_other")
    shown = {"numa_interleave": "interleave_hit", "numa_local": "local_node", "numa_other": "other_node"}
    return _pairs({shown.get(word, word): _sum(kernel, nid, word) for word in words})


def node_vmstat(kernel: Kernel, nid: int) -> str:
    """Return a node's vmstat."""
    zoned = {name: _sum(kernel, nid, name) for name in names(kernel, (*ZONE_ITEMS, *NUMA_ITEMS))}
    return _pairs(zoned | {name: counters.node_counter(kernel, nid, name) for name in names(kernel, NODE_ITEMS)})
