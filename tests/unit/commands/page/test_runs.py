"""Struct pages folded into runs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from memhotplug import Machine
from memhotplug.commands.page import runs as module
from memhotplug.commands.page.runs import Run, changes, runs

START = 0x100000


@pytest.fixture
def machine() -> Machine:
    """Return a machine with 1 GiB whose memmap is its first 4096 pages, all of it Movable."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    machine.add_memory(driver="acpi", name="d", size="1G", mhp_flags="device")
    machine.online("d", zone="movable")
    return machine


def test_a_gib_is_three_runs(machine: Machine) -> None:
    """The head of the memmap, the rest of it, and free pages of the largest order."""
    found = list(runs(machine, [(START, START + 262144)]))
    shared: dict[str, Any] = {"mapping": (1 << 64) - 4, "head": START, "zone": "Movable", "node": 0}
    assert found == [
        Run(pfn=START, pages=1, flags=("RESERVED", "VMEMMAP"), refcount=8, private=4096, backing=START,
            backing_end=START + 1, **shared),
        Run(pfn=START + 1, pages=4095, flags=("RESERVED", "VMEMMAP"), refcount=1, private=0, backing=START,
            backing_end=START + 64, **shared),
        Run(pfn=START + 4096, pages=258048, flags=("BUDDY",), refcount=0, private=10, backing=START + 64,
            backing_end=START + 4096, **{**shared, "mapping": 0, "head": None}),
    ]  # fmt: skip


@pytest.mark.parametrize("chunk", [7, 1000, 4096, 1 << 15])
def test_runs_do_not_depend_on_how_they_are_projected(
    machine: Machine, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a projection begins leaves no trace; 9000 pages from the middle of the memmap on."""
    machine.allocate("app", "5M", zone="movable")
    whole = list(runs(machine, [(START + 3, START + 9003)]))
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert list(runs(machine, [(START + 3, START + 9003)])) == whole


def test_runs_say_of_every_page_what_its_struct_page_says(machine: Machine) -> None:
    """Each page of the first 8192, one by one; nothing left out, nothing twice, no two runs that could be one."""
    machine.offline("block 39")
    machine.allocate("app", "5M", zone="movable")
    array = machine.memmap(f"{START * 4096:#x}+1G")
    found = list(runs(machine, [(START, START + 262144)]))
    assert sum(run.pages for run in found) == 262144
    assert not any(one.goes_on(other) for one, other in pairwise(found))
    for run in found:
        rows = array[run.pfn - START : run.end - START]
        assert set(rows["refcount"].tolist()) == {run.refcount}
        assert len(np.unique(rows["flags"])) == 1
        assert int(rows["private"].max()) == run.private
        assert (rows["backing"][0], rows["backing"][-1] + 1) == (run.backing, run.backing_end)


def test_memory_that_is_not_there_is_one_run(machine: Machine) -> None:
    """Half a million pages in a hole, over several projections."""
    assert list(runs(machine, [(1 << 25, (1 << 25) + (3 << 19))])) == [
        Run(pfn=1 << 25, pages=3 << 19, flags=("NOPAGE",), refcount=0, private=0, head=None, mapping=0, zone=None,
            node=None, backing=None, backing_end=None)
    ]  # fmt: skip


def test_a_change_is_told_from_what_stays(machine: Machine) -> None:
    """Onlining one block of two changes that one."""
    before = machine.copy()
    machine.offline("block 39")
    found = list(changes(before, machine, [(START + 6 * 32768, START + 8 * 32768)]))
    assert [(change.is_one, change.after.pfn, change.after.pages) for change in found] == [
        (False, START + 6 * 32768, 32768),
        (True, START + 7 * 32768, 32768),
    ]
    assert found[1].before.flags == ("BUDDY",)
    assert found[1].after.refcount == found[1].before.refcount


def test_the_order_of_free_chunks_alone_is_no_change(machine: Machine) -> None:
    """A page taken and given back elsewhere in the chunk leaves what is free as it was."""
    before = machine.copy()
    machine.allocate("app", "4K", zone="movable")
    machine.release("app")
    found = list(changes(before, machine, [(START + 4096, START + 262144)]))
    assert not any(change.is_one for change in found)
    assert sum(change.after.pages for change in found) == 258048
