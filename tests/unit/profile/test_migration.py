"""Where the pages of a workload go when their block goes offline, under the kernel of 2019, and what they end in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
WithDimm = Callable[..., Machine]
ZoneOf = Callable[..., dict[str, Any]]
BASE, BLOCK = 1 << 20, 32768


def test_vmemmap_pages_in_movable_do_not_block_offline(with_dimm: WithDimm) -> None:
    """They are skipped and stick around until their sections are removed."""
    machine = with_dimm("device")
    machine.online("dimm0", zone="movable")

    assert machine.offline("dimm0") == list(range(32, 40))

    heads: Any = machine.to_dict()["vmemmap"]
    assert [(head["refcount"], head["private"]) for head in heads] == [(8, 4096)]


def test_movable_pages_migrate_within_the_only_node(with_dimm: WithDimm, zone_of: ZoneOf) -> None:
    """Block 32 is emptied into the others; nothing is lost."""
    machine = with_dimm("memblock")
    machine.online("dimm0", zone="movable")
    machine.allocate("app", "64M")
    assert machine.kernel.state.allocations["app"].pages.covered(BASE, BASE + BLOCK) > 12000

    machine.offline("block 32")

    pages = machine.kernel.state.allocations["app"].pages
    assert (pages.total, pages.covered(BASE, BASE + BLOCK)) == (16384, 0)
    assert zone_of(machine, "Movable")["free"] == 7 * 32256 - 16384
    assert machine.violations() == []


def test_movable_pages_migrate_to_another_node(boot: Boot, zone_of: ZoneOf) -> None:
    """Where another node has memory, the old one is not used although it has room."""
    machine = boot(memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    machine.add_memory(driver="acpi", name="dimm0", size="256M", node=0, mhp_flags="memblock")
    machine.online("dimm0", zone="movable")
    machine.allocate("app", "64M")
    before = zone_of(machine, "DMA32", node=1)["free"]
    inside = machine.kernel.state.allocations["app"].pages.covered(BASE, BASE + BLOCK)

    machine.offline("block 32")

    assert before - zone_of(machine, "DMA32", node=1)["free"] == inside > 12000
    assert zone_of(machine, "Movable")["free"] == 32256 - (16384 - inside)
    machine.release("app")
    assert zone_of(machine, "DMA32", node=1)["free"] == before
    assert machine.violations() == []


def test_pinned_pages_end_in_eintr(with_dimm: WithDimm, refused: Refused) -> None:
    """The kernel would try again and again; the state is as before."""
    machine = with_dimm("memblock")
    machine.online("dimm0", zone="movable")
    machine.allocate("rdma", "1M", pinned=True)
    before = machine.to_dict()

    problem = refused(machine.offline, "block 32")

    assert str(problem) == "EINTR: 256 pages of 'rdma' are pinned; would retry until interrupted"
    assert machine.to_dict() == before


def test_what_migrated_before_a_pinned_page_stays_moved(with_dimm: WithDimm, refused: Refused) -> None:
    """The pages that others vacated are free again in the block, which is online again."""
    machine = with_dimm("memblock")
    machine.online("dimm0", zone="movable")
    machine.allocate("app", "1M")
    machine.allocate("rdma", "1M", pinned=True)
    free = {zone.key: zone.nr_free for zone in machine.kernel.state.zones()}

    refused(machine.offline, "block 32")

    assert machine.kernel.state.allocations["app"].pages.covered(BASE, BASE + BLOCK) == 0
    assert {zone.key: zone.nr_free for zone in machine.kernel.state.zones()} == free
    assert machine.violations() == []
    machine.release("app")
    machine.release("rdma")
    assert machine.offline("block 32") == [32]


def test_without_room_to_migrate_offline_ends_in_eintr(boot: Boot, refused: Refused) -> None:
    """Half of the pages find a place; the others stay, and nothing is lost."""
    machine = boot(memory="1G")
    machine.add_memory(driver="acpi", name="dimm0", size="256M", mhp_flags="memblock")
    machine.online("dimm0", zone="movable")
    machine.allocate("app", "250M")
    machine.allocate("rest", "900M")

    problem = refused(machine.offline, "block 32")

    assert problem.name == "EINTR"
    assert problem.reason.endswith("of 'app' to; would retry until interrupted")
    assert machine.kernel.state.allocations["app"].pages.total == 64000
    assert machine.violations() == []


def test_chunks_of_a_high_order_migrate_whole(with_dimm: WithDimm) -> None:
    """Pages that were allocated with order 9 need order 9 again."""
    machine = with_dimm("memblock")
    machine.online("dimm0", zone="movable")
    machine.allocate("huge", "32M", order=9)

    machine.offline("block 32")

    pages = machine.kernel.state.allocations["huge"].pages
    assert pages.total == 8192
    assert all(low % 512 == 0 and high % 512 == 0 for low, high in pages)
    assert machine.violations() == []


def test_migration_out_of_a_range_is_the_same_as_block_by_block(with_dimm: WithDimm) -> None:
    """Pages may move to a block of the range whose turn is yet to come, and then move again."""
    whole = with_dimm("memblock")
    whole.online("dimm0", zone="movable")
    for name, size in (("a", "100M"), ("b", "3M"), ("c", "60M"), ("d", "200K")):
        whole.allocate(name, size)
    whole.release("b")
    single = whole.copy()

    whole.offline("block 32-36")
    for block in range(32, 37):
        single.offline(f"block {block}")

    assert whole.to_dict() == single.to_dict()
    for name in ("a", "c", "d"):
        assert whole.kernel.state.allocations[name].pages == single.kernel.state.allocations[name].pages
