"""What happened to a machine, one record each; copies of the machine share what they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, overload

__all__ = ["Event", "EventLog", "Journal"]

Event: TypeAlias = dict[str, object]


class EventLog(Sequence[Event]):
    """A list that only grows. Each record is linked to the one before it: a copy costs the same, however long it is.

    Args:
        events: what it begins with, in order.
    """

    __slots__ = ("_count", "_last")

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._last: tuple[Event, object] | None = None
        self._count = 0
        for event in events:
            self.append(event)

    def append(self, event: Event) -> None:
        """Add what happened last."""
        self._last = (event, self._last)
        self._count += 1

    def clear(self) -> None:
        """Forget everything; copies keep what they have."""
        self._last, self._count = None, 0

    def copy(self) -> EventLog:
        """Return an independent log of the same events."""
        twin = EventLog.__new__(EventLog)
        twin._last, twin._count = self._last, self._count
        return twin

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return iter(self._since(0))

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice) and index.step is None:
            start, stop, _ = index.indices(self._count)
            return self._since(start)[: max(stop - start, 0)]
        return self._since(0)[index]

    def _since(self, start: int) -> list[Event]:
        """Return the events from a place on, at the cost of those."""
        found: list[Event] = []
        link = self._last
        for _ in range(self._count - start):
            assert link is not None
            found.append(link[0])
            link = link[1]  # type: ignore[assignment]  # a link again; the type cannot name itself
        found.reverse()
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (EventLog, list)):
            return NotImplemented
        return len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"EventLog({list(self)!r})"

    def __reduce__(self) -> tuple[type[EventLog], tuple[list[Event]]]:
        return EventLog, (list(self),)  # links are nested too deep to be pickled as they are


class Journal:
    """What is told of a machine.

    Attributes:
        warnings: what the kernel would warn about, in order; each is an event too.
        events: what happened, one record each, in order.
    """

    __slots__ = ("events", "warnings")

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.events = EventLog()

    def warn(self, text: str) -> None:
        """Record what the kernel would print as a warning."""
        self.warnings.append(text)
        self.log("warning", text=text)

    def log(self, event: str, **data: object) -> None:
        """Record one event; ``data`` must be plain values, with units in the keys."""
        self.events.append({"event": event, **data})

    def copy(self) -> Journal:
        """Return an independent journal that says the same."""
        twin = Journal.__new__(Journal)
        twin.warnings, twin.events = self.warnings.copy(), self.events.copy()
        return twin
