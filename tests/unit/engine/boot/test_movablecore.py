"""kernelcore= and movablecore=: where Movable begins on each node at boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug import InputError, Machine
from memhotplug.contracts import BootRange, ZoneLimit
from memhotplug.engine.boot.movablecore import movable_pfns
from memhotplug.formats.snapshot import read_recording
from memhotplug.model.geometry import Geometry
from memhotplug.model.zones import ZoneKind
from memhotplug.naming import read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
GIB = 1 << 30
PAGES = 1 << 18  # in a GiB, 4K each
X86 = Geometry(
    page_size=4096,
    section_size=128 << 20,
    memory_block_size=128 << 20,
    pageblock_order=9,
    max_order=10,
    pmd_size=2 << 20,
    physical_address_bits=52,
)
LIMITS = (
    ZoneLimit(kind=ZoneKind.DMA, end_pfn=4096),
    ZoneLimit(kind=ZoneKind.DMA32, end_pfn=4 * PAGES),
    ZoneLimit(kind=ZoneKind.NORMAL, end_pfn=X86.end_pfn),
)


def begins(nodes: list[tuple[int, int]], **params: str) -> dict[int, int]:
    """Return where Movable begins, in GiB from 0 where that is whole; nodes are (first, last) GiB, in order."""
    ranges = [BootRange(start=low * GIB, end=high * GIB, nid=nid) for nid, (low, high) in enumerate(nodes)]
    return movable_pfns(X86, params, ranges, LIMITS)


def test_nothing_asked_nothing_given() -> None:
    """Without the parameters all boot memory is in kernel zones."""
    assert begins([(0, 2)]) == {}


@pytest.mark.parametrize(
    ("params", "begin"),
    [
        ({"movablecore": "512M"}, PAGES * 3 // 2),
        ({"kernelcore": "512M"}, PAGES // 2),
        ({"movablecore": "25%"}, PAGES * 3 // 2),
        ({"kernelcore": "25%"}, PAGES // 2),
        ({"kernelcore": "512M", "movablecore": "512M"}, PAGES * 3 // 2),  # the larger kernel part wins
        ({"kernelcore": "513M"}, 132096),  # rounded up to the largest buddy, 4M
    ],
)
def test_one_node(params: dict[str, str], begin: int) -> None:
    """
    |---- kernel ----|-- Movable --|
    0              begin           2G
    """
    assert begins([(0, 2)], **params) == {0: begin}


@pytest.mark.parametrize(
    "params", [{"kernelcore": "2G"}, {"kernelcore": "3G"}, {"movablecore": "0"}, {"kernelcore": ""}]
)
def test_no_movable_zone_if_kernel_zones_need_all_or_nothing_is_asked(params: dict[str, str]) -> None:
    """The kernel leaves the function early."""
    assert begins([(0, 2)], **params) == {}


def test_equal_nodes_share() -> None:
    """Half of what kernel zones need comes from each node."""
    assert begins([(0, 2), (2, 4)], kernelcore="2G") == {0: PAGES, 1: 3 * PAGES}


def test_a_small_node_leaves_its_share_to_the_others() -> None:
    """Node 0 has 1G and is all kernel; node 1 gives the other 1.5G in two rounds."""
    assert begins([(0, 1), (1, 4)], kernelcore="2560M") == {1: PAGES * 5 // 2}


def test_movable_never_begins_below_the_highest_kernel_zone() -> None:
    """With memory above 4G, DMA and DMA32 stay kernel zones whatever is asked for."""
    assert begins([(0, 6)], kernelcore="1G") == {0: 4 * PAGES}
    assert begins([(0, 6)], movablecore="1G") == {0: 5 * PAGES}


@pytest.mark.parametrize("value", ["lots", "101%", "-1G", "1.5G"])
def test_what_is_no_amount_is_refused(value: str) -> None:
    """Name and value are in the message."""
    with pytest.raises(InputError) as caught:
        begins([(0, 2)], movablecore=value)

    assert f"movablecore={value}" in str(caught.value)


@pytest.mark.parametrize(("name", "arch"), [("arm64-6.12-movablecore", "arm64"), ("s390x-6.12-movablecore", "s390")])
def test_a_real_kernel_put_the_border_at_the_same_page(name: str, arch: str) -> None:
    """2G with movablecore=768M, as recorded."""
    recorded = read_machine(read_recording(RECORDINGS / f"{name}.json.xz").snapshot(0))
    real = next(zone for zone in recorded.zones if zone.name == "Movable")

    machine = Machine.boot(arch=arch, kernel="linux-6.12", memory="2G", cmdline="movablecore=768M")
    zone = machine.kernel.state.zone((0, ZoneKind.MOVABLE))

    assert (zone.start_pfn, zone.spanned, zone.present) == (real.start_pfn, real.spanned, real.present)
    assert machine.violations() == []


def test_blocks_of_a_boot_movable_zone_can_go_offline() -> None:
    """But for the last one, which holds the boot memmap; the block across the border lies in two zones."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G", cmdline="movablecore=704M")
    assert machine.kernel.state.zone((0, ZoneKind.MOVABLE)).start_pfn == 344064  # in the middle of block 10

    machine.offline("block 11-14")
    with pytest.raises(OSError, match="spans several zones"):
        machine.offline("block 10")

    assert machine.violations() == []
