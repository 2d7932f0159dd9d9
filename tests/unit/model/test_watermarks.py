"""Watermarks and lowmem reserves, against the figures that real guests show."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import pytest

from memhotplug.model.extents import ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.state import MachineState
from memhotplug.model.vm_sysctls import HugePages
from memhotplug.model.watermarks import (
    huge_pages_of,
    recommended_kbytes,
    settle_watermarks,
    setup_lowmem_reserve,
    setup_per_zone_wmarks,
    setup_watermarks,
    small_kbytes,
    switch_huge_pages,
)
from memhotplug.model.zones import ZoneKind

Make = Callable[[dict[tuple[int, ZoneKind], tuple[int, int]]], MachineState]
DMA, DMA32, NORMAL, MOVABLE = ZoneKind
GIB = 1 << 18  # pages


def booted(state: MachineState) -> MachineState:
    """Return the state as it is after boot."""
    state.boot_pages = state.total_managed()
    setup_watermarks(state)
    return state


def total_min(state: MachineState) -> int:
    """Return the sum of the kernel zones' min marks."""
    return sum(zone.wmark[0] for zone in state.zones() if zone.kind is not MOVABLE)


@pytest.mark.parametrize(
    ("zones", "pages"),
    [
        ({(0, DMA): (1, 4096), (0, DMA32): (4096, 4 * GIB)}, 11264),
        ({(0, DMA): (1, 4096), (0, DMA32): (4096, 3 * GIB), (0, NORMAL): (4 * GIB, 9 * GIB)}, 16896),
        ({(0, NORMAL): (0, 4 * GIB)}, 5632),
    ],
)
def test_huge_pages_raise_min_free_to_eleven_pageblocks_a_zone(
    make_state: Make, zones: dict[tuple[int, ZoneKind], tuple[int, int]], pages: int
) -> None:
    """5632 pages for each populated zone that is not Movable; each zone rounds its share down."""
    state = booted(make_state(zones))

    assert pages - len(zones) < total_min(state) <= pages
    assert pages == 512 * 11 * len(zones)


def test_a_64k_radix_guest_keeps_352_pages() -> None:
    """One zone, pageblocks of 32 pages: 11 times 32; the square root would give less."""
    geometry = Geometry(
        page_size=64 << 10,
        section_size=16 << 20,
        memory_block_size=16 << 20,
        pageblock_order=5,
        max_order=8,
        pmd_size=2 << 20,
        physical_address_bits=51,
    )
    from memhotplug.model.zones import Node

    class Memory:
        def copy(self) -> Memory:
            return self

    state = MachineState(geometry, Memory())
    state.nodes = {0: Node(0)}
    zone = state.nodes[0].zones[NORMAL]
    zone.managed = 30000

    booted(state)

    assert zone.wmark == (352, 440, 528)


def test_small_machines_have_no_huge_pages_and_keep_the_square_root(make_state: Make) -> None:
    """Below 512 MiB at boot: min_free_kbytes is isqrt(lowmem in KiB times 16)."""
    state = make_state({(0, NORMAL): (0, 64000)})
    state.boot_pages = 64000

    setup_watermarks(state)

    assert state.zone((0, NORMAL)).wmark == (505, 631, 757)  # isqrt(64000 * 4 * 16) = 2023 KiB; a quarter is 126


def test_the_raise_is_capped_at_a_twentieth(make_state: Make) -> None:
    """512 MiB in three zones: 5% of what is above the high marks, which are the small ones at that moment."""
    state = make_state({(0, DMA): (0, 1 << 12), (0, DMA32): (1 << 12, 1 << 16), (0, NORMAL): (1 << 16, 1 << 17)})
    state.boot_pages = 1 << 17

    setup_watermarks(state)

    small = isqrt((1 << 17) * 4 * 16) // 4  # pages; high is half as much again
    assert total_min(state) in range(((1 << 17) - small * 3 // 2) // 20 - 2, ((1 << 17) - small * 3 // 2) // 20 + 1)


def test_the_marks_of_a_guest_that_lost_a_boot_block(make_state: Make) -> None:
    """Debian 6.12, 1 GiB: DMA32 had 227228 managed pages and 194460 after an offline; both as recorded."""
    state = make_state({(0, DMA): (0, 3840), (0, DMA32): (4096, 4096 + 227228)})
    state.boot_pages = state.total_managed()
    setup_watermarks(state)
    assert [zone.wmark for zone in state.zones()][:2] == [(187, 233, 279), (11076, 13845, 16614)]
    state.zone((0, DMA32)).managed = 194460

    setup_watermarks(state)

    assert [zone.wmark for zone in state.zones()][:2] == [(190, 237, 284), (9660, 12075, 14490)]


def test_movable_zones_had_their_share_once(make_state: Make) -> None:
    """Debian 6.1, 1 GiB and a Movable block of 128 MiB, as recorded."""
    state = make_state(
        {(0, DMA): (0, 3840), (0, DMA32): (4096, 4096 + 225520), (0, MOVABLE): (1 << 20, (1 << 20) + 32768)}
    )
    state.boot_pages, state.movable_shares_marks = 3840 + 225520, True

    setup_watermarks(state)

    assert [state.zone((0, kind)).wmark for kind in (DMA, DMA32, MOVABLE)] == [
        (165, 206, 247),
        (9690, 12112, 14534),
        (1408, 1760, 2112),
    ]


def test_without_huge_pages_the_square_root_holds(make_state: Make) -> None:
    """transparent_hugepage=never, 1 GiB; a recorded one had 938, from the memory that was free when it was set."""
    state = make_state({(0, DMA): (0, 3840), (0, DMA32): (4096, 4096 + 227228)})
    state.boot_pages, state.huge_pages = state.total_managed(), HugePages.NEVER

    setup_watermarks(state)

    assert [zone.wmark for zone in state.zones()][:2] == [(15, 18, 21), (945, 1181, 1417)]
    assert small_kbytes(state) // 4 == 958


def test_the_scale_factor_makes_the_gap_of_a_big_zone(make_state: Make) -> None:
    """gap = max(min / 4, managed / 1000)."""
    state = booted(make_state({(0, NORMAL): (0, 8 * GIB)}))

    assert state.zone((0, NORMAL)).wmark == (5632, 5632 + 2097, 5632 + 2 * 2097)


@pytest.mark.parametrize(("managed", "least"), [(1000, 32), (65536, 64), (GIB, 128)])
def test_movable_zones_keep_32_to_128_pages(make_state: Make, managed: int, least: int) -> None:
    """A 1024th of the zone, between the bounds; the gap follows the uncapped share."""
    state = booted(make_state({(0, NORMAL): (0, GIB), (0, MOVABLE): (GIB, GIB + managed)}))

    share = 5632 * managed // GIB
    gap = max(share // 4, managed // 1000)
    assert state.zone((0, MOVABLE)).wmark == (least, least + gap, least + 2 * gap)


def test_lowmem_reserves_follow_the_ratios_within_a_node(make_state: Make) -> None:
    """DMA and DMA32 keep a 256th, Normal a 32nd, of what lies above on the same node."""
    state = booted(
        make_state(
            {
                (0, DMA): (0, 4000),
                (0, DMA32): (4096, 4096 + 2560),
                (0, NORMAL): (8192, 8192 + 5120),
                (0, MOVABLE): (16384, 16384 + 6400),
                (1, MOVABLE): (32768, 65536),
            }
        )
    )

    assert state.zone((0, DMA)).protection == (0, 10, 30, 55)
    assert state.zone((0, DMA32)).protection == (0, 0, 20, 45)
    assert state.zone((0, NORMAL)).protection == (0, 0, 0, 200)
    assert state.zone((0, MOVABLE)).protection == (0, 0, 0, 0)
    assert state.zone((1, NORMAL)).protection == (0, 0, 0, 0)


def test_no_memory_at_all_is_no_error(make_state: Make) -> None:
    """A machine whose zones are all empty has marks of nothing but the Movable minimum."""
    state = make_state({(0, NORMAL): (0, 0)})

    setup_watermarks(state)

    assert [zone.wmark[0] for zone in state.zones()] == [0, 0, 0, 32]


@pytest.mark.parametrize("count", [1, 2, 4, 6, 33, 34, 80])
@pytest.mark.parametrize(
    ("dma32", "end", "sign"), [(3 * GIB, 80 * GIB, 1), (3 * GIB, 80 * GIB, -1), (3 * GIB // 16, 4 * GIB + 4096, 1)]
)
@pytest.mark.parametrize("kind", [NORMAL, MOVABLE])
def test_many_blocks_settle_as_one_after_the_other(
    make_state: Make, count: int, dma32: int, end: int, sign: int, kind: ZoneKind
) -> None:
    """The marks remember what the machine was, a small one longest; blocks may differ in what the allocator gets."""
    at_once = booted(make_state({(0, DMA32): (4096, dma32), (0, kind): (4 * GIB, end)}))
    zone = at_once.zone((0, DMA32))
    zone.wmark = (zone.wmark[0], zone.wmark[1] * 9, zone.wmark[2] * 99)  # as of another machine: far from settled
    one_by_one = at_once.copy()
    pages, rows = ExtentSet(), slice(0, count)
    block = at_once.geometry.pages_per_block
    for state in (at_once, one_by_one):
        state.blocks.insert(0, count)
    for number in range(count):
        pages.add(number * block + (number % 3) * 512, (number + 1) * block)

    at_once.zone((0, kind)).managed += sign * pages.total
    settle_watermarks(at_once, at_once.zone((0, kind)), rows, pages, sign)
    for number in range(count):
        one_by_one.zone((0, kind)).managed += sign * pages.covered(number * block, (number + 1) * block)
        setup_watermarks(one_by_one)

    assert [(zone.managed, zone.wmark, zone.protection) for zone in at_once.zones()] == [
        (zone.managed, zone.wmark, zone.protection) for zone in one_by_one.zones()
    ]


@pytest.mark.parametrize(
    ("shares", "marks"),
    [
        (False, [(0, 0, 0), (189, 236, 283), (0, 0, 0), (32, 37, 42), (0, 0, 0), (0, 0, 0), (0, 0, 0), (32, 32, 32)]),
        (True, [(0, 0, 0), (170, 212, 254), (0, 0, 0), (18, 22, 26), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)]),
    ],
)
def test_zones_without_pages_have_no_marks(make_state: Make, shares: bool, marks: list[tuple[int, int, int]]) -> None:
    """But a Movable zone that shares nothing keeps its least pages; where it shares, it has a tenth of 189."""
    state = make_state({(0, DMA32): (0, 9000), (0, NORMAL): (0, 0), (0, MOVABLE): (10000, 11000), (1, MOVABLE): (0, 0)})
    state.movable_shares_marks = shares
    setup_watermarks(state)
    assert [zone.wmark for zone in state.zones()] == marks


@pytest.mark.parametrize(
    ("mib", "kbytes"), [(1, 128), (2, 181), (64, 1024), (4096, 8192), (1 << 22, 262144), (1 << 24, 262144)]
)
def test_min_free_is_the_square_root_between_its_bounds(make_state: Make, mib: int, kbytes: int) -> None:
    """128 KiB at least, 256 MiB at most; of the pages above the high marks, which are none at first."""
    state = make_state({(0, NORMAL): (0, mib << 8)})
    assert small_kbytes(state) == kbytes


def test_only_what_is_above_the_high_marks_counts(make_state: Make) -> None:
    """A zone whose mark is above all it has counts nothing, and nothing less."""
    state = make_state({(0, DMA): (0, 4096), (0, NORMAL): (8192, 8192 + 16384), (0, MOVABLE): (1 << 20, 2 << 20)})
    state.zone((0, NORMAL)).wmark = (0, 0, 384)
    assert small_kbytes(state) == isqrt((4096 + 16000) * 4 * 16)
    state.zone((0, DMA)).wmark = (0, 0, 5000)
    assert small_kbytes(state) == isqrt(16000 * 4 * 16)


@pytest.mark.parametrize(
    ("said", "boot_pages", "raised"),
    [
        (None, 131071, False),
        (None, 131072, True),
        (HugePages.NEVER, 1 << 20, False),
        (HugePages.ALWAYS, 0, True),
        (HugePages.MADVISE, 0, True),
    ],
)
def test_huge_pages_go_by_the_memory_at_boot_unless_somebody_says(
    make_state: Make, said: HugePages | None, boot_pages: int, raised: bool
) -> None:
    """512 MiB are enough; what came later does not count."""
    state = make_state({(0, NORMAL): (0, 4 * GIB)})
    state.huge_pages, state.boot_pages = said, boot_pages
    setup_watermarks(state)
    assert total_min(state) == (5632 if raised else 2048)
    assert (huge_pages_of(state) is HugePages.NEVER) == (not raised)


# ---- what somebody asked for ----


@pytest.fixture
def guest(make_state: Make) -> MachineState:
    """A guest of 1 GiB as x86_64-6.12-vm-sysctls was booted."""
    return booted(make_state({(0, DMA): (0, 3840), (0, DMA32): (4096, 4096 + 227230)}))


def ask(state: MachineState, kbytes: int) -> None:
    """Write vm.min_free_kbytes."""
    state.min_free_kbytes, state.vm = kbytes, state.vm._replace(user_min_free_kbytes=kbytes)
    setup_per_zone_wmarks(state)


def marks(state: MachineState) -> list[tuple[int, int, int]]:
    """Return the marks of DMA and DMA32."""
    return [zone.wmark for zone in state.zones()][:2]


def test_what_is_written_is_shared_out_at_once(guest: MachineState) -> None:
    """As recorded, small or large: nothing raises it before a block goes online or offline."""
    ask(guest, 20000)
    assert marks(guest) == [(83, 103, 123), (4916, 6145, 7374)]
    ask(guest, 150000)
    assert marks(guest) == [(623, 778, 933), (36876, 46095, 55314)]


def test_huge_pages_raise_what_was_written_for_good(guest: MachineState) -> None:
    """The kernel log said `raising min_free_kbytes from 20000 to 44712`, and then no more than `not updated`."""
    ask(guest, 20000)
    setup_watermarks(guest)
    assert (guest.min_free_kbytes, guest.vm.user_min_free_kbytes) == (44712, 20000)
    setup_watermarks(guest)
    assert guest.min_free_kbytes == 44712


def test_a_large_value_stays(guest: MachineState) -> None:
    """Whatever comes and goes."""
    ask(guest, 150000)
    guest.zone((0, NORMAL)).managed = 32768
    setup_watermarks(guest)
    assert guest.min_free_kbytes == 150000
    assert [zone.wmark[0] for zone in guest.zones()][:3] == [545, 32296, 4657]


def test_the_kernels_own_figure_replaces_a_smaller_one(guest: MachineState) -> None:
    """From then on it is computed as if nobody had written, but the value written is remembered."""
    guest.huge_pages = HugePages.NEVER
    ask(guest, 1000)
    own = small_kbytes(guest)
    setup_watermarks(guest)
    assert guest.min_free_kbytes == own > 1000
    assert guest.vm.user_min_free_kbytes == 1000


def test_equal_is_not_larger(guest: MachineState) -> None:
    """`new_min_free_kbytes > user_min_free_kbytes`: what was written stays, where it is below 128 too."""
    guest.huge_pages = HugePages.NEVER
    for zone in guest.zones():
        zone.managed, zone.wmark = 0, (0, 0, 0)
    zone = guest.zone((0, DMA))
    zone.managed = 25  # isqrt(25 * 4 * 16) is 40
    for written, then in ((40, 40), (39, 128)):
        ask(guest, written)
        zone.wmark = (0, 0, 0)
        setup_watermarks(guest)
        assert guest.min_free_kbytes == then


def test_the_scale_factor_moves_low_and_high_alone(guest: MachineState) -> None:
    """As recorded: 300 of 10000 after min_free_kbytes was 1000."""
    ask(guest, 1000)
    guest.vm = guest.vm._replace(watermark_scale_factor=300)
    setup_per_zone_wmarks(guest)
    assert marks(guest) == [(4, 119, 234), (245, 7061, 13877)]


def test_ratios_divide_what_lies_above(guest: MachineState) -> None:
    """As recorded with `64 64 8`; a ratio of 0 keeps nothing."""
    guest.zone((0, NORMAL)).managed, guest.zone((0, MOVABLE)).managed = 32768, 98304
    guest.vm = guest.vm._replace(lowmem_reserve_ratio=(64, 64, 8, 0))
    setup_lowmem_reserve(guest)
    assert [zone.protection for zone in guest.zones()] == [
        (0, 3550, 4062, 5598),
        (0, 0, 512, 2048),
        (0, 0, 0, 12288),
        (0, 0, 0, 0),
    ]
    guest.vm = guest.vm._replace(lowmem_reserve_ratio=(0, 256, 0, 0))
    setup_lowmem_reserve(guest)
    assert [zone.protection for zone in guest.zones()] == [(0,) * 4, (0, 0, 128, 512), (0,) * 4, (0,) * 4]


@pytest.mark.parametrize("recalculates", [True, False])
def test_switching_huge_pages_off_takes_back_what_they_had_raised(guest: MachineState, recalculates: bool) -> None:
    """Since 5.16; before, and where somebody has asked for more than the kernel's own figure, it stays."""
    raised, own = guest.min_free_kbytes, small_kbytes(guest)
    switch_huge_pages(guest, HugePages.NEVER, recalculates=recalculates)
    assert guest.min_free_kbytes == (own if recalculates else raised)
    ask(guest, 20000)
    switch_huge_pages(guest, HugePages.NEVER, recalculates=recalculates)
    assert guest.min_free_kbytes == 20000


def test_switching_them_on_raises_at_once(guest: MachineState) -> None:
    """For all, or for those who ask: khugepaged runs either way."""
    guest.huge_pages = HugePages.NEVER
    setup_watermarks(guest)
    small = guest.min_free_kbytes
    switch_huge_pages(guest, HugePages.MADVISE, recalculates=True)
    assert guest.min_free_kbytes > 40000 > small
    assert sum(zone.wmark[0] for zone in guest.zones()) >= guest.min_free_kbytes // 4 - 2
    assert recommended_kbytes(guest) > 40000
