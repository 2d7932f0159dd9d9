"""The answer of ``mhp check``."""

from __future__ import annotations

from memhotplug.documents.base import Document, SchemaVersion

__all__ = ["CheckDocument", "ViolationDocument"]


class ViolationDocument(Document):
    """One way to break an invariant, the shortest that was found."""

    invariant: str
    """Which one."""
    text: str
    """What is broken, in a sentence."""
    steps: list[dict[str, dict[str, object]]]
    """The way there, as the steps of a scenario."""
    scenario: str | None
    """The file with it, if -o was given."""


class CheckDocument(Document):
    """What was explored, and what was found."""

    schema: SchemaVersion
    """Version of this format."""
    ok: bool
    """Whether no invariant breaks in what was explored."""
    states: int
    """Different states that were met."""
    transitions: int
    """Operations that were tried."""
    depth: int
    """Operations in a row up to which all was explored."""
    exhaustive: bool
    """Whether that is everything that was asked for."""
    closed: bool
    """Whether no state leads to one that was not met, at any depth."""
    interrupted: bool
    """Whether somebody stopped it."""
    against: str | None
    """The profile that was explored beside it."""
    violations: list[ViolationDocument]
    """What was found."""
