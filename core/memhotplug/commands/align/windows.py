"""The ranges that somebody wants to add: as /proc/iomem shows them, and what firmware advises for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from memhotplug.formats.snapshot.iomem import IomemEntry
from memhotplug.manager import driver_traits

__all__ = ["Window", "advised_block_size", "advising_windows", "windows_of"]

_LEAST_ADVICE: Final = 256 << 20  # a CXL window is aligned at least so


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One range that somebody wants to add: bytes; ``name`` and ``node`` if it has one, such as ``dax0.0`` and -1."""

    start: int
    size: int
    name: str | None = None
    node: int | None = None

    def overlaps(self, other: Window) -> bool:
        """Return whether there is a byte that both have."""
        return self.start < other.start + other.size and other.start < self.start + self.size


def advised_block_size(windows: Iterable[tuple[int, int]]) -> int | None:
    """Return the memory block size that firmware's tables advise for windows (start and size), None if they do not.

    Models: drivers/acpi/numa/srat.c:acpi_parse_cfmws(), drivers/base/memory.c:memory_block_advise_max_size() (v6.15).
    """
    aligned = [(bits := start | (start + size)) & -bits for start, size in windows]
    return min((align for align in aligned if align >= _LEAST_ADVICE), default=None)


def advising_windows(entries: Iterable[IomemEntry], driver: str) -> list[tuple[int, int]]:
    """Return start and size of the ranges in /proc/iomem whose alignment firmware's tables advise."""
    patterns = driver_traits(driver).advising_windows
    return [
        (entry.start, entry.end + 1 - entry.start)
        for entry in entries
        if any(re.match(pattern, entry.name) for pattern in patterns)
    ]


def windows_of(entries: Iterable[IomemEntry], driver: str, error: Callable[[str, str], Exception]) -> list[Window]:
    """Return what could become memory in /proc/iomem: a driver's devices, and its windows without one.

    Args:
        driver: who knows such ranges by their names.
        error: makes the exception for what was expected and what was found.

    Raises:
        Exception: what ``error`` made, if there is no such range.
    """
    rows, traits = list(entries), driver_traits(driver)
    found = []

    def is_device(name: str) -> bool:
        return any(re.match(pattern, name) for pattern in traits.devices)

    def is_window(name: str) -> bool:
        return any(re.match(pattern, name) for pattern in traits.windows)

    for index, entry in enumerate(rows):
        inner = _inside(rows, index)
        if is_device(entry.name):
            if not any(is_device(outer.name) for outer in _outside(rows, index)):
                found.append(entry)
        elif is_window(entry.name) and not any(is_device(part.name) or is_window(part.name) for part in inner):
            found.append(entry)
    if not found:
        raise error(f"a range in it of which {driver} makes memory, such as a CXL window", "none")
    return [Window(start=entry.start, size=entry.end + 1 - entry.start, name=entry.name) for entry in found]


def _inside(rows: Sequence[IomemEntry], index: int) -> list[IomemEntry]:
    inner = []
    for entry in rows[index + 1 :]:
        if entry.depth <= rows[index].depth:
            break
        inner.append(entry)
    return inner


def _outside(rows: Sequence[IomemEntry], index: int) -> list[IomemEntry]:
    outer, depth = [], rows[index].depth
    for entry in reversed(rows[:index]):
        if entry.depth < depth:
            outer.append(entry)
            depth = entry.depth
    return outer
