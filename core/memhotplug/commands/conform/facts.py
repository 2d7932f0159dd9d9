"""What one recorded step shows, each file parsed when it is first asked for and never twice."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Container, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from memhotplug.commands.conform.flags import Flags
from memhotplug.formats.snapshot import RecordedStep
from memhotplug.formats.snapshot.attributes import parse_mem_total
from memhotplug.formats.snapshot.buddyinfo import PageTypes, parse_buddyinfo, parse_pagetypeinfo
from memhotplug.formats.snapshot.iomem import is_hidden, parse_iomem
from memhotplug.formats.snapshot.known import Known
from memhotplug.formats.snapshot.source import Source
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo, parse_zoneinfo
from memhotplug.model.blocks import BlockState
from memhotplug.model.zones import ZoneKind

__all__ = ["ATTRIBUTES", "KINDS", "NOTHING_SHOWN", "BlockShown", "IomemLine", "StepFacts", "ZoneName"]


class BlockShown(NamedTuple):
    """What the files of a memory block that are compared read, stripped; None for one that was not recorded."""

    state: str | None = None
    valid_zones: str | None = None
    removable: str | None = None
    node: str | None = None


ATTRIBUTES = BlockShown._fields
"""The files of a memory block that are compared."""

NOTHING_SHOWN = BlockShown()

KINDS: Mapping[str, ZoneKind] = {kind.label: kind for kind in ZoneKind}

ZoneName = tuple[int, str]
"""Node id and the zone's name."""

IomemLine = tuple[int, int, str]
"""First byte, last byte and name."""


def _drop(blocks: dict[int, BlockShown], gone: Iterable[tuple[int, str, str]], there: Container[int]) -> None:
    """Drop what some files of blocks showed that are gone, and blocks that are not there any more."""
    for block, name, _ in gone:
        if block not in there:
            blocks.pop(block, None)
        elif name in ATTRIBUTES:
            blocks[block] = blocks[block]._replace(**{name: None})


class StepFacts:
    """One recorded step. Whatever was not recorded is None, which is not the same as empty.

    Args:
        file: the recording, for errors.
        before: a step of the same recording. What is as it was there is not looked at again, which shows nowhere.
        known: what was read of the first step already; the later ones have that of the step before.

    Every property raises InputError if its file cannot be parsed.
    """

    def __init__(
        self, step: RecordedStep, file: str, before: StepFacts | None = None, known: Known | None = None
    ) -> None:
        self.step, self.index, self.op = step, step.index, step.op
        self._before = before
        self.files: Mapping[str, str] = step.files or {}
        self._file = file
        self._known: Known = before._known if before is not None else known or Known()

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
        zones = parse_zoneinfo(text, self._source("proc/zoneinfo"), self._known.zones)
        return {(zone.node, zone.name): zone for zone in zones}

    @cached_property
    def chunks(self) -> Mapping[ZoneName, list[int]] | None:
        """Free chunks by order, of /proc/buddyinfo."""
        text = self.files.get("proc/buddyinfo")
        if text is None:
            return None
        counts = parse_buddyinfo(text, self._source("proc/buddyinfo"), self._known.free)
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
        before = self._before
        if before is not None and "ram" in before.__dict__ and before.files.get("proc/iomem") == text:
            return before.ram
        entries = parse_iomem(text, self._source("proc/iomem"), self._known.ranges)
        if is_hidden(entries):
            return None
        return [(entry.start, entry.end, entry.name) for entry in entries if entry.is_ram]

    @cached_property
    def mem_total(self) -> int | None:
        """MemTotal in bytes."""
        text = self.files.get("proc/meminfo")
        return None if text is None else parse_mem_total(text, self._source("proc/meminfo"))

    @cached_property
    def blocks(self) -> Mapping[int, BlockShown] | None:
        """What each memory block shows, by id; None if no block was recorded."""
        before, paths, files = self._before, self._known.paths, self.files
        known: Mapping[int, BlockShown] = (before.__dict__.get("blocks") if before is not None else None) or {}
        old = before.files if before is not None and known else {}
        alike = list(old) == list(files)  # the same files, in the same order
        texts: Iterable[str | None] = old.values() if alike else map(old.get, files)
        found: dict[int, dict[str, str]] = {}
        for path in itertools.compress(files, map(operator.ne, texts, files.values())):
            block, name, _ = paths[path]
            if name and block >= 0:
                read = found.setdefault(block, {})
                if name in ATTRIBUTES:
                    read[name] = files[path].strip()
        blocks = dict(known)
        for block, read in found.items():
            blocks[block] = known[block]._replace(**read) if block in known else BlockShown(**read)
        if alike:
            return blocks or None
        gone = old.keys() - files.keys()
        if gone:
            there = {block for block, name, _ in map(paths.__getitem__, files) if name and block >= 0}
            _drop(blocks, map(paths.__getitem__, gone), there)
        return {block: blocks[block] for block in sorted(blocks)} or None

    @cached_property
    def is_under_way(self) -> bool:
        """Whether a block was still going offline."""
        return BlockState.GOING_OFFLINE.label in {shown.state for shown in (self.blocks or {}).values()}

    @cached_property
    def flags(self) -> Flags | None:
        """The page flags."""
        recorded, before = self.step.kpageflags, self._before
        if recorded is None:
            return None
        theirs = before.step.kpageflags if before is not None and "flags" in before.__dict__ else None
        if before is not None and theirs is not None and recorded.ranges is theirs.ranges and recorded == theirs:
            return before.flags
        return Flags(recorded)

    def waiting(self, node: int, zone: str) -> int:
        """Return the pages on a zone's per-cpu lists, 0 where nothing tells."""
        info = (self.zones or {}).get((node, zone))
        return sum([pageset.count for pageset in info.pagesets]) if info is not None else 0
