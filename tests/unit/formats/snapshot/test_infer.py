"""What is worked out where a file is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedBlock, Source
from memhotplug.formats.snapshot.buddyinfo import FreeCounts
from memhotplug.formats.snapshot.extents import merge, size
from memhotplug.formats.snapshot.infer import (
    blocks_over,
    estimate_free,
    infer_block_size,
    infer_page_size,
    infer_zones,
    zone_extents,
)
from memhotplug.formats.snapshot.placement import count_by_order, place_free
from memhotplug.formats.snapshot.zoneinfo import ZoneInfo
from memhotplug.naming import architectures

HERE = Source(file="snap")
M = 1 << 20

ZONE = ZoneInfo(
    node=0,
    name="Normal",
    free=100,
    boost=0,
    min=0,
    low=0,
    high=0,
    promo=0,
    spanned=400,
    present=300,
    managed=300,
    cma=0,
    protection=(),
    start_pfn=0,
    pagesets=(),
)
BLOCK = RecordedBlock(
    id=0,
    state="online",
    zone="Normal",
    valid_zones=("Normal",),
    removable=None,
    phys_index=None,
    phys_device=None,
    node=0,
)


@pytest.mark.parametrize("arch", ["x86_64", "s390"])
def test_page_size_of_some_architectures_is_fixed(arch: str) -> None:
    """They offer no choice."""
    assert infer_page_size(arch, architectures(), (), None)[0] == 4096


@pytest.mark.parametrize("page_size", [4096, 16384, 65536])
def test_page_size_follows_from_the_total(page_size: int) -> None:
    """MemTotal need not be exact: live files are read one after the other."""
    assert infer_page_size("arm64", architectures(), (ZONE,), 300 * page_size + 512)[0] == page_size


def test_block_size_is_the_one_that_gives_the_recorded_numbers() -> None:
    """RAM of 1 GiB and a block at 4 GiB: 128 MiB blocks 0-7 and 32."""
    memory = ((0, 262144), (1 << 20, (1 << 20) + 32768))

    found, notes = infer_block_size([*range(8), 32], memory, 4096, HERE)

    assert found == 128 * M
    assert [note.text for note in notes] == ["memory block size 128M, from the blocks' numbers"]


def test_block_size_that_could_be_several_is_asked_for() -> None:
    """One block at 0 could be of any size from its memory's upwards."""
    with pytest.raises(InputError) as caught:
        infer_block_size([0], ((0, 4096),), 4096, HERE.at("x"))

    assert str(caught.value).startswith("snap: x: got none recorded, and 16M, 32M, 64M, ")
    assert str(caught.value).endswith("fits the blocks, expected a memory block size (block_size_bytes)")


def test_blocks_over_memory_cover_every_page_once() -> None:
    """Two extents within one block give one block."""
    blocks = blocks_over(((0, 10), (20, 130), (300, 301)), 100, 2, HERE)

    assert [block.id for block in blocks] == [0, 1, 3]
    assert {(block.state, block.node, block.zone) for block in blocks} == {("online", 2, None)}


def test_absurdly_many_blocks_are_refused() -> None:
    """A zone that spans all of 64 bits would fill the memory with blocks."""
    with pytest.raises(InputError) as caught:
        blocks_over(((0, 1 << 50),), 4096, 0, HERE)

    assert str(caught.value) == (
        "snap: got 1125899906842624 pages, expected memory of at most 2097152 blocks of 4096 pages"
    )


def test_zone_holds_ram_in_its_own_online_blocks() -> None:
    """Normal and Movable spans may overlap; the blocks tell whose a page is.

    block    0: Normal   1: Movable   2: offline   3: none
    RAM      0-90        100-200      200-300      300-400    Expect 0-90 and 300-400.
    """
    blocks = [
        BLOCK,
        BLOCK._replace(id=1, zone="Movable"),
        BLOCK._replace(id=2, state="offline", zone=None),
        BLOCK._replace(id=3, zone=None),
    ]

    assert zone_extents(ZONE, blocks, 100, ((0, 90), (100, 500))) == ((0, 90), (300, 400))
    assert zone_extents(ZONE, blocks, 100, ()) == ((0, 100), (300, 400))
    assert zone_extents(ZONE, (), None, ((50, 1000),)) == ((50, 400),)
    assert zone_extents(ZONE._replace(node=1), blocks, 100, ()) == ((300, 400),)
    assert zone_extents(ZONE._replace(present=0), blocks, 100, ()) == ()
    assert zone_extents(ZONE._replace(start_pfn=None), blocks, 100, ()) == ()


@given(
    parts=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=5),
    data=st.data(),
)
def test_estimated_free_chunks_hold_the_pages_and_can_be_placed(
    parts: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Whatever the extents, the estimate is a state that the zone can be in."""
    extents = merge(parts)
    free = data.draw(st.integers(0, size(extents)))

    counts = estimate_free(extents, free, 5)

    array = np.array(extents, dtype=np.int64).reshape(-1, 2)
    placed = place_free((array[:, 0], array[:, 1]), counts, 5)
    assert sum(count << order for order, count in enumerate(counts)) == free
    assert tuple(count_by_order(*placed, 5).tolist()) == counts


def _infer(free: list[FreeCounts], blocks: list[RecordedBlock], arch: str, mem_total: int | None) -> list[ZoneInfo]:
    zones, notes = infer_zones(
        free,
        blocks,
        32768,
        ((1, 159), (256, 131072)),
        fixed=architectures().zones(arch),
        page_size=4096,
        mem_total=mem_total,
        source=HERE,
    )
    assert len(notes) == 1
    return list(zones)


def test_x86_boot_zones_follow_their_fixed_limits() -> None:
    """Block 0 holds DMA and DMA32 and shows neither."""
    free = [FreeCounts(node=0, zone="DMA", by_order=(100,)), FreeCounts(node=0, zone="DMA32", by_order=(1000,))]
    blocks = [BLOCK._replace(zone=None), *(BLOCK._replace(id=n, zone="DMA32") for n in (1, 2, 3))]

    dma, dma32 = _infer(free, blocks, "x86_64", 120000 * 4096)

    assert (dma.start_pfn, dma.spanned, dma.present) == (1, 4095, 3998)
    assert (dma32.start_pfn, dma32.spanned, dma32.present) == (4096, 126976, 126976)
    assert 119998 <= dma.managed + dma32.managed <= 120000
    assert (dma.min, dma.free) == (0, 100)


def test_blocks_without_a_zone_belong_to_the_first_zone_elsewhere() -> None:
    """arm64 and powerpc have no such limit below the first zone."""
    free = [FreeCounts(node=0, zone="Normal", by_order=(5,)), FreeCounts(node=0, zone="Movable", by_order=(6,))]
    blocks = [BLOCK._replace(zone=None), BLOCK._replace(id=1), BLOCK._replace(id=2, zone="Movable")]

    normal, movable = _infer(free, blocks, "powerpc", None)

    assert (normal.start_pfn, normal.spanned) == (1, 65535)
    assert (movable.start_pfn, movable.spanned) == (65536, 32768)
    assert (normal.managed, movable.managed) == (normal.present, movable.present)


def test_zones_cannot_be_told_from_nothing() -> None:
    """Neither blocks nor RAM."""
    free = [FreeCounts(node=0, zone="Normal", by_order=(5,))]

    with pytest.raises(InputError) as caught:
        infer_zones(free, (), None, (), fixed=(), page_size=4096, mem_total=None, source=HERE)

    assert str(caught.value) == (
        "snap: got neither, expected proc/zoneinfo, or memory blocks with zones and proc/iomem"
    )
