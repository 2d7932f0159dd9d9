"""What a failed operation must put back, and that it is noticed if it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.views.undone import left_behind
from memhotplug.model.blocks import BlockState
from memhotplug.model.zones import ZoneKind

FIRST = 32 * 32768


@pytest.fixture
def machine() -> Machine:
    """Return a machine with a DIMM of 256M, its memmap from the page allocator, offline."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="acpi", name="dimm0", size="256M")
    return machine


def _state(machine: Machine) -> None:
    machine.kernel.state.blocks.set(slice(32, 33), state=BlockState.ONLINE)


def _resource(machine: Machine) -> None:
    machine.kernel.state.resources.release(4 << 30, 128 << 20)


def _managed(machine: Machine) -> None:
    machine.kernel.state.zone((0, ZoneKind.DMA32)).managed -= 1


def _span(machine: Machine) -> None:
    machine.kernel.state.zone((0, ZoneKind.NORMAL)).set_span(FIRST, FIRST + 32768)


def _section(machine: Machine) -> None:
    machine.kernel.state.sections.add(FIRST + 65536, FIRST + 98304)


def _lost_page(machine: Machine) -> None:
    zone = machine.kernel.state.zone((0, ZoneKind.DMA32))
    pfn = int(zone.free.starts[0])
    zone.free.remove(pfn, pfn + 1)


SPOILED: list[tuple[Callable[[Machine], None], list[str]]] = [
    (_state, ["I17: memory blocks are not as before the failed operation"]),
    (_resource, ["I17: resources are not as before the failed operation"]),
    (_managed, ["I17: node 0 zone DMA32: present and managed are not as before the failed operation"]),
    (_span, ["I17: node 0 zone Normal: its span is not as before the failed operation"]),
    (_section, ["I18: sections stay behind the failed operation"]),
    (_lost_page, ["I18: 1 free pages are missing after the failed operation, 0 of them hold page tables"]),
]


@pytest.mark.parametrize(("spoil", "sentences"), SPOILED, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_not_put_back_is_named(
    spoil: Callable[[Machine], None], sentences: list[str], machine: Machine
) -> None:
    """One sentence for each book that differs."""
    before = machine.kernel.copy()
    spoil(machine)

    assert left_behind(before, machine.kernel, leaks=False) == sentences


def test_memmap_that_stays_is_named_unless_it_is_a_listed_leak(machine: Machine) -> None:
    """The kernel's own leak is no fault of the operation."""
    before = machine.kernel.copy()
    machine.add_memory(driver="acpi", name="dimm1", size="128M")
    after = machine.kernel.copy()
    after.state.blocks, after.state.resources = before.state.blocks.copy(), before.state.resources.copy()

    assert left_behind(before, after, leaks=True) == []
    assert left_behind(before, after, leaks=False)[:2] == [
        "I18: sections stay behind the failed operation",
        "I18: memmap stays behind the failed operation",
    ]


def test_page_tables_may_stay(machine: Machine) -> None:
    """They are pages that the kernel holds, and were free before."""
    before = machine.kernel.copy()
    machine.kernel.tables.ensure("vmemmap PTE", 7, 9, nid=0)

    assert machine.kernel.state.page_tables["vmemmap PTE"].total == 2
    assert left_behind(before, machine.kernel, leaks=False) == []


def test_a_span_that_v2_2019_leaves_behind_is_not_held_against_it() -> None:
    """In 2019 a vetoed online has grown the span, and nothing shrinks it but removal."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    before = machine.kernel.copy()
    _span(machine)

    assert left_behind(before, machine.kernel, leaks=False) == []
