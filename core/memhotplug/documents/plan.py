"""The answer of ``mhp plan``."""

from __future__ import annotations

from typing import NotRequired

from memhotplug.documents.base import Document, SchemaVersion, Verdict
from memhotplug.documents.machine import MemmapTotals

__all__ = [
    "FailedRequestDocument",
    "FreeDocument",
    "LargestAddDocument",
    "MemmapCostDocument",
    "MinFreeDocument",
    "OrderDocument",
    "PageTablesDocument",
    "PlanDocument",
    "PlannedMachineDocument",
    "PlannedZoneDocument",
    "PolicyDocument",
    "QuestionDocument",
    "ReasonDocument",
    "RemedyDocument",
    "RemovableBlocksDocument",
    "RuleOfThumbDocument",
    "SizesDocument",
    "UeventsDocument",
]


class ReasonDocument(Document):
    """What decided, or what is a risk."""

    rule: str
    """fits, fallback, watermark, zone-ratio, memmap, alignment, address-space, occupied, slots, node, driver,
    onlining, or capped where a search ended."""
    node: int | None
    """The node where it binds."""
    zone: str | None
    """The zone where it binds."""
    short_bytes: int | None
    """How much is missing."""
    text: str
    """The sentence for a ticket."""


class PlannedMachineDocument(Document):
    """The machine that the question is about, before the add."""

    source: str
    """Where it comes from."""
    arch: str
    """Name of the architecture plugin."""
    kernel: str
    """Name of the profile."""
    page_size: int
    """Bytes of a page."""
    memory_block_size: int
    """Bytes of a memory block."""
    boot_bytes: int
    """Memory that is there."""
    managed_bytes: int
    """Memory that the page allocator manages."""


class QuestionDocument(Document):
    """What was asked."""

    sizes: list[int]
    """Bytes of each add, in order; empty if the question is how much could be added."""
    driver: str
    """Who adds it."""
    policy: str | None
    """The policy plugin that decides its MHP flags."""
    node: int | None
    """The node that it goes to, if that was asked for."""
    address: int | None
    """Where it begins, if that was asked for."""
    slots: int | None
    """Slots that the machine has for devices, if that was said."""
    online: str
    """How blocks are brought online: auto, kernel, movable or none."""


class OrderDocument(Document):
    """The memmap in chunks of one order."""

    order: int
    """The order."""
    chunks: int
    """How many chunks."""
    pages: int
    """Their pages."""


class PageTablesDocument(Document):
    """New page tables, in pages."""

    vmemmap_pages: int
    """For the memmap's own mapping."""
    direct_map_pages: int
    """For the direct map of the new memory."""


class MemmapCostDocument(Document):
    """The memmap of what was asked for."""

    bytes: int
    """What it takes, whether or not it could be made."""
    pages: int
    """The same in pages."""
    made_pages: int
    """Pages of it that are there in the end: all, unless the add was refused."""
    self_hosted_pages: int
    """Those of them that lie in the new memory."""
    allocated_pages: int
    """Those that the page allocator gave."""
    source: str | None
    """Where it comes from: self-hosted, page allocator, or both; null if none was made."""
    order: int
    """The largest order of a chunk of it."""
    blocks: int
    """Chunks of that order that it would take."""
    by_order: list[OrderDocument]
    """The chunks that it really lies in, ascending."""
    fallback_pages: int
    """Pages of it that were mapped one by one for want of a larger chunk."""
    page_table_pages: int
    """New page tables."""
    page_tables: PageTablesDocument
    """The same by purpose."""
    block_object_pages: int
    """Pages for the kernel's objects of new memory blocks."""
    self_hosted_bytes: int
    """What of it lies in the new memory."""
    allocated_bytes: int
    """What of it the page allocator gave."""
    by_zone: dict[str, int]
    """Bytes that each zone gave, by NODE ZONE."""
    by_node: dict[str, int]
    """Pages of it that are there in the end, by node."""


class FreeDocument(Document):
    """Free memory before, at the lowest point and after: of all zones, then what of it the kernel may have."""

    before_bytes: int
    """Free before."""
    lowest_bytes: int
    """Free at the lowest point."""
    after_bytes: int
    """Free after."""
    kernel_before_bytes: int
    """Free in kernel zones before."""
    kernel_lowest_bytes: int
    """Free in kernel zones at the lowest point."""
    kernel_after_bytes: int
    """Free in kernel zones after."""


class LargestAddDocument(Document):
    """The largest single add."""

    clean_bytes: int
    """With which every block appears and no allocation fails on the way."""
    with_fallback_bytes: int
    """With which every block appears."""
    capped: bool
    """Whether the search ended before it met a limit."""
    searched_bytes: int
    """How far was searched."""
    limit: ReasonDocument
    """Why nothing larger is clean."""


class SizesDocument(Document):
    """Five numbers that are easily taken for one another."""

    requested_bytes: int
    """What was asked for."""
    added_bytes: int
    """What became memory blocks."""
    online_bytes: int
    """What of it is online."""
    usable_bytes: int
    """What of that holds no memmap."""


class PlannedZoneDocument(Document):
    """One zone after the add."""

    node: int
    """Its node."""
    zone: str
    """Its name."""
    gained_bytes: int
    """What it gained."""
    present_bytes: int
    """What exists."""
    managed_bytes: int
    """What the page allocator manages."""
    free_bytes: int
    """What is free."""
    min_bytes: int
    """Its min watermark."""
    low_bytes: int
    """Its low watermark."""
    high_bytes: int
    """Its high watermark."""


class RemovableBlocksDocument(Document):
    """New blocks that nothing unmovable keeps."""

    removable: int
    """How many."""
    of: int
    """Of how many."""


class UeventsDocument(Document):
    """Events that udev gets."""

    add: int
    """One for each block."""
    online: int
    """One for each block that is online."""
    node: int
    """One for each new node."""
    total: int
    """All of them."""
    kept_online_bytes: int
    """What a listener that loses all but the first 256 would bring online."""


class PolicyDocument(Document):
    """The same question under one policy."""

    kind: str
    """memmap, policy or online: what differs."""
    name: str
    """The policy, as it is typed."""
    current: bool
    """Whether it is the one that was asked about."""
    verdict: Verdict
    """What becomes of the add."""
    rule: str
    """What decided."""
    memmap: MemmapTotals
    """What the memmap costs then."""
    lowest_free_bytes: int
    """Free in kernel zones at the lowest point."""
    largest_clean_bytes: int | None
    """The largest clean add; null if it was not searched."""
    largest_clean_is_capped: bool | None
    """Whether that search ended before it met a limit."""
    added_bytes: int
    """What became memory blocks."""
    online_bytes: int
    """What of it is online."""
    usable_bytes: int
    """What of that holds no memmap."""
    zones: dict[str, int]
    """Bytes that each zone gained, by NODE ZONE."""
    safe_steps: NotRequired[list[int] | None]
    """Sizes that can be added one after the other, each online before the next; for ways of onlining only."""


class RuleOfThumbDocument(Document):
    """What a rule that some project ships would allow."""

    name: str
    """The rule."""
    source: str
    """Who ships it."""
    kind: str
    """What it is meant to limit."""
    allows_bytes: int
    """How much it would let be added."""


class RemedyDocument(Document):
    """A change under which the same memory can be added; it was tried."""

    kind: str
    """parameter, split, driver or boot-memory."""
    value: str
    """What to change it to, as it is typed."""
    verdict: Verdict
    """The verdict with it."""
    text: str
    """The sentence for a ticket."""


class MinFreeDocument(Document):
    """vm.min_free_kbytes before and after the add."""

    before: int
    """KiB before."""
    after: int
    """KiB after."""


class FailedRequestDocument(Document):
    """The request that a kernel log reports as failed, tried again."""

    order: int
    """Its order."""
    movable: bool
    """Whether a Movable zone could serve it."""
    text: str
    """The line of the log."""
    zone_before: str | None
    """NODE ZONE that could serve it before the add."""
    zone_after: str | None
    """NODE ZONE that could serve it after."""


class PlanDocument(Document):
    """The answer to: does this memory fit, and what does it cost?"""

    schema: SchemaVersion
    """Version of this format."""
    verdict: Verdict | None
    """The answer; null if the question is how much could be added."""
    reason: ReasonDocument
    """What decided."""
    risks: list[ReasonDocument]
    """All risks, the decisive one first."""
    machine: PlannedMachineDocument
    """The machine before the add."""
    question: QuestionDocument
    """The question, as it was understood."""
    memmap: MemmapCostDocument
    """What the memmap costs, and from where it comes."""
    free: FreeDocument
    """Free memory."""
    largest_single_add: LargestAddDocument
    """How much could be added at once."""
    safe_steps: list[int]
    """Bytes that can be added one after the other, each online before the next."""
    sizes: SizesDocument
    """What of the request is usable at last."""
    zones: list[PlannedZoneDocument]
    """The zones after the add."""
    movable_to_kernel: float | None
    """Memory in Movable zones for each byte in kernel zones; null without any in kernel zones."""
    removable_blocks: RemovableBlocksDocument
    """What could be taken out again."""
    gigantic_pages: int
    """Aligned GiB that are free as a whole."""
    uevents: UeventsDocument
    """Events that udev gets."""
    policies: list[PolicyDocument]
    """The same question under each policy."""
    rules_of_thumb: list[RuleOfThumbDocument]
    """What rules of thumb would allow, the most careful first."""
    flips_under: str | None
    """A policy under which the verdict is another."""
    flips_to: Verdict | None
    """That verdict."""
    fits_from_boot_bytes: int | None
    """Boot memory from which on it fits; null if that was not searched or does not help."""
    remedies: list[RemedyDocument]
    """What would make it fit, best first."""
    min_free_kbytes: MinFreeDocument
    """vm.min_free_kbytes."""
    auto_movable_ratio: int | None
    """The smallest ratio in percent under which all of it goes to Movable."""
    failed_request: FailedRequestDocument | None
    """The request that a kernel log reports; null without a log."""
    driver_result: str | None
    """What the driver made of a refusal."""
    warnings: list[str]
    """What the kernel would have warned of."""
    assumptions: list[str]
    """What was not said and had to be assumed."""
