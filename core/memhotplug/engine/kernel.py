"""The kernel of one machine: its state, its plugins, and the services that plugins call.

This is the object that hooks get. It offers what the kernel offers to an architecture or a driver:
pages, page tables, memmap mappings, add_memory(), notifiers.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from memhotplug.contracts import AddRequest, MemoryEvent, MemoryNotify, PhysRange, Restrictions
from memhotplug.engine.profile import KernelProfile
from memhotplug.errors import InputError, MemoryHotplugError, nearest
from memhotplug.manager import Plugins
from memhotplug.model.allocator import alloc_pages, free_pages
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import SYSTEM_RAM, Resource
from memhotplug.model.state import Allocation, Device, MachineState
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Zone
from memhotplug.units import format_range, format_size

__all__ = ["Event", "Kernel", "pair_runs"]

Event: TypeAlias = dict[str, object]

_VETOABLE = (MemoryEvent.MEM_PREPARE_ONLINE, MemoryEvent.MEM_GOING_ONLINE, MemoryEvent.MEM_GOING_OFFLINE)
_BOOT_TABLES = "boot "  # windows whose table was made at boot, outside of the page allocator's books
_MEM_SECTION_SIZE = 16  # bytes of a struct mem_section without page extensions


class Kernel:
    """One machine as its plugins see it.

    Attributes:
        plugins: architecture, profile and drivers in use.
        profile: the kernel semantics.
        params: kernel command line, by name.
        state: everything that changes.
        sparsemem_vmemmap: whether the memmap is virtually mapped; without it no range hosts its own.
        warnings: what the kernel would warn about, in order.
        events: what happened, one record each, in order.
        vetoes: notifier events that the current step vetoes, with the errno.
        flag_override: by driver, the MHP flags that the scenario sets instead of the driver's policy.
        add_errors: what add_memory() refused in the current step, in order.
        boot_altmap: where boot memmap comes from while the machine boots.
    """

    def __init__(self, plugins: Plugins, geometry: Geometry, params: Mapping[str, str]) -> None:
        self.plugins = plugins
        self.geometry = geometry
        self.params = params
        self.profile: KernelProfile = plugins.ask(plugins.profile, "kernel_profile", KernelProfile)
        self.sparsemem_vmemmap = True
        self.warnings: list[str] = []
        self.events: list[Event] = []
        self.vetoes: dict[MemoryEvent, int] = {}
        self.flag_override: dict[str, int] = {}
        self.add_errors: list[MemoryHotplugError] = []
        self.boot_altmap: Altmap | None = None
        self.state = MachineState(geometry, self.profile.new_state(self))

    def copy(self) -> Kernel:
        """Return an independent kernel that shares plugins and arrays."""
        twin = Kernel.__new__(Kernel)
        twin.__dict__.update(self.__dict__)
        twin.warnings, twin.events = list(self.warnings), list(self.events)
        twin.vetoes, twin.flag_override = dict(self.vetoes), dict(self.flag_override)
        twin.state = self.state.copy()
        return twin

    def restore(self, saved: Kernel) -> None:
        """Become what :meth:`copy` returned earlier."""
        self.__dict__.update(saved.__dict__)

    # ---- what is known of the machine ----

    @property
    def version(self) -> tuple[int, int]:
        """The kernel version that is modelled."""
        return self.profile.version

    @property
    def arch(self) -> str:
        """The architecture plugin's name."""
        return self.plugins.arch.partition(":")[2]

    def flag(self, name: str) -> int:
        """Return the bit of an MHP flag by short or kernel name, 0 where this kernel does not have it."""
        return self.profile.flags.get(self.profile.short_flags.get(name, name), 0)

    def parse_flags(self, names: tuple[str, ...]) -> int:
        """Return the bits of MHP flags by short or kernel names.

        Raises:
            InputError: the profile does not have such a flag.
        """
        known = [*self.profile.short_flags, *self.profile.flags]
        for name in names:
            if name not in known:
                expected = f"an MHP flag of {self.profile.name}: {', '.join(known)}"
                raise InputError(expected, got=name, nearest=nearest(name, known))
        bits = 0
        for name in names:
            bits |= self.flag(name)
        return bits

    def warn(self, text: str) -> None:
        """Record what the kernel would print as a warning."""
        self.warnings.append(text)
        self.log("warning", text=text)

    def log(self, event: str, **data: object) -> None:
        """Record one event; ``data`` must be plain values, with units in the keys."""
        self.events.append({"event": event, **data})

    # ---- pages ----

    def alloc(self, order: int, count: int, nid: int) -> tuple[Array, Array]:
        """Allocate up to ``count`` kernel chunks of 2**order pages near ``nid``; runs in allocation order."""
        return alloc_pages(self.state, order, count, nid=nid)

    def ensure_tables(self, kind: str, first: int, end: int, *, nid: int, order: int = 0) -> None:
        """Make sure that page tables of one kind exist for windows [first, end), all or none.

        Page tables come from the page allocator, never from an altmap.

        Args:
            kind: name of the level, such as ``vmemmap-pmd``; each kind has windows of its own size.
            order: order of one table.

        Raises:
            MemoryHotplugError: ENOMEM.
        """
        have = self.state.page_tables.setdefault(kind, ExtentSet())
        starts, ends = have.gaps(first, end)
        count = int((ends - starts).sum())
        if not count:
            return
        if self.boot_altmap is None:
            low, high = self.alloc(order, count, nid)
            if int((high - low).sum()) < count << order:
                free_pages(self.state, low, high)
                raise MemoryHotplugError(errno.ENOMEM, f"no page for a page table ({kind}, order {order})")
            self._own("page tables " + kind, low, high, order)
        else:
            self.state.page_tables.setdefault(_BOOT_TABLES + kind, ExtentSet()).add_many(starts, ends)
        have.add_many(starts, ends)

    def ensure_section_roots(self, start_pfn: int, nr_pages: int, nid: int) -> None:
        """Make sure that the roots of mem_section exist for a range (SPARSEMEM_EXTREME); they stay for good.

        Models: mm/sparse.c:sparse_index_init(). Raises: MemoryHotplugError: ENOMEM.
        """
        per_root = self.geometry.page_size // _MEM_SECTION_SIZE * self.geometry.pages_per_section
        self.ensure_tables("mem_section", start_pfn // per_root, -(-(start_pfn + nr_pages) // per_root), nid=nid)

    def drop_tables(self, kind: str, first: int, end: int, *, order: int = 0) -> None:
        """Free the page tables of one kind in windows [first, end)."""
        have = self.state.page_tables.get(kind)
        if have is None:
            return
        starts, ends = have.clip(first, end)
        have.remove_many(starts, ends)
        gone = ExtentSet(starts, ends)
        boot = self.state.page_tables.get(_BOOT_TABLES + kind)
        if boot is not None:
            gone.remove_many(boot.starts, boot.ends)
            boot.remove(first, end)
        count = gone.total << order
        if count:
            self._disown("page tables " + kind, count)

    def _own(self, name: str, starts: Array, ends: Array, order: int) -> None:
        old = self.state.allocations.get(name)
        pages = old.pages.copy() if old else ExtentSet()
        pages.add_many(starts, ends)
        self.state.allocations[name] = Allocation(name=name, order=order, kernel=True, pages=pages)

    def _disown(self, name: str, count: int) -> None:
        """Free the ``count`` youngest (highest) pages that an owner has; boot's own tables are not tracked."""
        old = self.state.allocations.get(name)
        if old is None:
            return
        before = np.cumsum((old.pages.ends - old.pages.starts)[::-1]) - (old.pages.ends - old.pages.starts)[::-1]
        taken = np.clip(count - before, 0, (old.pages.ends - old.pages.starts)[::-1])[::-1]
        starts = old.pages.ends - taken
        kept = taken > 0
        pages = old.pages.copy()
        free_pages(self.state, starts[kept], old.pages.ends[kept])
        pages.remove_many(starts[kept], old.pages.ends[kept])
        self.state.allocations[name] = Allocation(name=name, order=old.order, kernel=True, pages=pages)

    # ---- the memmap ----

    def first_unmapped(self, start_pfn: int, nr_pages: int) -> int | None:
        """Return the first pfn of a range whose struct page is not backed, None if all are."""
        starts, _ = self.state.vmemmap.mapped.gaps(start_pfn, start_pfn + nr_pages)
        return int(starts[0]) if len(starts) else None

    def populate(self, start_pfn: int, nr_pages: int, *, leaf_pages: int, nid: int, altmap: Altmap | None) -> None:
        """Back the memmap of a range with leaves of ``leaf_pages`` pages, ascending, as far as memory goes.

        Leaves are naturally aligned in the memmap, so the first and the last may describe pfns
        outside the range. A leaf of which any part is mapped already is left alone. Ask
        :meth:`first_unmapped` afterwards whether anything is missing.
        """
        vmemmap = self.state.vmemmap
        span = leaf_pages * vmemmap.described_per_page
        low, high = start_pfn // span * span, -(-(start_pfn + nr_pages) // span) * span
        starts, ends = vmemmap.mapped.gaps(low, high)
        starts, ends = -(-starts // span) * span, ends // span * span
        kept = ends > starts
        starts, ends = starts[kept], ends[kept]
        if not len(starts):
            return
        source = altmap or self.boot_altmap
        if self.boot_altmap is not None:
            source = self.boot_altmap
        if source is None:
            count = int((ends - starts).sum()) // span
            order = leaf_pages.bit_length() - 1
            runs = pair_runs(starts, ends, *self.alloc(order, count, nid), vmemmap.described_per_page)
            kind = Source.ALLOCATOR
        else:
            runs = _from_altmap(starts, ends, span, leaf_pages, source, start_pfn)
            kind = Source.BOOT if self.boot_altmap is not None else Source.ALTMAP
        if len(runs[0]):
            vmemmap.insert(MapRuns.make(*runs, leaf_pages, kind))

    def unmap(self, starts: Array, ends: Array) -> None:
        """Take down the mappings of the memmap of ascending, disjoint pfn runs; the profile frees the pages."""
        runs = self.state.vmemmap.delete(starts, ends)
        if len(runs):
            self.profile.release_vmemmap(self, runs)

    def vmemmap_populate(self, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
        """Have the architecture back a range's memmap, and check that it did.

        Raises:
            MemoryHotplugError: what the architecture raised, ENOMEM as a rule.
            PluginError: the architecture said it was done and it was not.
        """
        self.plugins.call(
            self.plugins.arch, "vmemmap_populate",
            kernel=self, start_pfn=start_pfn, nr_pages=nr_pages, nid=nid, altmap=altmap,
        )  # fmt: skip
        missing = self.first_unmapped(start_pfn, nr_pages)
        if missing is not None:
            raise self.plugins.blame(self.plugins.arch, f"vmemmap_populate left pfn {missing:#x} without memmap")

    def vmemmap_free(self, start_pfn: int, nr_pages: int) -> None:
        """Have the architecture take down a range's memmap."""
        self.plugins.call(
            self.plugins.arch, "vmemmap_free", kernel=self, start_pfn=start_pfn, nr_pages=nr_pages
        )  # fmt: skip

    def add_pages(self, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        """Give the sections of a range their memmap; for ``arch_add_memory``."""
        self.profile.add_pages(self, start_pfn, nr_pages, nid, restrictions)

    def remove_pages(self, start_pfn: int, nr_pages: int) -> None:
        """Take the sections of a range and their memmap away; for ``arch_remove_memory``."""
        self.profile.remove_pages(self, start_pfn, nr_pages)

    def free_memmap(self, runs: MapRuns) -> None:
        """Give the pages behind mappings back: to the page allocator, and those from boot for the first time.

        Models: arch/x86/mm/init_64.c:free_pagetable() (free_pages(), free_reserved_page() for boot memory).
        """
        for source in (Source.ALLOCATOR, Source.ALTMAP, Source.BOOT):
            pages = self.state.vmemmap.backing(runs[runs.source == source])
            if not pages.total:
                continue
            free_pages(self.state, pages.starts, pages.ends)
            if source is Source.BOOT:
                for zone in self.state.zones():
                    zone.managed += int(zone.linked.covered_many(pages.starts, pages.ends).sum())

    # ---- adding, for drivers ----

    def node_of_address(self, address: int) -> int:
        """Return the node whose span holds an address, else the first online node.

        Models: memory_add_physaddr_to_nid() of the architectures (v5.2).
        """
        pfn = self.geometry.pfn(address)
        for nid, node in self.state.nodes.items():
            low, high = node.span
            if node.online and low <= pfn < high:
                return nid
        return min(nid for nid, node in self.state.nodes.items() if node.online)

    def flags_for(self, request: AddRequest, phys_range: PhysRange) -> int:
        """Return the MHP flags that the request's driver passes for a range, by policy or by scenario."""
        if request.driver in self.flag_override:
            return self.flag_override[request.driver]
        key = self.plugins.driver(request.driver)
        flags: int = self.plugins.ask(key, "mhp_flags", int, kernel=self, request=request, phys_range=phys_range)
        known = 0
        for bit in self.profile.flags.values():
            known |= bit
        if flags & ~known:
            raise self.plugins.blame(key, f"hook mhp_flags answered {flags:#x}, which is not of {self.profile.name}")
        return flags

    def add_range(self, request: AddRequest, phys_range: PhysRange, *, name: str = SYSTEM_RAM) -> None:
        """Add one range for a driver, with the driver's flags.

        Args:
            name: what the range is called in /proc/iomem.

        Models: mm/memory_hotplug.c:__add_memory(), register_memory_resource() (v5.2).
        Raises: MemoryHotplugError: E2BIG, EEXIST, EINVAL, ENOMEM, or what a plugin raised.
        """
        flags = self.flags_for(request, phys_range)
        try:
            self._add_memory(request, phys_range, flags, name)
        except MemoryHotplugError as problem:
            self.add_errors.append(problem)
            self.log(
                "add_failed", device=request.name, start=phys_range.start, size=phys_range.size, errno=problem.name
            )
            raise

    def _add_memory(self, request: AddRequest, phys_range: PhysRange, flags: int, name: str) -> None:
        start, size = phys_range.start, phys_range.size
        index = self.open_device(request)
        nid = phys_range.nid if phys_range.nid is not None else self.node_of_address(start)
        self._check_reach(start, size)
        if size <= 0:
            self.profile.add_memory_resource(self, index, start, size, nid, flags)
            return
        self.state.resources.request(Resource(start=start, end=start + size - 1, name=name, hotplugged=True))
        pfns = self.geometry.pfn(start), self.geometry.pfn(start + size)
        self._note_backing(phys_range, *pfns)
        try:
            self.profile.add_memory_resource(self, index, start, size, nid, flags)
        except MemoryHotplugError:
            self.state.resources.release(start, size)
            self.state.withheld.remove(*pfns)
            self.state.unbacked.remove(*pfns)
            raise
        self._forget_withheld_memmap(*pfns)
        ranges = (*self.state.devices[index].ranges, (start, size))
        self.state.put_device(index, nid=nid, ranges=tuple(sorted(ranges)))

    def _note_backing(self, phys_range: PhysRange, start_pfn: int, end_pfn: int) -> None:
        if phys_range.backed is not None:
            self.state.unbacked.add(start_pfn + phys_range.backed // self.geometry.page_size, end_pfn)
        if phys_range.withheld:
            self.state.withheld.add(end_pfn - phys_range.withheld // self.geometry.page_size, end_pfn)

    def register_group(self, request: AddRequest, nid: int, *, max_pages: int = 0, unit_pages: int = 0) -> None:
        """Put the request's device into a memory group of its own, where the kernel has groups.

        Args:
            max_pages: static group: all pages of the device.
            unit_pages: dynamic group: the unit in which the device grows and shrinks.

        Raises:
            MemoryHotplugError: EINVAL, no such size.
        """
        group = self.profile.register_group(self, nid, max_pages=max_pages, unit_pages=unit_pages)
        self.state.put_device(self.open_device(request), group=group)

    def _forget_withheld_memmap(self, start_pfn: int, end_pfn: int) -> None:
        """Pages that hold memmap never reach the driver, so it cannot withhold them."""
        if self.state.withheld.intersects(start_pfn, end_pfn):
            memmap = self.state.vmemmap.backing_from(Source.ALTMAP)
            self.state.withheld.remove_many(*memmap.clip(start_pfn, end_pfn))

    def open_device(self, request: AddRequest) -> int:
        """Return the index of the request's device, which comes to be with its first range."""
        for index in range(len(self.state.devices) - 1, -1, -1):
            if self.state.devices[index].name == request.name and not self.state.devices[index].closed:
                return index
        self.state.devices.append(Device(name=request.name, driver=request.driver, options=request.options))
        return len(self.state.devices) - 1

    def _check_reach(self, start: int, size: int) -> None:
        end = start + size
        limit = 1 << self.geometry.physical_address_bits
        if end > limit:
            raise MemoryHotplugError(
                errno.E2BIG,
                f"{format_size(size)} at {start:#x} ends beyond {self.geometry.physical_address_bits} "
                f"physical address bits ({format_size(limit)})",
            )

    # ---- notifiers ----

    def notify(self, event: MemoryEvent, start_pfn: int, nr_pages: int, altmap_pages: int = 0) -> None:
        """Tell the notifier chain; the step's veto comes first, then the plugins by name.

        Raises:
            MemoryHotplugError: somebody vetoed.
        """
        if event in self.vetoes:
            raise MemoryHotplugError(self.vetoes[event], f"a notifier vetoed {event.name}")
        notify = MemoryNotify(event=event, start_pfn=start_pfn, nr_pages=nr_pages, altmap_pages=altmap_pages)
        for key in self.plugins.listeners:
            try:
                self.plugins.call(key, "memory_notify", kernel=self, notify=notify)
            except MemoryHotplugError:
                if event in _VETOABLE:
                    raise
                return  # the chain stops here, and the kernel does not look at the answer

    # ---- zones ----

    def free_to_zone(self, zone: Zone, starts: Array, ends: Array) -> int:
        """Hand pages to the buddy allocator for the first time, without what drivers withhold.

        Models: mm/memory_hotplug.c:generic_online_page().
        Returns: the pages that are managed now.
        """
        pages = ExtentSet(starts, ends)
        for kept_out in (self.state.withheld, self.state.holes):
            if kept_out.total:
                pages.remove_many(kept_out.starts, kept_out.ends)
        zone.free.add_many(pages.starts, pages.ends)
        zone.managed += pages.total
        return pages.total

    def link_to_zone(self, zone: Zone, start_pfn: int, end_pfn: int) -> None:
        """Let the struct pages of a range name a zone, and the zone's span cover the range.

        Models: mm/memory_hotplug.c:move_pfn_range_to_zone().
        """
        zone.grow_span(start_pfn, end_pfn)
        for other in self.state.zones():
            if other is not zone:
                other.linked.remove(start_pfn, end_pfn)
        zone.linked.add(start_pfn, end_pfn)

    def describe(self, start: int, size: int) -> str:
        """Return a range of bytes for a message."""
        return format_range(start, size)


def pair_runs(
    starts: Array, ends: Array, low: Array, high: Array, described_per_page: int
) -> tuple[Array, Array, Array]:
    """Lay runs of pages, in order, behind runs of pfns to describe, in order.

    Returns:
        Described start and end, and first page, of each piece; fewer pfns if there are fewer pages.
    """
    need = np.cumsum(ends - starts) // described_per_page
    have = np.cumsum(high - low)
    if not len(have) or not len(need):
        return starts[:0], ends[:0], low[:0]
    cuts = np.unique(np.concatenate(([0], need, have)))
    cuts = cuts[cuts <= min(int(need[-1]), int(have[-1]))]
    first, pages = cuts[:-1], np.diff(cuts)
    in_need = np.searchsorted(need, first, side="right")
    in_have = np.searchsorted(have, first, side="right")
    described = starts[in_need] + (first - (need - (ends - starts) // described_per_page)[in_need]) * described_per_page
    backing = low[in_have] + first - (have - (high - low))[in_have]
    return described, described + pages * described_per_page, backing


def _from_altmap(
    starts: Array, ends: Array, span: int, leaf_pages: int, altmap: Altmap, start_pfn: int
) -> tuple[Array, Array, Array]:
    """Take each leaf of some runs from the window of the altmap that its first pfn of the range lies in."""
    counts = (ends - starts) // span
    before = np.cumsum(counts) - counts
    index = np.repeat(np.arange(len(starts)), counts)
    described = starts[index] + (np.arange(int(counts.sum())) - before[index]) * span
    if altmap.nr_windows == 1:
        window = np.zeros(len(described), dtype=np.int64)
    else:
        window = (np.maximum(described, start_pfn) - altmap.base_pfn) // altmap.window_pages
    backing = altmap.alloc_leaves(window, leaf_pages)
    described = described[: len(backing)]
    return described, described + span, backing
