"""What one recorded step shows, each file parsed when it is first asked for and never twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

import numpy as np

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import KPageFlags, RecordedOp, RecordedStep
from memhotplug.formats.snapshot.attributes import parse_meminfo
from memhotplug.formats.snapshot.buddyinfo import PageTypes, parse_buddyinfo, parse_pagetypeinfo
from memhotplug.formats.snapshot.iomem import IomemEntry, is_hidden, parse_iomem
from memhotplug.formats.snapshot.source import Source
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo, parse_zoneinfo
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKind

__all__ = ["ATTRIBUTES", "KINDS", "Flags", "IomemLine", "StepFacts", "ZoneName"]

ATTRIBUTES = ("state", "valid_zones", "removable", "node")
"""The files of a memory block that are compared."""

KINDS: Mapping[str, ZoneKind] = {kind.label: kind for kind in ZoneKind}

ZoneName = tuple[int, str]
"""Node id and the zone's name."""

IomemLine = tuple[int, int, str]
"""First byte, last byte and name."""

_BLOCK_FOLDER = "sys/devices/system/memory/memory"


@lru_cache(maxsize=1 << 16)
def _block_file(path: str) -> tuple[int, str]:
    """Return the block that a path is about, and its file, no name for any other path; every step has the same."""
    block, _, name = path.removeprefix(_BLOCK_FOLDER).partition("/")
    if not path.startswith(_BLOCK_FOLDER) or not name or not block.isdecimal():
        return -1, ""
    return int(block), name


@lru_cache(maxsize=64)
def _iomem(text: str) -> tuple[IomemEntry, ...] | None:
    """Return what a good file lists, None of any other; most steps have the file of the step before."""
    try:
        return parse_iomem(text, Source(file=""))
    except InputError:
        return None


class Flags:
    """Page flags as arrays.

    Attributes:
        starts, ends: int64, shape (n,), ascending, half-open pfn runs.
        values: uint64, shape (n,), what /proc/kpageflags shows of each page of a run.
        covered: the pfns that were read.
        past_end: those of them that lie behind the end of the file.
    """

    def __init__(self, flags: KPageFlags) -> None:
        self.starts, self.ends, self.values = flags.ranges.starts, flags.ranges.ends, flags.ranges.values
        self.covered = ExtentSet.of(*flags.covered)
        self.past_end = ExtentSet.of(*flags.past_end)

    def having(self, mask: int, without: int = 0) -> ExtentSet:
        """Return the pages that have one of the flags of ``mask`` and none of ``without``."""
        chosen = (self.values & np.uint64(mask)) != 0
        if without:
            chosen &= (self.values & np.uint64(without)) == 0
        return ExtentSet(self.starts[chosen], self.ends[chosen])

    @cached_property
    def bare(self) -> ExtentSet:
        """The pages without any flag."""
        chosen = self.values == 0
        return ExtentSet(self.starts[chosen], self.ends[chosen])

    def between(self, low: int, high: int) -> list[tuple[int, int, int]]:
        """Return the runs inside [low, high), cut at its borders, with their flags."""
        first = int(self.ends.searchsorted(low, side="right"))
        last = int(self.starts.searchsorted(high, side="left"))
        runs = zip(
            self.starts[first:last].tolist(), self.ends[first:last].tolist(), self.values[first:last].tolist(),
            strict=True,
        )  # fmt: skip
        return [(max(start, low), min(end, high), value) for start, end, value in runs]


class StepFacts:
    """One recorded step. Whatever was not recorded is None, which is not the same as empty.

    Args:
        file: the recording, for errors.

    Every property raises InputError if its file cannot be parsed.
    """

    def __init__(self, step: RecordedStep, file: str) -> None:
        self.step = step
        self.files: Mapping[str, str] = step.files or {}
        self._file = file

    @property
    def index(self) -> int:
        """Number of the step."""
        return self.step.index

    @property
    def op(self) -> RecordedOp:
        """What was done."""
        return self.step.op

    @property
    def is_bare(self) -> bool:
        """Whether nothing but the operation was recorded."""
        return self.step.result is None and not self.files

    def _source(self, path: str) -> Source:
        return Source(file=self._file, place=f"steps[{self.index}].files[{path}]")

    @cached_property
    def zones(self) -> Mapping[ZoneName, ZoneInfo] | None:
        """The zones of /proc/zoneinfo."""
        text = self.files.get("proc/zoneinfo")
        if text is None:
            return None
        return {(zone.node, zone.name): zone for zone in parse_zoneinfo(text, self._source("proc/zoneinfo"))}

    @cached_property
    def chunks(self) -> Mapping[ZoneName, list[int]] | None:
        """Free chunks by order, of /proc/buddyinfo."""
        text = self.files.get("proc/buddyinfo")
        if text is None:
            return None
        counts = parse_buddyinfo(text, self._source("proc/buddyinfo"))
        return {(free.node, free.zone): list(free.by_order) for free in counts}

    @cached_property
    def types(self) -> PageTypes | None:
        """What /proc/pagetypeinfo shows: free chunks by migrate type; None where it has no such table."""
        text = self.files.get("proc/pagetypeinfo")
        found = None if text is None else parse_pagetypeinfo(text, self._source("proc/pagetypeinfo"))
        return found if found is not None and found.free else None

    @cached_property
    def ram(self) -> list[IomemLine] | None:
        """The System RAM lines of /proc/iomem; None too where a reader without rights saw only zeros."""
        text = self.files.get("proc/iomem")
        if text is None:
            return None
        entries = _iomem(text)
        if entries is None:
            entries = parse_iomem(text, self._source("proc/iomem"))  # says what is wrong, and where
        if is_hidden(entries):
            return None
        return [(entry.start, entry.end, entry.name) for entry in entries if entry.name.startswith("System RAM")]

    @cached_property
    def mem_total(self) -> int | None:
        """MemTotal in bytes."""
        text = self.files.get("proc/meminfo")
        return None if text is None else parse_meminfo(text, self._source("proc/meminfo"))["MemTotal"]

    @cached_property
    def blocks(self) -> Mapping[int, Mapping[str, str]] | None:
        """The files of each memory block, stripped, by id and name; None if none was recorded."""
        found: dict[int, dict[str, str]] = {}
        for path, text in self.files.items():
            block, name = _block_file(path)
            if name:
                found.setdefault(block, {})[name] = text.strip()
        return {block: found[block] for block in sorted(found)} or None

    @cached_property
    def is_under_way(self) -> bool:
        """Whether a block was still going offline."""
        return any(files.get("state") == BlockState.GOING_OFFLINE.label for files in (self.blocks or {}).values())

    @cached_property
    def flags(self) -> Flags | None:
        """The page flags."""
        return None if self.step.kpageflags is None else Flags(self.step.kpageflags)

    def waiting(self, node: int, zone: str) -> int:
        """Return the pages on a zone's per-cpu lists, 0 where nothing tells."""
        info = (self.zones or {}).get((node, zone))
        return sum(pageset.count for pageset in info.pagesets) if info is not None else 0
