"""The hook specifications: every question that the core asks a plugin.

Hooks bear the kernel's names where the kernel has the function. They get ranges, never single
pages, and are called by keyword. A refusal is a :class:`memhotplug.MemoryHotplugError` with the
errno that the kernel would return; any other exception is reported as the plugin's fault.

A machine uses the chosen architecture, the profile, and the drivers that it met so far.
Architecture and profile hooks have one implementation each; driver hooks are called for one driver
at a time; ``memory_notify`` is called for every plugin, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

from memhotplug.contracts import (
    AddRequest,
    ArchTraits,
    DriverTraits,
    MemoryNotify,
    PhysRange,
    RecordedDevice,
    Restrictions,
    SizingRequest,
    SysfsFile,
    ZoneLimit,
)
from memhotplug.keyspec import KeySpec

if TYPE_CHECKING:
    from memhotplug.engine.kernel import Kernel
    from memhotplug.engine.profile import KernelProfile
    from memhotplug.model.altmap import Altmap
    from memhotplug.model.geometry import Geometry

__all__ = ["PROJECT", "ArchSpec", "DriverSpec", "NotifierSpec", "PolicySpec", "ProfileSpec", "hookimpl", "hookspec"]

PROJECT = "memhotplug"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ArchSpec:
    """What an architecture plugin answers (entry point group ``memhotplug.arch``)."""

    @hookspec(firstresult=True)
    def arch_traits(self) -> ArchTraits:
        """Return what is true of every machine of the architecture: its names, drivers, page sizes, MMUs.

        Optional; without it the defaults of :class:`ArchTraits` hold, which claim nothing. Nothing else tells the
        commands and formats about an architecture.

        Called: before any machine exists, also for architectures that nobody asked about; it must be quick and depend
            on nothing.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def machine_keys(self) -> Mapping[str, KeySpec]:
        """Return the keys of ``machine`` that only this architecture has, by name, as ``driver_keys`` does for ``add``.

        Optional. The values arrive in ``SizingRequest.options``.

        Called: when a scenario that names the architecture is read.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def page_sizing(self, request: SizingRequest) -> Geometry:
        """Return page, section, memory block, struct page and leaf sizes.

        Called: once, before anything else, when a machine boots.
        Args:
            request: kernel version, boot memory, and what the user asked for: sizes, address bits, the architecture's
                own keys, the command line.
        Raises: InputError: the user asked for what the architecture does not have.
        Models: include/asm/sparsemem.h and memory_block_size_bytes() of the architecture.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def zone_limits(self, geometry: Geometry) -> Sequence[ZoneLimit]:
        """Return the kernel zones, ascending, each with the first pfn behind it.

        Called: once at boot. The last one must be Normal.
        Models: free_area_init_nodes(max_zone_pfns) as the architecture calls it.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def boot_base(self, geometry: Geometry) -> int:
        """Return the physical address in bytes at which boot memory begins.

        Called: once at boot, when memory is given by size.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def vmemmap_populate(self, kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
        """Back the memmap of [start_pfn, start_pfn + nr_pages).

        What is mapped already is left alone. Use ``kernel.memmap.populate()`` for the data pages and
        ``kernel.tables.ensure()`` for page tables, which always come from the page allocator. A hook that returns
        without having backed everything is blamed.

        Called: for boot memory, and once for each hot-added range, however many sections it has.
        Args:
            altmap: take the data pages from there; None means from the page allocator.
        Raises: MemoryHotplugError: ENOMEM, the range is not wholly backed; what is done stays, and the caller decides
            what becomes of it.
        Models: vmemmap_populate() of the architecture.
        """

    @hookspec(firstresult=True)
    def vmemmap_free(self, kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
        """Unmap the memmap of [start_pfn, start_pfn + nr_pages), whose sections are gone already.

        Use ``kernel.unmap()``; a leaf that describes a section that is still there has to stay.

        Called: at removal.
        Models: vmemmap_free() of the architecture.
        """

    @hookspec(firstresult=True)
    def arch_add_memory(
        self, kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions
    ) -> None:
        """Map the range into the kernel's direct map and call ``kernel.add_pages()``.

        Args:
            restrictions: the flags that are left after filtering, an altmap, and the step in which the kernel goes
                through the range; an architecture may change them, as s390 does.
        Raises: MemoryHotplugError: ENOMEM, ERANGE, EINVAL, EFAULT as the architecture has it.
        Models: arch_add_memory() of the architecture.
        """

    @hookspec(firstresult=True)
    def arch_remove_memory(self, kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
        """Call ``kernel.remove_pages()`` and take the range out of the direct map; it cannot fail.

        Models: arch_remove_memory() of the architecture.
        """

    @hookspec(firstresult=True)
    def create_mapping(self, kernel: Kernel, start_pfn: int, nr_pages: int, nid: int) -> None:
        """Note the page tables that the direct map of boot memory has, so that a hot-add next to it does not pay again.

        Optional; without it no page tables are counted for boot memory. ``kernel.tables.ensure()`` takes no pages then.

        Called: once for each range of boot memory.
        """

    @hookspec(firstresult=True)
    def supports_memmap_on_memory(self, kernel: Kernel, memmap_bytes: int) -> bool:
        """Return whether a block whose memmap has ``memmap_bytes`` bytes may host it.

        With 0 bytes the question is another: whether the architecture's kernel has the parameter memmap_on_memory.

        Called: by the profiles of Linux 5.13 and later; the 2019 series never asks.
        Models: arch_supports_memmap_on_memory() (v6.6); before it, the PMD rule of
            mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13).
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def altmap_serves(self, kernel: Kernel, nr_pages: int) -> bool:
        """Return whether ``vmemmap_populate`` takes the memmap of an altmap of ``nr_pages`` from that altmap.

        Optional; without it, it always does. What a self-hosting block sets aside must then hold its memmap.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def arch_report_meminfo(self, kernel: Kernel) -> str:
        """Return the architecture's own lines at the end of /proc/meminfo, newlines included.

        Optional; without it there are none. Called: each time that the file is read.
        Models: arch_report_meminfo() of the architecture.
        """
        raise NotImplementedError


class ProfileSpec:
    """What a profile plugin answers (entry point group ``memhotplug.profiles``)."""

    @hookspec(firstresult=True)
    def kernel_profile(self) -> KernelProfile:
        """Return the kernel semantics that this plugin models: an object of a subclass of :class:`KernelProfile`.

        Its methods are the steps on which kernels differ. It keeps no state between machines: what the kernel remembers
        belongs into what its ``new_state()`` returns.

        Called: once a machine.
        """
        raise NotImplementedError


class DriverSpec:
    """What a driver plugin answers (entry point group ``memhotplug.drivers``)."""

    @hookspec(firstresult=True)
    def driver_traits(self) -> DriverTraits:
        """Return what is true of the driver: where it exists, what it waits for, its unit, its other names.

        Optional; without it the defaults of :class:`DriverTraits` hold: it exists everywhere, adds whole memory
        blocks and waits for nothing. Where a driver does not exist every command gives the same answer: the add fails
        with ``absence_errno``, so that a scenario may expect it.

        Called: before any machine exists, also for drivers that nobody asked about; it must be quick and depend on
        nothing.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def driver_keys(self) -> Mapping[str, KeySpec]:
        """Return the keys of an ``add`` step that only this driver has, by name.

        The scenario format, its JSON Schema and the messages for bad values are made from it.

        Called: when a scenario that names the driver is read, before any machine exists.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def driver_ranges(self, kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
        """Return the ranges that a request makes the driver add, in the order in which it adds them.

        A :class:`PhysRange` may say that the hypervisor backs only its beginning (``backed``) and that the driver
        keeps its end from the page allocator (``withheld``). A driver that adds in many small chunks answers with
        ``LazyRanges(source, make)``, which makes each when its turn comes.

        Raises: MemoryHotplugError: the driver refuses the request as a whole.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def mhp_flags(self, kernel: Kernel, request: AddRequest, phys_range: PhysRange) -> int:
        """Return the MHP flags that the driver passes for a range: its policy.

        ``kernel.flag("device")`` gives a bit by its short or kernel name, 0 where the profile does not have it; a bit
        that the profile does not know is refused.

        Called: once for each range, unless the scenario sets the flags.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def driver_add(self, kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
        """Add the ranges, one ``kernel.add_range()`` each, and return what the driver made of it.

        Optional; without it the ranges are added in order and the first error ends the step. The step's errno is the
        first error of ``kernel.add_range()`` whatever is returned here.

        Returns: a word or sentence for ``driver_result``, None for success.
        """

    @hookspec(firstresult=True)
    def driver_resize(self, kernel: Kernel, name: str, size: int) -> str | None:
        """Give a device another size in bytes: add what is missing or take out what is too much; 0 takes all.

        Optional; without it a device keeps the size that it came with (EOPNOTSUPP). The first error of
        ``kernel.add_range()`` is that of the step.

        Returns: a word or sentence for ``driver_result``, None for success.
        Raises: MemoryHotplugError: the device does not reach that size; what came or went stays.
        """

    @hookspec(firstresult=True)
    def driver_recognise(self, kernel: Kernel, device: RecordedDevice) -> str | None:
        """Take over a device that a recorded machine has had for a while, with its blocks as they are.

        Optional; without it the device is one that cannot change its size, and a static memory group where
        ``driver_traits`` says so. What its online blocks lack is noted in ``kernel.state.withheld``;
        ``join_group(kernel, device.index, unit_pages=…)`` makes its blocks a dynamic group.

        Called: when a machine is read whose /proc/iomem has memory of the driver's ``managed_name``, or a range that
            fits its ``regions``; zones have no pages yet.
        Args:
            device: what /proc/iomem, zones, page flags and the kernel's log say.
        Returns: what it had to assume, as a clause that stands among the machine's warnings; None for nothing.
        """

    @hookspec(firstresult=True)
    def driver_eject(self, kernel: Kernel, name: str) -> str | None:
        """Take the device out again: offline what is online, then remove.

        Optional; without it two passes offline the device's blocks, and what was offlined comes
        back by a plain online if one stays online (EBUSY).
        """

    @hookspec(firstresult=True)
    def driver_eject_blocks(self, kernel: Kernel, name: str, blocks: Sequence[int]) -> str | None:
        """Take some memory blocks out of a device that stays: ids, ascending, all of this device.

        Optional; without it a device goes as a whole (EOPNOTSUPP).
        Returns: a word or sentence for ``driver_result``, None for success.
        Raises: MemoryHotplugError: a block stays.
        """


class PolicySpec:
    """What a policy plugin answers (entry point group ``memhotplug.policies``)."""

    @hookspec(firstresult=True)
    def policy_mhp_flags(self, kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
        """Return the MHP flags for a range of an existing driver, in place of the driver's own answer.

        A bit that the profile does not have is the policy's fault. A policy decides, and changes nothing.

        Called: once for each range of a driver that the scenario puts under this policy, after the driver's
            ``mhp_flags``.
        Args:
            kernel: a copy of the machine.
            driver_flags: what the driver's own ``mhp_flags`` answered; return it to leave the decision alone.
        """
        raise NotImplementedError


class NotifierSpec:
    """What any plugin may listen to, and what it may add to the modelled /sys."""

    @hookspec(firstresult=True)
    def sysfs_files(self, kernel: Kernel) -> Sequence[SysfsFile]:
        """Return the files that the plugin has below /sys, /proc or /dev: attributes of its devices, firmware's tables.

        Optional. A :class:`SysfsFile` is what DEVICE_ATTR() declares. Steps, ``mhp exec``, ``mhp mount`` and ``mhp
        export`` all see it (no nodes in an export). Built-in examples: the dax bus, and /sys/firmware/memory of s390.

        Called: once for each plugin that takes part in the machine: a driver from its first add on, and one that the
            architecture names as ``resident`` from boot on.
        """
        raise NotImplementedError

    @hookspec
    def memory_notify(self, kernel: Kernel, notify: MemoryNotify) -> None:
        """Learn that blocks go online or offline, or refuse it.

        A plugin of any kind may have it, beside the hooks that its kind requires. On ``MEM_PREPARE_ONLINE``,
        ``MEM_GOING_ONLINE`` and ``MEM_GOING_OFFLINE`` a raised MemoryHotplugError is a veto, and the CANCEL event
        follows; on every other event the chain stops there, and nobody looks at the answer. A veto of the scenario
        comes before all plugins.

        Called: for every plugin that the machine uses, a driver from its first device on, in the order of their names.
        Models: the memory notifier chain (drivers/base/memory.c:memory_notify()).
        """
