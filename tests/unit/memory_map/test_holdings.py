"""Who holds the pages of a piece of memory."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.contracts import PageFlag
from memhotplug.memory_map.holdings import FlagCache, Holding, holdings
from memhotplug.memory_map.runs import map_runs

HOSTING = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G", "cmdline": "memory_hotplug.memmap_on_memory=1"}
BLOCK = 32768


def grown(**keywords: object) -> Machine:
    """Return a machine with two blocks online in Movable and two offline."""
    machine = Machine.boot(**{**HOSTING, **keywords})
    machine.add_memory(driver="acpi", name="d", size="512M")
    machine.online("block 32-33", zone="movable")
    return machine


def test_every_page_is_somebodys_once() -> None:
    """Whatever the run: what all hold together is its size."""
    machine = grown()
    machine.allocate("app", "100M", zone="movable")
    machine.allocate("driver", "3M", zone="kernel")
    runs = map_runs(machine.kernel)
    for run, parts in zip(runs, holdings(machine.kernel, runs, 100), strict=True):
        assert sum(part.pages for part in parts) == (run.end - run.start) >> 12
        assert all(run.start >> 12 <= part.first <= part.last < run.end >> 12 for part in parts)


def test_a_workload_its_memmap_and_what_is_free() -> None:
    """
    two blocks, each with 512 pages of memmap in front; the workload has the first pages of both

    Expect how much each holds, in how many runs, from where to where, and what the struct pages say.
    """
    machine = grown()
    machine.allocate("app", "16M", zone="movable")
    runs = map_runs(machine.kernel)
    index = next(index for index, run in enumerate(runs) if run.kind == "movable")
    free, app, memmap = sorted(holdings(machine.kernel, runs)[index], key=lambda part: -part.pages)
    assert (free.owner, free.flags, free.pages) == ("free in Movable", ("BUDDY",), 2 * BLOCK - 1024 - 4096)
    assert (app.owner, app.flags, app.pages) == ("app", ("LRU", "ANON"), 4096)
    assert memmap == Holding("memmap, self-hosted", 1024, 2, 32 * BLOCK, 33 * BLOCK + 511, ("OWNER_PRIVATE",))


def test_offline_pages_are_nobodys() -> None:
    """But for the memmap in them."""
    machine = grown()
    runs = map_runs(machine.kernel)
    nobody, memmap = holdings(machine.kernel, runs)[-1]
    assert nobody == Holding("nobody: offline", 2 * BLOCK - 1024, 0, 34 * BLOCK, 36 * BLOCK - 1, ("NOPAGE",))
    assert (memmap.owner, memmap.pages) == ("memmap, self-hosted", 1024)


def test_flags_are_those_of_the_struct_pages() -> None:
    """Of the first page that each holds, as Machine.page() has them."""
    machine = grown()
    machine.allocate("app", "100M", zone="movable")
    for parts in holdings(machine.kernel, map_runs(machine.kernel)):
        for part in parts:
            if part.runs:
                flags = machine.page(part.first).flags
                assert part.flags == tuple(str(flag.name) for flag in PageFlag if flag in flags)


def test_the_kernel_is_told_from_workloads() -> None:
    """A workload may be called anything."""
    machine = grown()
    machine.allocate("slab", "1M", zone="kernel")
    owners = {part.owner for parts in holdings(machine.kernel, map_runs(machine.kernel)) for part in parts}
    assert "slab" in owners
    assert "kernel: early boot" in owners


def test_the_smaller_ones_of_many_are_one() -> None:
    """40 workloads: 24 owners have their name, what is left is together; of a run at most so many."""
    machine = Machine.boot(**{**HOSTING, "memory": "4G"})
    for number in range(40):
        machine.allocate(f"w{number:02}", f"{number + 1}M", zone="kernel")
    runs = map_runs(machine.kernel)
    whole = {part.owner for parts in holdings(machine.kernel, runs, 100) for part in parts}
    assert "w39" in whole
    assert "w00" not in whole
    few = holdings(machine.kernel, runs, 3)
    assert max(len(parts) for parts in few) == 3
    assert any(part.owner.endswith(" smaller owners") for parts in few for part in parts)
    for run, parts in zip(runs, few, strict=True):
        assert sum(part.pages for part in parts) == (run.end - run.start) >> 12


@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_folded_runs_count_blocks_and_no_holes(limit: int) -> None:
    """60 devices with a hole behind each: together they hold their blocks, whatever the folding."""
    machine = Machine.boot(**HOSTING)
    for number in range(60):
        machine.add_memory(driver="acpi", size="128M", address=(4 << 30) + (number << 28))
    parts = holdings(machine.kernel, map_runs(machine.kernel, limit))
    assert sum(part.pages for some in parts for part in some) == (8 + 60) * BLOCK


def test_what_was_looked_up_is_not_looked_up_again() -> None:
    """Flags are by owner and kind of memory."""
    machine = grown()
    known: FlagCache = {("free in Movable", "movable"): ("SEEN",)}
    runs = map_runs(machine.kernel)
    index = next(index for index, run in enumerate(runs) if run.kind == "movable")
    assert holdings(machine.kernel, runs, known=known)[index][0].flags == ("SEEN",)
    assert ("memmap, self-hosted", "movable") in known


def test_no_runs_are_no_lists() -> None:
    """Nothing to ask about."""
    assert holdings(grown().kernel, []) == []
