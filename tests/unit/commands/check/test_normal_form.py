"""Machines with equal normal forms have the same future, and machines with another future another form."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.plugins.rig import plugged

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.moves import Moves
from memhotplug.commands.check.normal_form import difference, exact_form, normal_form, visible, visible_form
from memhotplug.commands.check.walk import Spot, Walker
from memhotplug.engine.slab import SLAB
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import ExtentSet
from memhotplug.model.resources import Resource
from memhotplug.model.state import Allocation, Device, MachineState
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import Node, Zone, ZoneKind
from memhotplug.plugin import AddRequest, Kernel, PhysRange, hookimpl

SERIES = {"arch": "x86_64", "kernel": "v2-2019", "memory": "1G"}
PLAIN = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G"}
HOSTING = {**PLAIN, "cmdline": "memory_hotplug.memmap_on_memory=1"}
PAGES_64K = {
    "arch": "powerpc",
    "kernel": "linux-6.12",
    "memory": "2G",
    "page_size": "64K",
    "cmdline": "memory_hotplug.memmap_on_memory=force",
}


def booted(keywords: dict[str, str]) -> Machine:
    """Return a fresh machine."""
    return Machine.boot(**keywords)


def test_names_and_order_do_not_matter() -> None:
    """The same two devices, brought in another order under other names."""
    one, other = booted(HOSTING), booted(HOSTING)
    one.add_memory(driver="acpi", name="a", size="128M", address="0x100000000")
    one.add_memory(driver="acpi", name="b", size="256M", address="0x108000000")
    other.add_memory(driver="acpi", name="x", size="256M", address="0x108000000")
    other.add_memory(driver="acpi", name="y", size="128M", address="0x100000000")
    assert normal_form(one.kernel) == normal_form(other.kernel)
    assert exact_form(one.kernel) != exact_form(other.kernel)
    assert difference(one.kernel, other.kernel) is None


def test_what_is_gone_does_not_matter() -> None:
    """A device that came and went leaves at most page tables, which come with the next one too."""
    one, other = booted(HOSTING), booted(HOSTING)
    for machine in (one, other):
        machine.add_memory(driver="acpi", name="a", size="128M")
        machine.remove("a")
    other.add_memory(driver="acpi", name="a", size="128M")
    other.remove("a")
    assert normal_form(one.kernel) == normal_form(other.kernel)


def test_an_owner_without_pages_and_a_kind_without_tables_do_not_matter() -> None:
    """Of an add that failed on its way, of a device that went: what they leave in the tables is nothing."""
    fresh = booted(HOSTING)
    machine = fresh.copy()
    machine.kernel.state.page_tables["vmemmap-pte"] = ExtentSet()
    machine.kernel.state.allocations[SLAB] = Allocation(owner=SLAB)

    assert normal_form(machine.kernel) == normal_form(fresh.kernel)
    machine.kernel.state.allocations["w"] = Allocation(owner="w")
    assert difference(machine.kernel, fresh.kernel) == "who holds pages"  # a workload can be released


def test_equal_runs_are_equal_however_they_are_kept() -> None:
    """As plain integers or as arrays, one object or two."""
    one, other = booted(HOSTING), booted(HOSTING)
    for zone in other.kernel.state.zones():
        zone.free = ExtentSet(zone.free.starts.copy(), zone.free.ends.copy())
        zone.linked = ExtentSet.of_arrays(zone.linked.starts.copy(), zone.linked.ends.copy())
    assert normal_form(one.kernel) == normal_form(other.kernel)


@pytest.mark.parametrize(
    ("op", "keywords", "what"),
    [
        ("online", {"range": "block 32"}, "blocks"),
        ("add_memory", {"driver": "acpi", "size": "128M"}, "blocks"),
        ("write", {"path": "memory/auto_online_blocks", "value": "online"}, "what the kernel remembers"),
        ("allocate", {"name": "w", "size": "64M"}, "the counters of node 0 zone DMA32"),
    ],
)
def test_what_matters_is_told(op: str, keywords: dict[str, str], what: str) -> None:
    """Each operation that changes the future changes the form, and the difference is named."""
    machine = booted(HOSTING)
    machine.add_memory(driver="acpi", name="a", size="256M")
    after = machine.copy()
    getattr(after, op)(**keywords)
    assert normal_form(machine.kernel) != normal_form(after.kernel)
    assert difference(machine.kernel, after.kernel) == what


@pytest.mark.parametrize(
    "keywords", [SERIES, PLAIN, HOSTING, PAGES_64K], ids=["series", "plain", "hosting", "powerpc-64K"]
)
def test_equal_forms_have_equal_futures(keywords: dict[str, str]) -> None:
    """Every next operation on one of two machines with equal forms does the same to the other, and ends alike.

    All ways of three operations are gone; where two of them end in machines with equal forms but unequal
    pages, everything that can happen next is tried on both.
    """
    machine = booted(keywords)
    driver = "pseries" if keywords["arch"] == "powerpc" else "acpi"
    spec = ExploreSpec(blocks=2, zones=("kernel", "movable"), drivers=(driver,))
    walker = Walker(Moves(machine.kernel, spec, (driver,), Installed()), faults=False)
    pairs = _alike(walker, walker.start(machine))
    for one, other in pairs[:40]:
        _assert_same_future(walker, one, other)
    if keywords is PLAIN:
        assert len(pairs) > 5  # memmap from boot memory came from different pages


def _alike(walker: Walker, start: Spot) -> list[tuple[Spot, Spot]]:
    known: dict[bytes, Spot] = {}
    exact: dict[bytes, set[bytes]] = {}
    pairs: list[tuple[Spot, Spot]] = []
    level = [start]
    for _ in range(3):
        new: list[Spot] = []
        for spot in level:
            for tried in walker.around(spot):
                if tried.spot is None:
                    continue
                pages = exact_form(tried.spot.machine.kernel)
                first = known.setdefault(tried.form, tried.spot)
                seen = exact.setdefault(tried.form, set())
                if first is tried.spot:
                    new.append(tried.spot)
                elif pages not in seen:
                    pairs.append((first, tried.spot))
                seen.add(pages)
        level = new
    return pairs


def _assert_same_future(walker: Walker, one: Spot, other: Spot) -> None:
    ours = [(_nameless(tried.move.text), tried.errno, tried.form) for tried in walker.around(one)]
    theirs = [(_nameless(tried.move.text), tried.errno, tried.form) for tried in walker.around(other)]
    assert ours == theirs


def _nameless(text: str) -> str:
    """Return a move's text without the numbers of our own devices, which depend on what came before."""
    return " ".join("m" if word[:1] == "m" and word[1:].isdigit() else word for word in text.split())


# ---- what the form is made of ----

_FIRST = 32 * 32768
Change = Callable[[MachineState], object]


def _of_zone(name: str, value: object) -> Change:
    return lambda state: setattr(state.zone((0, ZoneKind.DMA32)), name, value)


def _of_block(**values: int) -> Change:
    return lambda state: state.blocks.set(state.blocks.rows(33, 33), **values)


def _of_claim(**values: object) -> Change:
    def change(state: MachineState) -> None:
        (entry,) = state.resources.overlapping(_FIRST * 4096, 1)
        state.resources.release(entry.start, entry.size)
        state.resources.request(entry._replace(**values))  # type: ignore[arg-type]  # fields of a resource

    return change


def _held(**values: bool | int) -> Change:
    def change(state: MachineState) -> None:
        held = state.allocations["app"]
        state.allocations["app"] = held._replace(**values)  # type: ignore[arg-type]  # fields of an allocation

    return change


def _more_memmap(state: MachineState) -> None:
    starts = np.array([_FIRST + 8 * 32768])
    state.vmemmap.insert(MapRuns.make(starts, starts + 32768, starts, 1, Source.ALTMAP))


_MATTERS: dict[str, tuple[Change, str]] = {
    "a block's state": (_of_block(state=BlockState.ONLINE), "blocks"),
    "a block's node": (_of_block(nid=1), "blocks"),
    "a block's zone": (_of_block(zone=3), "blocks"),
    "a block's own memmap": (_of_block(altmap_pages=256), "blocks"),
    "a block's wanted zone": (_of_block(online_type=2), "blocks"),
    "whether it was there at boot": (_of_block(early=1), "blocks"),
    "a block's device": (_of_block(device=-1), "blocks"),
    "a device's driver": (lambda state: state.put_device(0, driver="dax"), "devices"),
    "a device's node": (lambda state: state.put_device(0, nid=1), "devices"),
    "a device's leftovers": (lambda state: state.put_device(0, enabled=((1, 2),)), "devices"),
    "what a device waits for": (lambda state: state.put_device(0, waiting=((1, 2),)), "devices"),
    "a device's keys": (lambda state: state.put_device(0, options={"size": 1}), "devices"),
    "whether a device is open": (lambda state: state.put_device(0, closed=False), "devices"),
    "a zone's start": (_of_zone("start_pfn", 1), "the counters of node 0 zone DMA32"),
    "a zone's span": (_of_zone("spanned", 1), "the counters of node 0 zone DMA32"),
    "present pages": (_of_zone("present", 1), "the counters of node 0 zone DMA32"),
    "managed pages": (_of_zone("managed", 1), "the counters of node 0 zone DMA32"),
    "early pages": (_of_zone("present_early", 1), "the counters of node 0 zone DMA32"),
    "contiguous pages": (_of_zone("cma", 1), "the counters of node 0 zone DMA32"),
    "linked pages": (_of_zone("linked", ExtentSet.of((1, 2))), "the counters of node 0 zone DMA32"),
    "free pages": (_of_zone("free", ExtentSet.of((1, 2))), "the counters of node 0 zone DMA32"),
    "per-cpu lists": (_of_zone("pcp", ExtentSet.of((1, 2))), "the counters of node 0 zone DMA32"),
    "a watermark": (_of_zone("wmark", (1, 2, 3)), "the watermarks of node 0 zone DMA32"),
    "a reserve": (_of_zone("protection", (0, 1, 2, 3)), "the watermarks of node 0 zone DMA32"),
    "a node that went offline": (lambda state: setattr(state.nodes[0], "online", False), "nodes"),
    "where memmap lies": (_more_memmap, "the memmap"),
    "whether a workload moves": (_held(movable=False), "who holds pages"),
    "whether it is pinned": (_held(pinned=True), "who holds pages"),
    "in what chunks it holds": (_held(order=3), "who holds pages"),
    "that it holds anything": (lambda state: state.allocations.pop("app"), "who holds pages"),
    "sections": (lambda state: state.sections.add(1 << 30, 1 << 31), "what the kernel remembers"),
    "withheld pages": (lambda state: state.withheld.add(_FIRST, _FIRST + 1), "what the kernel remembers"),
    "unbacked pages": (lambda state: state.unbacked.add(_FIRST, _FIRST + 1), "what the kernel remembers"),
    "broken pages": (lambda state: state.poisoned.add(_FIRST, _FIRST + 1), "what the kernel remembers"),
    "who claims an address": (
        lambda state: state.resources.request(Resource(start=1 << 50, end=1 << 51, name="x")),
        "what the kernel remembers",
    ),
    "whether an address range may merge": (_of_claim(mergeable=True), "what the kernel remembers"),
    "what an address range has in it": (
        _of_claim(children=(Resource(start=_FIRST * 4096, end=_FIRST * 4096, name="x"),)), "what the kernel remembers",
    ),
    "how many blocks took pages for their objects": (
        lambda state: setattr(state, "block_objects", 1), "what the kernel remembers",
    ),
    "page tables": (
        lambda state: state.page_tables.update({"x": ExtentSet.of((0, 1))}), "what the kernel remembers",
    ),
    "page tables of boot": (
        lambda state: state.boot_tables.update({"x": ExtentSet.of((0, 1))}), "what the kernel remembers",
    ),
    "what a driver remembers": (
        lambda state: state.driver_state.update({"acpi": {"a": 1}}), "what the kernel remembers",
    ),
    "the auto-online policy": (
        lambda state: setattr(state, "auto_online", OnlineType.ONLINE_MOVABLE), "what the kernel remembers",
    ),
    "a module parameter": (lambda state: setattr(state.profile, "ratio", 7), "what the kernel remembers"),
}  # fmt: skip


# What is not in the form, and why two machines of one search cannot differ in it alone.
_NOT_IN_IT = {
    MachineState: {
        "geometry": "fixed", "boot_pages": "fixed", "failed_devices_stay": "fixed",
        "movable_shares_marks": "fixed", "reserved": "fixed",
        "early": "of boot memory, which goes as whole blocks", "holes": "of boot memory, which goes as whole blocks",
        "fail_allocation": "of one operation",
    },
    Zone: {"barred": "fixed", "cma_pages": "fixed", "highatomic": "fixed"},
    Node: {"has_cpu": "fixed", "nid": "its key"},
    Device: {"name": "its place stands for it", "slot": "of devices that failed and stay, as in a replay"},
    Allocation: {"owner": "of workloads, what they hold stands for them"},
    Resource: {},
}  # fmt: skip
_IN_IT = {
    MachineState: {
        "allocations", "auto_online", "block_objects", "blocks", "boot_tables", "claims", "devices", "driver_state",
        "huge_pages", "min_free_kbytes", "nodes", "page_tables", "poisoned", "profile", "resources", "sections",
        "unbacked", "vm", "vmemmap", "withheld",
    },
    Zone: {
        "cma", "free", "kind", "linked", "managed", "nid", "pcp", "present", "present_early", "protection", "spanned",
        "start_pfn", "wmark",
    },
    Node: {"online", "zones"},
    Device: {"driver", "nid", "ranges", "enabled", "waiting", "group", "options", "closed"},
    Allocation: {"movable", "pinned", "order", "pages"},
    Resource: {"start", "end", "name", "hotplugged", "mergeable", "children"},
}  # fmt: skip


@pytest.mark.parametrize("kind", _IN_IT, ids=lambda kind: kind.__name__)
def test_nothing_of_a_machine_is_forgotten(kind: Any) -> None:
    """What is new in the state is in the form, or somebody said why it need not be."""
    names = set(getattr(kind, "_fields", None) or kind.__slots__)
    assert names == _IN_IT[kind] | set(_NOT_IN_IT[kind])


def test_whether_ranges_merge_decides_what_comes_next() -> None:
    """Two machines with one block, alike in all but what policy it came by: the next one merges with it, or not."""

    def policy(kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
        above = (kernel.state.blocks.id > phys_range.start // kernel.geometry.memory_block_size).any()
        return driver_flags if above else driver_flags | kernel.flag("MHP_MERGE_RESOURCE")

    plugin = ModuleType("merging")
    plugin.policy_mhp_flags = hookimpl(policy)  # type: ignore[attr-defined]
    first, second = "0x100000000", "0x108000000"
    with plugged("policies", plugin) as name:
        one, other = (Machine.boot(**HOSTING, drivers={"acpi": {"policy": name}}) for _ in range(2))
        other.add_memory(driver="acpi", name="b", size="128M", address=second)
        for machine in (one, other):
            machine.add_memory(driver="acpi", name="a", size="128M", address=first)
        other.remove("b")
        assert difference(one.kernel, other.kernel) == "what the kernel remembers"
        for machine in (one, other):
            machine.add_memory(driver="acpi", name="b", size="128M", address=second)
    hot = [[entry for entry in machine.kernel.state.resources if entry.hotplugged] for machine in (one, other)]
    assert [len(entries) for entries in hot] == [1, 2]


@pytest.fixture(scope="module")
def plugged_in() -> Machine:
    """A device of two blocks, and a workload that can move."""
    machine = booted(HOSTING)
    machine.add_memory(driver="acpi", name="a", size="256M", address=_FIRST * 4096)
    machine.allocate("app", "1M", zone="kernel")
    held = machine.kernel.state.allocations["app"]
    machine.kernel.state.allocations["app"] = held._replace(movable=True)
    return machine


@pytest.mark.parametrize("name", _MATTERS)
def test_everything_on_which_the_future_depends_is_in_the_form(plugged_in: Machine, name: str) -> None:
    """And the part that differs is named; the exact form differs, too."""
    change, part = _MATTERS[name]
    after = plugged_in.copy()
    assert difference(plugged_in.kernel, after.kernel) is None
    change(after.kernel.state)
    assert difference(plugged_in.kernel, after.kernel) == part
    assert normal_form(plugged_in.kernel) != normal_form(after.kernel)
    assert exact_form(plugged_in.kernel) != exact_form(after.kernel)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.put_device(0, name="z"),
        lambda state: state.allocations.update({"other": state.allocations.pop("app")._replace(owner="other")}),
        lambda state: state.page_tables.update({"none": ExtentSet()}),
        lambda state: state.devices.append(Device(name="gone", driver="dax", closed=True)),
    ],
)
def test_names_and_what_is_gone_are_not_in_it(plugged_in: Machine, change: Change) -> None:
    """Two machines that differ in nothing else are one state of the search."""
    after = plugged_in.copy()
    change(after.kernel.state)
    assert difference(plugged_in.kernel, after.kernel) is None
    assert normal_form(plugged_in.kernel) == normal_form(after.kernel)
    assert exact_form(plugged_in.kernel) != exact_form(after.kernel)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (_of_block(state=BlockState.ONLINE), True), (_of_block(nid=1), True), (_of_block(zone=3), True),
        (_of_block(altmap_pages=256), False), (_of_zone("spanned", 1), True), (_of_zone("present", 1), True),
        (_of_zone("managed", 1), True), (_of_zone("start_pfn", 1), True), (_of_zone("wmark", (1, 2, 3)), False),
        (_of_zone("free", ExtentSet()), False),
    ],
)  # fmt: skip
def test_people_see_blocks_and_counters(plugged_in: Machine, change: Change, seen: bool) -> None:
    """Not where the kernel put pages of its own, nor watermarks."""
    after = plugged_in.copy()
    change(after.kernel.state)
    assert (visible_form(plugged_in.kernel) != visible_form(after.kernel)) is seen
    assert (visible(plugged_in.kernel) != visible(after.kernel)) is seen


def test_what_people_see_goes_by_the_names_of_zones(plugged_in: Machine) -> None:
    """Four columns of the blocks, four counters of a zone."""
    shown = visible(plugged_in.kernel)
    zone = plugged_in.kernel.state.zone((0, ZoneKind.DMA32))
    assert list(shown) == ["the blocks", *(one.title for one in plugged_in.kernel.state.zones())]
    assert shown["node 0 zone DMA32"] == (zone.start_pfn, zone.spanned, zone.present, zone.managed)
    blocks = plugged_in.kernel.state.blocks
    assert blocks.id.tolist() == [*range(8), 32, 33]
    assert shown["the blocks"] == [
        blocks.id.tolist(),
        blocks.state.tolist(),
        [0] * 10,
        blocks.zone.tolist(),
    ]
    assert (len(normal_form(plugged_in.kernel)), len(visible_form(plugged_in.kernel))) == (16, 8)
