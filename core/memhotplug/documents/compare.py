"""The answer of ``mhp compare``."""

from __future__ import annotations

from memhotplug.documents.base import Document, SchemaVersion
from memhotplug.documents.machine import MemmapTotals

__all__ = [
    "CompareDocument",
    "ComparedMemmapDocument",
    "ComparedZoneDocument",
    "FailureDocument",
    "RemovableDocument",
    "VariantDocument",
]


class FailureDocument(Document):
    """A step that did not do what the scenario says."""

    step: int
    """Its index."""
    op: str
    """What it does."""
    errno: str | None
    """What it failed with; null if it did not fail but should have."""
    message: str | None
    """Why."""


class ComparedMemmapDocument(MemmapTotals):
    """What the memmap of hot-added memory costs."""

    bytes: int
    """All of it, page tables included."""


class ComparedZoneDocument(Document):
    """One zone of a variant."""

    node: int
    """Its node."""
    zone: str
    """Its name."""
    managed_pages: int
    """Pages that the page allocator manages."""
    usable_pages: int
    """Those that hold neither memmap nor page tables of hot-added memory."""
    usable_bytes: int
    """The same in bytes."""
    free_pages: int
    """Pages that are free."""
    largest_free_run_bytes: int
    """The longest run of free pages."""
    huge_pages_1g: int
    """Aligned GiB in which every page is free or can be migrated."""


class RemovableDocument(Document):
    """The smallest unit in which the memory of a device can be removed."""

    device: str
    """The device."""
    unit: str | None
    """block, range or device; null if not even that."""
    bytes: int | None
    """Its size, the largest where they differ."""
    sampled: bool
    """Whether only some of the blocks were tried."""
    problem: str | None
    """Why the next smaller unit cannot be removed."""


class VariantDocument(Document):
    """What came of one variant."""

    values: dict[str, str]
    """The varied keys and their values."""
    arch: str
    """Name of the architecture plugin."""
    kernel: str
    """Name of the profile."""
    ok: bool
    """Whether every step did what the scenario says."""
    refused: str | None
    """Why it could not be run at all."""
    failures: list[FailureDocument]
    """Steps that did not do what the scenario says; those behind them ran all the same."""
    violations: list[str]
    """Invariants that do not hold at the end."""
    measured_after_step: int | None
    """The step after which it was measured."""
    page_size: int | None
    """Bytes of a page."""
    memory_block_size: int | None
    """Bytes of a memory block."""
    memmap: ComparedMemmapDocument | None
    """What the memmap costs."""
    zones: list[ComparedZoneDocument]
    """Its zones."""
    largest_free_run_bytes: int | None
    """The longest run of free pages in any zone."""
    huge_pages_1g: int | None
    """Pages of 1 GiB that could be formed."""
    removable: list[RemovableDocument]
    """One entry for each device."""


class CompareDocument(Document):
    """One scenario under several policies, kernels or architectures."""

    schema: SchemaVersion
    """Version of this format."""
    scenario: str | None
    """The scenario's file."""
    ok: bool
    """Whether every step of every variant did what the scenario says."""
    vary: list[str]
    """The varied keys."""
    variants: list[VariantDocument]
    """One entry for each variant, in the order of the values."""
