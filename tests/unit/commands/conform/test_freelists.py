"""The kernel's lists of free chunks: where memmap must lie that nobody has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.conform.freelists import _ANYWHERE, _OLD, _Lists
from memhotplug.commands.conform.observation import Reason
from memhotplug.commands.conform.replay import Replay
from memhotplug.commands.conform.worlds import replay_file
from memhotplug.formats.snapshot import RecordedOp, read_recording
from memhotplug.model.zones import ZoneKind

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
Load = Callable[[str], dict[str, Any]]
Save = Callable[[dict[str, Any]], Path]


def lists(*counts: int, top: tuple[int, ...] = (), waiting: int = 0) -> _Lists:
    """Return a zone with so many unmovable chunks by order, and movable ones of the highest order."""
    return _Lists(unmovable=[[_OLD] * count for count in counts], top=list(top), waiting=waiting)


def test_the_smallest_sufficient_unmovable_chunk_is_taken_and_split() -> None:
    """One chunk of order 3 gives two of order 2; the second is what the first has left."""
    zone = lists(0, 0, 0, 1, 1, top=(7,))

    assert [zone.take(2) for _ in range(2)] == [_OLD, _OLD]
    assert [len(row) for row in zone.unmovable] == [0, 0, 0, 0, 1]


def test_a_whole_movable_chunk_is_taken_over_where_there_is_no_other() -> None:
    """Its rest serves what comes next, so that eight leaves of one block's memmap lie in one chunk."""
    zone = lists(0, 0, 0, 0, top=(5, 6))

    assert [zone.take(0) for _ in range(9)] == [6] * 8 + [5]


def test_pages_on_per_cpu_lists_serve_small_chunks_first() -> None:
    """Nothing counts them by type, so from there on nobody can know."""
    zone = lists(1, 0, 0, 0, 0, top=(5,), waiting=3)

    assert [zone.take(0) for _ in range(3)] == [_OLD, _ANYWHERE, _ANYWHERE]
    assert lists(1, 0, 0, 0, 0, top=(5,), waiting=3).take(4) == 5


def test_without_any_chunk_nobody_can_know() -> None:
    """Smaller movable chunks are not followed."""
    assert lists(0, 0).take(1) == _ANYWHERE


def test_memmap_lies_in_the_last_chunk_of_the_block_that_came_online_last() -> None:
    """LMBs of one add (v6.12): eight leaves, five of them from unmovable chunks, the others from block 5's last chunk.

    The recorded flags show three leaves at pfn 0x5f000, the start of that chunk.
    """
    recording = read_recording(RECORDINGS / "ppc64el-6.12-random-8.json.xz")
    replay = Replay(recording, predict=1)
    for facts, _ in replay.run():
        if facts.index == 1:
            break
    followed = replay._guest._lists
    assert followed is not None
    key = (0, ZoneKind.NORMAL)

    assert [followed.holds_memmap(block, key) for block in (4, 5, 6, 7)] == [False, True, False, False]
    flags = recording.steps[1].kpageflags
    assert flags is not None
    assert (0x5F000, 0x5F600, 0) in flags.ranges
    assert facts.types is not None
    counted = [len(row) for row in followed._zones[key].unmovable]
    assert counted == list(facts.types.free[0, "Normal", "Unmovable"])


def test_after_a_workload_took_chunks_nobody_knows_which_are_next(load: Load, save: Save) -> None:
    """It takes them of the movable type, from the list that requests for kernel memory fall back to."""
    document = load("ppc64el-6.12-random-8")
    document["steps"].insert(1, {"op": {"kind": "hog", "size": 16 << 20}, "result": "ok"})
    replay = Replay(read_recording(save(document)), predict=1)
    for facts, _ in replay.run():
        if facts.index == 2:
            break
    followed = replay._guest._lists
    assert followed is not None

    assert [followed.holds_memmap(block, (0, ZoneKind.NORMAL)) for block in (4, 5, 6, 7)] == [None] * 4


def test_a_block_that_was_there_before_the_look_may_hold_memmap_unless_its_chunks_come_last() -> None:
    """Which hot-added block came first is not known; of boot memory the highest chunks are the last of their list.

    All of node 1 was hot-added before, in block 64 to 67, and memmap comes from chunks that were counted then.
    """
    recording = read_recording(RECORDINGS / "x86_64-6.12-memmap-in-old-block.json.xz")
    boot = recording.steps[1]._replace(op=RecordedOp(kind="boot"))
    steps = tuple(step._replace(index=index) for index, step in enumerate((boot, *recording.steps[2:])))
    replay = Replay(replace(recording, steps=steps), predict=1)
    list(replay.run())
    followed = replay._guest._lists
    assert followed is not None

    assert followed.holds_memmap(64, (1, ZoneKind.NORMAL)) is None
    assert followed.holds_memmap(7, (0, ZoneKind.DMA32)) is False
    assert followed.holds_memmap(0, (0, ZoneKind.DMA32)) is None


def test_without_counts_by_type_nobody_can_know(load: Load, save: Save) -> None:
    """No wrong claim takes the place of what was not recorded."""
    document = load("ppc64el-6.12-64k-random-7")
    for step in document["steps"]:
        step["files"].pop("proc/pagetypeinfo", None)
    result = replay_file(save(document), predict=1)

    assert result.mismatches == []
    assert any(one.undetermined for one in result.observations if one.reason is Reason.RESULT)
    assert replay_file(RECORDINGS / "ppc64el-6.12-64k-random-7.json.xz", predict=1).undetermined == 0


@pytest.mark.parametrize("name", ["x86_64-7.2-policy-switch", "x86_64-6.12-numa2-mom-1", "ppc64el-6.12-random-8"])
def test_a_block_that_comes_online_has_its_chunks_once(name: str) -> None:
    """However it came: by its own number, with its device, again after it was offline."""
    replay = Replay(read_recording(RECORDINGS / f"{name}.json.xz"), predict=1)
    followed = 0
    for _ in replay.run():
        kept = replay._guest._lists
        for zone in kept._zones.values() if kept is not None else ():
            chunks = Counter(block for block in zone.top if block >= 0)
            followed += len(chunks)
            assert kept is not None
            assert max(chunks.values(), default=0) <= kept._chunks
    assert followed
