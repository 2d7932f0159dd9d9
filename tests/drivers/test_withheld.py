"""Pages that a driver holds back: what of them reaches the page allocator when they are given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine
from memhotplug_drivers.withheld import release

ZoneOf: TypeAlias = Callable[..., dict[str, Any]]
_FIRST = (4 << 30) >> 12  # pfn of block 32
_BLOCK = 32768


@pytest.fixture
def ballooned(boot: Callable[..., Machine]) -> Machine:
    """Three blocks of a Xen balloon that has nothing: 32 and 34 are online in Movable, 33 is offline."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", size="384M")
    machine.online("block 32", zone="movable")
    machine.online("block 34", zone="movable")
    kernel = machine.kernel
    zone = kernel.state.zone_of(_FIRST)
    assert zone is not None
    kernel.state.withheld.add(_FIRST, _FIRST + 3 * _BLOCK)
    kernel.state.unbacked.add(_FIRST, _FIRST + 3 * _BLOCK)
    for low in (_FIRST, _FIRST + 2 * _BLOCK):
        zone.free.remove(low, low + _BLOCK)
        zone.managed -= _BLOCK
    return machine


@pytest.mark.parametrize(
    ("low", "high", "given", "free"),
    [
        (0, 1, 1, 1),
        (_BLOCK - 1, _BLOCK, 1, 1),
        (_BLOCK - 1, _BLOCK + 1, 2, 1),
        (_BLOCK, 2 * _BLOCK, _BLOCK, 0),
        (2 * _BLOCK - 1, 2 * _BLOCK + 1, 2, 1),
        (0, 3 * _BLOCK, 3 * _BLOCK, 2 * _BLOCK),
        (5, 3 * _BLOCK - 7, 3 * _BLOCK - 12, 2 * _BLOCK - 12),
    ],
)
def test_what_lies_in_online_blocks_is_free_at_once(
    ballooned: Machine, zone_of: ZoneOf, low: int, high: int, given: int, free: int
) -> None:
    """The rest waits for its block: nothing of it is in any free list, and nothing of it is withheld any more."""
    kernel = ballooned.kernel
    assert release(kernel, _FIRST + low, _FIRST + high) == given
    assert kernel.state.withheld.total == kernel.state.unbacked.total == 3 * _BLOCK - given
    assert not kernel.state.withheld.intersects(_FIRST + low, _FIRST + high)
    movable = zone_of(ballooned, "Movable")
    assert (movable["managed"], movable["free"]) == (free, free)


def test_pages_that_nobody_withholds_are_not_given_twice(ballooned: Machine, zone_of: ZoneOf) -> None:
    """Only what is still held counts; a second time nothing happens."""
    kernel = ballooned.kernel
    assert release(kernel, _FIRST + 100, _FIRST + 200) == 100
    assert release(kernel, _FIRST + 150, _FIRST + 250) == 50
    assert release(kernel, _FIRST + 100, _FIRST + 250) == 0
    assert zone_of(ballooned, "Movable")["free"] == 150


def test_an_offline_block_brings_along_what_was_given_meanwhile(ballooned: Machine, zone_of: ZoneOf) -> None:
    """Onlining puts all of its pages into the zone but those that are still withheld."""
    release(ballooned.kernel, _FIRST + _BLOCK, _FIRST + _BLOCK + 1000)
    ballooned.online("block 33", zone="movable")
    movable = zone_of(ballooned, "Movable")
    assert (movable["present"], movable["managed"], movable["free"]) == (3 * _BLOCK, 1000, 1000)


@pytest.mark.parametrize(("low", "high"), [(0, 3 * _BLOCK), (50, 3 * _BLOCK - 50)])
def test_several_pieces_of_one_block_are_given_once_each(
    ballooned: Machine, zone_of: ZoneOf, low: int, high: int
) -> None:
    """Pages in between that somebody else holds stay as they are."""
    kernel = ballooned.kernel
    for gap in (100, 1000, 2 * _BLOCK + 300):
        release(kernel, _FIRST + gap, _FIRST + gap + 10)
    given = high - low - 30
    assert release(kernel, _FIRST + low, _FIRST + high) == given
    movable = zone_of(ballooned, "Movable")
    assert (movable["managed"], movable["free"]) == (high - low - _BLOCK, high - low - _BLOCK)
