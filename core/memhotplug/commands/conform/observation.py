"""One thing that was compared."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

__all__ = ["Observation", "Reason", "Value"]

Value: TypeAlias = object
"""What is compared: plain values, as JSON has them."""


class Reason(StrEnum):
    """What kind of thing differs."""

    RESULT = "result"
    ZONE = "zone"
    BLOCK = "block"
    IOMEM = "iomem"
    MEMTOTAL = "memtotal"
    PAGES = "pages"
    FREE = "free"
    MARKS = "marks"


class Observation(NamedTuple):
    """One thing that was compared.

    Attributes:
        step: index of the step.
        reason: its class.
        what: ``node 0 zone Movable managed``, ``block 32 state`` …
        expected: what the real kernel showed, None if it showed no such thing.
        got: what the model shows, None likewise.
        matches: whether they agree.
        tolerated: whether they agree only within the stated tolerance.
        left_out: whether it is not judged, because recorded page flags show that the guest itself had a hand in it.
        undetermined: whether the prediction said that nobody can know; what was recorded then counts from there on.
    """

    step: int
    reason: Reason
    what: str
    expected: Value
    got: Value
    matches: bool
    tolerated: bool = False
    left_out: bool = False
    undetermined: bool = False

    @classmethod
    def equal(cls, step: int, reason: Reason, what: str, expected: Value, got: Value) -> Observation:
        """Return the observation of two values that have to be equal."""
        return cls(step, reason, what, expected, got, expected == got)
