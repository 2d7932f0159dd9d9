"""Bugs that were planted into plugins: each is found, and by how short a way.

A kernel rule is changed by a profile on top of linux-6.12, an architecture, a driver and a policy by one hook.
docs/checking.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.plugins.rig import changed, plugged
from tests.unit.commands.check.conftest import explored, scenario

import memhotplug_drivers.acpi as acpi
import memhotplug_x86_64 as x86_64
from memhotplug.plugin import (
    AddRequest,
    Altmap,
    BlockState,
    InputError,
    Kernel,
    KernelProfile,
    MapRuns,
    MemoryEvent,
    MemoryHotplugError,
    MemoryNotify,
    PhysRange,
    Zone,
    ZoneKind,
    hookimpl,
    profile_of,
)

_DOC = Path(__file__).resolve().parents[4] / "docs" / "checking.md"
_Base: Any = profile_of("linux-6.12")


@dataclass(frozen=True)
class Planted:
    """One bug.

    Attributes:
        what: the bug, in a few words; a row of the table in docs/checking.md.
        kind: of the plugin that has it.
        plugin: makes the plugin.
        found_as: the law that it breaks.
        steps: the shortest way there.
        faults: whether something has to go wrong for it.
        cmdline: of the machine; memmap_on_memory=1 by default.
        blocks: how many blocks it takes.
    """

    what: str
    kind: str
    plugin: Callable[[], object]
    found_as: str
    steps: int
    faults: bool = False
    cmdline: str = "memory_hotplug.memmap_on_memory=1"
    blocks: int = 1


def rule(**steps: Callable[..., Any]) -> Callable[[], object]:
    """Return what makes a profile with some steps of linux-6.12 replaced; each gets the original step first."""

    def make() -> object:
        def replaced(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
            def run(self: Any, kernel: Kernel, *arguments: Any, **keywords: Any) -> Any:
                original = getattr(_Base, name)
                return step(lambda *args: original(self, *args, **keywords), kernel, *arguments, **keywords)

            return run

        profile: type[KernelProfile] = type("Changed", (_Base,), {n: replaced(n, s) for n, s in steps.items()})
        plugin = ModuleType("changed")
        plugin.kernel_profile = hookimpl(lambda: profile())  # type: ignore[attr-defined]
        return plugin

    return make


def hooks(good: object, **changes: Callable[..., Any]) -> Callable[[], object]:
    """Return what makes a plugin with some hooks of a good one replaced."""
    return lambda: changed(good, {name: hookimpl(hook) for name, hook in changes.items()})


# ---- rules of the kernel ----


def online_counts_one_less(step: Any, kernel: Kernel, rows: slice, zone: Zone) -> None:
    """adjust_present_page_count() is off by one."""
    step(kernel, rows, zone)
    zone.present -= 1


def offline_keeps_managed(step: Any, kernel: Kernel, rows: slice) -> None:
    """adjust_managed_page_count() is forgotten for one pageblock."""
    zone = next(z for z in kernel.state.zones() if z.kind == kernel.state.blocks.zone[rows][0])
    step(kernel, rows)
    zone.managed += 512


def memmap_is_never_freed(step: Any, kernel: Kernel, runs: MapRuns) -> None:
    """free_pagetable() is not called."""


def veto_leaves_the_span(step: Any, kernel: Kernel, rows: slice, zone: Zone) -> None:
    """remove_pfn_range_from_zone() is missing on the way out."""
    try:
        step(kernel, rows, zone)
    except MemoryHotplugError:
        starts, ends = kernel.state.block_bounds(rows)
        zone.grow_span(int(starts[0]), int(ends[-1]))
        raise


def memmap_goes_to_the_buddy(step: Any, kernel: Kernel, rows: slice, zone: Zone) -> None:
    """The pages in front of the block are onlined like all others."""
    reserved = kernel.state.blocks.altmap_pages[rows].copy()
    kernel.state.blocks.set(rows, altmap_pages=0)
    step(kernel, rows, zone)
    kernel.state.blocks.set(rows, altmap_pages=reserved)


def group_is_not_told(step: Any, kernel: Kernel, rows: slice) -> None:
    """memory_block_offline() forgets the group's counters."""
    group, movable = int(kernel.state.blocks.group[rows][0]), int(kernel.state.blocks.zone[rows][0]) == 3
    step(kernel, rows)
    pages = (rows.stop - rows.start) * kernel.geometry.pages_per_block
    counted = {"movable": pages} if movable else {"kernel": pages}
    kernel.state.profile.adjust_group(group, **counted)  # type: ignore[attr-defined]


def block_stays_in_between(step: Any, kernel: Kernel, rows: slice) -> None:
    """mem->state is never set to offline."""
    step(kernel, rows)
    kernel.state.blocks.set(rows, state=BlockState.GOING_OFFLINE)


def another_block_stays_in_between(step: Any, kernel: Kernel, rows: slice) -> None:
    """The state of the first block is set instead of that of the one that went."""
    step(kernel, rows)
    kernel.state.blocks.set(slice(0, 1), state=BlockState.GOING_OFFLINE)


def failed_add_leaves_a_block(
    step: Any, kernel: Kernel, device: int, start: int, size: int, nid: int, flags: int
) -> None:
    """remove_memory_block_devices() is missing in the error path."""
    try:
        step(kernel, device, start, size, nid, flags)
    except MemoryHotplugError:
        kernel.state.blocks.insert(start // kernel.geometry.memory_block_size, 1)
        raise


def node_goes_with_memory_on_it(step: Any, kernel: Kernel, rows: slice) -> None:
    """try_offline_node() does not look whether there are blocks left."""
    step(kernel, rows)
    kernel.state.nodes[0].online = False


def first_block_goes_elsewhere(step: Any, kernel: Kernel, rows: slice, zone: Zone) -> None:
    """Movable memory has to be preceded by some of the kernel's, whatever was asked for."""
    blocks = kernel.state.blocks
    is_first = not ((blocks.state == BlockState.ONLINE) & ~blocks.early.astype(bool)).any()
    step(kernel, rows, kernel.state.zone((zone.nid, ZoneKind.NORMAL)) if is_first else zone)


# ---- architectures ----


def takes_a_page_for_nothing(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Any) -> None:
    """An allocation that nobody remembers."""
    kernel.alloc(0, 1, nid)
    x86_64.arch_add_memory(kernel, start_pfn, nr_pages, nid, restrictions)


def ignores_the_altmap(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """The memmap comes from the page allocator whatever was asked for."""
    x86_64.vmemmap_populate(kernel, start_pfn, nr_pages, nid, None)


def leaves_the_last_leaf(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None) -> None:
    """The loop ends one leaf too early."""
    hot = start_pfn >= 1 << 20
    x86_64.vmemmap_populate(kernel, start_pfn, nr_pages - (1 << 15 if hot else 0), nid, altmap)


def removes_nothing(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """arch_remove_memory() is empty."""


def unmaps_half(kernel: Kernel, start_pfn: int, nr_pages: int) -> None:
    """The memmap of the second half stays mapped."""
    kernel.unmap(np.array([start_pfn]), np.array([start_pfn + nr_pages // 2]))


# ---- drivers, policies, notifiers ----


def forgetful() -> Callable[[], object]:
    """A driver that counts in its module and refuses every third request."""
    calls = [0]

    def ranges(kernel: Kernel, request: AddRequest) -> Any:
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise MemoryHotplugError(16, "busy")
        return acpi.driver_ranges(kernel, request)

    return hooks(acpi, driver_ranges=ranges)


def shares_its_notes(kernel: Kernel, request: AddRequest) -> Any:
    """A list in what a driver remembers: all copies of a machine have the same one."""
    notes: Any = kernel.state.driver_state.setdefault("shared", {"added": []})
    notes["added"].append(request.size)
    return acpi.driver_ranges(kernel, request)


def raising(kernel: Kernel, request: AddRequest, phys_range: PhysRange) -> int:
    """A division that goes wrong from two blocks on."""
    return 0 // (phys_range.size - (2 << 27))


def flipping() -> Callable[[], object]:
    """A policy that answers by turns."""
    calls = [0]

    def policy(kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
        calls[0] += 1
        return driver_flags if calls[0] % 2 else 0

    plugin = ModuleType("flipping")
    plugin.policy_mhp_flags = hookimpl(policy)  # type: ignore[attr-defined]
    return lambda: plugin


def strange_bits() -> object:
    """A policy with a bit of another kernel."""

    def policy(kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
        return driver_flags | (1 << 20 if phys_range.size > 1 << 27 else 0)

    plugin = ModuleType("strange")
    plugin.policy_mhp_flags = hookimpl(policy)  # type: ignore[attr-defined]
    return plugin


def takes_pages_when_told(kernel: Kernel, notify: MemoryNotify) -> None:
    """A notifier that allocates and never frees."""
    if notify.event == MemoryEvent.MEM_ONLINE:
        kernel.alloc(0, 8, 0)


def counts_for_itself(kernel: Kernel, notify: MemoryNotify) -> None:
    """A notifier that corrects a counter that was right."""
    if notify.event == MemoryEvent.MEM_OFFLINE:
        next(zone for zone in kernel.state.zones() if zone.managed).managed += 1


BUGS = [
    Planted("present is one page short after online", "profiles", rule(online=online_counts_one_less), "I4", 2),
    Planted("managed is not lowered by offline", "profiles", rule(offline=offline_keeps_managed), "I5", 3),
    Planted("memmap is not given back by removal", "profiles", rule(release_vmemmap=memmap_is_never_freed), "I3", 2,
            cmdline=""),
    Planted("a vetoed online leaves the zone's span grown", "profiles", rule(online=veto_leaves_the_span), "I17", 2,
            faults=True),
    Planted("memmap pages go to the page allocator", "profiles", rule(online=memmap_goes_to_the_buddy), "I11", 2),
    Planted("a group is not told of offline", "profiles", rule(offline=group_is_not_told), "I7", 3),
    Planted("a block stays between online and offline", "profiles", rule(offline=block_stays_in_between), "plugin", 3),
    Planted("another block stays between online and offline", "profiles", rule(offline=another_block_stays_in_between),
            "I13", 3),
    Planted("a failed add leaves a block device", "profiles", rule(add_memory_resource=failed_add_leaves_a_block),
            "I14", 1, faults=True),
    Planted("a node goes offline with memory on it", "profiles", rule(offline=node_goes_with_memory_on_it), "I21", 3),
    Planted("the first block goes online elsewhere", "profiles", rule(online=first_block_goes_elsewhere), "order", 3,
            blocks=2),
    Planted("an allocation that nobody remembers", "arch", hooks(x86_64, arch_add_memory=takes_a_page_for_nothing),
            "I3", 1),
    Planted("the altmap is ignored", "arch", hooks(x86_64, vmemmap_populate=ignores_the_altmap), "I9", 1),
    Planted("the last leaf is not mapped", "arch", hooks(x86_64, vmemmap_populate=leaves_the_last_leaf),
            "plugin", 1),
    Planted("arch_remove_memory() does nothing", "arch", hooks(x86_64, arch_remove_memory=removes_nothing),
            "plugin", 2),
    Planted("half of the memmap stays mapped", "arch", hooks(x86_64, vmemmap_free=unmaps_half), "I9", 2),
    Planted("a driver counts in its module", "drivers", forgetful(), "repeat", 1),
    Planted("a driver's notes are shared by copies", "drivers", hooks(acpi, driver_ranges=shares_its_notes),
            "copies", 2, blocks=2),
    Planted("a driver raises from two blocks on", "drivers", hooks(acpi, mhp_flags=raising), "plugin", 1, blocks=2),
    Planted("a notifier takes pages and keeps them", "drivers", hooks(acpi, memory_notify=takes_pages_when_told),
            "I3", 2),
    Planted("a notifier changes a counter", "drivers", hooks(acpi, memory_notify=counts_for_itself), "I5", 3),
    Planted("a policy answers by turns", "policies", flipping(), "repeat", 1),
    Planted("a policy has a bit of another kernel", "policies", strange_bits, "plugin", 1, blocks=2),
]  # fmt: skip


@pytest.fixture
def inside(request: pytest.FixtureRequest) -> Iterator[tuple[Planted, Any]]:
    """A bug, and the scenario of a machine that has it."""
    bug: Planted = request.param
    with plugged(bug.kind, bug.plugin()) as name:
        kernel, arch, driver, drivers = "linux-6.12", "x86_64", "acpi", ""
        if bug.kind == "profiles":
            kernel = name
        elif bug.kind == "arch":
            arch = name
        elif bug.kind == "drivers":
            driver = name
        else:
            drivers = f"drivers: {{acpi: {{policy: {name}}}}}\n"
        machine = f"{{arch: {arch}, kernel: {kernel}, memory: 1G, cmdline: '{bug.cmdline}'}}"
        explore = (
            f"{{drivers: {driver}, blocks: {bug.blocks}, zones: movable, operations: [add, online, offline, remove]}}"
        )
        yield bug, scenario(machine, explore, drivers)


@pytest.mark.parametrize("inside", BUGS, indirect=True, ids=lambda bug: bug.what)
def test_a_planted_bug_is_found(inside: tuple[Planted, Any]) -> None:
    """By the law that it breaks, and no longer way than it takes."""
    bug, given = inside
    answer = explored(given, depth=bug.steps, operations=3000, faults=bug.faults)
    found = {finding.broken.invariant: len(finding.steps) for finding in reversed(answer.findings)}
    assert bug.found_as in found, found
    assert found[bug.found_as] == bug.steps
    texts = [finding.broken.text for finding in answer.findings if finding.broken.invariant == bug.found_as]
    assert all(re.match(rf"{bug.found_as}: |plugin bad\d+ \(", text) for text in texts), texts


def test_what_a_driver_cannot_be_asked_is_told() -> None:
    """As of one that needs a key of its own: there is no more to explore than that."""

    def needs_a_key(kernel: Kernel, request: AddRequest) -> Any:
        raise InputError("a slot", path="add.slot")

    with plugged("drivers", hooks(acpi, driver_ranges=needs_a_key)()) as name:
        given = scenario("{arch: x86_64, kernel: linux-6.12, memory: 1G}", f"{{drivers: {name}, operations: [add]}}")
        answer = explored(given, depth=2)
    assert [(finding.broken.invariant, finding.broken.text) for finding in answer.findings] == [
        ("input", "input: add.slot: expected a slot"),
    ]
    assert (answer.progress.states, answer.progress.closed) == (1, True)


def test_the_table_has_them_all() -> None:
    """Each bug with its law and the length of its way, in docs/checking.md."""
    text = _DOC.read_text(encoding="utf-8")
    for bug in BUGS:
        assert f"| {bug.what} | {bug.found_as} | {bug.steps}{' with a fault' if bug.faults else ''} |" in text
