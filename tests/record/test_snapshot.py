"""What a snapshot holds: the list of files, and which pages are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.record.fake_qemu import FakeGuest
from tools.record.guest import Guest
from tools.record.snapshot import MEMORY, covered_ranges, past_end, read_page_flags, take_files

Talk = Callable[[Callable[[Guest], Awaitable[object]], FakeGuest], object]
MIB, GIB = 1 << 20, 1 << 30
BLOCK = 128 * MIB


def _files(talk: Talk, fake: FakeGuest) -> dict[str, str]:
    files = talk(take_files, fake)
    assert isinstance(files, dict)
    return files


def test_files_are_those_of_the_format(talk: Talk) -> None:
    """In the order of recordings: proc, nodes, blocks by number; paths without a leading slash."""
    fake = FakeGuest()
    fake.states = {0: "online", 10: "offline", 9: "online"}

    assert list(_files(talk, fake)) == [
        "proc/zoneinfo",
        "proc/buddyinfo",
        "proc/pagetypeinfo",
        "proc/meminfo",
        "proc/vmstat",
        "proc/iomem",
        "sys/devices/system/node/online",
        "sys/devices/system/node/node0/meminfo",
        "sys/devices/system/memory/block_size_bytes",
        "sys/devices/system/memory/auto_online_blocks",
        *(f"{MEMORY}/memory{block}/{name}" for block in (0, 9, 10) for name in ("state", "valid_zones", "node")),
    ]


def test_texts_are_kept_as_they_are_but_vmstat(talk: Talk) -> None:
    """Events of vmstat go; the node of a block is the number of the link."""
    files = _files(talk, FakeGuest())

    assert files["proc/vmstat"] == "nr_free_pages 7\nnr_mlock 1\n"
    assert files["proc/meminfo"] == "MemTotal: 1 kB\n"
    assert files["sys/devices/system/memory/memory7/state"] == "online\n"
    assert files["sys/devices/system/memory/memory7/node"] == "0\n"


def test_counters_are_folded_before_anything_is_read(talk: Talk) -> None:
    """Otherwise nr_free_pages lags behind by what each processor keeps for itself."""
    fake = FakeGuest()
    _files(talk, fake)

    assert fake.read_order[0] == "/proc/sys/vm/stat_refresh"


def test_block_on_two_nodes_shows_the_lower_one(talk: Talk) -> None:
    """A boot block may straddle nodes, and is linked from both."""

    class TwoNodes(FakeGuest):
        def files(self) -> dict[str, str]:
            return super().files() | {f"/sys/devices/system/node/node1/memory{block}": "" for block in (0, 3)}

        def answer(self, command: str, arguments: list[str]) -> tuple[int, bytes]:
            if command == "list" and arguments[0].endswith("/node0"):
                return 0, b"memory0\nmemory1\nmeminfo\nmemory_side_cache\n"
            return super().answer(command, arguments)

    files = _files(talk, TwoNodes())

    nodes = {block: files.get(f"sys/devices/system/memory/memory{block}/node") for block in (0, 1, 2, 3)}
    assert nodes == {0: "0\n", 1: "0\n", 2: None, 3: "1\n"}


def test_page_flags_say_what_lies_beyond_the_file(talk: Talk) -> None:
    """The fake machine ends at 1 GiB, pfn 0x40000."""
    flags = talk(lambda guest: read_page_flags(guest, [(0x38000, 0x40000), (0x40000, 0x48000)]), FakeGuest())

    assert flags == {
        "ranges": [[0x38000, 0x40000, "0x400"]],
        "covered": [[0x38000, 0x40000], [0x40000, 0x48000]],
        "past_end_of_file": [[0x40000, 0x48000]],
    }


def test_page_flags_that_are_all_there_have_nothing_beyond(talk: Talk) -> None:
    """The key is left out."""
    flags = talk(lambda guest: read_page_flags(guest, [(0, 16)]), FakeGuest())

    assert flags == {"ranges": [[0, 16, "0x400"]], "covered": [[0, 16]]}
    assert past_end([(0, 8, 1)], 0, 16) == [[8, 16]]


@pytest.mark.parametrize(
    ("ranges", "covered"),
    [
        ([], []),
        ([(4 * GIB, 4 * GIB + 2 * BLOCK)], [(0x100000, 0x110000)]),
        ([(5 * GIB, 5 * GIB + BLOCK), (4 * GIB, 5 * GIB)], [(0x100000, 0x140000), (0x140000, 0x148000)]),
        ([(4 * GIB, 16 * GIB)], [(0x100000, 0x110000), (0x3F8000, 0x400000)]),
        ([(4 * GIB, 5 * GIB), (4 * GIB, 5 * GIB)], [(0x100000, 0x140000)]),
        ([(4 * GIB, 5 * GIB), (4 * GIB, 6 * GIB)], [(0x100000, 0x140000), (0x140000, 0x180000)]),
        ([(4 * GIB, 4 * GIB + 64 * MIB)], [(0x100000, 0x104000)]),
    ],
)
def test_ranges_are_covered_device_by_device(ranges: list[tuple[int, int]], covered: list[tuple[int, int]]) -> None:
    """Whole up to 4 GiB, above that the ends; ascending; a place used twice is read once."""
    assert covered_ranges(ranges, 4096, BLOCK) == covered


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=8))
def test_covered_ranges_ascend_and_never_overlap(places: list[tuple[int, int]]) -> None:
    """The reader of recordings refuses anything else."""
    ranges = [(start * BLOCK, (start + blocks) * BLOCK) for start, blocks in places]
    last = 0
    for start, end in covered_ranges(ranges, 4096, BLOCK):
        assert last <= start < end
        last = end
