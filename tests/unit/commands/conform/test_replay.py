"""The recordings that come with the project: every observation matches, and all kinds are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.conform.observation import Reason
from memhotplug.commands.conform.outcome import model_class
from memhotplug.commands.conform.replay import Replay
from memhotplug.commands.conform.tables import blocks_shown
from memhotplug.commands.conform.worlds import FileResult, replay_file
from memhotplug.engine.base_memory import read_attribute
from memhotplug.formats.snapshot import read_recording

Load = Callable[[str], dict[str, Any]]
ReplayDocument = Callable[[dict[str, Any]], FileResult]

RECORDINGS = sorted((Path(__file__).parents[3] / "data" / "recordings").glob("*.json.xz"))
OBSERVATIONS = {
    "arm64-6.1-boot-blocks": 504,
    "arm64-6.12-16k-boot-blocks": 432,
    "ppc64el-6.12-64k-mix": 415,
    "s390x-7.2-kernelcore": 874,
    "x86_64-6.12-failed-add": 288,
    "x86_64-7.2-policy-switch": 1547,
    "ppc64el-6.1-add-again": 464,
    "s390x-6.1-boot-blocks": 242,
    "x86_64-6.1-manual-ratio-150": 3077,
    "x86_64-6.1-numa-auto": 972,
    "arm64-6.12-movablecore": 539,
    "ppc64el-6.12-mom-1-r": 189,
    "s390x-6.12-movablecore": 271,
    "x86_64-6.1-mom-1-a": 1557,
    "x86_64-6.12-kata4847-mom-0": 46,
    "x86_64-6.12-mom-0-a": 1557,
    "x86_64-6.12-mom-1-a": 1670,
    "x86_64-6.12-mom-1-b": 275,
    "x86_64-6.12-numa2-mom-1": 1204,
    "x86_64-7.2-mom-1-c": 578,
}


def named(name: str) -> Path:
    """Return a recording by its name."""
    return next(path for path in RECORDINGS if path.name == f"{name}.json.xz")


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.partition(".json")[0])
def test_every_observation_of_a_real_kernel_matches(path: Path) -> None:
    """Nothing that was recorded differs, and nothing was predicted in place of being compared."""
    result = replay_file(path)

    assert result.mismatches == []
    assert result.predicted == ()
    name = path.name.removesuffix(".json.xz")
    assert len(result.observations) == OBSERVATIONS.get(name, len(result.observations))


def expected_counts(document: dict[str, Any], step: int) -> dict[str, int]:
    """Count what a step shows, straight from its texts, without any of the product's parsers."""
    files = document["steps"][step]["files"]
    zones = files["proc/zoneinfo"].split("Node ")[1:]
    populated = [zone for zone in zones if int(zone.split("present")[1].split()[0])]
    blocks = {path.split("/")[4] for path in files if path.startswith("sys/devices/system/memory/memory")}
    ram = [line for line in files["proc/iomem"].splitlines() if line.endswith(": System RAM")]
    return {
        Reason.RESULT: 1,
        Reason.ZONE: 4 * len(populated),
        Reason.BLOCK: 4 * len(blocks),
        Reason.IOMEM: len(ram),
        Reason.MEMTOTAL: 1,
    }


@pytest.mark.parametrize("name", ["x86_64-6.12-mom-1-a", "x86_64-6.12-numa2-mom-1", "ppc64el-6.12-mom-1-r"])
def test_each_step_is_counted_as_the_contract_says(name: str, load: Callable[[str], dict[str, Any]]) -> None:
    """One result, four a zone and a block, one a System RAM line, one MemTotal."""
    document = load(name)
    counts = Counter((seen.step, seen.reason) for seen in replay_file(named(name)).observations)

    for step in range(len(document["steps"])):
        got = {reason: counts[step, Reason(reason)] for reason in expected_counts(document, step)}
        assert got == expected_counts(document, step)


def test_page_runs_are_those_of_the_recorded_flags(load: Callable[[str], dict[str, Any]]) -> None:
    """A self-hosted Movable block: 512 pages of memmap, then free pages; the other blocks of the DIMM are offline.

    [ memmap | buddy | offline ............ ]
    """
    result = replay_file(named("x86_64-6.12-mom-1-a"))
    runs = [
        (seen.what, seen.expected) for seen in result.observations if seen.step == 2 and seen.reason is Reason.PAGES
    ]

    assert load("x86_64-6.12-mom-1-a")["steps"][2]["op"]["blocks"] == [32]
    assert ("pfn 0x100000-0x100200", "self-hosted") in runs
    assert runs[-1][1] == "offline"


def test_every_reason_occurs_in_the_recordings() -> None:
    """No class of observations is empty: each can fail."""
    seen = {seen.reason for path in RECORDINGS for seen in replay_file(path).observations}

    assert seen == set(Reason)


def test_a_failed_add_is_told_from_an_unaligned_one() -> None:
    """12 GiB into a guest of 256 MiB fail for want of memory, not for their shape."""
    replay = Replay(read_recording(named("x86_64-6.12-kata4847-mom-0")))
    facts, outcome = list(replay.run())[1]

    assert (outcome.result, outcome.errno, model_class(outcome, facts.step)) == ("failed", "ENOMEM", "failed")
    assert len(outcome.asked) == 96
    assert outcome.blocks == ()


def test_attributes_are_what_sysfs_reads() -> None:
    """The shortcut over all blocks says what the simulated files say."""
    replay = Replay(read_recording(named("x86_64-6.12-numa2-mom-1")))
    for facts, _ in replay.run():
        if facts.index != 4:
            continue
        for block, shown in blocks_shown(replay.machine).items():
            for name, value in shown._asdict().items():
                assert read_attribute(replay.machine.kernel, f"memory/memory{block}/{name}") == value + "\n"


@pytest.mark.parametrize(
    "words",
    [
        "memory_hotplug.memmap_on_memory=maybe memory_hotplug.online_policy=bogus",
        "memory_hotplug.auto_movable_ratio=abc memhp_default_state=bogus memory_hotplug.auto_movable_numa_aware=so",
        "memory_hotplug.nonsense=1 movablecore=some mem=x",
    ],
)
def test_values_that_the_recorded_kernel_refused_count_for_nothing(
    words: str, load: Load, replay: ReplayDocument
) -> None:
    """It says so and boots without them; an earlier value of the same parameter holds."""
    document = load("x86_64-6.12-mom-1-b")
    document["meta"]["cmdline"] = f"{document['meta']['cmdline']} {words}"

    assert replay(document).mismatches == []


def test_what_a_device_left_of_the_first_slab_stays_open_and_nothing_else(load: Load, replay: ReplayDocument) -> None:
    """virtio-mem took back more or less of that block: the difference stays what it is until the next resize."""
    document = load("x86_64-6.12-virtio-mem-first-slab")
    result = replay(document)
    open_now = [seen for seen in result.observations if seen.undetermined]

    assert result.mismatches == []
    assert {seen.step for seen in open_now if seen.what.endswith("Normal managed")} >= {3, 4}
    assert not any(seen.reason is Reason.BLOCK or seen.what.endswith("present") for seen in open_now)

    zoneinfo = document["steps"][4]["files"]["proc/zoneinfo"]
    assert zoneinfo.count("managed  66560") == 1
    document["steps"][4]["files"]["proc/zoneinfo"] = zoneinfo.replace("managed  66560", "managed  66559")
    wrong = [seen.what for seen in replay(document).mismatches if seen.reason is Reason.ZONE]
    assert wrong == ["node 0 zone Normal managed"]


@pytest.mark.parametrize(
    ("path", "result", "left_out", "mismatches"),
    [
        ("proc/sys/vm/compact_memory", "ok", 0, 0), ("proc/sys/vm/overcommit_ratio", "EINVAL: Invalid argument", 1, 0),
        ("sys/kernel/mm/ksm/run", "ok", 0, 0), ("sys/devices/system/memory/memory99/state", "ok", 0, 1),
    ],
)  # fmt: skip
def test_whether_a_file_of_the_guests_own_can_be_written_is_not_judged(
    path: str, result: str, left_out: int, mismatches: int, load: Load, replay: ReplayDocument
) -> None:
    """Those of memory blocks are modelled, and there a missing one is missing."""
    document = load("x86_64-6.12-mom-1-b")
    document["steps"].insert(1, {"op": {"kind": "write", "path": path, "value": "1"}, "result": result})

    found = replay(document)

    assert (found.left_out, len(found.mismatches)) == (left_out, mismatches)


def test_huge_pages_that_the_guest_sets_aside_are_its_own(load: Load, replay: ReplayDocument) -> None:
    """A pool of them takes free pages of Movable, whoever asked for it."""
    document = load("x86_64-6.12-mom-1-a")
    huge, rest = 1048576 + 1024, 1048576 + 32768
    flags = document["steps"][2]["kpageflags"]
    flags["ranges"][1:2] = [[1048576 + 512, huge, "0x400"], [huge, huge + 512, "0x20000"], [huge + 512, rest, "0x400"]]

    found = replay(document)

    assert found.mismatches == []
