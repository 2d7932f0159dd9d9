"""What plugins say of themselves, and what a recorded machine shows them."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memhotplug.model.extents import ExtentSet
    from memhotplug.model.zones import ZoneKey

__all__ = ["ArchTraits", "DriverTraits", "RecordedDevice"]


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
        boot_words: the kernel's parameters that it reads; a word that is nearly one of them is told.
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
    boot_words: tuple[str, ...] = ()

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
        lacking: by zone, how many pages its online blocks lack of what they would manage, where nothing else explains
            it.
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
