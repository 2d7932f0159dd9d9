"""What one add brought."""

from __future__ import annotations

from dataclasses import dataclass

from memhotplug.units import format_blocks, format_range, format_size

__all__ = ["Memory"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What one add brought; usable wherever a range is asked for.

    Attributes:
        name: the device's name.
        start, size: the hull of its ranges, in bytes.
        blocks: ids of its memory blocks, ascending.
        driver_result: what the driver made of it, None if it had nothing to say.
    """

    name: str
    start: int
    size: int
    blocks: tuple[int, ...]
    driver_result: str | None = None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        if not self.blocks:
            return f"<Memory {self.name}: no blocks>"
        place = f"{format_range(self.start, self.size)}, {format_size(self.size)}"
        return f"<Memory {self.name}: {place}, blocks {format_blocks(self.blocks)}>"
