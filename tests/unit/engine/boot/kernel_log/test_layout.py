"""Where the zones lie of which a kernel log shows the counts."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from memhotplug import InputError
from memhotplug.engine.boot.kernel_log.layout import Layout, LoggedZone, place
from memhotplug.formats.snapshot.freetypes import KeptChunks
from memhotplug.formats.snapshot.source import Source

Spot: TypeAlias = tuple[int, str, int]
_GIB = 1 << 18  # pages of 4 KiB
_SOURCE = Source(file="oom.log")


def zone(node: int, name: str, present: int, *, line: int = 7, free_pcp: int = 0, **more: object) -> LoggedZone:
    """Return a zone of a log, all of whose pages are managed, and half of them free."""
    pages = {
        "free": present // 2, "boost": 1, "min": 2, "low": 3, "high": 4, "present": present, "managed": present,
        "free_pcp": free_pcp, "free_cma": 0,
    }  # fmt: skip
    values = {"protection": (0, 0, 0, 0), "by_order": (1, 2, 3), **more}
    return LoggedZone(node=node, name=name, line=line, pages=pages, **values)  # type: ignore[arg-type]


def placed(*zones: LoggedZone, arch: str = "x86_64", release: str | None = "6.12", page_size: int = 4096) -> Layout:
    """Return the layout of a log with these zones."""
    return place(zones, arch=arch, release=release, page_size=page_size, source=_SOURCE)


def extents(layout: Layout) -> dict[tuple[int, str], list[tuple[int, int]]]:
    """Return the pfns of each zone."""
    return {(found.node, found.name): list(found.extents) for found in layout.zones}


def test_a_guest_of_one_node_has_its_zones_one_above_the_other() -> None:
    """DMA goes around the hole below 1 MiB, DMA32 begins at 16 MiB, Normal at 4 GiB."""
    layout = placed(zone(0, "DMA", 3998), zone(0, "DMA32", 1000), zone(0, "Normal", 500), zone(0, "Movable", 0))
    assert extents(layout) == {
        (0, "DMA"): [(1, 159), (256, 4096)],
        (0, "DMA32"): [(4096, 5096)],
        (0, "Normal"): [(_GIB * 4, _GIB * 4 + 500)],
        (0, "Movable"): [],
    }
    assert [(found.start_pfn, found.spanned) for found in layout.zones] == [
        (1, 4095),
        (4096, 1000),
        (_GIB * 4, 500),
        (None, 0),
    ]


@pytest.mark.parametrize(
    ("present", "extents_of_dma"),
    [
        (1, [(4095, 4096)]),
        (3840, [(256, 4096)]),
        (3841, [(1, 2), (256, 4096)]),
        (3998, [(1, 159), (256, 4096)]),
        (3999, [(1, 160), (256, 4096)]),
        (4094, [(1, 255), (256, 4096)]),
        (4095, [(1, 4096)]),
    ],
)
def test_dma_lies_above_the_hole_and_below_it_what_is_left(present: int, extents_of_dma: list[tuple[int, int]]) -> None:
    """Where the log has more than firmware leaves, it is taken as it is."""
    assert extents(placed(zone(0, "DMA", present)))[0, "DMA"] == extents_of_dma


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        ([zone(0, "DMA", 4096, line=3)], "oom.log:3: got 4096, expected at most 4095 present pages in zone DMA"),
        (
            [zone(0, "DMA32", 4 * _GIB - 4095, line=9)],
            f"oom.log:9: got {4 * _GIB - 4095}, expected at most {4 * _GIB - 4096} present pages in zone DMA32",
        ),
        (
            [zone(0, "DMA32", 2 * _GIB, line=1), zone(1, "DMA32", 2 * _GIB, line=2)],
            f"oom.log:2: got {2 * _GIB}, expected at most {2 * _GIB - 32768} present pages in zone DMA32",
        ),
        ([zone(0, "HighMem", 1, line=4)], "oom.log:4: got zone HighMem, expected the zones of a 64-bit kernel"),
    ],
)
def test_what_cannot_be_there_is_refused_at_its_line(zones: list[LoggedZone], message: str) -> None:
    """A zone at fixed addresses has no room for more."""
    with pytest.raises(InputError) as caught:
        placed(*zones)
    assert str(caught.value) == message


def test_another_node_begins_with_a_memory_block() -> None:
    """Zones of one kind follow by node, and Movable memory begins with a block anyway."""
    layout = placed(
        zone(1, "Normal", 1000),
        zone(0, "Normal", 500),
        zone(0, "Movable", 700),
        zone(1, "Movable", 800),
        zone(0, "DMA32", 100),
    )
    base = 4 * _GIB
    assert extents(layout) == {
        (0, "DMA32"): [(4096, 4196)],
        (0, "Normal"): [(base, base + 500)],
        (1, "Normal"): [(base + 32768, base + 33768)],
        (0, "Movable"): [(base + 65536, base + 65536 + 700)],
        (1, "Movable"): [(base + 98304, base + 98304 + 800)],
    }


def test_blocks_are_online_wherever_there_is_memory() -> None:
    """A block of several zones belongs to none, and to the lowest node."""
    layout = placed(zone(0, "DMA", 3998), zone(0, "DMA32", 65536), zone(1, "Normal", 32769))
    shown = [(block.id, block.state, block.zone, block.valid_zones, block.node) for block in layout.blocks]
    assert shown == [
        (0, "online", None, (), 0),
        (1, "online", "DMA32", ("DMA32",), 0),
        (2, "online", "DMA32", ("DMA32",), 0),
        (32, "online", "Normal", ("Normal",), 1),
        (33, "online", "Normal", ("Normal",), 1),
    ]
    assert layout.block_size == 128 << 20


def test_nodes_have_the_memory_of_their_zones() -> None:
    """Movable memory is none that is normal, and a zone without pages is no memory."""
    layout = placed(zone(0, "Normal", 10), zone(1, "Movable", 10), zone(2, "Normal", 0))
    assert [(node.id, node.online, node.has_memory, node.has_normal_memory) for node in layout.nodes] == [
        (0, True, True, True),
        (1, True, True, False),
        (2, True, False, False),
    ]


def test_counts_of_a_zone_are_those_of_the_log() -> None:
    """All zones have as many orders as the one with most; pages on per-cpu lists are one CPU's."""
    kept = KeptChunks(cma=(1,), barred=(0, 1), highatomic=9)
    layout = placed(
        zone(0, "DMA32", 1000, free_pcp=6, kept=kept, by_order=(5, 6)), zone(0, "Normal", 200, protection=None)
    )
    first, second = layout.zones
    assert (first.free, first.boost, first.min, first.low, first.high, first.promo) == (500, 1, 2, 3, 4, 0)
    assert (first.present, first.managed, first.protection) == (1000, 1000, (0, 0, 0, 0))
    assert (first.free_by_order, second.free_by_order) == ((5, 6, 0), (1, 2, 3))
    assert (first.kept, second.kept) == (
        KeptChunks(cma=(1, 0, 0), barred=(0, 1, 0), highatomic=9),
        KeptChunks(cma=(0, 0, 0), barred=(0, 0, 0)),
    )
    assert [(pageset.cpu, pageset.count) for pageset in first.pagesets] == [(0, 6)]
    assert (second.pagesets, second.protection, first.pcp_pages) == ((), (), 6)


@pytest.mark.parametrize(("protection", "said"), [((0, 0, 0, 0), False), (None, True)])
def test_what_is_taken_for_granted_is_said(protection: tuple[int, ...] | None, said: bool) -> None:
    """Places and blocks always, lowmem reserves where some zone shows none."""
    assert placed(zone(0, "DMA32", 10), zone(0, "Normal", 10, protection=protection)).assumed == (
        "zones where x86_64 usually has them: their places are in no log",
        "memory blocks of 128M, online wherever there is memory",
        *(["lowmem reserve 0 where the log shows none"] if said else []),
    )


@pytest.mark.parametrize(
    ("arch", "release", "page_size", "name", "start"),
    [
        ("arm64", "6.12", 4096, "DMA", 0x4000_0000 >> 12),
        ("arm64", "6.12", 65536, "DMA", 0x4000_0000 >> 16),
        ("s390", "6.12", 4096, "DMA", 0),
        ("s390", "6.12", 4096, "Normal", (2 << 30) >> 12),
        ("powerpc", "6.12", 65536, "Normal", 0),
        ("x86_64", None, 4096, "Normal", 4 * _GIB),
        ("x86_64", "4.4", 4096, "Normal", 4 * _GIB),
    ],
)
def test_other_architectures_have_their_own_base(
    arch: str, release: str | None, page_size: int, name: str, start: int
) -> None:
    """And kernels that no profile covers the sizes of the oldest that one does."""
    layout = placed(zone(0, name, 1000), arch=arch, release=release, page_size=page_size)
    assert extents(layout)[0, name] == [(start, start + 1000)]


def test_the_block_size_follows_from_the_memory_at_boot() -> None:
    """Movable memory came later, and counts for nothing."""
    assert placed(zone(0, "Normal", 66 * _GIB)).block_size == 2 << 30
    assert placed(zone(0, "Normal", 65 * _GIB)).block_size == 1 << 30
    assert placed(zone(0, "Normal", 63 * _GIB), zone(0, "Movable", 100 * _GIB)).block_size == 128 << 20
