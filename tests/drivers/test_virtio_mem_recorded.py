"""Which subblocks of a recorded virtio-mem device are taken to be unplugged, and what nobody has said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import pytest

from memhotplug import Machine
from memhotplug.contracts import RecordedDevice
from memhotplug.model.extents import ExtentSet
from memhotplug_drivers._virtio_mem_device import plugged_size, region_of
from memhotplug_drivers._virtio_mem_recorded import note_unplugged

Ranges: TypeAlias = list[tuple[int, int]]
_MIB = 1 << 20
_FIRST = (4 << 30) >> 12  # pfn of block 32
_BLOCK, _SUB = 32768, 512  # pages
_NORMAL, _MOVABLE = (0, 2), (0, 3)  # zone keys: node and kind


@pytest.fixture
def guest(boot: Callable[..., Machine]) -> Machine:
    """6.12 with 4 GiB and a device of four plugged blocks: 32 in Normal, 33 in Movable, 34 and 35 offline."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="virtio_mem", name="vm0", size="512M", device_size="4G")
    machine.online("block 32", zone="kernel")
    machine.online("block 33", zone="movable")
    return machine


def note(
    machine: Machine,
    *,
    log: Mapping[str, int] | None = None,
    lacking: Mapping[tuple[int, int], int] | None = None,
    offline: Ranges | None = None,
) -> tuple[str | None, Ranges]:
    """Return what was assumed of the device, and where its pages are withheld, from block 32's first on."""
    kernel = machine.kernel
    region = region_of(kernel, "vm0")
    assert region is not None
    device = RecordedDevice(
        name="vm0", driver="virtio_mem", nid=0, start=region.start, size=region.size, index=0, log=log or {},
        lacking=lacking or {},  # type: ignore[arg-type]  # zone kinds are integers
        offline=None if offline is None else ExtentSet.of(*((_FIRST + low, _FIRST + high) for low, high in offline)),
    )  # fmt: skip
    said = note_unplugged(kernel, region, device)
    withheld = [(low - _FIRST, high - _FIRST) for low, high in kernel.state.withheld]
    assert withheld == [(low - _FIRST, high - _FIRST) for low, high in kernel.state.unbacked]
    assert plugged_size(kernel, region) == (4 * _BLOCK - sum(high - low for low, high in withheld)) * 4096
    return said, withheld


def test_what_nobody_has_said_counts_as_plugged(guest: Machine) -> None:
    """Both kinds of blocks are named, those that are online first."""
    assert note(guest) == ("all of its online and offline blocks plugged", [])


def test_flags_tell_the_very_pages_of_online_blocks(guest: Machine) -> None:
    """They go before what zones lack, unless both are there and contradict each other."""
    pages = [(3 * _SUB, 4 * _SUB), (_BLOCK, _BLOCK + 2 * _SUB)]
    assert note(guest, offline=pages) == ("all of its offline blocks plugged", pages)


def test_flags_count_where_they_make_up_what_the_zones_lack(guest: Machine) -> None:
    """The lacking pages are those that the flags show, wherever they lie."""
    pages = [(3 * _SUB, 4 * _SUB), (_BLOCK, _BLOCK + 2 * _SUB)]
    lacking = {_NORMAL: _SUB, _MOVABLE: 2 * _SUB}
    assert note(guest, offline=pages, lacking=lacking) == ("all of its offline blocks plugged", pages)


def test_flags_that_are_not_all_of_it_give_way_to_the_zones(guest: Machine) -> None:
    """Flags may have been read of some of the pages only; the zone counts all."""
    lacking = {_NORMAL: 2 * _SUB, _MOVABLE: _SUB}
    assert note(guest, offline=[(0, _SUB)], lacking=lacking) == (
        "all of its offline blocks plugged",
        [(_BLOCK - 2 * _SUB, _BLOCK), (2 * _BLOCK - _SUB, 2 * _BLOCK)],
    )


def test_flags_are_taken_where_a_zone_has_not_been_counted(guest: Machine) -> None:
    """One zone of two is known: the sum of what is lacking says nothing about the flags."""
    assert note(guest, offline=[(0, _SUB)], lacking={_NORMAL: 2 * _SUB}) == (
        "all of its offline blocks plugged",
        [(0, _SUB)],
    )


def test_a_zone_that_was_not_counted_is_said(guest: Machine) -> None:
    """What the other one lacks is withheld all the same."""
    assert note(guest, lacking={_MOVABLE: 3 * _SUB}) == (
        "all of its online and offline blocks plugged",
        [(2 * _BLOCK - 3 * _SUB, 2 * _BLOCK)],
    )


@pytest.mark.parametrize(
    ("pages", "withheld"),
    [
        (_SUB - 1, []),
        (_SUB, [(_BLOCK - _SUB, _BLOCK)]),
        (2 * _SUB - 1, [(_BLOCK - _SUB, _BLOCK)]),
        (_BLOCK - _SUB, [(_SUB, _BLOCK)]),
        (_BLOCK, [(_SUB, _BLOCK)]),
    ],
)
def test_whole_subblocks_are_missing_from_the_end_and_one_is_left(guest: Machine, pages: int, withheld: Ranges) -> None:
    """A block without any subblock would have been removed."""
    assert note(guest, lacking={_NORMAL: pages, _MOVABLE: 0}) == ("all of its offline blocks plugged", withheld)


def test_the_highest_block_of_a_zone_lacks_first(guest: Machine) -> None:
    """What is more than one block can lack goes to the next one below."""
    guest.online("block 34", zone="movable")
    assert note(guest, lacking={_NORMAL: 0, _MOVABLE: _BLOCK + _SUB}) == (
        "all of its offline blocks plugged",
        [(2 * _BLOCK - 2 * _SUB, 2 * _BLOCK), (2 * _BLOCK + _SUB, 3 * _BLOCK)],
    )


@pytest.mark.parametrize(
    ("requested", "said", "withheld"),
    [
        (512, None, []),
        (514, "all of its offline blocks plugged", []),
        (510, None, [(4 * _BLOCK - _SUB, 4 * _BLOCK)]),
        (258, None, [(2 * _BLOCK + _SUB, 3 * _BLOCK), (3 * _BLOCK + _SUB, 4 * _BLOCK)]),
        (256, "all of its offline blocks plugged", []),
        (0, "all of its offline blocks plugged", []),
    ],
)
def test_offline_blocks_lack_what_was_requested_less(
    guest: Machine, requested: int, said: str | None, withheld: Ranges
) -> None:
    """The log is of that moment if no offline block is empty by it, and no more is requested than plugged."""
    log = {"requested size": requested * _MIB}
    assert note(guest, log=log, lacking={_NORMAL: 0, _MOVABLE: 0}) == (said, withheld)


def test_the_request_is_met_by_online_and_offline_blocks_together(guest: Machine) -> None:
    """What online blocks lack is not missed in offline ones again."""
    log = {"requested size": 500 * _MIB}
    assert note(guest, log=log, lacking={_NORMAL: _SUB, _MOVABLE: 2 * _SUB}) == (
        None,
        [(_BLOCK - _SUB, _BLOCK), (2 * _BLOCK - 2 * _SUB, 2 * _BLOCK), (4 * _BLOCK - 3 * _SUB, 4 * _BLOCK)],
    )


def test_a_device_that_is_all_online_says_nothing_of_offline_blocks(guest: Machine) -> None:
    """With every zone counted nothing is assumed, whatever the log requested."""
    guest.online("block 34-35", zone="movable")
    assert note(guest, log={"requested size": 64 * _MIB}, lacking={_NORMAL: 0, _MOVABLE: 0}) == (None, [])


def test_a_device_that_is_all_offline_goes_by_the_log_alone(boot: Callable[..., Machine]) -> None:
    """Zones lack nothing of it; flags of online blocks show none of its pages."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="virtio_mem", name="vm0", size="512M", device_size="4G")
    log = {"requested size": 508 * _MIB}
    assert note(machine, log=log, offline=[]) == (None, [(4 * _BLOCK - 2 * _SUB, 4 * _BLOCK)])
