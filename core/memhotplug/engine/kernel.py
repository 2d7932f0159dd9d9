"""The kernel of one machine: its state, its plugins, and the services that plugins call.

This is the object that hooks get. It offers what the kernel offers to an architecture or a driver:
pages, page tables, memmap mappings, add_memory(), notifiers.
"""

from __future__ import annotations

from collections.abc import Mapping

from memhotplug.contracts import AddRequest, MemoryEvent, MemoryNotify, PhysRange, Restrictions
from memhotplug.engine.event_log import Event, Journal
from memhotplug.engine.memory_hotplug.add_range import add_range, check_reach
from memhotplug.engine.page_tables import PageTables
from memhotplug.engine.profile import KernelProfile
from memhotplug.engine.profile_plugin import profile_in
from memhotplug.engine.scratch import Scratch
from memhotplug.engine.sparse_vmemmap import SparseVmemmap
from memhotplug.errors import MemoryHotplugError
from memhotplug.manager import Plugins
from memhotplug.model.allocator import alloc_pages
from memhotplug.model.altmap import Altmap
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import SYSTEM_RAM
from memhotplug.model.state import Device, MachineState
from memhotplug.model.vm_sysctls import HugePages
from memhotplug.model.zones import Zone
from memhotplug.units import format_range

__all__ = ["Event", "Kernel"]

_VETOABLE = (MemoryEvent.MEM_PREPARE_ONLINE, MemoryEvent.MEM_GOING_ONLINE, MemoryEvent.MEM_GOING_OFFLINE)


class Kernel:
    """One machine as its plugins see it.

    It is made of parts, each with its own methods: ``tables`` makes page tables, ``memmap`` backs struct pages,
    ``journal`` has what happened, ``step`` what is noted while one operation lasts.

    Attributes:
        plugins: architecture, profile and drivers in use.
        profile: the kernel semantics.
        params: kernel command line, by name.
        state: everything that changes.
        tables: page tables of the direct map and of the memmap.
        memmap: what backs the memmap of a range.
        journal: warnings and events, in order.
        step: notes of the operation that is under way.
        sparsemem_vmemmap: whether the memmap is virtually mapped; without it no range hosts its own.
        injected: notifier events that fail until further notice (notifier-error-inject), with the errno.
        recorded: the files that the machine was read from, by path; empty for one that was made up.
        memo: what is worked out once for all copies of the machine.
        flag_override: by driver, the MHP flags that the scenario sets instead of the driver's policy.
        policies: by driver, the policy plugin that decides in the driver's stead; its key for ``plugins``.
        given_names: what devices were called so far, whatever became of them.
        left_out: drivers that this kernel was built without, by plugin name.
        free_is_guessed: whether nothing that is known of the machine tells how much memory is free.
        slots: how many devices can be plugged in, None for any number.

    Args:
        profile: what :func:`profile_in` returned for these plugins, where the caller has asked it already.
    """

    def __init__(
        self, plugins: Plugins, geometry: Geometry, params: Mapping[str, str], profile: KernelProfile | None = None
    ) -> None:
        self.plugins = plugins
        self.geometry = geometry
        self.params = params
        self.profile = profile or profile_in(plugins)
        self.sparsemem_vmemmap = True
        self.injected: dict[MemoryEvent, int] = {}
        self.recorded: Mapping[str, str] = {}
        self.memo: dict[object, object] = {}
        self.flag_override: dict[str, int] = {}
        self.policies: dict[str, str] = {}
        self.given_names: frozenset[str] = frozenset()
        self.left_out: frozenset[str] = frozenset()
        self.free_is_guessed = False
        self.slots: int | None = None
        self.journal = Journal()
        self.step = Scratch()
        self.state = MachineState(geometry, self.profile.new_state(self))
        self.tables = PageTables(self.state)
        self.memmap = SparseVmemmap(self.tables)
        self.state.movable_shares_marks = self.profile.movable_shares_marks
        if params.get("transparent_hugepage") == HugePages.NEVER.value:
            self.state.huge_pages = HugePages.NEVER

    def __repr__(self) -> str:
        return f"<Kernel {self.profile.name} on {self.plugins.arch.partition(':')[2]}: {self.state.blocks!r}>"

    def copy(self) -> Kernel:
        """Return an independent kernel that shares plugins and arrays."""
        twin = Kernel.__new__(Kernel)
        twin.__dict__.update(self.__dict__)
        twin.journal, twin.step = self.journal.copy(), self.step.copy()
        twin.flag_override, twin.policies = self.flag_override.copy(), self.policies.copy()
        twin.injected = self.injected.copy()
        twin.state = self.state.copy()
        twin.tables = PageTables(twin.state, self.tables.boot_altmap)
        twin.memmap = SparseVmemmap(twin.tables)
        return twin

    def restore(self, saved: Kernel) -> None:
        """Become what :meth:`copy` returned earlier."""
        self.__dict__.update(saved.__dict__)

    # ---- what is known of the machine ----

    @property
    def version(self) -> tuple[int, int]:
        """The kernel version that is modelled."""
        return self.profile.version

    def has(self, feature: str) -> bool:
        """Return whether this kernel has a feature, by its name in the one table of them.

        Raises:
            ValueError: there is no feature of that name.
        """
        return self.profile.has(feature)

    @property
    def arch(self) -> str:
        """The architecture plugin's name."""
        return self.plugins.arch.partition(":")[2]

    def flag(self, name: str) -> int:
        """Return the bit of an MHP flag by short or kernel name, 0 where this kernel does not have it."""
        name = self.profile.short_flags.get(name, name)
        return self.profile.flags.get(name, 0) or self.profile.flag_masks.get(name, 0)

    def warn(self, text: str) -> None:
        """Record what the kernel would print as a warning."""
        self.journal.warn(text)

    def log(self, event: str, **data: object) -> None:
        """Record one event; ``data`` must be plain values, with units in the keys."""
        self.journal.events.append({"event": event, **data})  # as Journal.log(), at half the price

    # ---- pages ----

    def alloc(self, order: int, count: int, nid: int) -> tuple[Array, Array]:
        """Allocate up to ``count`` kernel chunks of 2**order pages near ``nid``; runs in allocation order."""
        return alloc_pages(self.state, order, count, nid=nid).arrays

    # ---- the memmap ----

    def unmap(self, starts: Array | list[int], ends: Array | list[int]) -> None:
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
        missing = self.memmap.first_unmapped(start_pfn, nr_pages)
        if missing is not None:
            raise self.plugins.blame(self.plugins.arch, f"vmemmap_populate left pfn {missing:#x} without memmap")

    def vmemmap_free(self, start_pfn: int, nr_pages: int) -> None:
        """Have the architecture take down a range's memmap."""
        self.plugins.call(self.plugins.arch, "vmemmap_free", kernel=self, start_pfn=start_pfn, nr_pages=nr_pages)

    def altmap_serves(self, nr_pages: int) -> bool:
        """Return whether the architecture takes the memmap of an altmap of ``nr_pages`` from that altmap."""
        if not self.plugins.has(self.plugins.arch, "altmap_serves"):
            return True
        serves: bool = self.plugins.ask(self.plugins.arch, "altmap_serves", bool, kernel=self, nr_pages=nr_pages)
        return serves

    def arch_remove_memory(self, start_pfn: int, nr_pages: int) -> None:
        """Have the architecture remove a range, and check that it did.

        Raises:
            PluginError: sections of the range are still there, or others went with them.
        """
        sections, end_pfn = self.state.sections, start_pfn + nr_pages
        others = sections.total - sections.covered(start_pfn, end_pfn)
        self.plugins.call(self.plugins.arch, "arch_remove_memory", kernel=self, start_pfn=start_pfn, nr_pages=nr_pages)
        left = self.state.sections.first_from(start_pfn)
        if left is not None and left < end_pfn:
            raise self.plugins.blame(self.plugins.arch, f"arch_remove_memory left the section at pfn {left:#x}")
        if self.state.sections.total != others:
            raise self.plugins.blame(self.plugins.arch, "arch_remove_memory removed sections outside of the range")

    def add_pages(self, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        """Give the sections of a range their memmap; for ``arch_add_memory``.

        Raises:
            MemoryHotplugError: what the profile raised.
            PluginError: the profile said it was done and it was not.
        """
        self.profile.add_pages(self, start_pfn, nr_pages, nid, restrictions)
        if not self.state.sections.contains(start_pfn, start_pfn + nr_pages):
            raise self.plugins.blame(self.plugins.profile, "add_pages did not add all sections of the range")

    def remove_pages(self, start_pfn: int, nr_pages: int) -> None:
        """Take the sections of a range and their memmap away; for ``arch_remove_memory``.

        Raises:
            PluginError: the profile said it was done and it was not.
        """
        self.profile.remove_pages(self, start_pfn, nr_pages)
        left = self.state.sections.first_from(start_pfn)
        if left is not None and left < start_pfn + nr_pages:
            raise self.plugins.blame(self.plugins.profile, f"remove_pages left the section at pfn {left:#x}")

    # ---- adding, for drivers ----

    def node_of_address(self, address: int) -> int:
        """Return the node whose span holds an address, else the first online node.

        Models: memory_add_physaddr_to_nid() of the architectures (v5.2).
        """
        pfn = self.geometry.pfn(address)
        online = {nid: node for nid, node in self.state.nodes.items() if node.online}
        for nid, node in online.items():
            low, high = node.span
            if low <= pfn < high:
                return nid
        return min(online)

    def add_range(self, request: AddRequest, phys_range: PhysRange, *, name: str = SYSTEM_RAM) -> None:
        """Add one range for a driver, with the driver's flags.

        Args:
            name: what the range is called in /proc/iomem.

        Models: mm/memory_hotplug.c:__add_memory() (v5.2).
        Raises: MemoryHotplugError: E2BIG, EEXIST, EINVAL, ENOMEM, or what a plugin raised.
        """
        add_range(self, request, phys_range, name)

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

    def open_device(self, request: AddRequest) -> int:
        """Return the index of the request's device, which comes to be with its first range."""
        index = self.state.youngest(request.name, lambda device: not device.closed)
        if index is not None:
            return index
        slot = self.state.free_slot(request.driver)
        self.state.devices.append(Device(name=request.name, driver=request.driver, options=request.options, slot=slot))
        return len(self.state.devices) - 1

    def check_reach(self, start: int, size: int) -> None:
        """Refuse what ends beyond the address space, before it is cut into many pieces.

        Raises:
            MemoryHotplugError: E2BIG.
        """
        check_reach(self, start, size)

    # ---- notifiers ----

    def notify(self, event: MemoryEvent, start_pfn: int, nr_pages: int, altmap_pages: int = 0) -> None:
        """Tell the notifier chain; the step's veto comes first, then the plugins by name.

        Raises:
            MemoryHotplugError: somebody vetoed.
        """
        if event in self.step.vetoes:
            raise MemoryHotplugError(self.step.vetoes[event], f"a notifier vetoed {event.name}")
        if event in self.injected:
            raise MemoryHotplugError(self.injected[event], f"notifier-error-inject vetoed {event.name}")
        if not self.plugins.listeners:
            return
        notify = MemoryNotify(event=event, start_pfn=start_pfn, nr_pages=nr_pages, altmap_pages=altmap_pages)
        for key in [key for key in self.plugins.listeners if self._is_used(key)]:
            try:
                self.plugins.call(key, "memory_notify", kernel=self, notify=notify)
            except MemoryHotplugError:
                if event in _VETOABLE:
                    raise
                return  # the chain stops here, and the kernel does not look at the answer

    def _is_used(self, key: str) -> bool:
        """Return whether this machine uses a plugin; copies share theirs, and another copy may use more drivers."""
        if key in (self.plugins.arch, self.plugins.profile) or key in self.policies.values():
            return True
        kind, _, name = key.partition(":")
        return kind == "drivers" and any(device.driver == name for device in self.state.devices)

    # ---- zones ----

    def free_to_zone(self, zone: Zone, starts: Array, ends: Array) -> int:
        """Hand pages to the buddy allocator for the first time, without what drivers withhold.

        Models: mm/memory_hotplug.c:generic_online_page().
        Returns: the pages that are managed now.
        """
        return self.generic_online_pages(zone, ExtentSet(starts, ends))

    def generic_online_pages(self, zone: Zone, pages: ExtentSet) -> int:
        """Do what :meth:`free_to_zone` does with a set, which is changed."""
        for kept_out in (self.state.withheld, self.state.holes):
            pages.difference_update(kept_out)
        zone.free.update(pages)
        zone.managed += pages.total
        return pages.total

    def link_to_zone(self, zone: Zone, start_pfn: int, end_pfn: int) -> None:
        """Let the struct pages of a range name a zone, and the zone's span cover the range.

        They are initialised anew, so that a page that was given up as broken is forgotten to be.

        Models: mm/memory_hotplug.c:move_pfn_range_to_zone().
        """
        zone.grow_span(start_pfn, end_pfn)
        for other in self.state.zones():
            if other is not zone and other.linked.total:
                other.linked.remove(start_pfn, end_pfn)
        zone.linked.add(start_pfn, end_pfn)
        self.state.poisoned.remove(start_pfn, end_pfn)

    def describe(self, start: int, size: int) -> str:
        """Return a range of bytes for a message."""
        return format_range(start, size)
