"""One changed number, one reported mismatch: every kind of observation can fail, and fails alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from memhotplug.commands.conform.worlds import FileResult

Load = Callable[[str], dict[str, Any]]
ReplayDocument = Callable[[dict[str, Any]], FileResult]

NAME = "x86_64-6.12-mom-1-a"
BLOCK = "sys/devices/system/memory/memory32/"


def changed(result: FileResult) -> list[tuple[int, str, object, object]]:
    """Return the mismatches as plain tuples."""
    return [(seen.step, seen.what, seen.expected, seen.got) for seen in result.mismatches]


def swap(document: dict[str, Any], step: int, path: str, old: str, new: str) -> None:
    """Replace one text, which must be there just once, in a file of a step."""
    files = document["steps"][step]["files"]
    assert files[path].count(old) == 1, files[path]
    files[path] = files[path].replace(old, new)


def movable(document: dict[str, Any], step: int, line: str, by: int) -> tuple[int, int]:
    """Change a number of zone Movable in zoneinfo; return it before and after."""
    files = document["steps"][step]["files"]
    head, mark, tail = files["proc/zoneinfo"].partition("zone  Movable")
    found = re.search(rf"{line}\s+(\d+)", tail)
    assert mark
    assert found is not None
    value = int(found[1])
    files["proc/zoneinfo"] = head + mark + tail[: found.start(1)] + str(value + by) + tail[found.end(1) :]
    return value, value + by


@pytest.mark.parametrize("counter", ["spanned", "present", "managed"])
def test_a_zone_counter(counter: str, load: Load, replay: ReplayDocument) -> None:
    """One page more in Movable."""
    document = load(NAME)
    true, false = movable(document, 2, counter, 1)

    assert changed(replay(document)) == [(2, f"node 0 zone Movable {counter}", false, true)]


def test_a_zones_start(load: Load, replay: ReplayDocument) -> None:
    """Movable begins a page earlier."""
    document = load(NAME)
    true, false = movable(document, 2, "start_pfn:", -1)

    assert changed(replay(document)) == [(2, "node 0 zone Movable start_pfn", false, true)]


@pytest.mark.parametrize(
    ("name", "false", "true"),
    [("state", "offline", "online"), ("valid_zones", "Normal", "Movable"), ("removable", "0", "1"), ("node", "1", "0")],
)
def test_a_file_of_a_block(name: str, false: str, true: str, load: Load, replay: ReplayDocument) -> None:
    """One attribute says something else; the page flags, which have not changed, still match."""
    document = load(NAME)
    document["steps"][2]["files"][BLOCK + name] = false + "\n"

    assert changed(replay(document)) == [(2, f"block 32 {name}", false, true)]


def test_an_iomem_line(load: Load, replay: ReplayDocument) -> None:
    """A range that ends elsewhere is two lines: one that the model lacks, one that it has."""
    document = load(NAME)
    swap(document, 3, "proc/iomem", "100000000-13fffffff : System RAM", "100000000-137ffffff : System RAM")

    assert changed(replay(document)) == [
        (3, "iomem", "100000000-137ffffff : System RAM", None),
        (3, "iomem", None, "100000000-13fffffff : System RAM"),
    ]


def test_memtotal(load: Load, replay: ReplayDocument) -> None:
    """4 kB more."""
    document = load(NAME)
    files = document["steps"][2]["files"]
    total = int(files["proc/meminfo"].split()[1])
    files["proc/meminfo"] = files["proc/meminfo"].replace(str(total), str(total + 4), 1)

    assert changed(replay(document)) == [(2, "MemTotal change in kB", 32256 * 4 + 4, 32256 * 4)]


def test_a_page_run(load: Load, replay: ReplayDocument) -> None:
    """The memmap is a page shorter and the free pages begin a page earlier: two runs for two."""
    document = load(NAME)
    ranges = document["steps"][2]["kpageflags"]["ranges"]
    assert ranges[0][:2] == [0x100000, 0x100200]
    ranges[0][1] -= 1
    ranges[1][0] -= 1

    assert changed(replay(document)) == [
        (2, "pfn 0x100000-0x1001ff", "self-hosted", None),
        (2, "pfn 0x100000-0x100200", None, "self-hosted"),
        (2, "pfn 0x1001ff-0x108000", "online, buddy", None),
        (2, "pfn 0x100200-0x108000", None, "online, buddy"),
    ]


def test_a_page_of_an_offline_block(load: Load, replay: ReplayDocument) -> None:
    """A flag in a block that is offline is no offline page."""
    document = load(NAME)
    ranges = document["steps"][2]["kpageflags"]["ranges"]
    assert ranges[-1][2] == "0x100000"
    start = ranges[-1][0]
    ranges[-1:] = [[start, start + 1, "0x400"], [start + 1, *ranges[-1][1:]]]

    assert (2, f"pfn {start:#x}-{start + 1:#x}", "online", None) in changed(replay(document))


def test_free_pages_of_movable(load: Load, replay: ReplayDocument) -> None:
    """A page less is free."""
    document = load(NAME)
    true, false = movable(document, 2, "pages free", -1)
    (step, what, expected, got) = changed(replay(document))[0]

    assert (step, what) == (2, "node 0 zone Movable free")
    assert isinstance(expected, dict)
    assert isinstance(got, dict)
    assert (expected["free"], got["free"]) == (false, true)
    assert expected["by_order"] == got["by_order"]


def test_free_chunks_of_movable(load: Load, replay: ReplayDocument) -> None:
    """31 chunks of order 10 and one of order 9, and then one more of order 0."""
    document = load(NAME)
    files = document["steps"][2]["files"]
    lines = files["proc/buddyinfo"].splitlines()
    index = next(number for number, line in enumerate(lines) if "Movable" in line)
    lines[index] = re.sub(r"(Movable\s+)0", r"\g<1>1", lines[index])
    files["proc/buddyinfo"] = "\n".join(lines) + "\n"
    (mismatch,) = replay(document).mismatches

    assert mismatch.what == "node 0 zone Movable free"
    assert mismatch.expected == {"free": 32256, "by_order": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 31]}
    assert mismatch.got == {"free": 32256, "by_order": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 31]}


@pytest.mark.parametrize(("by", "matches"), [(0, True), (-40, True), (-112, True), (-128, False), (17, False)])
def test_free_pages_of_a_kernel_zone(by: int, matches: bool, load: Load, replay: ReplayDocument) -> None:
    """The guest has taken 16 pages of Normal for itself; 0 to 128 are in order."""
    document = load("x86_64-6.12-mom-1-b")
    swap(document, 2, "proc/zoneinfo", "pages free     32240", f"pages free     {32240 + by}")
    result = replay(document)

    assert [seen.what for seen in result.mismatches] == ([] if matches else ["node 0 zone Normal free"])


@pytest.mark.parametrize(("cpus", "matches"), [(1, False), (2, True)])
def test_pages_on_their_way_to_a_cpu_are_counted_twice(
    cpus: int, matches: bool, load: Load, replay: ReplayDocument
) -> None:
    """Other CPUs go on while zoneinfo is read, which has what is free first, and then what waits."""
    document = load("x86_64-6.12-mom-1-b")
    text = document["steps"][2]["files"]["proc/zoneinfo"]
    zone = text[text.index("Node 0, zone   Normal") : text.index("Node 0, zone  Movable")]
    waits = "".join(f"    cpu: {cpu}\n              count:    40\n" for cpu in range(cpus))
    counted = re.sub(r"    cpu: 0\n\s+count:\s+\d+\n", waits, zone)
    swap(document, 2, "proc/zoneinfo", zone, re.sub(r"pages free     \d+", "pages free     32240", counted))

    assert [seen.what for seen in replay(document).mismatches] == ([] if matches else ["node 0 zone Normal free"])


def test_a_result(load: Load, replay: ReplayDocument) -> None:
    """Another errno, of the step and of its block."""
    document = load("x86_64-6.12-mom-1-b")
    step = document["steps"][3]
    assert step["results"] == {"32": "EBUSY: Device or resource busy"}
    step["result"] = step["results"]["32"] = "EPERM: Operation not permitted"

    assert changed(replay(document)) == [
        (
            3,
            "result",
            {"result": "EPERM", "results": {"32": "EPERM"}, "blocks": [32]},
            {"result": "EBUSY", "results": {"32": "EBUSY"}, "blocks": [32]},
        )
    ]


def test_the_text_of_an_error_does_not_count(load: Load, replay: ReplayDocument) -> None:
    """Another C library words it in another way."""
    document = load("x86_64-6.12-mom-1-b")
    step = document["steps"][3]
    step["result"] = step["results"]["32"] = "EBUSY: Resource busy"

    assert replay(document).mismatches == []


def test_an_add_that_failed_for_another_reason(load: Load, replay: ReplayDocument) -> None:
    """Too little memory is not an unaligned device."""
    document = load("x86_64-6.12-kata4847-mom-0")
    document["steps"][1]["result"] = "failed: not whole memory blocks, none appeared"
    (mismatch,) = replay(document).mismatches

    assert mismatch.expected == {"result": "failed: not whole memory blocks", "blocks": []}
    assert mismatch.got == {"result": "failed", "blocks": []}


def test_blocks_left(load: Load, replay: ReplayDocument) -> None:
    """A block that is said to have stayed after a removal."""
    document = load(NAME)
    step = document["steps"][18]
    assert step["op"]["kind"] == "remove"
    assert step["blocks_left"] == []
    step["blocks_left"] = [33]
    (mismatch,) = replay(document).mismatches

    assert mismatch.what == "result"
    assert isinstance(mismatch.expected, dict)
    assert isinstance(mismatch.got, dict)
    assert (mismatch.expected["blocks_left"], mismatch.got["blocks_left"]) == ([33], [])


def test_a_block_that_is_not_in_the_recording(load: Load, replay: ReplayDocument) -> None:
    """All its files are missing, and the result's list of blocks is shorter."""
    document = load(NAME)
    files = document["steps"][2]["files"]
    for path in [path for path in files if path.startswith(BLOCK)]:
        del files[path]
    found = changed(replay(document))

    assert [what for _, what, _, _ in found] == ["result", *(f"block 32 {name}" for name in (
        "state", "valid_zones", "removable", "node"))]  # fmt: skip
    assert [expected for _, _, expected, _ in found[1:]] == [None] * 4


def test_a_block_that_the_model_lacks(load: Load, replay: ReplayDocument) -> None:
    """Each file that was recorded of it is a mismatch; those that were not are none."""
    document = load(NAME)
    document["steps"][2]["files"]["sys/devices/system/memory/memory77/state"] = "offline\n"

    assert changed(replay(document)) == [(2, "block 77 state", "offline", None)]
