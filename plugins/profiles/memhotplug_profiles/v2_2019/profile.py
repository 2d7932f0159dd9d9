"""The profile object: each question of the engine, answered by the file that is about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from memhotplug.plugin import (
    Array,
    BlockState,
    Kernel,
    KernelProfile,
    MapRuns,
    MemoryHotplugError,
    OnlineType,
    PageArray,
    PageFlag,
    Restrictions,
    Source,
    Zone,
    format_blocks,
    np,
    zone_for_run,
)
from memhotplug_profiles.v2_2019 import add, remove
from memhotplug_profiles.v2_2019 import online as onlining
from memhotplug_profiles.v2_2019.marks import DEVICE, MEMBLOCK, VMEMMAP_FLAGS, VMEMMAP_PAGE, V2State, state_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["V2Profile"]


class V2Profile(KernelProfile):
    """Linux 5.2 with the 2019 v2 series."""

    version = (5, 2)
    flags: Mapping[str, int] = {"MHP_MEMMAP_DEVICE": DEVICE, "MHP_MEMMAP_MEMBLOCK": MEMBLOCK}
    flag_masks: Mapping[str, int] = {"MHP_VMEMMAP_FLAGS": VMEMMAP_FLAGS}
    short_flags: Mapping[str, str] = {
        "none": "MHP_NONE",
        "device": "MHP_MEMMAP_DEVICE",
        "memblock": "MHP_MEMMAP_MEMBLOCK",
    }
    auto_online_types = (OnlineType.OFFLINE, OnlineType.ONLINE)
    movable_shares_marks = True
    event_names = (
        "MEM_GOING_ONLINE",
        "MEM_CANCEL_ONLINE",
        "MEM_ONLINE",
        "MEM_GOING_OFFLINE",
        "MEM_CANCEL_OFFLINE",
        "MEM_OFFLINE",
    )

    def new_state(self, kernel: Kernel) -> V2State:
        return V2State()

    def filter_flags(self, kernel: Kernel, flags: int) -> int:
        return add.filter_flags(kernel, flags)

    def add_memory_resource(self, kernel: Kernel, device: int, start: int, size: int, nid: int, flags: int) -> None:
        add.add_memory_resource(kernel, device, start, size, nid, flags)

    def add_pages(self, kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        add.add_pages(kernel, start_pfn, nr_pages, nid, restrictions)

    def remove_pages(self, kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
        remove.remove_pages(kernel, start_pfn, nr_pages)

    def zone_for_rows(self, kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
        return zone_for_run(kernel.state, rows, online_type, movable_node="movable_node" in kernel.params)

    def zone_keys(self, kernel: Kernel) -> Sequence[Array]:
        return ()

    def online(self, kernel: Kernel, rows: slice, zone: Zone) -> None:
        onlining.online(kernel, rows, zone)

    def offline(self, kernel: Kernel, rows: slice) -> None:
        onlining.offline(kernel, rows)

    def remove(self, kernel: Kernel, start: int, size: int) -> None:
        remove.remove(kernel, start, size)

    def release_vmemmap(self, kernel: Kernel, runs: MapRuns) -> None:
        remove.release_vmemmap(kernel, runs)

    def removable(self, kernel: Kernel, rows: slice) -> npt.NDArray[np.bool_]:
        """Computed from the pages in this era; an offline block is removable.

        Models: drivers/base/memory.c:removable_show(), mm/memory_hotplug.c:is_mem_section_removable() (v5.2).
        """
        state = kernel.state
        starts, ends = state.block_bounds(rows)
        starts = starts + np.minimum(state_of(kernel).remaining(starts), ends - starts)
        left = ends - starts - state.holes.covered_many(starts, ends)
        for zone in state.zones():
            left = left - zone.free.covered_many(starts, ends) - zone.pcp.covered_many(starts, ends)
        for held in state.allocations.values():
            if held.movable:
                left = left - held.pages.covered_many(starts, ends)
        online = state.blocks.state[rows] == BlockState.ONLINE
        removable: npt.NDArray[np.bool_] = ~online | ((left == 0) & (state.blocks.zone[rows] >= 0))
        return removable

    def root_attributes(self, kernel: Kernel) -> Mapping[str, str]:
        """The switch, which only a kernel with SPARSEMEM_VMEMMAP has (patch 5)."""
        if not kernel.sparsemem_vmemmap:
            return {}
        return {"vmemmap_hotplug": "enabled\n" if state_of(kernel).enabled else "disabled\n"}

    def write_root_attribute(self, kernel: Kernel, name: str, value: str, *, capable: bool) -> bool:
        """Write ``vmemmap_hotplug``. Models: drivers/base/memory.c:vmemmap_hotplug_store() (patch 5)."""
        if name != "vmemmap_hotplug" or not kernel.sparsemem_vmemmap:
            return False
        if not capable:
            raise MemoryHotplugError(errno.EPERM, "vmemmap_hotplug needs CAP_SYS_ADMIN")
        word = value.removesuffix("\n")
        if word not in ("enable", "disable"):
            raise MemoryHotplugError(errno.EINVAL, f"vmemmap_hotplug takes enable or disable, not {word!r}")
        state_of(kernel).enabled = word == "enable"
        return True

    def switches(self, kernel: Kernel) -> Mapping[str, Sequence[str]]:
        """Return the switch of patch 5 with the word that would change it."""
        if not kernel.sparsemem_vmemmap:
            return {}
        return {"memory/vmemmap_hotplug": ("disable" if state_of(kernel).enabled else "enable",)}

    def project(self, kernel: Kernel, pages: PageArray, start_pfn: int) -> None:
        v2 = state_of(kernel)
        end_pfn = start_pfn + len(pages)
        for low, high in zip(*v2.marked.clip(start_pfn, end_pfn), strict=True):
            part = pages[low - start_pfn : high - start_pfn]
            part["flags"] = PageFlag.RESERVED | PageFlag.VMEMMAP
            part["mapping"] = VMEMMAP_PAGE
            part["refcount"] = 1
            part["private"] = 0
            row = v2.heads.containing(np.arange(low, high))
            part["head"] = v2.heads.start[row]
        inside = (v2.heads.start >= start_pfn) & (v2.heads.start < end_pfn)
        index = v2.heads.start[inside] - start_pfn
        alive = v2.marked.covered_many(v2.heads.start[inside], v2.heads.start[inside] + 1) > 0
        pages["refcount"][index[alive]] = v2.heads.refcount[inside][alive]
        pages["private"][index[alive]] = v2.heads.private[inside][alive]

    def heads(self, kernel: Kernel) -> Iterator[dict[str, object]]:
        heads = state_of(kernel).heads
        columns = (heads.start, heads.private, heads.refcount, heads.serves, heads.serves_end, heads.device)
        for start, private, refcount, serves, end, device in zip(*(c.tolist() for c in columns), strict=True):
            yield {
                "start_pfn": start,
                "nr_pages": private,
                "refcount": refcount,
                "private": private,
                "serves": [serves, end],
                "device": kernel.state.devices[device].name if device >= 0 else None,
            }

    def violations(self, kernel: Kernel) -> Iterator[str]:
        v2 = state_of(kernel)
        if v2.deferred_head >= 0:
            pages = sum(high - low for low, high in v2.deferred)
            missing = "a count that has passed 0"
            if v2.deferred_count > 0:
                missing = f"{v2.deferred_count} more sections"
            yield (
                f"deferred free under way between operations: the memmap of {pages} pages waits for "
                f"{missing} (head pfn {v2.deferred_head:#x})"
            )
        marked = v2.marked.covered_many(v2.heads.start, v2.heads.start + v2.heads.private)
        for row in np.flatnonzero(marked != v2.heads.private).tolist():
            pages, lost = int(v2.heads.private[row]), int(v2.heads.private[row] - marked[row])
            yield (
                f"head pfn {int(v2.heads.start[row]):#x}: {lost} of its {pages} vmemmap pages lost "
                f"their marks when sections that they described were removed by themselves"
            )
        unbacked = kernel.state.unbacked
        if unbacked.total:
            memmap = kernel.state.vmemmap.backing_from(Source.ALTMAP)
            lows, highs = unbacked.clip_many(memmap.starts, memmap.ends)
            if len(lows):
                ids = sorted(set((lows // kernel.geometry.pages_per_block).tolist()))
                yield f"memmap on unbacked memory: {int((highs - lows).sum())} pages in blocks {format_blocks(ids)}"
