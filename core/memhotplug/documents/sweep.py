"""What ``mhp sweep`` prints."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from memhotplug.documents.base import Document, SchemaVersion

__all__ = [
    "CaseDocument",
    "ExportDocument",
    "FlipDocument",
    "GroupDocument",
    "ProgressDocument",
    "SummaryDocument",
    "SweepDocument",
]


class ProgressDocument(Document):
    """How far a sweep has come."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Whether every case is done."""
    cases: int
    """Cases of the question."""
    done: int
    """Cases that are in the file."""
    skipped: int
    """Those that were there already."""
    failed: int
    """Of those that this run played, how many were refused or had a step that failed."""
    per_second: float
    """Cases that this run played in a second."""


class CaseDocument(Document):
    """One case, in short."""

    case: int
    """Its number."""
    values: dict[str, str]
    """The varied keys and their values."""
    outcome: str
    """ok, failed or refused."""
    value: int | float
    """The measure."""


class GroupDocument(Document):
    """All cases with the same values of some keys."""

    values: dict[str, str]
    """Those values."""
    cases: int
    """How many cases."""
    ok: int
    """How many of them had no step that failed."""
    refused: int
    """How many of them could not be played at all."""
    errnos: dict[str, int]
    """What the others failed with, and how many."""
    least: int | float | None
    """The smallest value of the measure; null if no case has it."""
    median: int | float | None
    """The median."""
    most: int | float | None
    """The largest."""


FlipDocument = TypedDict(
    "FlipDocument",
    {
        "key": Annotated[str, Field(description="The key.")],
        "from": Annotated[str, Field(description="Its value before.")],
        "to": Annotated[str, Field(description="Its value behind.")],
        "outcomes": Annotated[list[str], Field(description="The outcome, or the errno, before and behind.")],
        "values": Annotated[dict[str, str], Field(description="The values of all other keys.")],
    },
)
"""Where the outcome changes from one value of a key to the next, all others being equal."""
FlipDocument.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]  # as Document has it
FlipDocument.__doc__ = "Where the outcome changes from one value of a key to the next, all others being equal."


class SummaryDocument(Document):
    """What a sweep found (--show)."""

    schema: SchemaVersion
    """Version of this format."""
    cases: int
    """Cases that are in the file."""
    outcomes: dict[str, int]
    """How many of them ended how."""
    errnos: dict[str, int]
    """How many of them failed with what."""
    measure: str
    """What is shown of each case."""
    keys: list[str]
    """The varied keys."""
    best: list[CaseDocument]
    """The cases with the smallest values of the measure."""
    worst: list[CaseDocument]
    """Those with the largest."""
    group_by: list[str]
    """The keys by which cases are grouped."""
    groups: list[GroupDocument]
    """The groups, in the order of the values."""
    flips: list[FlipDocument]
    """Where the outcome changes."""


class ExportDocument(Document):
    """A table was written (--export)."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Always true."""
    rows: int
    """Its rows."""
    file: str
    """Its name."""


SweepDocument: TypeAlias = Annotated[
    ProgressDocument | SummaryDocument | ExportDocument,
    Field(description="How far a sweep has come; with --show what it found, with --export what was written."),
]
