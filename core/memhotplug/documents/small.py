"""The answers of the smaller commands, and the error that any of them may print."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from memhotplug.documents.base import BlockState, Document, SchemaVersion

__all__ = [
    "AskedMomentDocument",
    "ChangeDocument",
    "ChangesDocument",
    "CopiedDocument",
    "CtlListDocument",
    "ErrorDocument",
    "ErrorFields",
    "ExampleDocument",
    "ExamplesDocument",
    "ExportDocument",
    "ListedDocument",
    "LiveBlockDocument",
    "PageDocument",
    "PageRunDocument",
    "ReportDocument",
    "RunsDocument",
    "SkippedDocument",
    "SnapshotDocument",
    "SnapshotMachineDocument",
]


class ErrorFields(Document):
    """What is wrong with the input."""

    file: str | None
    """The file, or the option."""
    line: int | None
    """The line, from 1."""
    column: int | None
    """The column, from 1."""
    path: str | None
    """The place in the document, such as steps[2].add.size."""
    got: str | None
    """What was found there."""
    expected: str
    """What would be accepted."""
    nearest: str | None
    """The valid name that was probably meant."""


class ErrorDocument(Document):
    """Input that cannot be used; the exit status is 2."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Always false."""
    error: ErrorFields
    """What is wrong."""


class PageRunDocument(Document):
    """Neighbouring pages that are alike."""

    pfn: int
    """The first page frame."""
    pages: int
    """How many."""
    flags: list[str]
    """Names of what the pages say of themselves, in capitals."""
    refcount: int
    """The reference count of each."""
    private: int
    """page->private of each; of free pages the largest order of a chunk."""
    head: int | None
    """The head of the run of memmap that they belong to."""
    mapping: int
    """The raw field where it is no real mapping, else 0."""
    zone: str | None
    """Their zone; null before they were first onlined."""
    node: int | None
    """Their node; null before they were first onlined."""
    backing: int | None
    """The page frame that holds the first of these struct pages; null without a memmap."""
    backing_end: int | None
    """The page frame behind the one that holds the last."""


class AskedMomentDocument(Document):
    """Which moment of a scenario was asked about."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Whether every step up to there did what the scenario says."""
    step: int | None
    """The index of the step; null after booting."""
    op: str | None
    """What the step does."""
    page_size: int
    """Bytes of a page."""


class RunsDocument(AskedMomentDocument):
    """Struct pages after a step."""

    runs: list[PageRunDocument]
    """Runs of alike pages, ascending."""


class ChangeDocument(Document):
    """Pages that were alike before a step and are alike after it."""

    before: PageRunDocument
    """What they were."""
    after: PageRunDocument
    """What they are."""


class ChangesDocument(AskedMomentDocument):
    """What a step changed in struct pages (--diff)."""

    changes: list[ChangeDocument]
    """What changed, ascending."""
    unchanged_pages: int
    """How many pages did not change."""


PageDocument: TypeAlias = Annotated[
    RunsDocument | ChangesDocument,
    Field(description="Struct pages after a step; with --diff what it changed in them."),
]


class ReportDocument(Document):
    """A report was written."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Whether every step did what the scenario says."""
    file: str
    """The report."""
    bytes: int
    """Its size."""


class SkippedDocument(Document):
    """A file that was not recorded."""

    path: str
    """The file."""
    reason: str
    """Why."""


class SnapshotMachineDocument(Document):
    """The machine that a snapshot shows."""

    arch: str | None
    """Its architecture."""
    kernel_release: str | None
    """Its kernel, as uname -r has it."""
    page_size: int
    """Bytes of a page."""
    memory_block_size: int | None
    """Bytes of a memory block."""
    blocks: int
    """Memory blocks."""
    nodes: int
    """NUMA nodes."""
    managed_bytes: int
    """What the page allocator manages."""
    free_bytes: int
    """What is free."""


class SnapshotDocument(Document):
    """A machine was recorded."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Whether it can be read back."""
    output: str
    """The folder or the archive."""
    kind: str
    """directory or archive."""
    files: int
    """Files that were recorded."""
    skipped: list[SkippedDocument]
    """Files that were not."""
    machine: SnapshotMachineDocument | None
    """The machine that it shows; null if it cannot be read back."""
    notes: list[str]
    """What a reader notes of it."""
    problem: str | None
    """Why it cannot be used."""


class ExportDocument(Document):
    """A modelled machine was written as plain files."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Always true."""
    output: str
    """The folder."""
    files: int
    """Files and links that were written."""


class ExampleDocument(Document):
    """A scenario that comes with the program."""

    name: str
    """Its name."""
    question: str
    """What it answers."""
    file: str
    """Where it lies."""


class ListedDocument(Document):
    """The scenarios that come with the program."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Always true."""
    examples: list[ExampleDocument]
    """One entry for each."""


class CopiedDocument(Document):
    """Scenarios were copied (-o)."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Always true."""
    folder: str
    """Where to."""
    files: list[str]
    """What was written there."""


ExamplesDocument: TypeAlias = Annotated[
    ListedDocument | CopiedDocument,
    Field(description="The scenarios that come with the program; with -o what was written."),
]


class LiveBlockDocument(Document):
    """A memory block of a machine that runs in exec or mount."""

    id: int
    """Its number."""
    state: BlockState
    """Its state."""
    start: int
    """First byte."""
    size: int
    """Bytes."""
    device: str | None
    """The device that brought it."""


class CtlListDocument(Document):
    """The memory of a machine that runs in exec or mount."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Always true."""
    blocks: list[LiveBlockDocument]
    """All memory blocks, ascending."""
