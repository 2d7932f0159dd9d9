"""What was compared: one thing, and many at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias, overload

__all__ = ["Agreed", "Observation", "Observations", "Reason", "Seen", "Value"]

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


class Agreed(NamedTuple):
    """Things of one step that were compared all at once, as they are the same on both sides.

    Attributes:
        reason: their class; nothing else of the step is of it.
        things: how many there are.
        one_by_one: returns an observation of each, all of which match, and no more than that.
    """

    reason: Reason
    things: int
    one_by_one: Callable[[], Iterable[Observation]]


Seen: TypeAlias = Observation | Agreed


class Observations(Sequence[Observation]):
    """Observations in order. Of what agrees there are many, and they are made when somebody goes through them.

    Attributes:
        seen: what was compared one by one, and at once.
    """

    def __init__(self, seen: Iterable[Seen]) -> None:
        self.seen = list(seen)
        self._count = sum(part.things if isinstance(part, Agreed) else 1 for part in self.seen)

    @property
    def single(self) -> list[Observation]:
        """Those that were compared one by one: all others match, and nothing else is to be said of them."""
        return [part for part in self.seen if not isinstance(part, Agreed)]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Observations) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Observation]:
        for part in self.seen:
            if isinstance(part, Agreed):
                yield from part.one_by_one()
            else:
                yield part

    @overload
    def __getitem__(self, index: int) -> Observation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Observation]: ...
    def __getitem__(self, index: int | slice) -> Observation | Sequence[Observation]:
        if isinstance(index, slice):
            return list(self)[index]
        at = range(self._count)[index]
        return next(itertools.islice(self, at, None))
