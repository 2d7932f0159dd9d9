"""Booting from a recorded machine: the counts exactly as recorded, the positions inferred.

No file of a running kernel says which pages are free, hold the memmap, or belong to the kernel
image beyond its sections. They are placed deterministically: free chunks as low as their orders
allow, the memmap at the top of each node, per-cpu pages apart from the buddy lists.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memhotplug.contracts import SizingRequest
from memhotplug.engine.boot.answers import page_sizing
from memhotplug.engine.boot.kernel_log.log import is_kernel_log, parse_oom_log
from memhotplug.engine.boot.managed import DeviceLog, Told
from memhotplug.engine.boot.midlife import recognise
from memhotplug.engine.boot.recognise import recognise_arch, recognise_kernel
from memhotplug.engine.boot.recorded_iomem import opened, recorded_resources
from memhotplug.engine.boot.recorded_sysctls import take_over_sysctls
from memhotplug.engine.boot.recorded_use import (
    RECORDED,
    RECORDED_MOVABLE,
    back_memmap,
    never_managed,
    note_page_tables,
    share_out,
)
from memhotplug.engine.boot.recorded_zones import KnownPages, RecordedZones, note_holes
from memhotplug.engine.boot.sizes import parse_cmdline
from memhotplug.engine.boot.sysctl_args import note_madvise, set_sysctls
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import left_out, window_names
from memhotplug.engine.profile_plugin import profile_in
from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedBlock, RecordedMachine, is_prose, open_snapshot
from memhotplug.formats.snapshot.infer import blocks_of_zones
from memhotplug.formats.snapshot.source import Source as Place
from memhotplug.formats.textfile import read_text
from memhotplug.manager import Plugins
from memhotplug.model.blocks import NO_ZONE, BlockState, OnlineType
from memhotplug.model.extents import ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import PLATFORM, ResourceTable
from memhotplug.model.watermarks import setup_watermarks
from memhotplug.model.zones import Node, ZoneKind
from memhotplug.naming import read_machine

if TYPE_CHECKING:
    from memhotplug.engine.profile import KernelProfile
    from memhotplug.formats.scenario.models import MachineSpec

__all__ = ["RECORDED", "RECORDED_MOVABLE", "KnownPages", "kernel_from_machine", "kernel_from_snapshot"]

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


def kernel_from_machine(
    machine: RecordedMachine, arch: str, profile: str, cmdline: str, known: KnownPages | None = None,
    log: Callable[[], DeviceLog] = dict,
) -> Kernel:  # fmt: skip
    """Boot a recorded machine under a profile.

    Args:
        known: what is known of single pages.
        log: what the kernel's log says of devices; asked where there are some.

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
    taken, described = opened(list(recorded_resources(machine)), is_open)
    kernel.state.resources = ResourceTable(taken)
    if described:
        kernel.state.claims[PLATFORM] = tuple(described)
    kernel.state.auto_online = _auto_online(kernel, machine)
    for node in machine.nodes:  # those with memory are online, whatever the mask of nodes says
        kernel.state.nodes[node.id] = Node(node.id, has_cpu=node.has_cpu)
    flags = {"hosted": known.hosted, "offline": known.offline, "covered": known.covered} if known is not None else {}
    _blocks(kernel, machine, Told(log=log, **flags))
    used, zones = {}, RecordedZones(kernel, machine, known)
    for recorded in machine.zones:
        if recorded.name in _KINDS and recorded.node in kernel.state.nodes:
            zone = kernel.state.nodes[recorded.node].zones[_KINDS[recorded.name]]
            used[zone.key] = never_managed(zone, zones.take_over(recorded, zone), known, zones.aside)
    note_holes(kernel)
    back_memmap(kernel, note_page_tables(kernel), used)
    share_out(kernel, used, known)
    kernel.state.poisoned = ExtentSet() if known is None else known.broken.copy()
    kernel.state.boot_pages = kernel.state.total_managed()
    if machine.free_is_guessed:
        setup_watermarks(kernel.state)
    take_over_sysctls(kernel, machine)
    note_madvise(kernel)
    recorded_words = set((machine.cmdline or "").split())
    asked = [word for word in cmdline.split() if word not in recorded_words]
    set_sysctls(kernel, parse_cmdline(" ".join(asked)))
    return kernel


def _kernel(plugins: Plugins, machine: RecordedMachine, cmdline: str) -> Kernel:
    """Return a kernel without memory yet; of what it was booted with, it ignores the values that it refuses.

    Models: kernel/params.c:parse_args() (v5.2 to v6.12).

    Raises:
        InputError: it refuses a value that is not on the recorded command line.
    """
    profile, params = profile_in(plugins), parse_cmdline(cmdline)
    geometry = _geometry(plugins, profile, machine, params)
    try:
        kernel = Kernel(plugins, geometry, params, profile)
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
    shown = {name: text.strip() for name, text in machine.parameters.items() if name in machine.parameters_now}
    now = kernel.profile.module_parameters(kernel) if shown else {}
    changed = {f"memory_hotplug.{name}": text for name, text in shown.items() if now.get(name, text).strip() != text}
    if not changed:
        return ""
    recorded = set((machine.cmdline or "").split())
    asked = {word.partition("=")[0] for word in cmdline.split() if word not in recorded}
    return " ".join(f"{word}={text}" for word, text in changed.items() if word not in asked)


def _is_refused(plugins: Plugins, geometry: Geometry, word: str) -> bool:
    try:
        Kernel(plugins, geometry, parse_cmdline(word))
    except InputError:
        return True
    return False


def _geometry(
    plugins: Plugins, profile: KernelProfile, machine: RecordedMachine, params: Mapping[str, str]
) -> Geometry:
    """Return the architecture's sizes with those that were recorded in their place."""
    total = machine.mem_total or sum(zone.managed for zone in machine.zones) * machine.page_size
    request = SizingRequest(
        version=profile.version,
        asks=profile.has,
        memory=((0, machine.boot_memory or total),),
        page_size=machine.page_size,
        cmdline=params,
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


def _blocks(kernel: Kernel, machine: RecordedMachine, told: Told) -> None:
    state = kernel.state
    first = min(state.nodes)
    blocks = machine.blocks
    if not blocks:
        blocks = blocks_of_zones(machine.zones, kernel.geometry.pages_per_block, machine.file)
        kernel.warn("inferred: memory blocks online wherever zones have pages: none recorded")
    for block, count in _alike(blocks):
        zone = _KINDS.get(block.zone or "", NO_ZONE)
        node = first if block.node is None else block.node
        state.blocks.insert(block.id, count, state=_STATES[block.state], zone=zone, nid=node, early=1)
    state.sections = state.blocks.id_runs().times(kernel.geometry.pages_per_block)
    state.early = state.sections.copy()
    recognise(kernel, machine, told)


def _alike(blocks: Sequence[RecordedBlock]) -> Iterator[tuple[RecordedBlock, int]]:
    """Yield the first of each run of neighbours that were recorded alike, and how many they are."""

    def said(place_and_block: tuple[int, RecordedBlock]) -> tuple[int, str, str | None, int | None]:
        place, block = place_and_block
        return block.id - place, block.state, block.zone, block.node

    for _, run in itertools.groupby(enumerate(blocks), said):
        some = [block for _, block in run]
        yield some[0], len(some)
