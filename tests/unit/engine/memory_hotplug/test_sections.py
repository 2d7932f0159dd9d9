"""Adding sections: checks before, what stays if one fails, and what an architecture has to have done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import Machine, MemoryHotplugError, PluginError
from memhotplug.contracts import Restrictions
from memhotplug.engine.memory_hotplug.sections import (
    add_sections,
    arch_add_memory,
    auto_online,
    check_hotplug_memory_range,
    take_down_sections,
    try_online_node,
)
from memhotplug.model.blocks import BlockState, OnlineType

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]

FIRST = 1 << 20  # the first pfn above 4 GiB
SECTION = 1 << 15


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with 4 GiB and nothing above."""
    return boot(kernel="linux-6.12")


@pytest.mark.parametrize(("start", "size"), [(0, 0), (0, -128 << 20), (1 << 20, 128 << 20), (0, 100 << 20)])
def test_a_range_that_is_not_whole_blocks_is_refused(start: int, size: int, machine: Machine, refused: Refused) -> None:
    """With the text that the kernel prints."""
    problem = refused(check_hotplug_memory_range, machine.kernel, start, size)

    assert problem.name == "EINVAL"
    assert problem.reason == (f"Block size [0x8000000] unaligned hotplug range: start {start:#x}, size {size:#x}")


def test_whole_blocks_pass(machine: Machine) -> None:
    """Wherever they are."""
    check_hotplug_memory_range(machine.kernel, 1 << 40, 256 << 20)


def test_a_node_comes_online_once(machine: Machine) -> None:
    """In its place among the others; who brought it is told."""
    assert try_online_node(machine.kernel, 3) is True
    assert try_online_node(machine.kernel, 1) is True
    assert try_online_node(machine.kernel, 3) is False
    assert list(machine.kernel.state.nodes) == [0, 1, 3]
    events = [dict(event) for event in machine.kernel.journal.events]
    assert [event["node"] for event in events if event["event"] == "node_online"] == [3, 1]


@pytest.mark.parametrize("nid", [-1, 1 << 20])
def test_a_node_that_cannot_be_is_refused(nid: int, machine: Machine, refused: Refused) -> None:
    """The architecture says how many there are at most."""
    problem = refused(try_online_node, machine.kernel, nid)

    assert str(problem) == f"EINVAL: node {nid} is not possible on this machine"
    assert list(machine.kernel.state.nodes) == [0]


def test_sections_get_their_memmap(machine: Machine) -> None:
    """From the page allocator, without an altmap."""
    kernel = machine.kernel
    free = sum(zone.free.total for zone in kernel.state.zones())

    assert add_sections(kernel, FIRST, 2 * SECTION, 0, None) == (FIRST + 2 * SECTION, None)

    assert kernel.state.sections.contains(FIRST, FIRST + 2 * SECTION)
    assert kernel.memmap.first_unmapped(FIRST, 2 * SECTION) is None
    assert free - sum(zone.free.total for zone in kernel.state.zones()) >= 2 * 512


@pytest.mark.parametrize(("start", "pages"), [(FIRST + 1, SECTION), (FIRST, SECTION + 1), (FIRST + 256, 512)])
def test_what_is_no_subsection_is_refused_before_anything_is_done(
    start: int, pages: int, machine: Machine, refused: Refused
) -> None:
    """check_pfn_span()."""
    problem = refused(add_sections, machine.kernel, start, pages, 0, None)

    assert str(problem) == f"EINVAL: pfn range {start:#x}+{pages:#x} is not aligned to a subsection"
    assert not machine.kernel.state.sections.intersects(FIRST, FIRST + 4 * SECTION)


def test_a_section_that_is_there_ends_it_and_what_came_before_stays(machine: Machine) -> None:
    """__add_pages() undoes nothing; the error says so."""
    kernel = machine.kernel
    add_sections(kernel, FIRST + 2 * SECTION, SECTION, 0, None)

    end, problem = add_sections(kernel, FIRST, 4 * SECTION, 0, None)

    assert end == FIRST + 2 * SECTION
    assert problem is not None
    assert str(problem) == f"EEXIST: the section at pfn {FIRST + 2 * SECTION:#x} is there already"
    assert problem.leaks == (f"2 sections from pfn {FIRST:#x} on with 4M of memmap",)
    leaked = [dict(event) for event in kernel.journal.events if event["event"] == "leaked"]
    assert [(event["sections"], event["memmap_bytes"]) for event in leaked] == [(2, 4 << 20)]


def test_the_first_section_that_is_there_leaves_nothing_behind(machine: Machine) -> None:
    """Nothing was done, so nothing leaks."""
    end, problem = add_sections(machine.kernel, FIRST - SECTION, 2 * SECTION, 0, None)

    assert end == FIRST - SECTION
    assert problem is not None
    assert (problem.name, problem.leaks) == ("EEXIST", ())
    assert not machine.kernel.state.sections.intersects(FIRST, FIRST + SECTION)


@pytest.mark.parametrize("succeed", range(12))
def test_memory_that_ends_anywhere_leaves_whole_sections(succeed: int, boot: Boot) -> None:
    """The section that failed gives back what it had got."""
    machine = boot(kernel="linux-6.12")
    kernel = machine.kernel
    kernel.state.fail_allocation = succeed

    end, problem = add_sections(kernel, FIRST, 4 * SECTION, 0, None)

    kernel.state.fail_allocation = None
    assert (end - FIRST) % SECTION == 0
    assert (problem is None) == (end == FIRST + 4 * SECTION)
    if problem is not None:
        assert problem.name == "ENOMEM"
    assert kernel.state.sections.contains(FIRST, end)
    assert not kernel.state.sections.intersects(end, FIRST + 4 * SECTION)
    assert not kernel.state.vmemmap.mapped.intersects(end, FIRST + 4 * SECTION)


def _plugin(machine: Machine, monkeypatch: pytest.MonkeyPatch, deed: Callable[..., None]) -> None:
    """Have the architecture's hook do something else."""
    real = machine.kernel.plugins.call

    def call(key: str, hook: str, **arguments: Any) -> Any:
        if hook == "arch_add_memory":
            return deed(**arguments)
        return real(key, hook, **arguments)

    monkeypatch.setattr(machine.kernel.plugins, "call", call)


def test_an_architecture_that_adds_nothing_is_blamed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says."""
    _plugin(machine, monkeypatch, lambda **_: None)

    with pytest.raises(PluginError, match=r"x86_64 .*: arch_add_memory did not add all sections of the range"):
        arch_add_memory(machine.kernel, FIRST, SECTION, 0, Restrictions())


def test_an_architecture_that_adds_too_much_is_blamed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections of somebody else's range are nobody's."""

    def generous(kernel: Any, start_pfn: int, nr_pages: int, **_: Any) -> None:
        kernel.state.sections.add(start_pfn, start_pfn + 2 * nr_pages)

    _plugin(machine, monkeypatch, generous)

    with pytest.raises(PluginError, match="arch_add_memory added sections outside of the range"):
        arch_add_memory(machine.kernel, FIRST, SECTION, 0, Restrictions())


def test_what_was_added_a_moment_ago_goes_without_a_trace(machine: Machine) -> None:
    """On an architecture that frees memmap, nothing is left to tell."""
    before = machine.to_dict()
    problem = MemoryHotplugError(12, "no")
    arch_add_memory(machine.kernel, FIRST, SECTION, 0, Restrictions())

    take_down_sections(machine.kernel, FIRST, SECTION, problem)

    assert problem.leaks == ()
    assert not machine.kernel.state.sections.intersects(FIRST, FIRST + SECTION)
    assert machine.to_dict()["zones"] == before["zones"]


@pytest.mark.parametrize(
    ("policy", "online"),
    [(OnlineType.OFFLINE, []), (OnlineType.ONLINE, [32, 33]), (OnlineType.ONLINE_MOVABLE, [32, 33])],
)
def test_new_blocks_come_online_if_the_policy_says_so(policy: OnlineType, online: list[int], boot: Boot) -> None:
    """The walk goes over all of them."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="256M")
    machine.kernel.state.auto_online = policy

    auto_online(machine.kernel, 32, 2)

    blocks = machine.kernel.state.blocks
    assert [int(block) for block in blocks.id[blocks.state == BlockState.ONLINE] if block >= 32] == online


def test_a_block_that_does_not_come_online_ends_the_walk_and_not_the_add(machine: Machine) -> None:
    """It is a warning: add_memory_resource() does not look at what the walk returns."""
    machine.add_memory(driver="acpi", name="dimm", size="256M")
    machine.kernel.state.auto_online = OnlineType.ONLINE

    auto_online(machine.kernel, 32, 3)

    assert machine.kernel.journal.warnings == ["auto-onlining stopped: ENOENT: there is no memory block 34"]
