"""Parsing /proc/zoneinfo."""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from memhotplug.errors import InputError
from memhotplug.formats.snapshot.layout import MAX_PFN
from memhotplug.formats.snapshot.source import Source

__all__ = ["Known", "Pageset", "ZoneInfo", "parse_zoneinfo"]

_HEADER = re.compile(r"Node\s+([0-9]{1,9}), zone\s+(\S+)")
_NODE = "Node "  # what the line of a zone begins with
_COUNT = re.compile(r"(?:pages )?(free|boost|min|low|high|promo|spanned|present|managed|cma)\s+(\S+)")
_PAGESET = re.compile(r"(cpu|count|high|batch):\s*(\S+)")
_PROTECTION = re.compile(r"protection: \(([^)]*)\)")
_FREE_CMA = re.compile(r"nr_free_cma\s+(\S+)")
_START = re.compile(r"start_pfn:\s+(\S+)")
_WANTED = re.compile(  # not the statistics, by far the most lines
    r"^[ \t]*((?:Node|pages free|boost|min|low|high|promo|spanned|present|managed|cma"
    r"|nr_free_cma|cpu:|count:|high:|batch:|protection:|start_pfn:).*)",
    re.MULTILINE,
)
_N = "([0-9]{1,15}+)"
_STATISTICS = r"(?:\n ++(?!nr_free_cma )[a-z_0-9]++ ++[0-9]++)*+"
_PLAIN = re.compile(  # a zone as every kernel writes it, without its first word
    rf"([0-9]{{1,9}}), zone +(\S+)(?:\n  per-node stats{_STATISTICS})?\n  pages free +{_N}(?:\n +boost +{_N})?"
    rf"\n +min +{_N}\n +low +{_N}\n +high +{_N}(?:\n +promo +{_N})?"
    rf"\n +spanned +{_N}\n +present +{_N}\n +managed +{_N}(?:\n +cma +{_N})?"
    rf"\n +protection: \(([0-9]{{1,15}}(?:, [0-9]{{1,15}})*)\){_STATISTICS}(?:\n +nr_free_cma +{_N})?{_STATISTICS}"
    r"(?:\n  pagesets"
    r"((?:\n +cpu: [0-9]{1,15}\n +count: +[0-9]{1,15}\n +high: +[0-9]{1,15}\n +batch: +[0-9]{1,15}"
    r"(?:\n +high_(?:min|max): +[0-9]{1,15})*(?:\n  vm stats threshold: [0-9]{1,15})?)*)"
    rf"(?:\n  node_unreclaimable: +[0-9]{{1,15}})?(?:\n  start_pfn: +(?P<start>[0-9]{{1,15}}))?"
    r"(?:\n  (?:reserved|free)_highatomic: +[0-9]{1,15})*)?\n?"
)
_SETS = re.compile(r"cpu: ([0-9]+)\n +count: +([0-9]+)\n +high: +([0-9]+)\n +batch: +([0-9]+)")
_NOWHERE = Source(file="")  # of lines that are no error's
_OPTIONAL = {"boost": 0, "promo": 0, "cma": 0}
_REQUIRED = ("free", "min", "low", "high", "spanned", "present", "managed")


class Pageset(NamedTuple):
    """One CPU's page lists of one zone, in pages."""

    cpu: int
    count: int  # type: ignore[assignment]
    high: int
    batch: int


class ZoneInfo(NamedTuple):
    """One zone as /proc/zoneinfo shows it; counts in pages.

    Models: mm/vmstat.c:zoneinfo_show_print() (v5.2 to v6.12)

    Attributes:
        min, low, high, promo, boost: watermarks.
        protection: lowmem reserve towards each zone type, by its index.
        pagesets: per-cpu lists; their pages are free but in no buddy list.
        start_pfn: None for a zone without a present page (newer kernels print none).
        free_cma: free pages that belong to CMA.
    """

    node: int
    name: str
    free: int
    boost: int
    min: int
    low: int
    high: int
    promo: int
    spanned: int
    present: int
    managed: int
    cma: int
    protection: tuple[int, ...]
    start_pfn: int | None
    pagesets: tuple[Pageset, ...]
    free_cma: int = 0


Known: TypeAlias = dict[str, ZoneInfo | None]
"""Zones by their lines, None of lines with which something is wrong."""


def parse_zoneinfo(text: str, source: Source, known: Known | None = None) -> tuple[ZoneInfo, ...]:
    """Return the zones in the order of the file.

    Args:
        known: what the lines of zones say that were met already; those of this file are added.

    Raises:
        InputError: not a zoneinfo, cut off, a negative or unreadable number, or a zone twice.
    """
    zones = _good_zones(text, {} if known is None else known)
    if zones is not None:
        return zones
    readers: list[_ZoneReader] = []
    seen: set[tuple[int, str]] = set()
    number, last = 1, 0
    for wanted in _WANTED.finditer(text):
        number += text.count("\n", last, wanted.start())
        last = wanted.start()
        line = wanted[1].rstrip()
        header = _HEADER.fullmatch(line) if line.startswith("Node") else None
        if header:
            key = int(header[1]), header[2]
            if key in seen:
                raise source.error("each zone once", got=f"node {key[0]} zone {key[1]} again", line=number)
            seen.add(key)
            readers.append(_ZoneReader(key, number, source))
        elif readers:
            readers[-1].line(line, number)
    if not readers:
        raise source.error("zones, each after a line such as 'Node 0, zone   Normal'", got="none")
    return tuple(reader.zone() for reader in readers)


def _good_zones(text: str, known: Known) -> tuple[ZoneInfo, ...] | None:
    """Return the zones of a good file, most of which the file of the step before had too; None of any other file."""
    if not text.startswith(_NODE):
        return None
    parts = text[len(_NODE) :].split(f"\n{_NODE}")
    for lines in parts:
        if lines not in known:
            known[lines] = _good_zone(lines)
    zones = tuple([zone for lines in parts if (zone := known[lines]) is not None])
    return zones if len({(zone.node, zone.name) for zone in zones}) == len(parts) else None


def _good_zone(lines: str) -> ZoneInfo | None:
    """Return the zone of some lines, the first of which lacks its first word; None if anything is wrong with them."""
    plain = _PLAIN.fullmatch(lines)
    if plain is not None:
        return _plain_zone(plain)
    header = _HEADER.fullmatch(_NODE + lines.partition("\n")[0].rstrip())
    if header is None or "Node" in lines:
        return None
    reader = _ZoneReader((int(header[1]), header[2]), 1, _NOWHERE)
    try:
        for line in _WANTED.findall(lines):
            reader.line(line.rstrip(), 1)
        return reader.zone()
    except InputError:
        return None


def _plain_zone(plain: re.Match[str]) -> ZoneInfo | None:
    """Return the zone of plain lines, None if one is missing."""
    node, name, *counts, protection, cma, sets, start = plain.groups("0")
    free, boost, min_, low, high, promo, spanned, present, managed, in_cma = map(int, counts)
    begins = plain["start"] is not None
    if present and not begins:
        return None
    return ZoneInfo(
        int(node), name, free, boost, min_, low, high, promo, spanned, present, managed, in_cma,
        protection=tuple(map(int, protection.split(", "))),
        start_pfn=int(start) if begins and spanned else None,
        pagesets=tuple([Pageset(*map(int, numbers)) for numbers in _SETS.findall(sets)]),
        free_cma=int(cma),
    )  # fmt: skip


class _ZoneReader:
    """Collects the lines of one zone."""

    def __init__(self, key: tuple[int, str], line: int, source: Source) -> None:
        self.node, self.name = key
        self.first_line = line
        self.source = source
        self.counts: dict[str, int] = {}
        self.protection: tuple[int, ...] = ()
        self.start_pfn: int | None = None
        self.free_cma = 0
        self.pagesets: list[dict[str, int]] = []

    def line(self, text: str, number: int) -> None:
        if text.startswith("pages free") or ("free" in self.counts and not self.protection):
            match = _COUNT.fullmatch(text)
            if match:
                self.counts[match[1]] = self._number(match[2], number)
                return
        match = _PROTECTION.fullmatch(text) if text.startswith("protection") else None
        if match:
            self.protection = tuple(self._number(part.strip(), number) for part in match[1].split(",") if part.strip())
            return
        match = _PAGESET.fullmatch(text)
        if match:
            self._pageset(match[1], self._number(match[2], number), number)
            return
        match = _FREE_CMA.fullmatch(text)
        if match:
            self.free_cma = self._number(match[1], number)
            return
        match = _START.fullmatch(text)
        if match:
            self.start_pfn = self._number(match[1], number)

    def zone(self) -> ZoneInfo:
        missing = [name for name in _REQUIRED if name not in self.counts]
        if not missing and self.counts["present"] and self.start_pfn is None:
            missing = ["start_pfn"]
        if missing:
            raise self.source.error(
                f"the line {missing[0]!r} of node {self.node} zone {self.name}", got="none", line=self.first_line
            )
        counts = _OPTIONAL | self.counts
        return ZoneInfo(
            node=self.node,
            name=self.name,
            protection=self.protection,
            start_pfn=self.start_pfn if counts["spanned"] else None,
            pagesets=tuple(self._finished(pageset) for pageset in self.pagesets),
            free_cma=self.free_cma,
            **counts,
        )

    def _pageset(self, key: str, value: int, number: int) -> None:
        if key == "cpu":
            self.pagesets.append({"cpu": value})
        elif self.pagesets:
            self.pagesets[-1][key] = value
        else:
            raise self.source.error("'cpu:' before the numbers of a pageset", got=f"{key!r}", line=number)

    def _finished(self, pageset: dict[str, int]) -> Pageset:
        if "count" not in pageset:
            raise self.source.error(
                f"the pageset count of cpu {pageset['cpu']} in node {self.node} zone {self.name}",
                got="none",
                line=self.first_line,
            )
        return Pageset(**({"high": 0, "batch": 0} | pageset))

    def _number(self, text: str, line: int) -> int:
        value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else MAX_PFN
        if value >= MAX_PFN:
            raise self.source.error("a number of pages", got=repr(text), line=line)
        return value
