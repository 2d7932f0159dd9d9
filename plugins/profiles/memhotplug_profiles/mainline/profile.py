"""The profile object of a mainline release."""

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
    Zone,
    models,
    np,
)
from memhotplug_profiles.mainline import add, invariants, offline, online, policy, sysfs
from memhotplug_profiles.mainline.flags import SHORT_FLAGS, flags_of
from memhotplug_profiles.mainline.params import Group, MainlineState, read_parameters, state_of
from memhotplug_profiles.mainline.support import refusal

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["MainlineProfile"]

_EVENTS = (
    "MEM_GOING_ONLINE",
    "MEM_CANCEL_ONLINE",
    "MEM_ONLINE",
    "MEM_GOING_OFFLINE",
    "MEM_CANCEL_OFFLINE",
    "MEM_OFFLINE",
)


class MainlineProfile(KernelProfile):
    """Linux since 5.13: its rules are the features that it has; a release is a subclass with a version."""

    short_flags: Mapping[str, str] = SHORT_FLAGS

    def __init_subclass__(cls) -> None:
        """Derive from the features of a kernel what its class does not say itself."""
        super().__init_subclass__()
        if not vars(cls).keys() & {"version", "has"}:
            return
        has = object.__new__(cls).has  # whatever its __init__ takes
        prepare = ("MEM_PREPARE_ONLINE", "MEM_FINISH_OFFLINE") if has("prepare_online") else ()
        derived = {
            "flags": flags_of(has),
            "event_names": (*_EVENTS, *prepare),
            "movable_shares_marks": has("movable_shares_marks"),
        }
        for name, value in derived.items():
            if name not in vars(cls):
                setattr(cls, name, value)

    def new_state(self, kernel: Kernel) -> MainlineState:
        return read_parameters(kernel)

    @models("mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12)")
    def memmap_on_memory_refusal(self, kernel: Kernel, size: int | None = None) -> str | None:
        """The rules in the kernel's order; the first that forbids it is the answer."""
        return refusal(kernel, size)

    def register_group(
        self, kernel: Kernel, nid: int, *, max_pages: int = 0, unit_pages: int = 0, present_kernel: int = 0,
        present_movable: int = 0,
    ) -> int:  # fmt: skip
        """Models: drivers/base/memory.c:memory_group_register_static(), memory_group_register_dynamic()."""
        block = kernel.geometry.pages_per_block
        power_of_two = unit_pages & (unit_pages - 1) == 0
        if bool(max_pages) == bool(unit_pages) or (unit_pages and (not power_of_two or unit_pages < block)):
            raise MemoryHotplugError(errno.EINVAL, f"a memory group of {max_pages or unit_pages} pages")
        state = state_of(kernel)
        group = Group(
            nid=nid,
            max_pages=max_pages,
            unit_pages=unit_pages,
            present_kernel=present_kernel,
            present_movable=present_movable,
        )
        state.groups = (*state.groups, group)
        return len(state.groups) - 1

    def add_memory_resource(self, kernel: Kernel, device: int, start: int, size: int, nid: int, flags: int) -> None:
        add.add_memory_resource(kernel, device, start, size, nid, flags)

    def add_pages(self, kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        add.add_pages(kernel, start_pfn, nr_pages, nid, restrictions)

    def remove_pages(self, kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
        offline.remove_pages(kernel, start_pfn, nr_pages)

    def zone_for_rows(self, kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
        return policy.zone_for_rows(kernel, rows, online_type)

    def zone_keys(self, kernel: Kernel) -> Sequence[Array]:
        return policy.zone_keys(kernel)

    def online(self, kernel: Kernel, rows: slice, zone: Zone) -> None:
        online.online(kernel, rows, zone)

    def offline(self, kernel: Kernel, rows: slice) -> None:
        offline.offline(kernel, rows)

    def remove(self, kernel: Kernel, start: int, size: int) -> None:
        offline.remove(kernel, start, size)

    def release_vmemmap(self, kernel: Kernel, runs: MapRuns) -> None:
        offline.release_vmemmap(kernel, runs)

    def removable(self, kernel: Kernel, rows: slice) -> npt.NDArray[np.bool_]:
        """Constant since v5.8: CONFIG_MEMORY_HOTREMOVE. Models: drivers/base/memory.c:removable_show()."""
        return np.ones(rows.stop - rows.start, dtype=np.bool_)

    def module_parameters(self, kernel: Kernel) -> Mapping[str, str]:
        return sysfs.parameters(kernel)

    def parameter_files(self, kernel: Kernel) -> Mapping[str, int]:
        """memmap_on_memory is set at boot only, and is there only where it is built in."""
        modes = {name: 0o444 if name == "memmap_on_memory" else 0o644 for name in self.module_parameters(kernel)}
        if not sysfs.is_built_in(kernel):
            modes.pop("memmap_on_memory", None)
        return modes

    def write_module_parameter(self, kernel: Kernel, name: str, value: str) -> None:
        sysfs.write_parameter(kernel, name, value)

    def switches(self, kernel: Kernel) -> Mapping[str, Sequence[str]]:
        """The online policy, where the kernel has one; memmap_on_memory cannot be written."""
        return sysfs.switches(kernel)

    def project(self, kernel: Kernel, pages: PageArray, start_pfn: int) -> None:
        """Self-hosted memmap of online blocks: VmemmapSelfHosted (PG_owner_priv_1), refcount 1."""
        state = kernel.state
        hosting = (state.blocks.altmap_pages > 0) & (state.blocks.state == BlockState.ONLINE)
        starts = state.block_bounds(slice(None))[0][hosting]
        flags = PageFlag.OWNER_PRIVATE if kernel.has("offline_pages") else PageFlag.OWNER_PRIVATE | PageFlag.RESERVED
        for first, count in zip(starts.tolist(), state.blocks.altmap_pages[hosting].tolist(), strict=True):
            low, high = max(first - start_pfn, 0), min(first + count - start_pfn, len(pages))
            if low < high:
                pages["flags"][low:high] = flags
                pages["refcount"][low:high] = 1
        if not kernel.has("nopage_flag"):
            pages["flags"][pages["flags"] == PageFlag.NOPAGE] = 0

    def heads(self, kernel: Kernel) -> Iterator[dict[str, object]]:
        """Yield one entry for each block that hosts its memmap; these kernels keep no counts in the pages."""
        state = kernel.state
        starts, ends = state.block_bounds(slice(None))
        rows = np.flatnonzero(state.blocks.altmap_pages > 0)
        used = state.vmemmap.backing().covered_many(starts[rows], ends[rows])
        columns = (starts[rows], ends[rows], used, state.blocks.device[rows])
        for start, end, pages, device in zip(*(column.tolist() for column in columns), strict=True):
            yield {
                "start_pfn": start,
                "nr_pages": pages,
                "refcount": None,
                "private": None,
                "serves": [start, end],
                "device": state.devices[device].name if device >= 0 else None,
            }

    def violations(self, kernel: Kernel) -> Iterator[str]:
        return invariants.violations(kernel)
