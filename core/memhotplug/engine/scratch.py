"""What is noted while one operation lasts, and forgotten with it."""

from __future__ import annotations

from memhotplug.contracts import MemoryEvent
from memhotplug.errors import MemoryHotplugError

__all__ = ["Scratch"]


class Scratch:
    """The notes of one operation.

    Attributes:
        vetoes: notifier events that the step vetoes, with the errno.
        add_errors: what add_memory() refused so far, in order.
    """

    __slots__ = ("add_errors", "vetoes")

    def __init__(self) -> None:
        self.vetoes: dict[MemoryEvent, int] = {}
        self.add_errors: list[MemoryHotplugError] = []

    def copy(self) -> Scratch:
        """Return independent notes that say the same."""
        twin = Scratch()
        if self.vetoes:
            twin.vetoes = self.vetoes.copy()
        if self.add_errors:
            twin.add_errors = self.add_errors.copy()
        return twin
