"""The answer of ``mhp align``."""

from __future__ import annotations

from memhotplug.documents.base import Document, SchemaVersion

__all__ = ["AlignDocument", "BlockSizeDocument", "FitDocument", "SelfHostingDocument", "UsableDocument"]


class UsableDocument(Document):
    """A part of a range that becomes memory blocks."""

    start: int
    """First byte."""
    size: int
    """Bytes."""
    first_block: int
    """Its first memory block."""
    last_block: int
    """Its last memory block."""


class FitDocument(Document):
    """What becomes of one range with one memory block size."""

    name: str | None
    """Its name in /proc/iomem."""
    start: int
    """First byte."""
    size: int
    """Bytes."""
    errno: str | None
    """Why nothing of it can be added; null if something can."""
    message: str | None
    """The kernel's words for it."""
    usable: list[UsableDocument]
    """The parts that become memory blocks, ascending."""
    usable_bytes: int
    """Their bytes."""
    stranded_bytes: int
    """Bytes that do not become memory blocks."""
    head_bytes: int
    """Those of them in front; all if nothing is usable."""
    tail_bytes: int
    """Those of them behind."""
    next_start: int
    """The first legal address from the start on."""
    gap_bytes: int
    """How far that is."""
    rounded_size: int
    """The size, rounded up to whole blocks."""


class SelfHostingDocument(Document):
    """What a block costs that hosts its memmap, in pages."""

    block_pages: int
    """Pages of the block."""
    needed_pages: int
    """Pages that its memmap fills."""
    reserved_pages: int | None
    """Pages that are kept for it with memmap_on_memory=force; null if it cannot be hosted."""
    wasted_pages: int | None
    """Those of them that hold none."""
    refusal: str | None
    """Why memmap_on_memory=Y does not host it."""


class BlockSizeDocument(Document):
    """All ranges with one memory block size."""

    block_size: int
    """Bytes of a block."""
    kernel: str
    """The profile that has such blocks: the one asked for, or an older one."""
    usable_bytes: int
    """Bytes that become memory blocks."""
    stranded_bytes: int
    """Bytes that do not."""
    ranges: list[FitDocument]
    """One entry for each range."""
    memmap_on_memory: SelfHostingDocument | None
    """What self-hosting costs then; null where the kernel knows no such thing."""


class AlignDocument(Document):
    """What alignment strands."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Whether nothing is stranded."""
    arch: str
    """Name of the architecture plugin."""
    kernel: str
    """Name of the profile."""
    driver: str
    """The driver that would add the ranges."""
    block_size: int
    """The memory block size that the verdict is about."""
    usable_bytes: int
    """Bytes that become memory blocks."""
    stranded_bytes: int
    """Bytes that do not."""
    best_block_size: int | None
    """The block size that strands least; null if every one strands everything."""
    ranges: list[FitDocument]
    """One entry for each range."""
    block_sizes: list[BlockSizeDocument]
    """The same for other block sizes, ascending."""
    assumptions: list[str]
    """What is taken for granted where the block size hangs on it, one sentence each."""
