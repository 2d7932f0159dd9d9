"""Booting from a recorded machine: the counts exactly as recorded, the positions inferred.

No file of a running kernel says which pages are free, hold the memmap, or belong to the kernel
image beyond its sections. They are placed deterministically: free chunks as low as their orders
allow, the memmap at the top of each node, per-cpu pages apart from the buddy lists.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memhotplug.contracts import SizingRequest
from memhotplug.engine.boot.answers import page_sizing
from memhotplug.engine.boot.kernel_log.log import is_kernel_log, parse_oom_log
from memhotplug.engine.boot.managed import Told
from memhotplug.engine.boot.midlife import recognise
from memhotplug.engine.boot.recognise import recognise_arch, recognise_kernel
from memhotplug.engine.boot.sizes import parse_cmdline
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import left_out, window_names
from memhotplug.engine.slab import SLAB, attracts_slab
from memhotplug.engine.sparse_vmemmap import pair_runs
from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedMachine, RecordedZone, is_prose, open_snapshot
from memhotplug.formats.snapshot.infer import blocks_of_zones
from memhotplug.formats.snapshot.iomem import IomemEntry
from memhotplug.formats.snapshot.placement import place_free
from memhotplug.formats.snapshot.source import Source as Place
from memhotplug.formats.textfile import read_text
from memhotplug.manager import Plugins
from memhotplug.model.altmap import Altmap
from memhotplug.model.blocks import NO_ZONE, BlockState, OnlineType
from memhotplug.model.buddy import chunk_runs, free_by_order
from memhotplug.model.extents import ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import PLATFORM, SYSTEM_RAM, Resource, ResourceTable
from memhotplug.model.runs import Runs
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.watermarks import setup_watermarks, small_marks
from memhotplug.model.zones import Node, Zone, ZoneKey, ZoneKind
from memhotplug.naming import read_machine
from memhotplug.units import round_down, round_up

if TYPE_CHECKING:
    from memhotplug.formats.scenario.models import MachineSpec

__all__ = ["RECORDED", "RECORDED_MOVABLE", "KnownPages", "kernel_from_machine", "kernel_from_snapshot"]

RECORDED = Owner(Use.RECORDED)
"""Who holds the pages that were in use and do not migrate."""
RECORDED_MOVABLE = Owner(Use.RECORDED, "movable")
"""Who holds those that do."""

_KINDS = {kind.label: kind for kind in ZoneKind}
_OPEN = (r"region\d+$", "Soft Reserved$")  # beside the windows that drivers know
_STATES = {"online": BlockState.ONLINE, "offline": BlockState.OFFLINE, "going-offline": BlockState.ONLINE}


def kernel_from_snapshot(spec: MachineSpec, base: str) -> Kernel:
    """Boot the recorded machine that a scenario names.

    Args:
        base: the folder that the snapshot's path is relative to.

    Raises:
        InputError: it cannot be read, is contradictory, is of another architecture, or tells none and the scenario
            does not either.
    """
    assert spec.snapshot is not None
    path = Path(base, spec.snapshot.path)
    machine, files = _read(path, spec)
    arch = spec.arch or recognise_arch(machine)
    if arch is None:
        expected = "machine.arch in the scenario, since nothing recorded tells the architecture"
        raise InputError(expected, file=machine.file)
    if machine.arch not in (None, arch):
        raise InputError(f"a machine of architecture {arch}", got=machine.arch, file=machine.file)
    cmdline = " ".join(part for part in (machine.cmdline, spec.cmdline) if part)
    profile = spec.kernel or recognise_kernel(machine).profile
    kernel = kernel_from_machine(machine, arch, profile, cmdline)
    if not spec.kernel:
        kernel.warn(f"inferred: {recognise_kernel(machine).text}")
    kernel.recorded = files
    return kernel


def _read(path: Path, spec: MachineSpec) -> tuple[RecordedMachine, Mapping[str, str]]:
    """Return a recorded machine and its files: a snapshot's, or of a kernel log none.

    Raises:
        InputError: as :func:`kernel_from_snapshot`.
    """
    assert spec.snapshot is not None
    step, arch = spec.snapshot.step, spec.arch or None
    if step is None and is_prose(path):
        source = Place(file=str(path))
        text = read_text(source)
        if is_kernel_log(text):
            return parse_oom_log(text, source, arch=arch).machine, {}
    files = open_snapshot(path, step)
    return read_machine(files, arch), files.files


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPages:
    """What page flags show of some pages, so that it need not be inferred.

    Attributes:
        covered: the pfns that the flags cover.
        free: in a buddy list. waiting: on a per-cpu list. reserved: never managed, or in use as such.
        movable: user pages. hosted: memmap of the block that it lies in. offline: kept by a driver in an online block.
        Whatever else is covered belongs to the kernel.
    """

    covered: ExtentSet
    free: ExtentSet
    waiting: ExtentSet
    reserved: ExtentSet
    movable: ExtentSet
    hosted: ExtentSet = field(default_factory=ExtentSet)
    offline: ExtentSet = field(default_factory=ExtentSet)


def kernel_from_machine(
    machine: RecordedMachine, arch: str, profile: str, cmdline: str, known: KnownPages | None = None,
    log: Mapping[str, Mapping[str, int]] | None = None,
) -> Kernel:  # fmt: skip
    """Boot a recorded machine under a profile.

    Args:
        known: what is known of single pages.
        log: what the kernel's log says of devices, by device and by the words before the colon.

    Raises:
        InputError: the recorded counts contradict one another so that no machine can have them.
    """
    plugins = Plugins(arch, profile)
    kernel = _kernel(plugins, machine, cmdline)
    for note in machine.notes:
        kernel.warn(f"{note.kind}: {note.text}")
    kernel.warn("inferred: which pages are free, hold memmap or are in use; how many is as recorded")
    kernel.left_out = left_out(kernel.arch, machine.attributes)
    kernel.free_is_guessed = machine.free_is_guessed
    is_open = re.compile("|".join((*_OPEN, *window_names(kernel.arch))))
    resources, opened = _opened(list(_resources(machine)), is_open)
    kernel.state.resources = ResourceTable(resources)
    if opened:
        kernel.state.claims[PLATFORM] = tuple(opened)
    kernel.state.auto_online = _auto_online(kernel, machine)
    for node in machine.nodes:
        if node.online:
            kernel.state.nodes[node.id] = Node(node.id, has_cpu=node.has_cpu)
    told = Told(log=log or {})
    if known is not None:
        told = replace(told, hosted=known.hosted, offline=known.offline, covered=known.covered)
    _blocks(kernel, machine, told)
    used = {}
    for recorded in machine.zones:
        if recorded.name in _KINDS and recorded.node in kernel.state.nodes:
            zone = kernel.state.nodes[recorded.node].zones[_KINDS[recorded.name]]
            used[zone.key] = _zone(kernel, machine, recorded, zone, known)
    _holes(kernel)
    never = {key: _never_managed(kernel, kernel.state.zone(key), pages, known) for key, pages in used.items()}
    _memmap(kernel, _page_tables(kernel), used, never)
    _owners(kernel, used, never, known)
    kernel.state.boot_pages = kernel.state.total_managed()
    if machine.free_is_guessed:
        setup_watermarks(kernel.state)
    _huge_pages(kernel, machine)
    return kernel


def _kernel(plugins: Plugins, machine: RecordedMachine, cmdline: str) -> Kernel:
    """Return a kernel without memory yet; of what it was booted with, it ignores the values that it refuses.

    Models: kernel/params.c:parse_args() (v5.2 to v6.12).

    Raises:
        InputError: it refuses a value that is not on the recorded command line.
    """
    geometry = _geometry(plugins, machine, cmdline)
    try:
        kernel = Kernel(plugins, geometry, parse_cmdline(cmdline))
        changed = _changed_parameters(kernel, machine, cmdline)
        return kernel if not changed else Kernel(plugins, geometry, parse_cmdline(f"{cmdline} {changed}"))
    except InputError:
        recorded = set((machine.cmdline or "").split())
        words = cmdline.split()
        refused = [word for word in sorted(recorded) if _is_refused(plugins, geometry, word)]
        if not refused:
            raise
    kernel = Kernel(plugins, geometry, parse_cmdline(" ".join(word for word in words if word not in refused)))
    for word in refused:
        kernel.warn(f"ignored, as by the recorded kernel: {word}")
    return kernel


def _changed_parameters(kernel: Kernel, machine: RecordedMachine, cmdline: str) -> str:
    """Return the module's parameters that stand otherwise than the command line has them: written since boot.

    What the reader's own command line names, beyond the recorded one, counts as it is there.
    """
    recorded = set((machine.cmdline or "").split())
    asked = {word.partition("=")[0] for word in cmdline.split() if word not in recorded}
    now = kernel.profile.module_parameters(kernel)
    words = {
        name: f"memory_hotplug.{name}" for name in machine.parameters if name in now and name in machine.parameters_now
    }
    return " ".join(
        f"{word}={machine.parameters[name].strip()}"
        for name, word in words.items()
        if word not in asked and now[name].strip() != machine.parameters[name].strip()
    )


def _is_refused(plugins: Plugins, geometry: Geometry, word: str) -> bool:
    try:
        Kernel(plugins, geometry, parse_cmdline(word))
    except InputError:
        return True
    return False


def _geometry(plugins: Plugins, machine: RecordedMachine, cmdline: str) -> Geometry:
    """Return the architecture's sizes with those that were recorded in their place."""
    from memhotplug.engine.profile import profile_in

    profile = profile_in(plugins)
    total = machine.mem_total or sum(zone.managed for zone in machine.zones) * machine.page_size
    request = SizingRequest(
        version=profile.version,
        asks=profile.has,
        memory=((0, machine.boot_memory or total),),
        page_size=machine.page_size,
        cmdline=parse_cmdline(cmdline),
        huge_page_size=machine.huge_page_size,
    )
    sizes = page_sizing(plugins, request)
    block = machine.block_size or sizes.memory_block_size
    section = machine.section_size or min(sizes.section_size, block)
    order = machine.pageblock_order
    order = min(sizes.pageblock_order, machine.max_order) if order is None else order
    try:
        return replace(
            sizes, memory_block_size=block, section_size=section, max_order=machine.max_order, pageblock_order=order
        )
    except ValueError as problem:
        raise InputError("sizes that fit together", got=str(problem), file=machine.file) from None


def _auto_online(kernel: Kernel, machine: RecordedMachine) -> OnlineType:
    for online_type in kernel.profile.auto_online_types:
        if online_type.label == machine.auto_online_blocks:
            return online_type
    return OnlineType.OFFLINE


def _resources(machine: RecordedMachine) -> Iterable[Resource]:
    """Yield the top level of /proc/iomem; without it, System RAM where zones have pages."""
    if machine.iomem:
        yield from _tree(machine.iomem, 0)
        return
    pages = ExtentSet()
    for zone in machine.zones:
        runs = np.array(zone.extents, dtype=np.int64).reshape(-1, 2)
        pages.add_many(runs[:, 0], runs[:, 1])
    for low, high in pages:
        yield Resource(start=low * machine.page_size, end=high * machine.page_size - 1, name=SYSTEM_RAM)


def _opened(entries: Iterable[Resource], is_open: re.Pattern[str]) -> tuple[list[Resource], list[Resource]]:
    """Return the ranges that somebody has, and those that are only described: others put their memory into them.

    Models: kernel/resource.c:__request_region() (v5.2 to v6.12), which descends into what is not IORESOURCE_BUSY.
    Simplified: Reserved ranges and PCI windows are taken, where firmware puts no memory.
    """
    taken: list[Resource] = []
    opened: list[Resource] = []
    for entry in entries:
        if is_open.match(entry.name) is None:
            taken.append(entry)
            continue
        opened.append(entry._replace(children=()))
        inner = _opened(entry.children, is_open)
        taken += inner[0]
        opened += inner[1]
    return taken, opened


def _tree(entries: tuple[IomemEntry, ...], depth: int) -> Iterator[Resource]:
    """Yield the resources of one depth, each with those that stand below it in the file."""
    heads = [index for index, entry in enumerate(entries) if entry.depth == depth]
    for head, following in itertools.pairwise([*heads, len(entries)]):
        entry = entries[head]
        children = tuple(_tree(entries[head + 1 : following], depth + 1))
        yield Resource(start=entry.start, end=entry.end, name=entry.name, children=children)


def _blocks(kernel: Kernel, machine: RecordedMachine, told: Told) -> None:
    state = kernel.state
    first = min(state.nodes)
    blocks = machine.blocks
    if not blocks:
        blocks = blocks_of_zones(machine.zones, kernel.geometry.pages_per_block, machine.file)
        kernel.warn("inferred: memory blocks online wherever zones have pages: none recorded")
    for block in blocks:
        zone = _KINDS.get(block.zone or "", NO_ZONE)
        node = first if block.node is None else block.node
        state.blocks.insert(block.id, 1, state=_STATES[block.state], zone=zone, nid=node, early=1)
    starts, ends = state.block_bounds(slice(None))
    state.sections = ExtentSet(starts, ends)
    state.early = state.sections.copy()
    recognise(kernel, machine, told)


def _set_aside(kernel: Kernel) -> ExtentSet:
    """Return the pages that are in no zone's books but present: self-hosted memmap, and what a driver withholds."""
    return kernel.state.vmemmap.backing_from(Source.ALTMAP).union(kernel.state.withheld)


def _protection(machine: RecordedMachine, recorded: RecordedZone) -> tuple[int, int, int, int]:
    """Return the lowmem reserve by zone type; recorded are only the types that the kernel is built with."""
    types = [zone.name for zone in machine.zones if zone.node == recorded.node]
    told = dict(zip(types, recorded.protection, strict=False))
    dma, dma32, normal, movable = (told.get(kind.label, 0) for kind in ZoneKind)
    return dma, dma32, normal, movable


def _zone(
    kernel: Kernel, machine: RecordedMachine, recorded: RecordedZone, zone: Zone, known: KnownPages | None
) -> ExtentSet:
    """Take over one zone's counts and place its free pages; return its pages that are in use."""
    runs = np.array(recorded.extents, dtype=np.int64).reshape(-1, 2)
    pages = ExtentSet(runs[:, 0], runs[:, 1])
    zone.start_pfn, zone.spanned = recorded.start_pfn or 0, recorded.spanned
    zone.present = recorded.present
    zone.managed, zone.cma = recorded.managed, recorded.cma
    zone.wmark = (recorded.min, recorded.low, recorded.high)
    zone.protection = _protection(machine, recorded)
    zone.linked = pages
    zone.present_early = max(zone.present - pages.total + pages.covered_by(kernel.state.early), 0)
    if known is not None and _fits(recorded, pages, known):
        return _known_zone(kernel, recorded, zone, known, machine.max_order)
    image = np.array(machine.kernel_image, dtype=np.int64).reshape(-1, 2)
    room = pages.difference(_set_aside(kernel))
    if _is_fresh(kernel, zone):
        avoid = _first_slabs(room, recorded, machine.max_order)
    else:
        avoid = ExtentSet(image[:, 0], image[:, 1]).union(pages.last(kernel.geometry.memmap_pages(pages.total)))
    zone.free = _placed(room, recorded.free_by_order, machine.max_order, recorded.title, avoid)
    _keep_chunks(zone, recorded, machine.max_order)
    used = room.difference(zone.free)
    zone.pcp = _lonely(used, recorded.pcp_pages)
    used.difference_update(zone.pcp)
    return used


def _placed(
    room: ExtentSet, counts: Sequence[int], max_order: int, title: str, avoid: ExtentSet | None = None
) -> ExtentSet:
    """Return free pages of a zone, of which as many chunks as recorded are of each order."""
    if not room.total and not any(counts):
        return ExtentSet()
    return ExtentSet(
        *place_free(room.arrays, counts, max_order, avoid=None if avoid is None else avoid.arrays, place=title)
    )


def _is_fresh(kernel: Kernel, zone: Zone) -> bool:
    """Return whether a zone was empty when the kernel had booted, and its pages are those that the kernel takes first.

    What is in use there is the kernel's slab, and it begins in the first block that came.
    """
    return not zone.present_early and bool(zone.linked.total) and attracts_slab(kernel, zone)


def _first_slabs(room: ExtentSet, recorded: RecordedZone, max_order: int) -> ExtentSet:
    """Return the lowest pages of a zone, as many as are not in whole chunks of the highest order."""
    return _first(room, room.total - (recorded.free_by_order[max_order] << max_order))


def _fits(recorded: RecordedZone, pages: ExtentSet, known: KnownPages) -> bool:
    """Return whether what is known of the zone's pages can be part of the recorded counts."""
    free = known.free.intersection(pages)
    if not free.total:
        return False
    counts = free_by_order(free, len(recorded.free_by_order) - 1)
    left = [whole - part for whole, part in zip(recorded.free_by_order, counts, strict=True)]
    room = pages.total - pages.covered_by(known.covered)
    return min(left) >= 0 and sum(count << order for order, count in enumerate(left)) <= room


def _known_zone(kernel: Kernel, recorded: RecordedZone, zone: Zone, known: KnownPages, max_order: int) -> ExtentSet:
    """Take free pages from where they are known, and place the others outside of what is known."""
    aside, free = _set_aside(kernel), known.free.intersection(zone.linked)
    counts = free_by_order(free, max_order)
    left = [whole - part for whole, part in zip(recorded.free_by_order, counts, strict=True)]
    rest = zone.linked.difference(known.covered).difference(aside)
    zone.free = free.union(_placed(rest, left, max_order, recorded.title))
    _keep_chunks(zone, recorded, max_order)
    used = zone.linked.difference(zone.free).difference(aside)
    waiting = known.waiting.intersection(used)
    elsewhere = used.difference(known.covered)
    zone.pcp = waiting.union(_first(elsewhere, recorded.pcp_pages - waiting.total))
    return used.difference(zone.pcp)


def _keep_chunks(zone: Zone, recorded: RecordedZone, max_order: int) -> None:
    """Choose which of the free chunks are not for everybody: of each order the highest."""
    zone.highatomic = recorded.kept.highatomic
    zone.cma_pages, zone.barred = ExtentSet(), ExtentSet()
    for counts, owner in ((recorded.kept.cma, zone.cma_pages), (recorded.kept.barred, zone.barred)):
        for order, count in enumerate(counts):
            if not count:
                continue
            chunks = ExtentSet(*chunk_runs(zone.free, order, max_order))
            for taken in (zone.cma_pages, zone.barred):
                chunks.difference_update(taken)
            owner.update(chunks.last(count << order))


def _lonely(pages: ExtentSet, count: int) -> ExtentSet:
    """Return ``count`` pages, the lowest that merge with nothing when they are freed, as long as there are such.

    Nothing tells where pages on per-cpu lists lie. Were they neighbours, draining the lists would make chunks of
    them that nobody has seen: here each is one of a pair whose other page is in use.
    """
    if not count or not pages.total:
        return ExtentSet()
    lengths = (pages.ends >> 1) - (low := (pages.starts + 1) >> 1)
    kept = lengths > 0
    taken = np.clip(count - (np.cumsum(lengths[kept]) - lengths[kept]), 0, lengths[kept])
    before = np.cumsum(taken) - taken
    firsts = np.repeat(low[kept] - before, taken) + np.arange(int(taken.sum()), dtype=np.int64) << 1
    singles = ExtentSet(firsts, firsts + 1)
    if singles.total == count:
        return singles
    return singles.union(_first(pages.difference(singles), count - singles.total))


def _first(pages: ExtentSet, count: int) -> ExtentSet:
    """Return the lowest ``count`` pages of a set."""
    return pages.difference(pages.last(pages.total - max(count, 0)))


def _huge_pages(kernel: Kernel, machine: RecordedMachine) -> None:
    """Tell from the recorded watermarks whether the kernel keeps pages for transparent huge pages."""
    recorded = sum(zone.min - zone.boost for zone in machine.zones if zone.name != ZoneKind.MOVABLE.label)
    if recorded:
        kernel.state.huge_pages = recorded * 2 > small_marks(kernel.state) * 3


def _holes(kernel: Kernel) -> None:
    """Note what online blocks lack: where no zone has a page."""
    state = kernel.state
    starts, ends = state.block_bounds(slice(None))
    online = state.blocks.state == BlockState.ONLINE
    state.holes = ExtentSet(starts[online], ends[online])
    for zone in state.zones():
        state.holes.difference_update(zone.linked)


def _memmap(
    kernel: Kernel, mappings: MapRuns, used: Mapping[ZoneKey, ExtentSet], never: Mapping[ZoneKey, ExtentSet]
) -> None:
    """Back the memmap by pages in use, reserved ones first, from the top of memory down.

    The pages behind a leaf may lie apart: where they are is not known, how far a leaf reaches is.

    Args:
        mappings: what describes all sections, and what shares a leaf with them.
        used: the pages in use of each zone. never: those of them that were never managed.
    """
    state = kernel.state
    reserved, allocated, slabs = [], [], []
    largest = int(mappings.leaf.max(initial=1))
    for key in sorted(used, key=lambda key: (key[1] is ZoneKind.MOVABLE, -key[1])):
        reserved.append(never[key])
        managed = used[key].difference(never[key])
        pieces = managed.whole(largest) if _is_fresh(kernel, state.zone(key)) else managed
        allocated.append(pieces)
        slabs.append(managed.difference(pieces))  # too small to have been allocated as memmap
    first = state.early  # the memmap of what was hot-added was allocated, as far as that many pages are in use
    rounds = (
        (Source.BOOT, reserved, first, False), (Source.ALLOCATOR, allocated, None, True),
        (Source.ALLOCATOR, allocated, None, False), (Source.BOOT, reserved, None, False),
        (Source.ALLOCATOR, slabs, None, False),
    )  # fmt: skip
    for source, pools, whose, whole in rounds:
        for leaf in sorted(set(mappings.leaf.tolist()), reverse=True):
            chosen = mappings[mappings.leaf == leaf]
            missing = ExtentSet(chosen.start, chosen.end).difference(state.vmemmap.mapped)
            if whose is not None:  # a leaf comes with the first section that it describes
                missing = missing.intersection(_widened(whose, leaf * state.vmemmap.described_per_page))
            if not missing.total:
                continue
            backing = state.vmemmap.backing()
            room = [pool.difference(backing) for pool in pools]
            if whole:  # as it was allocated: pieces of a leaf's size, which come back as such
                missing = missing.whole(leaf * state.vmemmap.described_per_page)
                room = [pool.whole(leaf) for pool in room]
            size = leaf if whole or source is Source.BOOT else 1
            runs = pair_runs(missing, Runs.join(list(room)), state.vmemmap.described_per_page, size, source)
            if len(runs):
                state.vmemmap.insert(runs)
    if state.vmemmap.mapped.total < int((mappings.end - mappings.start).sum()):
        raise InputError("at least as many pages in use as the memmap of the recorded blocks takes", got="fewer")


def _widened(pages: ExtentSet, unit: int) -> ExtentSet:
    """Return all aligned pieces of ``unit`` pages that have a page of a set."""
    return ExtentSet(round_down(pages.starts, unit), round_up(pages.ends, unit))


def _never_managed(kernel: Kernel, zone: Zone, used: ExtentSet, known: KnownPages | None) -> ExtentSet:
    """Return as many pages in use as were never managed: those known as reserved first, then from the top down."""
    count = zone.present - zone.managed - zone.linked.covered_by(_set_aside(kernel))
    if known is None:
        return used.last(count)
    budget = known.reserved.intersection(used).last(count)
    budget.update(used.difference(known.covered).last(count - budget.total))
    if budget.total < count:
        budget.update(used.difference(budget).last(count - budget.total))
    return budget


def _owners(
    kernel: Kernel,
    used: Mapping[ZoneKey, ExtentSet],
    never: Mapping[ZoneKey, ExtentSet],
    known: KnownPages | None,
) -> None:
    """Split zones' pages in use: memmap, reserved ones that were never managed, the recorded workload."""
    state = kernel.state
    memmap, from_boot, aside = state.vmemmap.backing(), state.vmemmap.backing_from(Source.BOOT), _set_aside(kernel)
    for key, pages in used.items():
        zone = state.zone(key)
        boot, rest = pages.intersection(from_boot), pages.difference(memmap)
        count = zone.present - zone.managed - boot.total - zone.linked.covered_by(aside)
        reserved = never[key].difference(boot).last(count)
        state.reserved.update(reserved)
        rest.difference_update(reserved)
        movable = known.movable.intersection(rest) if known is not None else ExtentSet()
        rest.difference_update(movable)
        kernels = SLAB if _is_fresh(kernel, zone) else RECORDED
        for owner, part in ((kernels, rest), (RECORDED_MOVABLE, movable)):
            old = state.allocations.get(owner)
            held = old.pages.union(part) if old else part
            state.allocations[owner] = Allocation(owner=owner, movable=part is movable, pages=held)


def _page_tables(kernel: Kernel) -> MapRuns:
    """Note which page tables the recorded memory has, by populating it on a copy; return the mappings of its memmap."""
    trial = kernel.copy()
    trial.state.vmemmap = type(kernel.state.vmemmap)(kernel.geometry.described_per_page)
    trial.tables.boot_altmap = Altmap(0, kernel.geometry.end_pfn)
    for low, high in kernel.state.sections:
        nid = min(kernel.state.nodes)
        trial.vmemmap_populate(low, high - low, nid, None)
        trial.tables.ensure_section_roots(low, high - low, nid)
        if trial.plugins.has(trial.plugins.arch, "create_mapping"):
            trial.plugins.call(
                trial.plugins.arch, "create_mapping", kernel=trial, start_pfn=low, nr_pages=high - low, nid=nid
            )
    kernel.state.page_tables, kernel.state.boot_tables = trial.state.page_tables, trial.state.boot_tables
    return trial.state.vmemmap.runs
