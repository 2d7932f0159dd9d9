"""The answer of ``mhp conform``."""

from __future__ import annotations

from typing import NotRequired

from memhotplug.documents.base import Document, SchemaVersion
from memhotplug.documents.small import ErrorFields

__all__ = [
    "ConformDocument",
    "FileDocument",
    "MismatchDocument",
    "PredictedBlockDocument",
    "PredictedZoneDocument",
    "PredictionDocument",
    "RefusedDocument",
]


class MismatchDocument(Document):
    """An observation on which model and kernel differ."""

    step: int
    """Index of the step."""
    what: str
    """Such as: node 0 zone Movable managed."""
    expected: object
    """What the kernel showed; null if it showed no such thing."""
    got: object
    """What the model shows; null likewise."""


class PredictedZoneDocument(Document):
    """A zone as the model has it, in pages."""

    node: int
    """Its node."""
    zone: str
    """Its name."""
    start_pfn: int
    """Its first page frame."""
    spanned: int
    """Pages from its first to its last."""
    present: int
    """Pages that exist."""
    managed: int
    """Pages that the page allocator manages."""
    free: int | None
    """Free pages, where nobody but hotplug touches them."""
    free_by_order: list[int] | None
    """Free chunks by order, likewise."""


class PredictedBlockDocument(Document):
    """A memory block's files as the model has them."""

    id: int
    """Its number."""
    state: str
    """state"""
    valid_zones: str
    """valid_zones"""
    removable: str
    """removable"""
    node: str
    """The number of its nodeN."""


class PredictionDocument(Document):
    """What a recording of a step would show of which only the operation is known."""

    step: int
    """Index of the step."""
    op: str
    """The operation."""
    result: str
    """ok, an errno, failed, or undetermined where nobody can know."""
    errno: str | None
    """The errno of a failure."""
    results: dict[str, str]
    """The result for each block, by its number."""
    blocks_present: list[int]
    """Blocks of the operation that exist afterwards."""
    zones: list[PredictedZoneDocument]
    """All zones that have pages."""
    blocks: list[PredictedBlockDocument]
    """All memory blocks."""
    iomem: list[str]
    """Lines of /proc/iomem about RAM."""
    memtotal_kb: int | None
    """MemTotal of /proc/meminfo in KiB."""
    page_classes: list[list[object]]
    """Runs of page frames and what they are: first pfn, pages, class."""


class FileDocument(Document):
    """How one recording came out."""

    file: str
    """The recording."""
    kernel: str
    """The profile that it was replayed under."""
    arch: str
    """The architecture plugin."""
    steps: int
    """Steps of the recording."""
    observations: int
    """What was compared."""
    matched: int
    """On how much of it model and kernel agree."""
    tolerated: int
    """How much of that matches only within the tolerance."""
    left_out: int
    """What is the guest's own doing and not judged."""
    undetermined: int
    """What nobody can know."""
    told_by_flags: int
    """Steps whose result hangs on page flags that were recorded before them."""
    mismatches: list[MismatchDocument]
    """What differs, in order."""
    predicted: list[PredictionDocument]
    """One entry for each step that carries only its operation."""


class RefusedDocument(Document):
    """What is there if a recording cannot be used."""

    ok: NotRequired[bool]
    """false, if a recording cannot be used; absent otherwise."""
    error: NotRequired[ErrorFields]
    """What is wrong with the first recording that cannot be used."""
    errors: NotRequired[list[ErrorFields]]
    """The same for all of them."""


class ConformDocument(RefusedDocument):
    """Does the model do what real kernels did?"""

    schema: SchemaVersion
    """Version of this format."""
    files: list[FileDocument]
    """One entry for each recording."""
    observations: int
    """What was compared in all of them."""
    matched: int
    """On how much of it model and kernel agree."""
    tolerated: int
    """How much of that matches only within the tolerance."""
    left_out: int
    """What is the guest's own doing and not judged."""
    undetermined: int
    """What nobody can know."""
    told_by_flags: int
    """Steps whose result hangs on page flags that were recorded before them."""
