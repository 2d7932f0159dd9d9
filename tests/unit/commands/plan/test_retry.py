"""Whether a request that failed once would succeed, from which zone, and the ratio for all that is added."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine
from memhotplug.commands.plan.question import FailedRequest
from memhotplug.commands.plan.retry import ratio_for_all_movable, zone_that_gives
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKind

Boot: TypeAlias = Callable[..., Machine]


def asked(order: int, movable: bool = False) -> FailedRequest:
    """Return a request of an order."""
    return FailedRequest(order=order, movable=movable, text="modprobe: page allocation failure")


@pytest.fixture
def guest(boot: Boot) -> Machine:
    """8 GiB at boot, and a block of Movable memory."""
    machine = boot(kernel="linux-6.12", memory="8G")
    machine.add_memory(driver="acpi", name="d", size="128M")
    machine.online("d", zone="movable")
    return machine


@pytest.mark.parametrize(("movable", "zone"), [(False, "0 Normal"), (True, "0 Movable")])
@pytest.mark.parametrize("order", [0, 5, 10])
def test_the_highest_zone_that_may_be_used_gives_first(guest: Machine, order: int, movable: bool, zone: str) -> None:
    """Movable for what can migrate, else the highest kernel zone."""
    assert zone_that_gives(guest, asked(order, movable)) == zone


def test_a_zone_at_its_watermark_is_passed_over(guest: Machine) -> None:
    """The min mark: one page less and it gives nothing."""
    zone = guest.kernel.state.zone((0, ZoneKind.NORMAL))
    low = int(zone.free.starts[0])
    keep = zone.wmark[0] + zone.protection[ZoneKind.NORMAL]
    zone.free = ExtentSet.of((low, low + keep))
    assert zone_that_gives(guest, asked(0)) == "0 DMA32"
    zone.free = ExtentSet.of((low, low + keep + 1))
    assert zone_that_gives(guest, asked(0)) == "0 Normal"


def test_a_zone_in_pieces_gives_no_large_chunk(guest: Machine) -> None:
    """Enough is free, but nothing of that order; below it gives the next zone."""
    zone = guest.kernel.state.zone((0, ZoneKind.NORMAL))
    first = int(zone.free.starts[0])
    zone.free = ExtentSet.of(*((pfn, pfn + 1) for pfn in range(first, first + 200_000, 2)))
    assert zone_that_gives(guest, asked(1)) == "0 DMA32"
    assert zone_that_gives(guest, asked(0)) == "0 Normal"


def test_memory_of_cma_is_for_what_can_migrate(guest: Machine) -> None:
    """A request for kernel memory does not get it, however free it is."""
    state = guest.kernel.state
    for zone in state.zones():
        if zone.kind is ZoneKind.NORMAL:
            zone.cma_pages = zone.free.copy()
        elif zone.free.total:
            zone.free = ExtentSet()
    assert zone_that_gives(guest, asked(0)) is None
    assert zone_that_gives(guest, asked(0, movable=True)) == "0 Normal"


def test_without_free_memory_nobody_gives(guest: Machine) -> None:
    """Neither for the kernel nor for anybody."""
    for zone in guest.kernel.state.zones():
        zone.free = ExtentSet()
    assert [zone_that_gives(guest, asked(0, movable)) for movable in (False, True)] == [None, None]


@pytest.mark.parametrize(
    ("added", "ratio"), [(0, 2), (128 << 20, 4), (8 << 30, 102), (16 << 30, 202), ((16 << 30) + 4096, 202)]
)
def test_the_ratio_holds_movable_memory_against_that_of_boot(guest: Machine, added: int, ratio: int) -> None:
    """Rounded up to a percent; what is Movable already counts."""
    state = guest.kernel.state
    early = sum(zone.present_early for zone in state.zones())
    assert ratio_for_all_movable(guest, added) == -(-100 * (32768 + (added >> 12)) // early) == ratio


def test_without_kernel_memory_at_boot_there_is_no_ratio(guest: Machine) -> None:
    """Nothing to hold against."""
    for zone in guest.kernel.state.zones():
        zone.present_early = 0
    assert ratio_for_all_movable(guest, 1 << 30) is None
