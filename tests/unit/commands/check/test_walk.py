"""One step of the search: what may go wrong in an operation, and what is left in memory of one that was tried."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.moves import Move, Moves
from memhotplug.commands.check.normal_form import difference, exact_form, visible_form
from memhotplug.commands.check.walk import Spot, Walker
from memhotplug.engine.memory_hotplug.presence import usual_driver
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.model.blocks import BlockState

MACHINES = [
    ("x86_64", "linux-6.12", "acpi"),
    ("x86_64", "linux-6.6", "virtio_mem"),
    ("x86_64", "v2-2019", "hv_balloon"),
    ("s390", "linux-6.12", "sclp"),
    ("s390", "linux-7.2", "sclp"),
    ("powerpc", "linux-6.1", "pseries"),
]


def walker_of(arch: str, kernel: str, driver: str, *, faults: bool = True) -> tuple[Walker, Spot]:
    """Return who tries operations on a small machine, and where it begins."""
    machine = Machine.boot(arch=arch, kernel=kernel, memory="2G", cmdline="memory_hotplug.memmap_on_memory=1")
    spec = ExploreSpec(blocks=2, drivers=(driver,))
    walker = Walker(Moves(machine.kernel, spec, (driver,), Installed()), faults=faults)
    return walker, walker.start(machine)


def spots(walker: Walker, start: Spot, depth: int) -> Iterator[Spot]:
    """Yield different machines on the way, by breadth."""
    known, level = {walker.form(start)}, [start]
    for _ in range(depth):
        yield from level
        found = {tried.form: tried.spot for spot in level for tried in walker.around(spot) if tried.spot is not None}
        level = [spot for form, spot in found.items() if form not in known]
        known |= set(found)


def done(spot: Spot, walker: Walker, move: Move) -> tuple[str | None, bytes]:
    """Return what an operation is refused with, and the machine after it in every page."""
    machine = spot.machine.copy()
    problem = walker.perform(machine, move)
    return problem.name if problem is not None else None, exact_form(machine.kernel)


@pytest.mark.parametrize(("arch", "kernel", "driver"), MACHINES)
def test_a_veto_that_is_left_out_would_have_changed_nothing(arch: str, kernel: str, driver: str) -> None:
    """Only events that notifiers are told in an operation are vetoed; every other veto does what none does."""
    walker, start = walker_of(arch, kernel, driver)
    left_out = 0
    for spot in spots(walker, start, 2):
        tried = {one.move.text for one in walker.around(spot)}
        for move in walker.moves.all(spot.machine.kernel):
            for vetoed in walker.moves.vetoes(spot.machine.kernel, move):
                if vetoed.text not in tried:
                    left_out += 1
                    assert done(spot, walker, vetoed) == done(spot, walker, move), vetoed.text
    assert left_out > 10


@pytest.mark.parametrize(("arch", "kernel", "driver"), MACHINES)
def test_writes_to_a_blocks_state_would_do_what_requests_do(arch: str, kernel: str, driver: str) -> None:
    """In every page, which is why they are not tried."""
    words = {"online": "auto", "online_kernel": "kernel", "online_movable": "movable"}
    walker, start = walker_of(arch, kernel, driver, faults=False)
    compared = 0
    for spot in spots(walker, start, 3):
        blocks = spot.machine.kernel.state.blocks
        for block, state, early in zip(
            *(getattr(blocks, name).tolist() for name in ("id", "state", "early")), strict=True
        ):
            if early:
                continue
            where = f"block {block}"
            for word in (*words, "offline"):
                write = Move("write", (("path", f"memory/memory{block}/state"), ("value", word)))
                request = Move("offline", (("range", where),))
                if word != "offline":
                    request = Move("online", (("range", where), ("zone", words[word])))
                if (state == BlockState.ONLINE) == (word == "offline"):
                    compared += 1
                    assert done(spot, walker, write) == done(spot, walker, request), (word, request.text)
    assert compared > 10


@pytest.mark.parametrize("arch", ["x86_64", "powerpc"])
def test_the_probe_file_would_do_what_its_driver_does(arch: str) -> None:
    """But for the name of the device."""
    machine = Machine.boot(arch=arch, kernel="linux-6.12", memory="2G")
    other = machine.copy()
    machine.add_memory(driver="probe", name="m0", size=machine.kernel.geometry.memory_block_size)
    ((start, _),) = machine.kernel.state.devices[-1].ranges
    other.write("memory/probe", hex(start))
    assert difference(machine.kernel, other.kernel) is None


def test_an_operation_that_tells_notifiers_is_vetoed_at_each_event() -> None:
    """An online of two events, and none of them is left out."""
    walker, start = walker_of("x86_64", "linux-6.12", "acpi")
    machine = start.machine.copy()
    machine.add_memory(driver="acpi", name="m0", size="128M")
    tried = [one.move for one in walker.around(walker.start(machine)) if one.move.text.startswith("online")]

    assert [move.text.partition(" zone movable")[2] for move in tried if "movable" in move.text] == [
        "",
        " veto MEM_PREPARE_ONLINE ENOMEM",
        " veto MEM_GOING_ONLINE ENOMEM",
    ]


def test_what_an_add_says_that_it_leaks_is_not_missed_later() -> None:
    """The memmap that a failed add of arm64 leaves behind: no operation after it has to give it back."""
    machine = Machine.boot(arch="arm64", kernel="v2-2019", memory="2G", page_size="64K")
    walker = Walker(Moves(machine.kernel, ExploreSpec(blocks=2), ("acpi",), Installed()), faults=True)
    keys = {"driver": "acpi", "name": "m0", "size": "1G"}
    add = Move("add", tuple(keys.items())).with_fault("fail_allocation", 4)
    failed = walker.try_move(walker.start(machine), add)
    assert (failed.errno, failed.broken) == ("ENOMEM", ())
    assert failed.spot is not None
    left = failed.spot.machine.kernel.state.vmemmap.backing().total - machine.kernel.state.vmemmap.backing().total
    assert left == 4
    write = Move("write", (("path", "memory/auto_online_blocks"), ("value", "online")))
    assert walker.try_move(failed.spot, write).broken == ()


def test_a_search_leaves_no_garbage() -> None:
    """A refusal has frames, frames have machines: none of them waits for the collector."""
    walker, start = walker_of("x86_64", "linux-6.12", "acpi", faults=False)
    machine = start.machine.copy()
    machine.add_memory(driver="acpi", name="m0", size="256M")
    machine.online("m0", zone="movable")
    spot = walker.start(machine)
    tried = list(walker.around(spot))
    assert "EBUSY" in [one.errno for one in tried]

    gc.collect()
    gc.disable()
    try:
        for _ in walker.around(spot):
            pass
        del tried
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_machines_look_alike_that_differ_in_the_kernels_own_pages_only() -> None:
    """And a block that is online makes another machine for everybody."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    machine.add_memory(driver=usual_driver(machine.kernel.arch), name="m0", size="128M")
    other = machine.copy()
    other.kernel.alloc(0, 1, 0)
    assert visible_form(machine.kernel) == visible_form(other.kernel)
    other.online("m0", zone="movable")
    assert visible_form(machine.kernel) != visible_form(other.kernel)
