"""What came to the kernel with which release: one table that profiles, architectures and drivers ask.

Ask ``kernel.has("memory_groups")`` or, while sizes are fixed, ``request.has("memory_groups")``; a version number
stands in no plugin. A new release rule is one line here, one question where it matters, and a profile for the
release if there is none. What a driver or an architecture came with is its own data (``arches``), not a feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from memhotplug.errors import nearest

__all__ = ["FEATURES", "Feature", "Version", "has"]

Version: TypeAlias = tuple[int, int]


class Feature(NamedTuple):
    """One thing that some kernels do and others do not.

    Attributes:
        since: the first release that does it; (0, 0) for all that are modelled.
        what: what they do, with the kernel's function or commit.
        until: the first release that does it no longer, None if all later ones do.
    """

    since: Version
    what: str
    until: Version | None = None

    def holds(self, version: Version) -> bool:
        """Return whether a kernel of that version does it."""
        return self.since <= version and (self.until is None or version < self.until)


FEATURES: Final[Mapping[str, Feature]] = {
    # mm/ and drivers/base/
    "memory_groups": Feature((5, 15), "MHP_NID_IS_MGID, online_policy=auto-movable (e83a437faa62, 3fcebf90209a)"),
    "counts_poison": Feature((6, 2), "a block counts its broken pages and does not go online with them"),
    "self_hosting_falls_back": Feature((6, 6), "memmap_on_memory=force; what cannot self-host is added plainly "
                                       "(2d1f649c7c08)"),
    "one_altmap_a_block": Feature((6, 8), "a range of several blocks self-hosts, block by block (6b8f0798b85a)"),
    "prepare_online": Feature((6, 8), "MEM_PREPARE_ONLINE, MEM_FINISH_OFFLINE, MHP_OFFLINE_INACCESSIBLE (c5f1e2d18909, "
                              "ce2071e02d84)", until=(6, 19)),
    "offline_pages": Feature((6, 11), "hot-plugged pages start as PageOffline, before as Reserved"),
    "nopage_flag": Feature((0, 0), "/proc/kpageflags shows NOPAGE for a pfn that is offline or absent", until=(7, 2)),
    "hygienic_freelists": Feature((6, 10), "a chunk is split where its pageblocks come out of isolation "
                                  "(move_freepages_block_isolate())"),
    "movable_shares_marks": Feature((0, 0), "Movable zones have their share of min_free_kbytes like the others "
                                    "(__setup_per_zone_wmarks(); measured on 6.1, and no more on 6.12)", until=(6, 6)),
    "frozen_slabs": Feature((6, 14), "slab pages have no reference, and isolation takes those of order 0 for free ones "
                            "(9aec2fb0fd5e)"),
    "node_threads": Feature((6, 14), "kswapd and kcompactd have their task and stack on their own node "
                            "(kthread_create_on_node())"),
    "slab_sheaves": Feature((7, 2), "each CPU keeps objects of most caches in sheaves, so that a new slab is seldom "
                            "asked for (e47c897a2949, of 7.0; measured on 7.2)"),
    "sysctl_on_cmdline": Feature((5, 8), "sysctl.*= on the command line (do_sysctl_args(), 3db978d480e2)"),
    "huge_pages_off_lowers_marks": Feature((5, 18), "min_free_kbytes is computed anew when transparent huge pages are "
                                           "switched off (bd3400ea173f, of 5.16)"),
    "watermark_scale_of_30_percent": Feature((5, 18), "vm.watermark_scale_factor up to 3000, before up to 1000 "
                                             "(39c65a94cd96, of 5.17)"),
    "pageblock_ranges": Feature((5, 19), "alloc_contig_range() works on single pageblocks, not on MAX_ORDER_NR_PAGES"),
    "driver_managed_ram": Feature((5, 8), "add_memory_driver_managed(): System RAM with the driver's name"),
    "self_hosting": Feature((5, 13), "mhp_supports_memmap_on_memory(): the parameter memmap_on_memory"),
    "spans_come_back": Feature((5, 13), "a zone's span shrinks again when the online that grew it is vetoed"),
    # /sys and /proc
    "node_initiators": Feature((5, 10), "node/nodeN/access0: who is near a node's memory (node_init_node_access())"),
    "promo_watermark": Feature((6, 7), "/proc/zoneinfo prints the promotion watermark"),
    "memmap_counted": Feature((6, 12), "nr_memmap_pages and nr_memmap_boot_pages in /proc/vmstat"),
    "pcp_bounds_printed": Feature((6, 15), "/proc/zoneinfo prints high_min, high_max and the highatomic reserve"),
    # direct map and vmemmap
    "hot_remove": Feature((5, 7), "arch_remove_memory() where it came late, and boot memory that must stay online "
                          "(prevent_bootmem_remove_notifier())"),
    "basepages_from_altmap": Feature((5, 9), "vmemmap_populate_basepages() takes an altmap"),
    "vmemmap_falls_back": Feature((5, 11), "base pages where vmemmap_populate() finds no PMD leaf"),
    "generic_vmemmap_hugepages": Feature((6, 2), "vmemmap_populate_hugepages(): no fallback with an altmap"),
    "altmap_borders": Feature((5, 4), "altmap_cross_boundary(), and the page allocator where the altmap has no more"),
    "radix_vmemmap": Feature((6, 6), "radix__vmemmap_populate(), and radix trees may self-host"),
    "block_sized_leaves": Feature((5, 9), "leaves of the linear map never exceed a memory block"),
    "linear_map_rolls_back": Feature((5, 11), "arch_add_memory() takes the linear map down again"),
    "inaccessible_altmap": Feature((6, 8), "an altmap in memory that is accessible only while it is online"),
    # sizes
    "mem_limits_hotplug": Feature((0, 0), "mem= limits hotplug too: max_mem_size (357b4da50a62, f3cd4c865137)",
                                  until=(5, 6)),
    "bare_metal_blocks": Feature((5, 10), "probe_memory_block_size(): 2 GiB without a hypervisor"),
    "advised_blocks": Feature((6, 15), "probe_memory_block_size() heeds memory_block_advise_max_size(), which "
                              "acpi_parse_cfmws() calls for CXL windows"),
    "sections_by_granule": Feature((5, 12), "SECTION_SIZE_BITS by page size, 30 before"),
    "smaller_sections": Feature((6, 14), "SECTION_SIZE_BITS 27, 28 before"),
    "dma_zone_of_30_bits": Feature((5, 5), "ZONE_DMA of 30 bits besides ZONE_DMA32"),
    "dma_zone_by_devices": Feature((5, 11), "max_zone_phys(): ZONE_DMA as far as the devices' limit"),
    # drivers
    "merged_resources": Feature((5, 3), "neighbouring memory resources of a device are one range"),
    "enabled_resources": Feature((5, 13), "a resource that is there already is removed with its device"),
    "bus_rescan": Feature((6, 9), "acpi_scan_rescan_bus(): devices that failed are tried again with every new one"),
    "device_attribute": Feature((6, 8), "memmap_on_memory of a device-dax instance (memmap_on_memory_store())"),
    "dax_types": Feature((6, 3), "instances of firmware's and CXL's regions are memory by default (dax_match_type())"),
    "chunks_are_blocks": Feature((6, 10), "a chunk of the balloon is a memory block, 128 MiB before"),
    "configured_standby": Feature((6, 19), "standby memory is assigned when it is configured, not when it goes online"),
}  # fmt: skip
"""Every feature by name."""


@lru_cache(maxsize=4096)  # asked for each block that comes
def has(feature: str, version: Version) -> bool:
    """Return whether a kernel of some version has a feature.

    >>> has("memory_groups", (5, 15)), has("prepare_online", (6, 19))
    (True, False)

    Raises:
        ValueError: there is no feature of that name; with the nearest.
    """
    found = FEATURES.get(feature)
    if found is None:
        near = nearest(feature, FEATURES)
        raise ValueError(f"no feature {feature!r}{f'; did you mean {near!r}?' if near else ''}")
    return found.holds(version)
