"""What a kernel profile is: the memory hotplug semantics of one kernel, behind one interface.

A profile is a plugin. The engine asks it for every step on which kernels differ; what they share
lives in the engine, once.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING

from memhotplug import features
from memhotplug.citations import models
from memhotplug.contracts import Restrictions
from memhotplug.errors import MemoryHotplugError
from memhotplug.lazy import np
from memhotplug.model.blocks import OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.state import ProfileState
from memhotplug.model.vmemmap import MapRuns
from memhotplug.model.zones import Zone

if TYPE_CHECKING:
    import numpy.typing as npt

    from memhotplug.engine.kernel import Kernel
    from memhotplug.engine.views.struct_page import PageArray

__all__ = ["STEPS", "KernelProfile"]


class KernelProfile:
    """The semantics of one kernel. A subclass must keep no state of its own.

    Its public methods are the steps on which kernels differ, and there are no others: what a
    subclass adds for itself begins with an underscore.

    Attributes:
        name: the plugin's name, which the machine that the object belongs to fills in.

    Class attributes:
        version: the kernel version that architectures and drivers go by.
        flags: bit of each MHP flag, by its kernel name.
        short_flags: kernel name of each short name that YAML accepts.
        flag_masks: bits of each kernel name that stands for several flags.
        auto_online_types: what memhp_default_state and auto_online_blocks accept.
        movable_shares_marks: whether min_free_kbytes is shared out among Movable zones too.
        event_names: the memory notifier events that this kernel has.
    """

    name: str
    version: tuple[int, int]
    flags: Mapping[str, int]
    short_flags: Mapping[str, str]
    flag_masks: Mapping[str, int] = MappingProxyType({})
    auto_online_types: tuple[OnlineType, ...] = tuple(OnlineType)
    movable_shares_marks: bool = False
    event_names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'name', 'without a name')}>"

    def new_state(self, kernel: Kernel) -> ProfileState:
        """Return what the kernel remembers of a machine, an object with a ``copy()``; ``kernel.params`` has the command
        line.

        Called: when a machine boots, and on a copy to see how parameters would be read.
        Raises: InputError: a user got a parameter wrong.
        """
        raise NotImplementedError

    def has(self, feature: str) -> bool:
        """Return whether this kernel has a feature; by default the version decides.

        A profile answers otherwise for a kernel with a backport.

        Called: by the engine, architectures and drivers, through ``kernel.has()``, for each feature that came with a
            release.
        Raises: ValueError: there is no feature of that name.
        """
        return features.has(feature, self.version)

    def filter_flags(self, kernel: Kernel, flags: int) -> int:
        """Return the flags that are left of what a driver passed, all of them by default.

        What it warns about goes through ``kernel.warn()``.

        Called: once for each range that is added, before anything is changed.
        """
        return flags

    @models("mm/memory_hotplug.c:mhp_supports_memmap_on_memory()")
    def memmap_on_memory_refusal(self, kernel: Kernel, size: int | None = None) -> str | None:
        """Return why a range of ``size`` bytes (None: one block) cannot host its memmap, None if it can.

        By default this kernel has no such thing.

        Called: when a range is added with the flag, by drivers that ask before they pass it, and by ``explain`` and
            ``align``.
        Models: mm/memory_hotplug.c:mhp_supports_memmap_on_memory(), for kernels that have it.
        """
        return "this kernel has no memmap_on_memory"

    def register_group(
        self, kernel: Kernel, nid: int, *, max_pages: int = 0, unit_pages: int = 0, present_kernel: int = 0,
        present_movable: int = 0,
    ) -> int:  # fmt: skip
        """Register a static or a dynamic memory group and return its id; -1 where groups do not exist, the default.

        Called: when a driver puts a device into a memory group (``kernel.register_group()``).
        Args:
            max_pages: static: all pages of the device.
            unit_pages: dynamic: the unit in which it changes.
            present_kernel, present_movable: its pages that are online already, of a machine in mid-life.
        Raises: MemoryHotplugError: EINVAL, a size that cannot be.
        """
        return -1

    def add_memory_resource(self, kernel: Kernel, device: int, start: int, size: int, nid: int, flags: int) -> None:
        """Add node, memmap and blocks of a range of ``size`` bytes, and bring them online if the policy says so.

        Called: for each range, when its resource in /proc/iomem is claimed.
        Args:
            device: the index that the blocks get.
            flags: what the driver passed.
        Models: mm/memory_hotplug.c:add_memory_resource().
        Raises: MemoryHotplugError: what this kernel leaves behind is in ``leaks``.
        """
        raise NotImplementedError

    def add_pages(self, kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        """Give the sections of a range their memmap.

        Called: by the architecture's ``arch_add_memory`` through ``kernel.add_pages()``.
        Models: mm/memory_hotplug.c:__add_pages().
        """
        raise NotImplementedError

    def remove_pages(self, kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
        """Take the sections of a range and their memmap away; it cannot fail.

        Called: by ``arch_remove_memory`` through ``kernel.remove_pages()``.
        Models: mm/memory_hotplug.c:__remove_pages().
        """
        raise NotImplementedError

    def zone_for_rows(self, kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
        """Return the zone that the first of some neighbouring offline blocks goes to, and for how many it is the same.

        The count is of blocks from the first on, if they are onlined one after the other.

        Called: before blocks go online, and to read ``valid_zones``.
        Models: mm/memory_hotplug.c:zone_for_pfn_range().
        """
        raise NotImplementedError

    def zone_keys(self, kernel: Kernel) -> Sequence[Array]:
        """Return what the zone of an offline block hangs on, besides its node, its memory group and where zones begin
        and end: columns, int64, shape (blocks,).

        Of blocks that are alike in all of it one is asked. By default none is like another, which is always right, and
        slow on machines with very many offline blocks. A class that has a ``zone_for_rows`` of its own and says nothing
        here gets this default, whatever the class says that it is based on.

        Called: to describe all blocks of a machine.
        """
        return (kernel.state.blocks.id,)

    def online(self, kernel: Kernel, rows: slice, zone: Zone) -> None:
        """Online neighbouring offline blocks into one zone; a veto leaves them offline.

        Called: for each run of neighbouring blocks that go to one zone.
        Models: mm/memory_hotplug.c:online_pages().
        """
        raise NotImplementedError

    def offline(self, kernel: Kernel, rows: slice) -> None:
        """Take neighbouring online blocks of one zone offline; what fails leaves them online.

        Called: for each run of neighbouring online blocks of one zone.
        Models: mm/memory_hotplug.c:offline_pages().
        """
        raise NotImplementedError

    def remove(self, kernel: Kernel, start: int, size: int) -> None:
        """Remove a range of ``size`` bytes.

        Called: by remove_memory(), when all blocks of the range are known to be offline.
        Models: mm/memory_hotplug.c:try_remove_memory().
        """
        raise NotImplementedError

    def release_vmemmap(self, kernel: Kernel, runs: MapRuns) -> None:
        """Decide what becomes of the pages behind mappings of the memmap.

        Called: when the mappings were taken down.
        """
        raise NotImplementedError

    def removable(self, kernel: Kernel, rows: slice) -> npt.NDArray[np.bool_]:
        """Return what the ``removable`` attribute of some blocks reads; bool, shape (n,).

        Called: to read the attribute, for the table of a run, and by ``conform``.
        """
        raise NotImplementedError

    def root_attributes(self, kernel: Kernel) -> Mapping[str, str]:
        """Return the profile's own files below /sys/devices/system/memory, with what they read.

        Called: when a file there is read that not every kernel has.
        """
        return {}

    def write_root_attribute(self, kernel: Kernel, name: str, value: str, *, capable: bool) -> bool:
        """Write one of the profile's own files; return whether it has such a file.

        Called: when a file below /sys/devices/system/memory is written.
        Raises: MemoryHotplugError: as the kernel answers.
        """
        return False

    def module_parameters(self, kernel: Kernel) -> Mapping[str, str]:
        """Return /sys/module/memory_hotplug/parameters, with what each file reads.

        Called: when one is read, and by every command that asks what the parameters are.
        """
        return {}

    def parameter_files(self, kernel: Kernel) -> Mapping[str, int]:
        """Return the mode of each file in /sys/module/memory_hotplug/parameters: 0444 or, by default, 0644.

        Called: when somebody looks at the machine's files.
        """
        return dict.fromkeys(self.module_parameters(kernel), 0o644)

    def write_module_parameter(self, kernel: Kernel, name: str, value: str) -> None:
        """Write a module parameter; by default there is none.

        Called: when one is written.
        Raises: MemoryHotplugError: ENOENT, EACCES for what is read-only, EINVAL for a wrong word.
        """
        raise MemoryHotplugError(errno.ENOENT, f"there is no parameter {name!r}")

    def switches(self, kernel: Kernel) -> Mapping[str, Sequence[str]]:
        """Return what can be switched while the machine runs: the file's path, and the words that would change it.

        Called: by ``check``.
        """
        return {}

    def project(self, kernel: Kernel, pages: PageArray, start_pfn: int) -> None:
        """Write into ``pages``, struct pages from ``start_pfn`` on, what only this profile knows of them.

        Called: when struct pages are looked at.
        """

    def heads(self, kernel: Kernel) -> Iterator[dict[str, object]]:
        """Yield the entries of the JSON key ``vmemmap``, ascending.

        Called: for the JSON document.
        """
        raise NotImplementedError

    def violations(self, kernel: Kernel) -> Iterator[str]:
        """Yield the profile's own broken invariants, one sentence each.

        Called: after every step.
        """
        yield from ()

    def describe_flags(self, flags: int) -> str:
        """Return flags by their kernel names.

        Called: for messages and events.
        """
        names = [name for name, bit in self.flags.items() if flags & bit]
        return "|".join(names) or "MHP_NONE"


STEPS: frozenset[str] = frozenset(
    name for name, member in vars(KernelProfile).items() if isinstance(member, FunctionType) and name[0] != "_"
)
"""The names of the steps."""
