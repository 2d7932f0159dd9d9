"""The records that cross the border between the core and a plugin."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntFlag
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload

from memhotplug import features

if TYPE_CHECKING:
    from memhotplug.engine.kernel import Kernel
    from memhotplug.model.altmap import Altmap
    from memhotplug.model.extents import Array, ExtentSet
    from memhotplug.model.zones import ZoneKey, ZoneKind

__all__ = [
    "AddRequest",
    "ArchTraits",
    "BootRange",
    "DriverTraits",
    "LazyRanges",
    "MemoryEvent",
    "MemoryNotify",
    "PageFlag",
    "PhysRange",
    "RecordedDevice",
    "Restrictions",
    "SizesAsked",
    "SizingRequest",
    "SysfsFile",
    "Write",
    "ZoneLimit",
    "sizes_of",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchTraits:
    """What is true of every machine of an architecture; each attribute has a default that claims nothing.

    Attributes:
        aliases: what else people, distributions and ``uname -m`` call it.
        drivers: the drivers that its machines have, the usual one first. A driver of this list exists here even
            where the driver itself does not know the architecture.
        resident: those of these drivers that take part in a machine from boot on, whether or not it asks them for
            anything, since they have files below /sys.
        page_sizes: the base page sizes in bytes that it offers, the usual one first.
        mmus: the MMUs between which its machines have a choice, the usual one first: name, and the words on the
            command line that ask for it. Empty without a choice.
        largest_leaf: bytes that one leaf of the direct map maps at most.
        zones: the zones that lie at fixed addresses on every machine: name, first byte, first byte behind.
        boot_holes: bytes, half-open, that are memory on no machine.
        firmware_holes: the same for a machine whose firmware keeps what firmware usually keeps.
        hole_end: where the hole for devices ends that a machine may have in its memory; 0 where none has.
        log_signs: regular expressions for lines that no other architecture's kernel logs.
        config: the parts of the configuration that its distribution kernels are built with, each with the first
            version: NUMA, ZONE_DEVICE, CMA, HUGETLB_PAGE, MEMORY_FAILURE, NUMA_BALANCING, UNACCEPTED_MEMORY,
            CRASH_HOTPLUG. They decide which files there are below /sys and /proc, and their lines, and nothing else.
        is_assumed: whether a command assumes it where nobody says which architecture is meant.
    """

    aliases: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    resident: tuple[str, ...] = ()
    page_sizes: tuple[int, ...] = (4 << 10,)
    mmus: Mapping[str, str] = field(default_factory=dict)
    largest_leaf: int = 1 << 30
    zones: tuple[tuple[str, int, int], ...] = ()
    boot_holes: tuple[tuple[int, int], ...] = ()
    firmware_holes: tuple[tuple[int, int], ...] = ()
    hole_end: int = 0
    log_signs: tuple[str, ...] = ()
    config: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    is_assumed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverTraits:
    """What is true of a driver, whatever it is asked to add; each attribute has a default for a plain driver.

    Attributes:
        aliases: what else people call it, such as its module.
        arches: the architectures that it exists on, each with the first kernel version that has it there; ``(0, 0)``
            if all modelled ones have. None: it exists everywhere.
        absence: why it exists nowhere else, as a clause that follows "there is no NAME on ARCH: ".
        absence_errno: the errno of an attempt to use it there.
        waits: whether it waits for each range to be onlined before it adds the next.
        onlines: whether it brings each range online itself before it adds the next, whatever the policy says.
        rolls_back: whether a range that cannot be added has it take the ranges before it away again.
        static_group: whether each of its devices is a static memory group (memory_group_register_static()).
        own_unit: whether it adds parts of memory blocks, in a unit of its own.
        room_key: its own key of ``add`` that says how large the device may grow; a device of many ranges is then
            played piece by piece. None if it has no such key.
        windows: regular expressions for the beginning of names in /proc/iomem that are ranges of which it could make
            memory; one inside another counts.
        advising_windows: those of them whose alignment firmware's tables advise as the memory block size.
        devices: the same for names that are devices of which it makes memory; the outermost counts, and the window
            that it lies in does not.
        managed_name: what its memory is called in /proc/iomem where it is not plain System RAM
            (add_memory_driver_managed()); a recorded machine's memory of that name is its.
        regions: regular expressions for names in /proc/iomem that are ranges which it claims for itself before any
            memory is in them; a recorded machine has a device of its for each.
        qemu_devices: the device models of QEMU that it drives, each with the keys of ``add`` for the model's
            properties; ``memdev`` stands for the size of the memory backend. A model with ``requested-size`` can
            change its size.
        attribute: the file below /sys/devices/system that makes it add one memory block at the address that is
            written there; None if it has none.
        opt_in: the architectures on which distributions build their kernels without it: a recorded machine has it
            there only if it shows its attribute. A modelled boot stands for a kernel that was built with it.
    """

    aliases: tuple[str, ...] = ()
    arches: Mapping[str, tuple[int, int]] | None = None
    absence: str = "no kernel has it there"
    absence_errno: int = errno.ENODEV
    waits: bool = False
    onlines: bool = False
    rolls_back: bool = False
    static_group: bool = False
    own_unit: bool = False
    room_key: str | None = None
    windows: tuple[str, ...] = ()
    advising_windows: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    managed_name: str | None = None
    regions: tuple[str, ...] = ()
    qemu_devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    attribute: str | None = None
    opt_in: tuple[str, ...] = ()

    @property
    def block_by_block(self) -> bool:
        """Whether each range is online before the next one is added."""
        return self.waits or self.onlines


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedDevice:
    """A device that a recorded machine has had for a while, as far as the machine tells.

    Attributes:
        name: what /proc/iomem calls it.
        driver: the driver's plugin name.
        nid: node id of its memory.
        start, size: the part of the physical address space that is claimed for it, in bytes.
        index: its place among the machine's devices, which has its ranges and its blocks already.
        log: what the kernel's log says of it, in bytes, by the words before the colon (``device block size``).
        lacking: by zone, how many pages online blocks lack of what they would manage, where these are the device's and
            nothing else explains it.
        offline: pages that flags show as PageOffline in online blocks; None where flags do not cover them all.
    """

    name: str
    driver: str
    nid: int
    start: int
    size: int
    index: int
    log: Mapping[str, int] = field(default_factory=dict)
    lacking: Mapping[ZoneKey, int] = field(default_factory=dict)
    offline: ExtentSet | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BootRange:
    """Memory that is there at boot.

    Attributes:
        start, end: bytes, half-open.
        nid: the node that it is on.
    """

    start: int
    end: int
    nid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SizesAsked:
    """The keys of ``machine`` that concern sizes; :class:`SizingRequest` explains them.

    A key that is new here is in scenarios, at boot and with the architecture under this one name.
    """

    memory: tuple[tuple[int, int], ...]
    page_size: int | None = None
    memory_block_size: int | None = None
    physical_address_bits: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    hole: int = 0
    advised_block_size: int | None = None


def sizes_of(record: object) -> dict[str, Any]:
    """Return the values of a record's attributes that are called like those of :class:`SizesAsked`, by name."""
    return {one.name: getattr(record, one.name) for one in fields(SizesAsked)}


@dataclass(frozen=True, kw_only=True, slots=True)
class SizingRequest(SizesAsked):
    """What an architecture knows when it fixes its sizes.

    Attributes:
        version: the kernel version that is modelled, as (major, minor).
        memory: sizes of boot memory in bytes with their nodes, in order.
        page_size, memory_block_size, physical_address_bits: what the user asked for, None if nothing.
        options: the architecture's own keys of ``machine``, checked against ``machine_keys``.
        cmdline: kernel parameters, by name; a flag without a value maps to the empty string.
        hypervisor: whether the machine is a guest.
        hole: bytes below the architecture's ``hole_end`` that are no memory; what would lie there lies behind it.
        advised_block_size: the largest memory block size that firmware's tables advise, None if they advise none.
        huge_page_size: bytes of the default huge page of a recorded machine, 0 if it has none, None if nothing tells.
        asks: the profile's answer to what :meth:`has` is asked.
    """

    version: tuple[int, int]
    cmdline: Mapping[str, str] = field(default_factory=dict)
    hypervisor: bool = True
    huge_page_size: int | None = None
    asks: Callable[[str], bool] | None = field(default=None, compare=False)

    def has(self, feature: str) -> bool:
        """Return whether the kernel has a feature; without ``asks`` the version decides.

        Raises:
            ValueError: there is no feature of that name.
        """
        return features.has(feature, self.version) if self.asks is None else self.asks(feature)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneLimit:
    """A kernel zone of an architecture.

    Attributes:
        kind: which zone.
        end_pfn: the first pfn behind it.
    """

    kind: ZoneKind
    end_pfn: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PhysRange:
    """A physical range that a driver adds.

    Attributes:
        start, size: bytes.
        nid: node id; None leaves it to the address (memory_add_physaddr_to_nid()).
        backed: bytes from the start behind which there is real memory; None means all.
        withheld: bytes at the end that the driver keeps from the page allocator.
    """

    start: int
    size: int
    nid: int | None = None
    backed: int | None = None
    withheld: int = 0


_S = TypeVar("_S")


class LazyRanges(Sequence[PhysRange], Generic[_S]):
    """Ranges that are made when their turn comes: a driver may add millions of chunks.

    Args:
        source: what the ranges are made from, such as a ``range`` of addresses.
        make: returns the range for one item of it.
    """

    def __init__(self, source: Sequence[_S], make: Callable[[_S], PhysRange]) -> None:
        self._source = source
        self._make = make

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[PhysRange]:
        return map(self._make, self._source)

    @overload
    def __getitem__(self, index: int) -> PhysRange: ...
    @overload
    def __getitem__(self, index: slice) -> list[PhysRange]: ...
    def __getitem__(self, index: int | slice) -> PhysRange | list[PhysRange]:
        if isinstance(index, slice):
            return [self._make(item) for item in self._source[index]]
        return self._make(self._source[index])


@dataclass(frozen=True, kw_only=True, slots=True)
class AddRequest:
    """One hot-add as a scenario or a caller asks for it.

    Attributes:
        driver: the driver's plugin name.
        name: the device's name.
        size: bytes asked for.
        address: first byte, None to take the first legal one above all memory.
        nid: node asked for, None for the driver's own choice.
        options: the driver's own keys, checked against ``driver_keys``; read-only.
    """

    driver: str
    name: str
    size: int
    address: int | None = None
    nid: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What travels with a range from add_memory() to the architecture.

    Models: include/linux/memory_hotplug.h:struct mhp_restrictions (v5.2), mhp_params (v5.7 and later).

    Attributes:
        flags: the MHP flags that are left after filtering.
        altmap: where the memmap comes from, None for the page allocator.
        step: pages that this kernel adds at once where it goes through the range in steps; 0 for all.
    """

    flags: int = 0
    altmap: Altmap | None = None
    step: int = 0


class MemoryEvent(IntFlag):
    """What the memory notifier chain is told, with the kernel's numbers (include/linux/memory.h)."""

    MEM_ONLINE = 1
    MEM_GOING_OFFLINE = 2
    MEM_OFFLINE = 4
    MEM_GOING_ONLINE = 8
    MEM_CANCEL_ONLINE = 16
    MEM_CANCEL_OFFLINE = 32
    MEM_PREPARE_ONLINE = 64
    MEM_FINISH_OFFLINE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryNotify:
    """One call of the memory notifier chain, for one or more whole neighbouring blocks.

    Models: include/linux/memory.h:struct memory_notify.

    Attributes:
        event: what happens.
        start_pfn, nr_pages: the blocks, whole; the kernel leaves out the memmap at a block's start.
        altmap_pages: how many of these pages are at the start of a block and hold its memmap.
    """

    event: MemoryEvent
    start_pfn: int
    nr_pages: int
    altmap_pages: int = 0


class PageFlag(IntFlag):
    """What a struct page says of itself, with the bits of /proc/kpageflags.

    Models: include/uapi/linux/kernel-page-flags.h, fs/proc/page.c:stable_page_flags().
    """

    LRU = 1 << 5
    SLAB = 1 << 7
    BUDDY = 1 << 10
    MMAP = 1 << 11
    ANON = 1 << 12
    HWPOISON = 1 << 19
    NOPAGE = 1 << 20
    THP = 1 << 22
    OFFLINE = 1 << 23
    PGTABLE = 1 << 26
    RESERVED = 1 << 32
    OWNER_PRIVATE = 1 << 37
    VMEMMAP = 1 << 40
    """Not in /proc/kpageflags: the page has the series' VMEMMAP_PAGE mapping."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write(2) to a file of the model.

    Attributes:
        value: the text, as it was written.
        capable: whether the writer has CAP_SYS_ADMIN.
    """

    value: str
    capable: bool = True


Ids: TypeAlias = tuple[int, ...]
"""The numbers that stand for each ``{}`` of a file's path, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SysfsFile:
    """One file, link or device node of the modelled /sys, /proc or /dev, as DEVICE_ATTR() declares one.

    Attributes:
        path: from the root, without a leading slash; ``{}`` stands for a number: ``sys/…/memory{}/state``.
        ids: for each ``{}`` who says which numbers there are, ascending, given the numbers before it.
        show: returns what the file reads, its trailing newline included; None for one that cannot be read.
        store: does what one write does, and raises MemoryHotplugError as the kernel answers; None if read-only.
        link: returns where a symbolic link points; such a file has neither ``show`` nor ``store``.
        device: returns major and minor number of a character device, which nobody can open; a path below ``dev``.
        exists: says whether this machine has it; None if every machine has.
        present: says whether it is there for some numbers; None if it is for all.
        private: whether only root may read it (0400 instead of 0444).
        size: what stat(2) says: 4096 in sysfs, 0 in procfs.
        listed: whether it appears in its directory; files that only the model has do not.
    """

    path: str
    ids: tuple[Callable[[Kernel, Ids], Sequence[int] | Array], ...] = ()
    show: Callable[[Kernel, Ids], str] | None = None
    store: Callable[[Kernel, Ids, Write], None] | None = None
    link: Callable[[Kernel, Ids], str] | None = None
    device: Callable[[Kernel, Ids], tuple[int, int]] | None = None
    exists: Callable[[Kernel], bool] | None = None
    present: Callable[[Kernel, Ids], bool] | None = None
    private: bool = False
    size: int = 4096
    listed: bool = True

    @property
    def mode(self) -> int:
        """The permission bits: 0444, 0644 or 0200 by what it can do, 0777 for a link, 0600 for a device."""
        if self.link is not None or self.device is not None:
            return 0o777 if self.link is not None else 0o600
        readable = 0 if self.show is None else 0o400 if self.private else 0o444
        return readable | (0o200 if self.store is not None else 0)
