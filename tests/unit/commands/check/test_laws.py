"""What an operation must undo or give back, and how laws are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.commands.check.laws import broken_by, invariant_of, remember, where_in_the_kernel
from memhotplug.model.state import Allocation

HOSTING = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G", "cmdline": "memory_hotplug.memmap_on_memory=1"}
PLAIN = {**HOSTING, "cmdline": ""}
MODEL = (Path(__file__).resolve().parents[4] / "docs" / "model.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("I11: the memmap of blocks 33 lies in removed memory", "I11"),
        ("deferred free under way between operations: 3", "deferred free under way between operations"),
        ("head pfn 0x100000: 512 of its", "head pfn"),
        ("memmap on unbacked memory (4 pages)", "memmap on unbacked memory"),
    ],
)
def test_laws_without_a_number_go_by_their_first_words(text: str, name: str) -> None:
    """Numbers in a sentence do not make another law of it."""
    assert invariant_of(text) == name


def test_every_numbered_law_has_a_place_in_the_kernel() -> None:
    """All invariants of docs/model.md have the function that keeps them."""
    names = set(re.findall(r"^\| (I\d+) \|", MODEL, re.MULTILINE)) | {"I19"}
    assert {name: where_in_the_kernel(name) is not None for name in names} == dict.fromkeys(names, True)


@pytest.mark.parametrize("keywords", [HOSTING, PLAIN], ids=["self-hosting", "plain"])
def test_a_round_trip_gives_everything_back(keywords: dict[str, str]) -> None:
    """Add, online, offline, remove: on the way back every moment looks like one before."""
    machine = Machine.boot(**keywords)
    history = remember(machine.kernel, ())
    for op, words in (
        ("add_memory", {"driver": "acpi", "name": "a", "size": "256M"}),
        ("online", {"range": "a", "zone": "movable"}),
        ("offline", {"range": "a"}),
        ("remove", {"range": "a"}),
    ):
        before = machine.kernel.copy()
        getattr(machine, op)(**words)
        assert broken_by(op.partition("_")[0], None, before, machine.kernel, history) == []
        history = remember(machine.kernel, history)
    assert len(history) == 3  # booted, added, online


def test_memmap_that_does_not_come_back_is_seen() -> None:
    """A removal that forgot 512 pages of memmap is one that gave back less than there was."""
    machine = Machine.boot(**PLAIN)
    history = remember(machine.kernel, ())
    before = machine.kernel.copy()
    machine.add_memory(driver="acpi", name="a", size="128M")
    left = machine.kernel.state.vmemmap.copy()
    machine.remove("a")
    machine.kernel.state.vmemmap = left
    (broken,) = broken_by("remove", None, before, machine.kernel, history)
    assert broken.text == "I19: allocated_pages: 512 pages, and 0 when all blocks were as they are now"
    assert broken.expect == {"allocated_pages": 0}


def test_a_zone_that_does_not_shrink_back_is_seen() -> None:
    """The expectation names the zone, so that a scenario can end with it."""
    machine = Machine.boot(**HOSTING)
    history = remember(machine.kernel, ())
    before = machine.kernel.copy()
    zone = next(zone for zone in machine.kernel.state.zones() if zone.kind.label == "Normal")
    zone.set_span(1 << 20, (1 << 20) + 32768)
    (broken,) = broken_by("offline", None, before, machine.kernel, history)
    assert broken.text == ("I19: node 0 zone Normal, spanned: 32768 pages, and 0 when all blocks were as they are now")
    assert broken.expect == {"zone": "Normal", "node": 0, "spanned": 0}


def test_a_refused_operation_has_to_leave_everything() -> None:
    """Pages that a failed operation keeps break I18; what a driver keeps of a half-done add does not."""
    machine = Machine.boot(**PLAIN)
    before = machine.kernel.copy()
    refusal = MemoryHotplugError(12, "no memory")
    state = machine.kernel.state
    zone = next(zone for zone in state.zones() if zone.kind.label == "DMA32")
    pages = zone.free.copy()
    first = int(pages.starts[-1])
    zone.free.remove(first, first + 1)
    state.allocations["lost"] = Allocation(owner="lost")
    (broken,) = broken_by("add", refusal, before, machine.kernel, ())
    assert broken.text == "I18: 1 free pages are missing after the failed operation, 0 of them hold page tables"
    assert broken_by("eject", refusal, before, machine.kernel, ()) == []
