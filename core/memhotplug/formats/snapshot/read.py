"""From the files of a snapshot to a ``RecordedMachine``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from memhotplug.formats.snapshot.arches import Architectures
from memhotplug.formats.snapshot.attributes import (
    BlockFiles,
    block_files,
    huge_pages,
    kernel_arch,
    kernel_release,
    module_parameters,
    parse_hex,
    parse_ids,
    pick_meminfo,
    vm_sysctls,
)
from memhotplug.formats.snapshot.bootlog import BOOT_LOG, early_ranges
from memhotplug.formats.snapshot.buddyinfo import FreeCounts, PageTypes, parse_buddyinfo, parse_pagetypeinfo
from memhotplug.formats.snapshot.disagree import disagreements
from memhotplug.formats.snapshot.extents import Extents, merge
from memhotplug.formats.snapshot.freetypes import KeptChunks, kept_by_letters, kept_by_pagetypes
from memhotplug.formats.snapshot.infer import (
    DEFAULT_MAX_ORDER,
    blocks_over,
    estimate_free,
    infer_block_size,
    infer_page_size,
    infer_zones,
    inferred,
    zone_extents,
    zones_after_boot,
)
from memhotplug.formats.snapshot.iomem import IomemEntry, is_hidden, parse_iomem
from memhotplug.formats.snapshot.known import Known
from memhotplug.formats.snapshot.layout import MEMORY, NODE, PARAMETERS
from memhotplug.formats.snapshot.records import RecordedBlock, RecordedMachine, RecordedNode, RecordedZone, ram_pfns
from memhotplug.formats.snapshot.source import Note, SnapshotFiles
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo, parse_zoneinfo
from memhotplug.units import format_blocks, is_power_of_two

_T = TypeVar("_T")
_MEMINFO = ("MemTotal", "MemFree", "Hugepagesize", "AnonHugePages")

__all__ = ["RecordedBlock", "RecordedMachine", "RecordedNode", "RecordedZone", "read_machine"]


def read_machine(
    files: SnapshotFiles, arches: Architectures, arch: str | None = None, known: Known | None = None
) -> RecordedMachine:
    """Parse a snapshot, infer what is missing, and note where its files disagree.

    Args:
        arches: the architectures that there are. arch: the one that it is where nothing recorded tells.
        known: what of the recording was read already; what is read here is added.

    Raises:
        InputError: a file cannot be parsed, or the machine cannot be used: neither zoneinfo nor
            buddyinfo, overlapping ranges, a size that is no power of two, blocks of unknown size.
    """
    return _Reader(files, arches, arch, known or Known()).machine()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Memory:
    """What is known of sizes and places before zones are put together; ``extents`` are pfns."""

    page_size: int
    block_size: int | None
    extents: Extents
    known_ram: Extents

    @property
    def block_pages(self) -> int | None:
        return None if self.block_size is None else self.block_size // self.page_size


class _Reader:
    """Reads one snapshot; collects notes on the way."""

    def __init__(self, files: SnapshotFiles, arches: Architectures, arch: str | None, known: Known) -> None:
        self.files = files
        self.known = known
        self.arch = kernel_arch(files, arches) or arch
        self.arches = arches
        self.notes: list[Note] = list(files.notes)

    def machine(self) -> RecordedMachine:
        zones, free = self._zones_and_free()
        meminfo = self._meminfo("proc/meminfo") or {}
        memory = self._memory(zones, meminfo.get("MemTotal"))
        nodes = sorted({zone.node for zone in zones or free or ()})
        blocks = self._blocks(memory, nodes, zones or ())
        guessed = zones is None and free is None
        zones = zones or self._inferred_zones(free, blocks, memory, meminfo.get("MemTotal"))
        types = self._page_types()
        max_order = len(free[0].by_order) - 1 if free else self._default_max_order()
        machine = RecordedMachine(
            file=self.files.source.file,
            step=self.files.step,
            arch=self._told(self.arch, "architecture"),
            kernel_release=self._told(kernel_release(self.files), "kernel release"),
            cmdline=self._told(self._cmdline(), "kernel command line"),
            page_size=memory.page_size,
            section_size=self._told(self.files.meta.section_size, "section size (the architecture's own applies)"),
            block_size=memory.block_size,
            boot_memory=self.files.meta.boot_memory,
            max_order=max_order,
            pageblock_order=None if types is None else types.pageblock_order,
            zones=self._zones(zones, free, blocks, memory, max_order, types),
            blocks=blocks,
            nodes=self._nodes(zones, blocks),
            possible_nodes=self._ids("possible") or tuple(nodes),
            iomem=self._iomem,
            parameters=module_parameters(self.files),
            parameters_now=self._parameters_now(),
            auto_online_blocks=self._auto_online(),
            mem_total=meminfo.get("MemTotal"),
            mem_free=meminfo.get("MemFree"),
            huge_page_size=meminfo.get("Hugepagesize", 0 if "AnonHugePages" in meminfo else None),
            notes=(),
            early=self._early(),
            attributes=self._attributes(),
            free_is_guessed=guessed,
            sysctls=vm_sysctls(self.files),
            huge_pages=huge_pages(self.files),
        )
        return replace(machine, notes=(*self.notes, *disagreements(machine)))

    # -- files -------------------------------------------------------------------------------------------------

    def _zones_and_free(self) -> tuple[tuple[ZoneInfo, ...] | None, tuple[FreeCounts, ...] | None]:
        zoneinfo, buddyinfo = self.files.get("proc/zoneinfo"), self.files.get("proc/buddyinfo")
        if zoneinfo is None and buddyinfo is None and self.files.kind != "lsmem":
            raise self.files.source.error("proc/zoneinfo or proc/buddyinfo", got="neither")
        at, known = self.files.at, self.known
        zones = None if zoneinfo is None else parse_zoneinfo(zoneinfo, at("proc/zoneinfo"), known.zones)
        free = None if buddyinfo is None else parse_buddyinfo(buddyinfo, at("proc/buddyinfo"), known.free)
        return zones, free

    def _memory(self, zones: tuple[ZoneInfo, ...] | None, mem_total: int | None) -> _Memory:
        page_size = self.files.meta.page_size
        if page_size is None:
            page_size, notes = infer_page_size(self.arch, self.arches, zones or (), mem_total)
            self.notes += notes
        self._iomem = self._read_iomem()
        ram = ram_pfns(self._iomem, page_size)
        spans = merge((z.start_pfn, z.start_pfn + z.spanned) for z in zones or () if z.start_pfn is not None)
        return _Memory(
            page_size=page_size,
            block_size=self._block_size(ram or spans, page_size),
            extents=ram or spans,
            known_ram=ram,
        )

    def _read_iomem(self) -> tuple[IomemEntry, ...]:
        text = self.files.get("proc/iomem")
        if text is None:
            self.notes.append(inferred("System RAM from zones and memory blocks: no proc/iomem"))
            return ()
        entries = parse_iomem(text, self.files.at("proc/iomem"), self.known.ranges)
        if is_hidden(entries):
            self.notes.append(
                inferred(
                    "System RAM from zones and memory blocks: proc/iomem shows only zeros, it was read without root"
                )
            )
            return ()
        if not any(entry.is_ram for entry in entries):
            self.notes.append(inferred("System RAM from zones and memory blocks: proc/iomem lists none"))
        return entries

    def _block_size(self, memory: Extents, page_size: int) -> int | None:
        name = f"{MEMORY}/block_size_bytes"
        text = self.files.get(name)
        size = self.files.meta.block_size if text is None else parse_hex(text, self.files.at(name))
        if size is not None:
            if not is_power_of_two(size) or size < page_size:
                raise self.files.at(name).error("a power of two, at least a page", got=f"{size} bytes")
            return size
        ids = [block.id for block in block_files(self.files, self.known.paths)]
        if not ids:
            self.notes.append(inferred("memory block size left to the architecture: no sys/devices/system/memory"))
            return None
        size, notes = infer_block_size(ids, memory, page_size, self.files.at(name))
        self.notes += notes
        return size

    def _meminfo(self, name: str) -> dict[str, int] | None:
        text = self.files.get(name)
        return None if text is None else pick_meminfo(text, self.files.at(name), *_MEMINFO)

    def _ids(self, name: str) -> tuple[int, ...] | None:
        text = self.files.get(f"{NODE}/{name}")
        return None if text is None else parse_ids(text, self.files.at(f"{NODE}/{name}"))

    def _cmdline(self) -> str | None:
        text = self.files.get("proc/cmdline")
        return self.files.meta.cmdline if text is None else text.strip("\0\n ")

    def _auto_online(self) -> str | None:
        text = self.files.get(f"{MEMORY}/auto_online_blocks")
        return self.files.meta.auto_online_blocks if text is None else text.strip()

    def _early(self) -> Extents:
        text = self.files.get(BOOT_LOG)
        return self.files.meta.early if text is None else early_ranges(text.splitlines())

    def _parameters_now(self) -> frozenset[str]:
        below = f"{PARAMETERS}/"
        return frozenset([path.rsplit("/", 1)[1] for path in self.files.files if path.startswith(below)])

    def _attributes(self) -> frozenset[str]:
        root = MEMORY.rpartition("/")[0] + "/"
        level = root.count("/") + 1
        return frozenset(
            [name[len(root) :] for name in self.files.files if name.count("/") == level and name.startswith(root)]
        )

    def _page_types(self) -> PageTypes | None:
        text = self.files.get("proc/pagetypeinfo")
        return None if text is None else parse_pagetypeinfo(text, self.files.at("proc/pagetypeinfo"))

    # -- what is missing ---------------------------------------------------------------------------------------

    def _told(self, value: _T | None, what: str) -> _T | None:
        if value is None:
            self.notes.append(inferred(f"{what} unknown: nothing recorded tells"))
        return value

    def _default_max_order(self) -> int:
        self.notes.append(
            inferred(
                f"largest order {DEFAULT_MAX_ORDER} and free pages as little fragmented as can be: no proc/buddyinfo"
            )
        )
        return DEFAULT_MAX_ORDER

    def _inferred_zones(
        self, free: Sequence[FreeCounts] | None, blocks: Sequence[RecordedBlock], memory: _Memory, mem_total: int | None
    ) -> tuple[ZoneInfo, ...]:
        if free is None:
            zones, notes = zones_after_boot(
                blocks, memory.block_pages or 1, fixed=self.arches.zones(self.arch), page_size=memory.page_size
            )
            self.notes += notes
            return zones
        zones, notes = infer_zones(
            free,
            blocks,
            memory.block_pages,
            memory.known_ram,
            fixed=self.arches.zones(self.arch),
            page_size=memory.page_size,
            mem_total=mem_total,
            source=self.files.source,
        )
        self.notes += notes
        return zones

    def _blocks(self, memory: _Memory, nodes: Sequence[int], zones: Sequence[ZoneInfo]) -> tuple[RecordedBlock, ...]:
        recorded = block_files(self.files, self.known.paths)
        only = nodes[0] if len(nodes) == 1 else None
        if not recorded:
            if memory.block_pages is None:
                return ()
            self.notes.append(inferred("memory blocks online wherever there is memory: none recorded"))
            return blocks_over(memory.extents, memory.block_pages, only, self.files.source)
        self._note_blocks(recorded, only)
        pages = memory.block_pages or 1
        return tuple(
            _block(block, only if only is not None else _node_of(block.id, pages, zones)) for block in recorded
        )

    def _note_blocks(self, recorded: Sequence[BlockFiles], only: int | None) -> None:
        stateless = [block.id for block in recorded if block.state is None]
        if stateless:
            self.notes.append(inferred(f"memory blocks {format_blocks(stateless)} online: no state recorded"))
        nodeless = [block.id for block in recorded if block.node is None]
        if nodeless:
            place = f"on node {only}" if only is not None else "on the node whose zones span them"
            self.notes.append(inferred(f"memory blocks {format_blocks(nodeless)} {place}: no node recorded"))
        zoneless = [block.id for block in recorded if block.valid_zones is None and block.state != "offline"]
        if zoneless:
            self.notes.append(
                inferred(f"memory blocks {format_blocks(zoneless)} in the zones that span them: no valid_zones")
            )

    def _zones(
        self,
        zones: Sequence[ZoneInfo],
        free: Sequence[FreeCounts] | None,
        blocks: Sequence[RecordedBlock],
        memory: _Memory,
        max_order: int,
        types: PageTypes | None,
    ) -> tuple[RecordedZone, ...]:
        counts = {(zone.node, zone.zone): zone.by_order for zone in free or ()}
        records = []
        for zone in zones:
            extents = zone_extents(zone, blocks, memory.block_pages, memory.known_ram)
            by_order = counts.pop((zone.node, zone.name), None)
            if by_order is None and free is not None and zone.present:
                self.notes.append(
                    inferred(f"node {zone.node} zone {zone.name}: free chunks estimated, not in buddyinfo")
                )
            by_order = by_order or estimate_free(extents, zone.free, max_order)
            records.append(_zone(zone, by_order, extents, _kept(zone, by_order, types)))
        if counts:
            node, name = min(counts)
            raise self.files.at("proc/buddyinfo").error("the zones of zoneinfo", got=f"node {node} zone {name}")
        return tuple(records)

    def _nodes(self, zones: Sequence[ZoneInfo], blocks: Sequence[RecordedBlock]) -> tuple[RecordedNode, ...]:
        with_memory = sorted({zone.node for zone in zones if zone.present})
        online, has_memory, normal = self._ids("online"), self._ids("has_memory"), self._ids("has_normal_memory")
        if not online:  # a kernel without an online node there is none: the file is missing, or was cut off
            what = "no" if online is None else "empty"
            online = tuple(sorted({zone.node for zone in zones}))
            self.notes.append(inferred(f"nodes {format_blocks(online)} from the zones: {what} {NODE}/online"))
        has_memory = tuple(with_memory) if has_memory is None else has_memory
        normal = has_memory if normal is None else normal
        cpus = self._ids("has_cpu") or online
        known = sorted({*online, *with_memory, *(block.node for block in blocks if block.node is not None)})
        totals = {node: self._meminfo(f"{NODE}/node{node}/meminfo") or {} for node in known}
        return tuple(
            RecordedNode(
                id=node,
                online=node in online,
                has_memory=node in has_memory,
                has_normal_memory=node in normal,
                mem_total=totals[node].get("MemTotal"),
                mem_free=totals[node].get("MemFree"),
                has_cpu=node in cpus,
            )
            for node in known
        )


def _kept(zone: ZoneInfo, by_order: tuple[int, ...], types: PageTypes | None) -> KeptChunks:
    """Return the free chunks that are not for everybody; without their types, CMA has the largest ones."""
    if types is not None and types.free:
        return kept_by_pagetypes(types, zone.node, zone.name, by_order, free_cma=zone.free_cma)
    if not zone.free_cma:
        return KeptChunks()
    unnamed = (None,) * len(by_order)
    return kept_by_letters(by_order, unnamed, free_cma=zone.free_cma, free_highatomic=0, highatomic=0)


def _zone(zone: ZoneInfo, by_order: tuple[int, ...], extents: Extents, kept: KeptChunks) -> RecordedZone:
    return RecordedZone(*zone, free_by_order=by_order, extents=extents, kept=kept)


def _block(block: BlockFiles, node: int | None) -> RecordedBlock:
    state = block.state or "online"
    zones = block.valid_zones or ()
    return RecordedBlock(
        id=block.id,
        state=state,
        zone=zones[0] if state != "offline" and zones else None,
        valid_zones=zones,
        removable=block.removable,
        phys_index=block.phys_index,
        phys_device=block.phys_device,
        node=node if block.node is None else block.node,
    )


def _node_of(block: int, pages: int, zones: Sequence[ZoneInfo]) -> int | None:
    first, last = block * pages, (block + 1) * pages
    nodes = {
        z.node for z in zones if z.start_pfn is not None and z.start_pfn < last and first < z.start_pfn + z.spanned
    }
    return min(nodes) if len(nodes) == 1 else None
