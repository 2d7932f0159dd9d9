"""Machines with equal normal forms have the same future, and machines with another future another form."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.catalog import Installed
from memhotplug.commands.check.moves import Moves
from memhotplug.commands.check.normal_form import difference, exact_form, normal_form
from memhotplug.commands.check.walk import Spot, Walker
from memhotplug.engine.slab import SLAB
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation

SERIES = {"arch": "x86_64", "kernel": "v2-2019", "memory": "1G"}
PLAIN = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G"}
HOSTING = {**PLAIN, "cmdline": "memory_hotplug.memmap_on_memory=1"}
PAGES_64K = {
    "arch": "powerpc", "kernel": "linux-6.12", "memory": "2G", "page_size": "64K",
    "cmdline": "memory_hotplug.memmap_on_memory=force",
}  # fmt: skip


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
