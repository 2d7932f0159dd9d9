"""Booting a modelled machine from sizes: zones, blocks, the boot memmap and what the kernel takes.

Boot memory is contiguous from the architecture's base, without a hole, nodes in the order given.
What a real kernel reserves and allocates while it boots depends on its configuration; the figures
here stand for a lean guest kernel and are documented in docs/model.md.

Models: mm/page_alloc.c:free_area_init_nodes(), mm/sparse.c:sparse_init(), and
drivers/base/memory.c:memory_dev_init() (v5.2 to v6.12).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from memhotplug.contracts import BootRange, SizesAsked, SizingRequest, ZoneLimit, sizes_of
from memhotplug.engine.boot.answers import boot_base, page_sizing, zone_limits
from memhotplug.engine.boot.movablecore import movable_pfns
from memhotplug.engine.boot.sysctl_args import note_madvise, set_sysctls
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.profile_plugin import profile_in
from memhotplug.errors import InputError
from memhotplug.manager import Plugins
from memhotplug.model.altmap import Altmap
from memhotplug.model.blocks import NO_ZONE, BlockState, OnlineType
from memhotplug.model.extents import ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import SYSTEM_RAM, Resource
from memhotplug.model.state import Allocation, Owner, Use
from memhotplug.model.vmemmap import Source
from memhotplug.model.watermarks import setup_watermarks
from memhotplug.model.zones import Node, ZoneKind
from memhotplug.reserves import LEAN, Reserve
from memhotplug.units import div_round_up, format_size, parse_size, round_down, round_up, typed_size

__all__ = ["BootConfig", "boot_kernel", "parse_cmdline"]

_FIRMWARE = 1 << 20  # bytes below the first MiB that firmware keeps
_IMAGE_OFFSET = 16 << 20  # where the kernel is loaded, from the start of memory

_EARLY_BOOT = Owner(Use.EARLY_BOOT)
_SMALLEST = 128 << 20
_WORD: Final = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


@dataclass(frozen=True, kw_only=True, slots=True)
class BootConfig(SizesAsked):
    """How to boot a machine; sizes in bytes, None for the architecture's own choice.

    Attributes:
        arch, profile: names of the plugins.
        cmdline: the kernel command line.
        sparsemem_vmemmap: whether the memmap is virtually mapped.
        reserve: what the kernel keeps for itself.
    """

    arch: str
    profile: str
    cmdline: str = ""
    sparsemem_vmemmap: bool = True
    reserve: Reserve = LEAN


def parse_cmdline(text: str) -> dict[str, str]:
    """Return kernel parameters by name; dashes in names become underscores, the last value wins.

    Quotes hold blanks together, around a value or a whole word; what follows ``--`` is for init.

    Models: kernel/params.c:parse_args(), lib/cmdline.c:next_arg().
    """
    params = {}
    for word in _WORD.findall(text):
        if word == "--":
            break
        name, _, value = (word.strip('"') if word.startswith('"') else word).partition("=")
        params[name.replace("-", "_")] = value.strip('"')
    return params


def boot_kernel(config: BootConfig) -> Kernel:
    """Boot a machine.

    Raises:
        InputError: the configuration is not possible. PluginError: a plugin is missing or broken.
    """
    plugins = Plugins(config.arch, config.profile)
    kernel = new_kernel(plugins, config)
    ranges = _boot_ranges(kernel, config)
    limits = zone_limits(plugins, kernel.geometry)
    movable = movable_pfns(kernel.geometry, kernel.params, ranges, limits)
    for boot_range in ranges:
        begin = movable.get(boot_range.nid, kernel.geometry.end_pfn)
        _add_node_memory(kernel, boot_range, limits, begin)
    _set_up_memmap(kernel, ranges, config.reserve)
    _reserve(kernel, ranges, config.reserve)
    _release_to_allocator(kernel)
    _create_blocks(kernel)
    kernel.state.boot_pages = kernel.state.total_managed()
    setup_watermarks(kernel.state)
    note_madvise(kernel)
    set_sysctls(kernel, kernel.params)
    return kernel


def new_kernel(plugins: Plugins, config: BootConfig) -> Kernel:
    """Return a kernel without memory, its sizes fixed and its command line read."""
    params = parse_cmdline(config.cmdline)
    profile = profile_in(plugins)
    request = SizingRequest(version=profile.version, asks=profile.has, cmdline=params, **sizes_of(config))
    geometry = page_sizing(plugins, request)
    kernel = Kernel(plugins, geometry, params)
    kernel.sparsemem_vmemmap = config.sparsemem_vmemmap
    kernel.state.auto_online = _default_state(kernel, params)
    return kernel


def _default_state(kernel: Kernel, params: Mapping[str, str]) -> OnlineType:
    """Return what memhp_default_state= asks for; a word that the kernel does not know is ignored."""
    word = params.get("memhp_default_state")
    for online_type in kernel.profile.auto_online_types:
        if word == online_type.label:
            return online_type
    if word is not None:
        kernel.warn(f"memhp_default_state={word} is not known to {kernel.profile.name} and ignored")
    return OnlineType.OFFLINE


def _boot_ranges(kernel: Kernel, config: BootConfig) -> list[BootRange]:
    base = boot_base(kernel.plugins, kernel.geometry)
    limit, hole = _mem_limit(kernel), _hole(kernel, config)
    ranges = []
    for index, (nid, size) in enumerate(config.memory):
        _check_node(kernel.geometry, config, index, nid, size)
        for start, stop in _around(hole, base, base + size):
            end = min(stop, limit)
            if end > start:
                ranges.append(BootRange(start=start, end=end, nid=nid))
            base = stop
    total = sum(found.end - found.start for found in ranges)
    if total < _SMALLEST:
        where = "machine.memory" if sum(size for _, size in config.memory) < _SMALLEST else "machine.cmdline"
        raise InputError(f"at least {format_size(_SMALLEST)} of boot memory", got=format_size(total), path=where)
    if ranges[-1].end > 1 << kernel.geometry.physical_address_bits:
        raise InputError(
            f"boot memory within {kernel.geometry.physical_address_bits} physical address bits",
            got=format_size(total),
            path="machine.memory",
        )
    return ranges


def _hole(kernel: Kernel, config: BootConfig) -> tuple[int, int]:
    """Return first byte of the hole for devices and first byte behind it, the same twice without one.

    Raises:
        InputError: this architecture's machines have none, or it is too large.
    """
    end = kernel.plugins.arch_traits.hole_end
    if not config.hole:
        return end, end
    if not end:
        raise InputError(
            "no hole, since machines of this architecture have none", got=format_size(config.hole), path="machine.hole"
        )
    if config.hole % _SMALLEST or config.hole > end - _SMALLEST:
        expected = f"a multiple of {format_size(_SMALLEST)}, at most {typed_size(end - _SMALLEST)}"
        raise InputError(expected, got=format_size(config.hole), path="machine.hole")
    return end - config.hole, end


def _around(hole: tuple[int, int], start: int, end: int) -> Sequence[tuple[int, int]]:
    """Return where a range of bytes lies that a hole may push up, whole or in part."""
    low, high = hole
    if high == low or end <= low:
        return ((start, end),)
    if start >= low:
        return ((max(start, high), max(start, high) + end - start),)
    return ((start, low), (high, high + end - low))


def _mem_limit(kernel: Kernel) -> int:
    text = kernel.params.get("mem")
    if not text:
        return 1 << 62
    try:
        return parse_size(text)
    except ValueError as problem:
        raise InputError(str(problem), got=f"mem={text}", path="machine.cmdline") from None


def _check_node(geometry: Geometry, config: BootConfig, index: int, nid: int, size: int) -> None:
    unit = geometry.page_size if index == len(config.memory) - 1 else geometry.memory_block_size
    if size % unit:
        raise InputError(
            f"a multiple of {format_size(unit)} ({'page' if unit == geometry.page_size else 'memory block'})",
            got=format_size(size),
            path=f"machine.memory[{index}].size" if len(config.memory) > 1 else "machine.memory",
        )
    if not 0 <= nid < geometry.max_nodes:
        raise InputError(f"a node below {geometry.max_nodes}", got=nid, path=f"machine.memory[{index}].node")


def _add_node_memory(kernel: Kernel, boot_range: BootRange, limits: Sequence[ZoneLimit], movable_pfn: int) -> None:
    state, geometry = kernel.state, kernel.geometry
    if boot_range.nid not in state.nodes:
        nodes = {**state.nodes, boot_range.nid: Node(boot_range.nid, has_cpu=not state.nodes)}
        state.nodes = dict(sorted(nodes.items()))
    start_pfn, end_pfn = geometry.pfn(boot_range.start), geometry.pfn(boot_range.end)
    state.resources.request(Resource(start=boot_range.start, end=boot_range.end - 1, name=SYSTEM_RAM))
    section = geometry.pages_per_section
    for pages in (state.sections, state.early):
        pages.add(round_down(start_pfn, section), round_up(end_pfn, section))
    block = geometry.pages_per_block
    state.holes.add(end_pfn, round_up(end_pfn, block))
    state.holes.add(round_down(start_pfn, block), start_pfn)
    low = start_pfn
    kinds = [(limit.kind, min(limit.end_pfn, movable_pfn)) for limit in limits]
    for kind, limit_pfn in (*kinds, (ZoneKind.MOVABLE, end_pfn)):
        high = min(limit_pfn, end_pfn)
        if high <= low:
            continue
        zone = state.nodes[boot_range.nid].zones[kind]
        kernel.link_to_zone(zone, low, high)
        zone.present += high - low
        zone.present_early += high - low
        low = high


def _set_up_memmap(kernel: Kernel, ranges: Sequence[BootRange], reserve: Reserve) -> None:
    """Back the memmap of each node by pages at the top of that node, as memblock hands them out.

    How many pages that takes is the architecture's affair: it is measured on a copy first.
    """
    for boot_range in ranges:
        start_pfn, end_pfn = kernel.geometry.pfn(boot_range.start), kernel.geometry.pfn(boot_range.end)
        section = kernel.geometry.pages_per_section
        low, high = round_down(start_pfn, section), round_up(end_pfn, section)
        trial = kernel.copy()
        needed = _populate_boot(trial, low, high, boot_range.nid, Altmap(0, end_pfn))
        largest = int(trial.state.vmemmap.runs.leaf.max(initial=1))
        base = round_down(end_pfn - needed, largest)
        kept = kernel.geometry.pfn(_IMAGE_OFFSET + reserve.image) if boot_range is ranges[0] else 0
        if base < start_pfn + kept:
            raise InputError(
                "boot memory that holds the kernel, what it reserves and the memmap",
                got=format_size(boot_range.end - boot_range.start),
                path="machine.memory",
            )
        _populate_boot(kernel, low, high, boot_range.nid, Altmap(base, end_pfn - base))


def _populate_boot(kernel: Kernel, start_pfn: int, end_pfn: int, nid: int, altmap: Altmap) -> int:
    """Populate boot memmap from a bump allocator; return the pages it took."""
    kernel.tables.boot_altmap = altmap
    kernel.vmemmap_populate(start_pfn, end_pfn - start_pfn, nid, None)
    kernel.tables.ensure_section_roots(start_pfn, end_pfn - start_pfn, nid)
    if kernel.plugins.has(kernel.plugins.arch, "create_mapping"):
        kernel.plugins.call(
            kernel.plugins.arch,
            "create_mapping",
            kernel=kernel,
            start_pfn=start_pfn,
            nr_pages=end_pfn - start_pfn,
            nid=nid,
        )
    kernel.tables.boot_altmap = None
    return altmap.total_alloc + int(altmap.align.sum())


def _reserve(kernel: Kernel, ranges: Sequence[BootRange], reserve: Reserve) -> None:
    """Set aside what firmware and the kernel image keep, and what early boot allocates."""
    state, geometry = kernel.state, kernel.geometry
    base = geometry.pfn(ranges[0].start)
    state.reserved.add(base, base + geometry.pfn(_FIRMWARE))
    image = base + geometry.pfn(_IMAGE_OFFSET)
    behind = image + geometry.pfn(reserve.image)
    state.reserved.add(image, behind)
    early = ExtentSet()
    for boot_range in ranges:
        low = geometry.pfn(boot_range.start)
        share = (boot_range.end - boot_range.start) // reserve.early_share
        if low == base:
            low, share = behind, share + reserve.early
        early.add(low, low + geometry.pfn(share))
    state.allocations[_EARLY_BOOT] = Allocation(owner=_EARLY_BOOT, pages=early)


def _release_to_allocator(kernel: Kernel) -> None:
    """Give every zone its managed pages. Models: mm/memblock.c:memblock_free_all()."""
    state = kernel.state
    memmap = state.vmemmap.backing_from(Source.BOOT)
    taken = state.allocations[_EARLY_BOOT].pages
    for zone in state.zones():
        pages = zone.linked.copy()
        for kept_out in (state.reserved, memmap, state.holes):
            pages.difference_update(kept_out)
        zone.managed = pages.total
        pages.difference_update(taken)
        zone.free = pages


def _create_blocks(kernel: Kernel) -> None:
    """Create the block devices of boot memory: online, in their one zone or in none."""
    state = kernel.state
    per_block = kernel.geometry.pages_per_block
    ids = ExtentSet(state.sections.starts // per_block, div_round_up(state.sections.ends, per_block))
    for first, end in ids:
        state.blocks.insert(first, end - first, early=1, state=BlockState.ONLINE)
    starts, ends = state.block_bounds(slice(None))
    zones = state.blocks.zone.copy()
    nids = state.blocks.nid.copy()
    seen = zones != NO_ZONE
    for zone in state.zones():
        inside = zone.linked.covered_many(starts, ends) > 0
        zones[inside & ~seen] = zone.kind
        zones[inside & seen] = NO_ZONE
        nids[inside & ~seen] = zone.nid
        seen |= inside
    state.blocks.set(slice(0, len(state.blocks)), zone=zones, nid=nids)
