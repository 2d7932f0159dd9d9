"""Reading a kernel log in which memory ran out: a page allocation failure or the OOM killer, with its Mem-Info.

For many machines that is the only record there is. The report has every count that a plan needs, and no
position: ``layout`` puts the zones where the architecture has them.

Models: mm/page_alloc.c:warn_alloc(), mm/oom_kill.c:dump_header(), show_free_areas() (v4.4 to v6.12).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Final

from memhotplug.engine.boot.kernel_log.arch import arch_of_release, choose_arch, foreign_sign, sign_of
from memhotplug.engine.boot.kernel_log.carriers import carried_lines, is_packed
from memhotplug.engine.boot.kernel_log.layout import Layout, LoggedZone, place, refused
from memhotplug.engine.boot.kernel_log.text import REPORT_WORDS, log_lines
from memhotplug.formats.snapshot import RecordedMachine
from memhotplug.formats.snapshot.attributes import parse_ids
from memhotplug.formats.snapshot.disagree import disagreements
from memhotplug.formats.snapshot.freetypes import kept_by_letters
from memhotplug.formats.snapshot.source import Note, Source
from memhotplug.formats.textfile import read_text
from memhotplug.naming import arches, architectures

__all__ = ["OomReport", "is_kernel_log", "parse_oom_log", "read_oom_log"]

_ZONES: Final = "DMA|DMA32|Normal|HighMem|Movable|Device"
_FAILURE: Final = re.compile(
    r"(?P<comm>\S.{0,63}?): (?:page|vmemmap) (?:allocation|alloc) (?:failure|stalls for \d+ms)[:.,] ?"
    r"order:(?P<order>\d{1,2}), mode:(?P<mode>0x[0-9a-f]+(?:\([^)]*\))?)"
)
_KILLER: Final = re.compile(
    r"(?P<comm>\S.{0,63}?) invoked oom-killer: gfp_mask=(?P<mode>0x[0-9a-f]+(?:\([^)]*\))?),"
    r".*?\border=(?P<order>-?\d{1,2})"
)
_RELEASE: Final = re.compile(r"(?:[Tt]ainted\b|\b[Cc]omm: ).* (\d+\.\d+\S*) +#\d")  # the last word before the build
_VERSION: Final = re.compile(r"Linux version (\d+\.\d+\S*)")
_CMDLINE: Final = re.compile(r"(?:Kernel command line|Command line): (.*)")
_ZONE: Final = re.compile(rf"(?:\bNode (\d+) )?\b({_ZONES}) free:(.*)")
_RESERVE: Final = re.compile(r"\blowmem_reserve\[\]:((?: -?\d+)*)")
_CHUNKS: Final = re.compile(rf"(?:\bNode (\d+) )?\b({_ZONES}): (\d+\*\d+kB.*)")
_CHUNK: Final = re.compile(r"(-?\d{1,12})\*(\d{1,12})kB(?: \(([A-Z]+)\))?")
_TOTAL: Final = re.compile(r"= (\d{1,15})kB\b")
_PAGES: Final = re.compile(r"(?<!\d)(\d{1,15}) pages (RAM|reserved)\s*$")
_COUNT: Final = re.compile(r"(\w+):(-?\d{1,15})[kK]B")
_HEADER: Final = re.compile(r"(?:\A|\\x0a)\s*free:(\d{1,15}) free_pcp:")
_ALLOWED: Final = re.compile(r"\bmems_allowed=(\d+(?:-\d+)?(?:,\d+(?:-\d+)?){0,60})")
_CONSTRAINT: Final = re.compile(r"\bCONSTRAINT_(CPUSET|MEMORY_POLICY)\b")
_REPORT: Final = re.compile(rf"Mem-Info:|\b(?:{_ZONES}) free:\d")
_NEEDED: Final = ("min", "low", "high", "present", "managed")
_MAX_ORDERS: Final = 24
_NODES: Final = 1 << 10  # as many as CONFIG_NODES_SHIFT allows anywhere


@dataclass(frozen=True, kw_only=True, slots=True)
class OomReport:
    """What a kernel log tells of the moment in which memory ran out.

    Attributes:
        machine: the machine at that moment.
        order: order of the chunk that could not be had; None if the log does not say what failed, -1
            if somebody asked for the OOM killer.
        mode: the GFP mask, as printed. comm: the task. text: the line that says what failed.
    """

    machine: RecordedMachine
    order: int | None
    mode: str | None
    comm: str | None
    text: str | None


def is_kernel_log(text: str) -> bool:
    """Return whether a text holds a report of memory, or a part of one."""
    if any(word in text for word in REPORT_WORDS) and _REPORT.search(text):
        return True
    return is_packed(text) and any(_REPORT.search(line) for _, line in carried_lines(text))


def read_oom_log(path: str | os.PathLike[str], *, arch: str | None = None) -> OomReport:
    """Read a kernel log, plain or compressed; of several reports, the last that is complete.

    Args:
        arch: the architecture, for logs that do not tell.

    Raises:
        InputError: unreadable, without a report, cut off, or contradicting itself; names file and line.
    """
    source = Source(file=os.fspath(path))
    return parse_oom_log(read_text(source), source, arch=arch)


def parse_oom_log(text: str, source: Source, *, arch: str | None = None) -> OomReport:
    """Return what the text of a kernel log tells; ``source`` is what errors call it.

    Raises:
        InputError: as :func:`read_oom_log`.
    """
    reader = _Reader(source)
    if not is_kernel_log(text):
        return reader.report(arch)
    for number, line in log_lines(text):
        reader.line(line, number)
    return reader.report(arch)


@dataclass(slots=True)
class _Zone:
    """One zone while its lines are read; sizes in kB."""

    line: int
    counts: dict[str, int]
    reserve: tuple[int, ...] | None = None
    chunks: tuple[int, ...] | None = None
    letters: tuple[str | None, ...] = ()


class _Block:
    """The lines of one Mem-Info."""

    def __init__(
        self, line: int, failure: re.Match[str] | None, release: str | None, allowed: str | None = None,
        arch: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.line = line
        self.failure = failure
        self.release = release
        self.arch = arch
        self.zones: dict[tuple[int, str], _Zone] = {}
        self.last: _Zone | None = None
        self.pages: dict[str, int] = {}
        self.allowed = allowed
        self.constrained = False
        self.smallest: int | None = None  # kB of the smallest chunk: the page size

    def missing(self, source: Source) -> Exception | None:
        """Return the error for what the report lacks, None if it is complete."""
        if not self.zones:
            return refused(source, "zones, such as 'Node 0 DMA32 free:4520kB …'", got="none", line=self.line)
        for (node, name), zone in self.zones.items():
            if zone.chunks is None and zone.counts["managed"]:
                wanted = f"the free chunks of node {node} zone {name} ('Node {node} {name}: 37*4kB … = …kB')"
                return refused(source, wanted, got="a log that is cut off", line=zone.line)
        return None


class _Reader:
    """Reads one log, line by line."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.blocks: list[_Block] = []
        self.failure: re.Match[str] | None = None
        self.release: str | None = None
        self.cmdline: str | None = None
        self.arch: tuple[str, int] | None = None  # and the first line that tells it
        self.allowed: str | None = None

    def line(self, text: str, number: int) -> None:
        failure = _FAILURE.match(text) or _KILLER.match(text)
        allowed = _ALLOWED.search(text)
        if allowed:
            self.allowed = allowed[1]
        if failure:
            self.failure = failure
            return
        if text.startswith("Mem-Info:"):
            self._open(number)
            return
        self._facts(text, number)
        zone = _ZONE.search(text)
        if zone:
            self._zone(zone, number)
            return
        chunks = _CHUNKS.search(text)
        if chunks:
            self._chunks(chunks, number)
            return
        self._details(text, number)

    def _open(self, number: int) -> _Block:
        block = _Block(number, self.failure, self.release, self.allowed, self.arch)
        self.failure = self.allowed = None
        self.blocks.append(block)
        return block

    def _facts(self, text: str, number: int) -> None:
        """Remember what tells kernel, command line and architecture."""
        for pattern in (_VERSION, _RELEASE):
            found = pattern.search(text)
            if found:
                self.release = found[1]
        cmdline = _CMDLINE.match(text)
        if cmdline:
            self.cmdline = cmdline[1].strip()
        sign = sign_of(text) or foreign_sign(text)
        if sign is not None and (self.arch is None or self.arch[0] != sign):
            self.arch = sign, number

    def _current(self, number: int) -> _Block:
        return self.blocks[-1] if self.blocks else self._open(number)

    def _key(self, match: re.Match[str], number: int) -> tuple[int, str]:
        """Return node and name of the zone that a line begins with."""
        nid = match[1] or "0"
        if len(nid) > 4 or int(nid) >= _NODES:
            raise refused(self.source, f"a node below {_NODES}", got=nid[:20], line=number)
        return int(nid), match[2]

    def _zone(self, match: re.Match[str], number: int) -> None:
        block = self._current(number)
        key = self._key(match, number)
        if key in block.zones:
            if block.missing(self.source) is not None:
                raise refused(self.source, "each zone once", got=f"node {key[0]} zone {key[1]} again", line=number)
            block = self._open(number)
        counts = {name: int(value) for name, value in _COUNT.findall(f"free:{match[3]}")}
        below = next((name for name, size in counts.items() if size < 0), None)
        if below is not None:
            raise refused(self.source, "sizes that are never negative", got=f"{below}:{counts[below]}kB", line=number)
        lacking = [name for name in ("free", *_NEEDED) if name not in counts]
        if lacking:
            wanted = f"'{lacking[0]}:' with kB in the line of node {key[0]} zone {key[1]}"
            raise refused(self.source, wanted, got="a line that is cut off or none of this kernel's", line=number)
        if counts["managed"] > counts["present"]:
            got = f"{counts['managed']} kB managed, {counts['present']} kB present"
            raise refused(self.source, f"no more managed than present memory in node {key[0]} zone {key[1]}", got=got,
                                    line=number)  # fmt: skip
        block.last = block.zones[key] = _Zone(line=number, counts=counts)

    def _chunks(self, match: re.Match[str], number: int) -> None:
        block = self._current(number)
        key = self._key(match, number)
        zone = block.zones.get(key)
        if zone is None:
            wanted = f"the line 'Node {key[0]} {key[1]} free:…' before its free chunks"
            raise refused(self.source, wanted, got="none", line=number)
        total = _TOTAL.search(match[3])
        found = _CHUNK.findall(match[3])
        pairs = [(int(count), int(size)) for count, size, _ in found]
        doubling = all(count >= 0 and size == pairs[0][1] << order for order, (count, size) in enumerate(pairs))
        if total is None or not doubling or len(pairs) > _MAX_ORDERS:
            wanted = "free chunks by order up to their sum, such as '1*4kB 0*8kB … = 4kB'"
            raise refused(self.source, wanted, got="a line that is cut off or damaged", line=number)
        held = sum(count * size for count, size in pairs)
        if held != int(total[1]):
            raise refused(self.source, f"chunks that add up to {total[1]} kB", got=f"{held} kB", line=number)
        if held > zone.counts["managed"]:
            wanted = f"at most {zone.counts['managed']} kB free, which is all of node {key[0]} zone {key[1]}"
            raise refused(self.source, wanted, got=f"{held} kB", line=number)
        if block.smallest not in (None, pairs[0][1]):
            raise refused(self.source, f"chunks from {block.smallest} kB on", got=f"{pairs[0][1]} kB", line=number)
        block.smallest = pairs[0][1]
        zone.chunks = tuple(count for count, _ in pairs)
        named = any(letters for *_, letters in found)
        zone.letters = tuple(letters if named else None for *_, letters in found)

    def _details(self, text: str, number: int) -> None:
        reserve = _RESERVE.search(text)
        if reserve and self.blocks and self.blocks[-1].last is not None:
            self.blocks[-1].last.reserve = tuple(max(0, int(word)) for word in reserve[1].split())
            self.blocks[-1].last = None
        pages = _PAGES.search(text)
        if pages and self.blocks:
            self.blocks[-1].pages.setdefault(pages[2], int(pages[1]))
        header = _HEADER.search(text)
        if header and self.blocks and not self.blocks[-1].zones:
            self.blocks[-1].pages.setdefault("free", int(header[1]))
        if _CONSTRAINT.search(text) and self.blocks:
            self.blocks[-1].constrained = True

    # ---- the end ----

    def report(self, arch: str | None) -> OomReport:
        """Return the last complete report."""
        if not self.blocks:
            raise refused(self.source, "a page allocation failure or OOM report with its Mem-Info", got="none")
        complete = [block for block in self.blocks if block.missing(self.source) is None]
        if not complete:
            problem = self.blocks[-1].missing(self.source)
            assert problem is not None
            raise problem
        block = complete[-1]
        failure = block.failure
        return OomReport(
            machine=self._machine(block, arch),
            order=int(failure["order"]) if failure else None,
            mode=failure["mode"] if failure else None,
            comm=failure["comm"] if failure else None,
            text=failure.string.strip() if failure else None,
        )

    def _machine(self, block: _Block, arch: str | None) -> RecordedMachine:
        release = block.release or self.release
        notes = [_inferred("one moment in the middle of an operation: what it had allocated by then counts as used")]
        if len(self.blocks) > 1:
            text = f"the report in line {block.line} of {len(self.blocks)}: the last that is complete"
            notes.append(_inferred(text))
        page = (block.smallest or 4) << 10
        zones = [self._logged(key, zone, page) for key, zone in block.zones.items() if key[1] != "Device"]
        told = self._told_arch(arch, block.arch or self.arch, release)
        chosen, guessed = choose_arch(told, (name for _, name in block.zones), zones, page, release)
        notes += [_inferred(guessed)] if guessed else []
        for value, what in ((release, "kernel release"), (self.cmdline, "command line")):
            if value is None:
                notes.append(_inferred(f"{what} unknown: the log does not tell"))
        if all(zone.name == "Movable" for zone in zones if zone.pages["present"]):
            shown = ", ".join(sorted({str(zone.node) for zone in zones}))
            wanted = "a zone that the kernel allocates from; this report leaves out the nodes that have one"
            raise refused(self.source, wanted, got=f"Movable zones of node {shown} alone", line=block.line)
        layout = place(zones, arch=chosen, release=release, page_size=page, source=self.source)
        notes += [_inferred(text) for text in layout.assumed]
        notes = [*_partial(block, zones, self.source), *notes, *_totals(block, zones)]
        machine = self._record(layout, notes, chosen, release, page)
        return replace(machine, notes=(*machine.notes, *disagreements(machine)))

    def _told_arch(self, asked: str | None, sign: tuple[str, int] | None, release: str | None) -> str | None:
        """Return the architecture that a line or the release tells, else the one that was asked for, if any.

        Raises:
            InputError: that is another one, or none that is installed.
        """
        told, line = sign or (arch_of_release(release), None)
        if told is not None and architectures().named(told) is None:
            wanted = f"the log of an architecture that is installed ({', '.join(arches())})"
            raise refused(self.source, wanted, got=f"what {told} alone prints", line=line)
        if asked is not None and told not in (None, asked):
            where = f"release {release}" if line is None else f"what {told} alone prints"
            raise refused(self.source, f"a log of architecture {asked}", got=where, line=line)
        return told or asked

    def _logged(self, key: tuple[int, str], zone: _Zone, page: int) -> LoggedZone:
        pages = {}
        reserve = "free_highatomic" if "free_highatomic" in zone.counts else "reserved_highatomic"
        for name in ("free", *_NEEDED, "boost", "free_pcp", "free_cma", reserve):
            size = zone.counts.get(name, 0) << 10
            if size % page:
                raise refused(self.source, f"multiples of a page of {page >> 10} kB", got=f"{name}:{size >> 10}kB",
                                        line=zone.line)  # fmt: skip
            pages[name] = size // page
        chunks = zone.chunks or ()
        kept = kept_by_letters(
            chunks, zone.letters, free_cma=pages["free_cma"], free_highatomic=pages[reserve], highatomic=pages[reserve]
        )
        return LoggedZone(
            node=key[0], name=key[1], line=zone.line, pages=pages, protection=zone.reserve, by_order=chunks, kept=kept
        )

    def _record(self, layout: Layout, notes: list[Note], arch: str, release: str | None, page: int) -> RecordedMachine:
        orders = max(len(zone.free_by_order) for zone in layout.zones)
        return RecordedMachine(
            file=self.source.file, step=None, arch=arch, kernel_release=release, cmdline=self.cmdline, page_size=page,
            section_size=None, block_size=layout.block_size, boot_memory=None, max_order=orders - 1,
            pageblock_order=None, zones=layout.zones, blocks=layout.blocks, nodes=layout.nodes,
            possible_nodes=tuple(node.id for node in layout.nodes), iomem=(), parameters={}, auto_online_blocks=None,
            mem_total=None, mem_free=None, notes=tuple(notes),
        )  # fmt: skip


def _inferred(text: str) -> Note:
    return Note(kind="inferred", text=text)


def _partial(block: _Block, zones: list[LoggedZone], source: Source) -> list[Note]:
    """Return what tells that the report leaves out nodes: first of all notes, as everything hangs on it.

    Models: mm/show_mem.c:show_mem_node_skip() (v6.6; mm/page_alloc.c before): nodes that the task may not use.
    """
    shown = {zone.node for zone in zones}
    signs = []
    for word, name in (("RAM", "present"), ("free", "free")):
        told, held = block.pages.get(word), sum(zone.pages[name] for zone in zones)
        if told is not None and told > held + (held >> 4):
            signs.append(f"{held} of {told} pages {word}")
    allowed = set(parse_ids(block.allowed, source)) if block.allowed is not None else shown
    if allowed - shown and signs:
        signs.append(f"mems_allowed={block.allowed}")
    if not signs:
        return []
    why = "; the task was bound to nodes by a cpuset or a policy" if block.constrained else ""
    nodes = ", ".join(map(str, sorted(shown)))
    what = f"only a part of the machine: the report shows node {nodes}, with {', '.join(signs)}{why}"
    return [_inferred(f"{what}; nothing is known of the rest")]


def _totals(block: _Block, zones: list[LoggedZone]) -> list[Note]:
    """Return what the totals at the end of the report have against its zones."""
    present = sum(zone.pages["present"] for zone in zones)
    reserved = present - sum(zone.pages["managed"] for zone in zones)
    notes = []
    for word, held in (("RAM", present), ("reserved", reserved)):
        told = block.pages.get(word)
        if told is not None and told != held:
            text = f"the log ends with {told} pages {word}, its zones have {held}"
            notes.append(Note(kind="inconsistent", text=text))
    return notes
