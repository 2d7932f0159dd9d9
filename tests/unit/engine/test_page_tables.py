"""Page tables by their windows: made all or none, freed where nothing uses them."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.kernel import Kernel
from memhotplug.model.extents import ExtentSet

KIND = "test-pmd"


@pytest.fixture
def kernel() -> Kernel:
    """Return the kernel of a machine whose boot is over."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G").kernel


def free(kernel: Kernel) -> int:
    """Return the free pages of all zones."""
    return sum(zone.nr_free for zone in kernel.state.zones())


def test_only_what_is_missing_is_made(kernel: Kernel) -> None:
    """Windows that have a table keep it: one page each for the others."""
    before = free(kernel)
    kernel.tables.ensure(KIND, 10, 12, nid=0)
    kernel.tables.ensure(KIND, 8, 15, nid=0)
    assert before - free(kernel) == 7
    kernel.tables.ensure(KIND, 9, 14, nid=0)
    assert before - free(kernel) == 7


def test_all_or_none(kernel: Kernel) -> None:
    """Without a page for the last one, those before go back."""
    before = free(kernel)
    with pytest.raises(MemoryHotplugError) as caught:
        kernel.tables.ensure(KIND, 0, before + 1, nid=0)
    assert str(caught.value) == f"ENOMEM: no page for a page table ({KIND}, order 0)"
    assert (free(kernel), kernel.state.page_tables[KIND].total) == (before, 0)


@pytest.mark.parametrize("order", [0, 2])
def test_what_is_dropped_comes_back(kernel: Kernel, order: int) -> None:
    """Each table is 2**order pages; windows without one cost nothing to drop."""
    before = free(kernel)
    kernel.tables.ensure(KIND, 4, 8, nid=0, order=order)
    assert (before - free(kernel), kernel.tables.order_of(KIND)) == (4 << order, order)
    kernel.tables.drop(KIND, 6, 20, order=order)
    assert before - free(kernel) == 2 << order
    kernel.tables.drop(KIND, 0, 6, order=order)
    assert free(kernel) == before
    kernel.tables.drop("nobody", 0, 6)


@pytest.mark.parametrize(
    ("used", "left"),
    [([], 0), ([(99, 100)], 1), ([(399, 420)], 1), ([(0, 120), (380, 400)], 2), ([(200, 300)], 0)],
)
def test_windows_at_the_ends_stay_for_their_neighbours(kernel: Kernel, used: list[tuple[int, int]], left: int) -> None:
    """Pfns [50, 350) of windows of 100: what is used in the first or the last of them keeps it."""
    kernel.tables.ensure(KIND, 0, 4, nid=0)
    kernel.tables.drop_unused(KIND, 100, 50, 350, _set(used))
    assert kernel.state.page_tables[KIND].total == left


def _set(runs: list[tuple[int, int]]) -> ExtentSet:
    found = ExtentSet()
    for low, high in runs:
        found.add(low, high)
    return found


@pytest.mark.parametrize(("nid", "far"), [(1, 1), (None, 0)])
def test_tables_of_no_certain_node_come_from_that_of_the_cpu(nid: int | None, far: int) -> None:
    """Those of the direct map: whoever adds memory asks for them where it runs."""
    memory = [{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]
    kernel = Machine.boot(arch="x86_64", kernel="linux-6.12", memory=memory).kernel
    before = [sum(zone.nr_free for zone in kernel.state.zones() if zone.nid == node) for node in (0, 1)]

    kernel.tables.ensure(KIND, 0, 1, nid=nid)

    after = [sum(zone.nr_free for zone in kernel.state.zones() if zone.nid == node) for node in (0, 1)]
    assert [old - new for old, new in zip(before, after, strict=True)] == [1 - far, far]
