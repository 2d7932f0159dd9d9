"""Which counters a kernel has, in its own order: the columns of /proc/zoneinfo, vmstat, meminfo and a node's meminfo.

Each line says since and until which release (exclusive) there is a counter, and which part of the configuration it
needs; an architecture's traits say which parts its kernels have. The tables are checked against recorded files for
6.1, 6.12 and 7.2; the order in between and before is that of the sources, as far as the profiles tell them apart.

Models: mm/vmstat.c:vmstat_text, fs/proc/meminfo.c, drivers/base/node.c:node_read_meminfo() (v5.13 to v7.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from memhotplug.engine.kernel import Kernel

__all__ = [
    "MEMINFO",
    "NODE_ITEMS",
    "NODE_MEMINFO",
    "NUMA_ITEMS",
    "VM_EVENTS",
    "ZONE_ITEMS",
    "has_config",
    "names",
]

_ALWAYS: Final = (0, 0)
_NEVER: Final = (99, 0)


class Item(NamedTuple):
    """A counter, or a line of meminfo."""

    name: str
    since: tuple[int, int] = _ALWAYS
    until: tuple[int, int] = _NEVER
    config: str | None = None


def has_config(kernel: Kernel, name: str) -> bool:
    """Return whether the architecture's kernel of this version is built with a part of the configuration."""
    since = kernel.plugins.arch_traits.config.get(name)
    return since is not None and kernel.version >= since


def names(kernel: Kernel, items: Iterable[Item]) -> list[str]:
    """Return the names of those counters that a kernel has."""
    return [
        item.name
        for item in items
        if item.since <= kernel.version < item.until and (item.config is None or has_config(kernel, item.config))
    ]


def _plain(words: str) -> tuple[Item, ...]:
    return tuple(Item(word) for word in words.split())


ZONE_ITEMS: Final = (
    *_plain("nr_free_pages"),
    Item("nr_free_pages_blocks", since=(6, 16)),
    *_plain(
        "nr_zone_inactive_anon nr_zone_active_anon nr_zone_inactive_file nr_zone_active_file nr_zone_unevictable "
        "nr_zone_write_pending nr_mlock"
    ),
    Item("nr_bounce", until=(6, 17)),
    *_plain("nr_zspages nr_free_cma"),
    Item("nr_unaccepted", config="UNACCEPTED_MEMORY"),
)

NUMA_ITEMS: Final = tuple(
    Item(name, config="NUMA")
    for name in ("numa_hit", "numa_miss", "numa_foreign", "numa_interleave", "numa_local", "numa_other")
)

_LATE: Final = (6, 16)

NODE_ITEMS: Final = (
    *_plain(
        "nr_inactive_anon nr_active_anon nr_inactive_file nr_active_file nr_unevictable nr_slab_reclaimable "
        "nr_slab_unreclaimable nr_isolated_anon nr_isolated_file workingset_nodes workingset_refault_anon "
        "workingset_refault_file workingset_activate_anon workingset_activate_file workingset_restore_anon "
        "workingset_restore_file workingset_nodereclaim nr_anon_pages nr_mapped nr_file_pages nr_dirty nr_writeback"
    ),
    Item("nr_writeback_temp", until=(6, 17)),
    *_plain(
        "nr_shmem nr_shmem_hugepages nr_shmem_pmdmapped nr_file_hugepages nr_file_pmdmapped "
        "nr_anon_transparent_hugepages nr_vmscan_write nr_vmscan_immediate_reclaim nr_dirtied nr_written"
    ),
    Item("nr_throttled_written", since=(5, 16)),
    *_plain("nr_kernel_misc_reclaimable nr_foll_pin_acquired nr_foll_pin_released"),
    Item("nr_vmalloc", since=(7, 0)),
    *_plain("nr_kernel_stack nr_page_table_pages"),
    Item("nr_sec_page_table_pages", since=(6, 1)),
    Item("nr_iommu_pages", since=(6, 11)),
    Item("nr_swapcached"),
    Item("pgpromote_success", since=(5, 18), config="NUMA_BALANCING"),
    Item("pgpromote_candidate", since=(6, 1), config="NUMA_BALANCING"),
    Item("pgpromote_candidate_nrl", since=(7, 0), config="NUMA_BALANCING"),
    *(Item(name, since=(6, 8)) for name in ("pgdemote_kswapd", "pgdemote_direct", "pgdemote_khugepaged")),
    Item("pgdemote_proactive", since=_LATE),
    *(
        Item(f"{what}_{who}", since=(7, 0))
        for what in ("pgsteal", "pgscan")
        for who in ("kswapd", "direct", "khugepaged", "proactive", "anon", "file")
    ),
    Item("pgrefill", since=(7, 0)),
    Item("nr_hugetlb", since=_LATE),
    Item("nr_balloon_pages", since=_LATE),
    *(Item(name, since=(7, 0)) for name in ("nr_kernel_file_pages", "nr_gpu_active", "nr_gpu_reclaim")),
)

VM_EVENTS: Final = ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgfree", "pgactivate", "pgdeactivate", "pgfault",
                    "pgmajfault", "oom_kill")  # fmt: skip
"""The events that tools insist on finding in vmstat; the model counts none."""

_HUGE: Final = "AnonHugePages ShmemHugePages ShmemPmdMapped FileHugePages FilePmdMapped"
_NEW: Final = (
    Item("Unaccepted", config="UNACCEPTED_MEMORY"),
    Item("Balloon", since=_LATE),
    Item("GPUActive", since=(7, 0)),
    Item("GPUReclaim", since=(7, 0)),
)

MEMINFO: Final = (
    *_plain(
        "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) Inactive(anon) "
        "Active(file) Inactive(file) Unevictable Mlocked SwapTotal SwapFree"
    ),
    Item("Zswap", since=(5, 19)),
    Item("Zswapped", since=(5, 19)),
    *_plain("Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim KernelStack PageTables"),
    Item("SecPageTables", since=(6, 1)),
    *_plain("NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu"),
    Item("HardwareCorrupted", config="MEMORY_FAILURE"),
    *_plain(_HUGE),
    Item("CmaTotal", config="CMA"),
    Item("CmaFree", config="CMA"),
    *_NEW,
    *(
        Item(name, config="HUGETLB_PAGE")
        for name in (
            "HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "Hugepagesize", "Hugetlb",
        )
    ),
)  # fmt: skip

NODE_MEMINFO: Final = (
    *_plain(
        "MemTotal MemFree MemUsed SwapCached Active Inactive Active(anon) Inactive(anon) Active(file) Inactive(file) "
        "Unevictable Mlocked Dirty Writeback FilePages Mapped AnonPages Shmem KernelStack PageTables"
    ),
    Item("SecPageTables", since=(6, 1)),
    *_plain(f"NFS_Unstable Bounce WritebackTmp KReclaimable Slab SReclaimable SUnreclaim {_HUGE}"),
    *_NEW,
    *(Item(name, config="HUGETLB_PAGE") for name in ("HugePages_Total", "HugePages_Free", "HugePages_Surp")),
)
