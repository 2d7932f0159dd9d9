"""What a recording's texts say, each looked at once: most of what a step shows, the one before showed too."""

from __future__ import annotations

from memhotplug.formats.snapshot.attributes import BlockPaths
from memhotplug.formats.snapshot.buddyinfo import FreeCounts
from memhotplug.formats.snapshot.iomem import IomemEntry
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo

__all__ = ["Known"]


class Known:
    """What was met already in one recording; another one begins anew, so that no replay is faster for an earlier one.

    Attributes:
        paths: which block each path is about.
        zones: the zones of /proc/zoneinfo by their lines, None of lines with which something is wrong.
        free, ranges: the same of /proc/buddyinfo and of /proc/iomem, line by line.
    """

    def __init__(self) -> None:
        self.paths = BlockPaths()
        self.zones: dict[str, ZoneInfo | None] = {}
        self.free: dict[str, FreeCounts | None] = {}
        self.ranges: dict[str, IomemEntry | None] = {}
