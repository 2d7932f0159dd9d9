"""Online and offline under the series: accounting, skipping, vetoes, roll-back, migration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import PageFlag
from memhotplug.model.buddy import free_by_order
from memhotplug.model.extents import ExtentSet

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
WithDimm = Callable[..., Machine]
ZoneOf = Callable[..., dict[str, Any]]
BlockOf = Callable[..., dict[str, Any]]
BASE, BLOCK = 1 << 20, 32768
VMEMMAP_PAGE = 0xFFFF_FFFF_FFFF_FFFC


def events(machine: Machine) -> list[object]:
    """Return what happened so far, without warnings."""
    return [event["event"] for event in machine.kernel.journal.events]


@pytest.mark.parametrize(("flag", "held"), [("none", 0), ("memblock", 512), ("device", 4096)])
def test_online_and_offline_of_the_first_block_balance(
    with_dimm: WithDimm, zone_of: ZoneOf, flag: str, held: int
) -> None:
    """present moves by the whole block, managed by what is freed; the span never shrinks."""
    machine = with_dimm(flag)

    machine.online("block 32", zone="movable")
    zone = zone_of(machine, "Movable")
    assert (zone["spanned"], zone["present"], zone["managed"], zone["free"]) == (
        BLOCK,
        BLOCK,
        BLOCK - held,
        BLOCK - held,
    )
    machine.offline("block 32")

    zone = zone_of(machine, "Movable")
    assert (zone["start_pfn"], zone["spanned"], zone["present"], zone["managed"], zone["free"]) == (
        BASE,
        BLOCK,
        0,
        0,
        0,
    )
    assert machine.violations() == []


def test_pages_behind_the_vmemmap_pages_are_freed_in_the_largest_aligned_buddies(
    with_dimm: WithDimm, zone_of: ZoneOf
) -> None:
    """512 pages up to the next multiple of 1024 are one order-9 chunk, the rest order 10."""
    machine = with_dimm("memblock")

    machine.online("block 32", zone="movable")

    assert zone_of(machine, "Movable")["free_by_order"] == [0] * 9 + [1, 31]
    assert zone_of(machine, "Movable")["free_by_order"] == free_by_order(ExtentSet.of((BASE + 512, BASE + BLOCK)), 10)


def test_vmemmap_pages_keep_their_state_through_online(with_dimm: WithDimm) -> None:
    """Refcount, private, head, mapping and flags survive; the zone is known from then on."""
    machine = with_dimm("device")
    before = machine.memmap("dimm0")[:4096]
    assert machine.page(BASE).zone is None

    machine.online("dimm0", zone="movable")

    after = machine.memmap("dimm0")[:4096]
    for name in ("flags", "refcount", "private", "head", "mapping", "backing"):
        assert (before[name] == after[name]).all(), name
    head, tail = machine.page(BASE), machine.page(BASE + 4095)
    assert (head.refcount, head.private, head.head, head.mapping) == (8, 4096, BASE, VMEMMAP_PAGE)
    assert (tail.refcount, tail.private, tail.head, tail.mapping) == (1, 0, BASE, VMEMMAP_PAGE)
    assert (head.zone, head.node) == ("Movable", 0)
    assert head.flags == PageFlag.RESERVED | PageFlag.VMEMMAP


def test_free_pages_say_so(with_dimm: WithDimm) -> None:
    """Behind the vmemmap pages: refcount 0, buddy, the order in private of the first page of a chunk."""
    machine = with_dimm("device")
    machine.online("dimm0", zone="movable")

    page = machine.page(BASE + 4096)

    assert (page.flags, page.refcount, page.private, page.head) == (PageFlag.BUDDY, 0, 10, None)
    assert machine.page(BASE + 4097).private == 0


def test_remaining_vmemmap_pages_count_from_the_page_on(with_dimm: WithDimm) -> None:
    """get_nr_vmemmap_pages(): head.private - (page - head), 0 for any other page."""
    machine = with_dimm("device")
    v2: Any = machine.kernel.state.profile

    pfns = np.array([BASE - 1, BASE, BASE + 1, BASE + 4095, BASE + 4096, BASE + BLOCK])

    assert v2.remaining(pfns).tolist() == [0, 4096, 4095, 1, 0, 0]


def test_online_twice_and_offline_twice_are_einval(with_dimm: WithDimm, refused: Refused) -> None:
    """The block's device is in that state already."""
    machine = with_dimm()
    assert str(refused(machine.offline, "block 32")) == "EINVAL: memory block 32 is offline already"

    machine.online("block 32")

    assert str(refused(machine.online, "block 32")) == "EINVAL: memory block 32 is online already"
    assert str(refused(machine.online, "block 32", zone="movable")) == "EINVAL: memory block 32 is online already"


def test_a_missing_block_is_enoent(with_dimm: WithDimm, refused: Refused) -> None:
    """Blocks before it stay done."""
    machine = with_dimm()

    problem = refused(machine.online, "block 38-41")

    assert str(problem) == "ENOENT: there is no memory block 40"
    assert problem.blocks_done == (38, 39)


def test_the_first_failing_block_ends_a_range(with_dimm: WithDimm, refused: Refused, block_of: BlockOf) -> None:
    """Blocks before it stay online, blocks behind it are not tried."""
    machine = with_dimm()
    machine.online("block 35")

    problem = refused(machine.online, "dimm0")

    assert str(problem) == "EINVAL: memory block 35 is online already"
    assert problem.blocks_done == (32, 33, 34)
    assert [block_of(machine, block)["state"] for block in range(32, 40)] == ["online"] * 4 + ["offline"] * 4


def test_a_vetoed_online_grows_the_span_and_nothing_else(
    with_dimm: WithDimm, refused: Refused, zone_of: ZoneOf
) -> None:
    """GOING_ONLINE comes after the pages were moved to the zone."""
    machine = with_dimm()
    before = machine.to_dict()

    problem = refused(machine.online, "dimm0", zone="movable", veto={"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"})

    assert str(problem) == "ENOMEM: a notifier vetoed MEM_GOING_ONLINE"
    assert problem.blocks_done == ()
    zone = zone_of(machine, "Movable")
    assert (zone["start_pfn"], zone["spanned"], zone["present"], zone["managed"], zone["free"]) == (
        BASE,
        BLOCK,
        0,
        0,
        0,
    )
    after = machine.to_dict()
    assert {**after, "zones": None, "blocks": None} == {**before, "zones": None, "blocks": None}
    assert machine.kernel.step.vetoes == {}
    machine.online("dimm0", zone="movable")
    assert machine.violations() == []


def test_a_vetoed_offline_puts_everything_back(with_dimm: WithDimm, refused: Refused) -> None:
    """Isolation is undone: the same pages are free, the block is online."""
    machine = with_dimm()
    machine.online("dimm0", zone="movable")
    machine.allocate("app", "10M")
    before = machine.to_dict()

    problem = refused(machine.offline, "dimm0", veto={"event": "MEM_GOING_OFFLINE", "errno": "EBUSY"})

    assert str(problem) == "EBUSY: a notifier vetoed MEM_GOING_OFFLINE"
    assert machine.to_dict() == before


def test_prepare_online_does_not_exist_in_this_era(with_dimm: WithDimm) -> None:
    """A veto of an event that never comes has no effect."""
    machine = with_dimm()

    assert machine.online("block 32", veto={"event": "MEM_PREPARE_ONLINE", "errno": "ENOMEM"}) == [32]


def test_boot_memory_with_kernel_pages_is_ebusy(boot: Boot, refused: Refused) -> None:
    """The block with the boot memmap holds reserved pages; everything is put back."""
    machine = boot()
    before = machine.to_dict()

    problem = refused(machine.offline, "block 31")

    assert problem.name == "EBUSY"
    assert problem.reason == "failure to isolate range: 16384 of 32768 pages are unmovable"
    assert machine.to_dict() == before


def test_block_0_spans_several_zones_and_is_einval(boot: Boot, refused: Refused) -> None:
    """DMA and DMA32 meet in it."""
    assert str(refused(boot().offline, "block 0")) == "EINVAL: memory block 0 spans several zones"


def test_an_unmovable_page_is_ebusy(with_dimm: WithDimm, refused: Refused) -> None:
    """One page of the kernel in the block is enough, and its slab allocator takes eight as the zone begins."""
    machine = with_dimm()
    machine.online("block 32", zone="kernel")
    machine.allocate("slab", "4K", zone="kernel")
    before = machine.to_dict()

    problem = refused(machine.offline, "block 32")

    assert str(problem) == "EBUSY: failure to isolate range: 9 of 28672 pages are unmovable"
    assert machine.to_dict() == before


@pytest.mark.parametrize("zone", ["movable", "kernel"])
def test_a_range_is_the_same_as_its_blocks_one_by_one(with_dimm: WithDimm, zone: str) -> None:
    """Online and offline of eight blocks, watermarks included; the kernel zone is not empty before."""
    whole, single = with_dimm("memblock", memory="512M"), with_dimm("memblock", memory="512M")
    for machine in (whole, single):
        machine.add_memory(driver="acpi", name="dimm1", size="128M", mhp_flags="none")
        machine.online("dimm1", zone=zone)

    whole.online("dimm0", zone=zone)
    for block in range(32, 40):
        single.online(f"block {block}", zone=zone)
    assert whole.to_dict() == single.to_dict()
    assert [zone.wmark for zone in whole.kernel.state.zones()] == [zone.wmark for zone in single.kernel.state.zones()]
    whole.offline("dimm0")
    for block in range(32, 40):
        single.offline(f"block {block}")

    assert whole.to_dict() == single.to_dict()
    assert [zone.wmark for zone in whole.kernel.state.zones()] == [zone.wmark for zone in single.kernel.state.zones()]


def test_offline_boot_memory_and_online_it_again(boot: Boot, block_of: BlockOf) -> None:
    """A boot block without kernel pages goes and comes back to its zone."""
    machine = boot()
    before = machine.to_dict()

    machine.offline("block 5")
    assert block_of(machine, 5)["valid_zones"] == ["DMA32", "Movable"]
    machine.online("block 5")

    assert machine.to_dict() == before


def test_the_last_block_may_end_in_a_hole(boot: Boot) -> None:
    """Boot memory of 2 GiB and 64 MiB: the hole is in no count, before and after."""
    machine = boot(memory="2112M")
    assert machine.violations() == []
    node = machine.kernel.state.nodes[0]
    assert (node.present, sum(zone.present_early for zone in node.zones.values())) == (540672, 540672)

    machine.add_memory(driver="acpi", size="1G")

    assert machine.violations() == []


def test_an_offline_block_is_removable_an_unmovable_one_is_not(with_dimm: WithDimm) -> None:
    """``removable`` is computed from the pages in this era."""
    machine = with_dimm()
    assert machine.read("memory/memory32/removable") == "1\n"
    machine.online("block 32", zone="movable")
    machine.online("block 33", zone="kernel")
    machine.allocate("slab", "4K", zone="kernel")
    machine.allocate("app", "4K")

    assert [machine.read(f"memory/memory{block}/removable") for block in (0, 5, 31, 32, 33, 34)] == [
        "0\n", "1\n", "0\n", "1\n", "0\n", "1\n",
    ]  # fmt: skip


def test_one_event_tells_what_was_onlined(with_dimm: WithDimm) -> None:
    """A run of blocks is one record."""
    machine = with_dimm("device")
    machine.kernel.journal.events.clear()

    machine.online("dimm0", zone="movable")
    machine.offline("dimm0")

    assert events(machine) == ["onlined", "offlined"]
    assert machine.kernel.journal.events[0] == {
        "event": "onlined",
        "start_pfn": BASE,
        "nr_pages": 262144,
        "node": 0,
        "zone": "Movable",
        "managed_pages": 258048,
    }
