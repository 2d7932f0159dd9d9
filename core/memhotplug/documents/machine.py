"""A machine: what ``mhp run --json`` says of it besides its steps."""

from __future__ import annotations

from memhotplug.documents.base import BlockState, Document, SchemaVersion

__all__ = [
    "BlockDocument",
    "EventDocument",
    "IomemDocument",
    "MachineDocument",
    "MemmapTotals",
    "RunDocument",
    "RunHead",
    "StateDocument",
    "StepRecord",
    "VmemmapHead",
    "ZoneDocument",
]


class MachineDocument(Document):
    """What does not change while a machine runs."""

    arch: str
    """Name of the architecture plugin."""
    kernel: str
    """Name of the profile, the kernel that is modelled."""
    page_size: int
    """Bytes of a page."""
    section_size: int
    """Bytes of a section of the sparse memory model."""
    memory_block_size: int
    """Bytes of a memory block, the unit of /sys/devices/system/memory."""
    struct_page_size: int
    """Bytes that describe one page."""
    pageblock_pages: int
    """Pages of a pageblock, the unit of migrate types."""
    max_order: int
    """The largest order of the page allocator, inclusive."""


class StepRecord(Document):
    """What became of one step."""

    index: int
    """Its place in the scenario, from 0."""
    op: str
    """What it does: add, online, offline, remove, write …"""
    name: str | None
    """The name of the device or workload that it is about."""
    ok: bool
    """Whether it did what the scenario says, which may be to fail."""
    errno: str | None
    """The errno that it failed with; null if it did not fail, or if an expectation did not hold."""
    message: str | None
    """Why it failed, in the kernel's own words where it has some."""
    start: int | None
    """First byte of the memory that it is about."""
    size: int | None
    """Bytes that it is about."""
    blocks: list[int]
    """The memory blocks that it is about and that exist, ascending."""
    blocks_done: list[int]
    """Those that it really changed, ascending."""
    leaks: list[str]
    """What the kernel left behind, one sentence each."""
    driver_result: str | None
    """What the driver made of a refusal, such as what it told the firmware."""
    policy: str | None
    """The policy plugin that decided the MHP flags of an add; null for the driver's own or fixed flags."""


class BlockDocument(Document):
    """One memory block."""

    id: int
    """Its number, as in memoryN."""
    state: BlockState
    """Its state."""
    node: int
    """The NUMA node that it belongs to."""
    zone: str | None
    """The zone of its pages; null while it is offline, or if it has pages of several."""
    valid_zones: list[str]
    """What its file valid_zones reads, word by word."""
    start: int
    """Its first byte."""
    size: int
    """Its bytes."""
    vmemmap_pages: int
    """Pages of it that hold memmap, of any block."""
    usable_pages: int
    """Its pages, less those that hold memmap or are kept for it, and less those that a driver withholds."""
    device: str | None
    """The device that brought it; null for boot memory."""


class ZoneDocument(Document):
    """One zone that spans pages."""

    node: int
    """Its NUMA node."""
    zone: str
    """Its name: DMA, DMA32, Normal, Movable."""
    start_pfn: int
    """Its first page frame."""
    spanned: int
    """Pages from its first to its last, holes included."""
    present: int
    """Pages that exist."""
    managed: int
    """Pages that the page allocator manages."""
    free: int
    """Pages that are free."""
    free_by_order: list[int]
    """Free chunks in the buddy lists; the index is the order."""


class VmemmapHead(Document):
    """One run of memmap that lies in the memory that it describes."""

    start_pfn: int
    """First page frame of the run."""
    nr_pages: int
    """Pages of the run."""
    refcount: int | None
    """Sections that use it; null for kernels that keep no count."""
    private: int | None
    """What the head's page->private says; null for kernels that keep nothing there."""
    serves: list[int]
    """Half-open pfns that it describes: the first, and the one behind the last."""
    device: str | None
    """The device that it came with."""


class MemmapTotals(Document):
    """What the memmap of hot-added memory costs, in pages."""

    self_hosted_pages: int
    """Memmap that lies in hot-added memory by the driver's or the user's wish."""
    allocated_pages: int
    """Memmap that the page allocator gave."""
    page_table_pages: int
    """Page tables for the memmap and the direct map."""
    by_node: dict[str, int]
    """Pages of memmap on each node, by the node's number."""


class IomemDocument(Document):
    """One line of /proc/iomem."""

    start: int
    """First byte."""
    end: int
    """Last byte."""
    name: str
    """Such as System RAM (kmem)."""


class StateDocument(Document):
    """What changes while a machine runs."""

    blocks: list[BlockDocument]
    """All memory blocks, ascending."""
    zones: list[ZoneDocument]
    """All zones that span pages, by node and kind."""
    vmemmap: list[VmemmapHead]
    """Runs of memmap in the memory that they describe, ascending."""
    memmap: MemmapTotals
    """What the memmap of hot-added memory costs."""
    iomem: list[IomemDocument]
    """/proc/iomem, ascending: memory, whatever else is taken, and the platform's windows."""
    warnings: list[str]
    """What the kernel would have warned of."""
    violations: list[str]
    """Invariants that do not hold, one sentence each."""


class RunHead(Document):
    """What a run was, and how it went."""

    schema: SchemaVersion
    """Version of this format."""
    mhp: str
    """Version of the program that wrote it."""
    scenario: str | None
    """The scenario's file; null for text from elsewhere."""
    ok: bool
    """Whether every step did what the scenario says."""
    machine: MachineDocument
    """What does not change."""
    steps: list[StepRecord]
    """The steps that ran, in order."""


class RunDocument(RunHead, StateDocument):
    """A machine after the steps of a scenario."""


class EventDocument(Document):
    """One thing that happened, one line of events.jsonl; it has more keys, which depend on the event."""

    __pydantic_config__ = {"extra": "allow", "use_attribute_docstrings": True}  # type: ignore[misc]  # noqa: RUF012

    step: int | None
    """The index of the step; null while booting."""
    event: str
    """What happened, in one word."""
