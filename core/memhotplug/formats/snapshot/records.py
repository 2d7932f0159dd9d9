"""A recorded machine as values: what ``read_machine`` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from memhotplug.formats.snapshot.extents import Extents, merge
from memhotplug.formats.snapshot.freetypes import KeptChunks
from memhotplug.formats.snapshot.iomem import IomemEntry, system_ram
from memhotplug.formats.snapshot.source import Note
from memhotplug.formats.snapshot.zoneinfo import Pageset
from memhotplug.units import div_round_up

__all__ = ["RecordedBlock", "RecordedMachine", "RecordedNode", "RecordedZone"]

_NOTHING_KEPT = KeptChunks()


class RecordedZone(NamedTuple):
    """One zone of one node as zoneinfo shows it, and where its pages are.

    Attributes:
        node, …, free_cma: those of :class:`ZoneInfo`, in its order.
        free_by_order: index: order; may disagree with ``free``, which is then noted.
        start_pfn: first pfn of the span; None for a zone that spans nothing.
        extents: the present pfns, half-open, ascending, as far as they can be told. They hold
            ``present`` pages unless a note says otherwise.
        kept: those of the free chunks that are not for everybody.
    """

    node: int
    name: str
    free: int
    boost: int
    min: int
    low: int
    high: int
    promo: int
    spanned: int
    present: int
    managed: int
    cma: int
    protection: tuple[int, ...]
    start_pfn: int | None
    pagesets: tuple[Pageset, ...]
    free_cma: int
    free_by_order: tuple[int, ...]
    extents: Extents
    kept: KeptChunks = _NOTHING_KEPT

    @property
    def pcp_pages(self) -> int:
        """Pages on per-cpu lists: free, but in no buddy list."""
        return sum([pageset.count for pageset in self.pagesets])

    @property
    def end_pfn(self) -> int | None:
        """End of the span, exclusive; None for a zone that spans nothing."""
        return None if self.start_pfn is None else self.start_pfn + self.spanned

    @property
    def buddy_pages(self) -> int:
        """Pages in the buddy lists."""
        return sum([count << order for order, count in enumerate(self.free_by_order)])

    @property
    def title(self) -> str:
        """What messages call it: ``node 0 zone Normal``."""
        return f"node {self.node} zone {self.name}"


class RecordedBlock(NamedTuple):
    """One memory block.

    Attributes:
        state: online, offline or going-offline.
        zone: the zone of an online block; None when it is offline, spans several, or was not recorded.
        valid_zones: as sysfs shows them; empty for ``none``.
        node: None where several nodes exist and none was recorded.
    """

    id: int
    state: str
    zone: str | None
    valid_zones: tuple[str, ...]
    removable: bool | None
    phys_index: int | None
    phys_device: int | None
    node: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedNode:
    """One node; sizes in bytes, None where its meminfo was not recorded. Where nothing tells it has a CPU.

    One that is not ``online`` has memory all the same: files contradict one another.
    """

    id: int
    online: bool
    has_memory: bool
    has_normal_memory: bool
    mem_total: int | None
    mem_free: int | None
    has_cpu: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedMachine:
    """One recorded moment of a machine.

    Attributes:
        file, step: where it was read from.
        arch: the architecture plugin's name; None when nothing recorded tells.
        kernel_release: verbatim, ``6.12.107+deb13-amd64``.
        cmdline: None when it was not recorded.
        page_size: bytes. section_size: bytes, None when only the architecture knows.
        block_size: bytes, None when there is neither a block nor a size.
        max_order: the largest buddy order. pageblock_order: None when it was not recorded.
        possible_nodes: node ids that may come.
        iomem: empty when it was not recorded or its addresses were withheld.
        parameters: memory_hotplug module parameters as sysfs shows them.
        parameters_now: names of those that the machine's own files show; a recording's heading tells of no one step.
        mem_total, mem_free: bytes, from meminfo.
        huge_page_size: bytes of the default huge page, 0 where meminfo has none, None where it does not tell.
        early: memory that was there at boot, as its log lists it, in bytes, half-open; empty where it is not known.
        attributes: which files it shows below /sys/devices/system, those of single blocks and nodes apart.
        notes: what was inferred and what disagrees.
        sysctls: what /proc/sys/vm shows of watermarks and reserves, numbers by name; empty where it was not recorded.
        huge_pages: the word that transparent_hugepage/enabled shows; None where it was not recorded.
        free_is_guessed: whether nothing recorded tells how much memory is free.
    """

    file: str
    step: int | None
    arch: str | None
    kernel_release: str | None
    cmdline: str | None
    page_size: int
    section_size: int | None
    block_size: int | None
    boot_memory: int | None
    max_order: int
    pageblock_order: int | None
    zones: tuple[RecordedZone, ...]
    blocks: tuple[RecordedBlock, ...]
    nodes: tuple[RecordedNode, ...]
    possible_nodes: tuple[int, ...]
    iomem: tuple[IomemEntry, ...]
    parameters: Mapping[str, str]
    auto_online_blocks: str | None
    mem_total: int | None
    mem_free: int | None
    notes: tuple[Note, ...]
    parameters_now: frozenset[str] = frozenset()
    early: Extents = ()
    attributes: frozenset[str] = frozenset()
    free_is_guessed: bool = False
    huge_page_size: int | None = None
    sysctls: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    huge_pages: str | None = None

    def zone(self, node: int, name: str) -> RecordedZone | None:
        """Return one zone, None when the machine shows none of that name."""
        return next((zone for zone in self.zones if (zone.node, zone.name) == (node, name)), None)

    @property
    def ram(self) -> Extents:
        """System RAM, pfns half-open: whole pages only, as the kernel counts them."""
        return ram_pfns(self.iomem, self.page_size)

    @property
    def kernel_image(self) -> Extents:
        """Where the kernel's own code and data lie, pfns half-open, every touched page."""
        size = self.page_size
        names = ("Kernel code", "Kernel rodata", "Kernel data", "Kernel bss")
        return merge((entry.start // size, entry.end // size + 1) for entry in self.iomem if entry.name in names)


def ram_pfns(iomem: tuple[IomemEntry, ...], page_size: int) -> Extents:
    """Return the whole pages of System RAM, as half-open pfns.

    Models: kernel/resource.c:walk_system_ram_range() (v5.2)
    """
    return merge((div_round_up(start, page_size), end // page_size) for start, end in system_ram(iomem))
