"""Files of a snapshot that do not agree: what is noted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.formats.snapshot.test_read import message_of, notes_of, without

from memhotplug.formats.snapshot import SnapshotFiles
from memhotplug.naming import read_machine

MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"
Make = Callable[..., SnapshotFiles]


def test_free_pages_that_disagree_are_noted_with_both_numbers(texts: dict[str, str], snapshot: Make) -> None:
    """The zone, what each file says, and the difference."""
    texts["proc/buddyinfo"] = texts["proc/buddyinfo"].replace("zone      DMA      0", "zone      DMA      5")
    free = next(zone.free for zone in read_machine(snapshot(texts)).zones if zone.name == "DMA")

    machine = read_machine(snapshot(texts))

    assert notes_of(machine, "inconsistent") == [
        f"node 0 zone DMA: zoneinfo shows {free} free pages, buddyinfo {free + 5} (difference -5)"
    ]


def test_totals_that_disagree_are_noted(texts: dict[str, str], snapshot: Make) -> None:
    """MemTotal is the managed pages, on the whole and on each node."""
    total = (read_machine(snapshot(texts)).mem_total or 0) // 1024
    texts["proc/meminfo"] = texts["proc/meminfo"].replace(f"{total} kB", f"{total + 8} kB")
    name = f"{NODE}/node0/meminfo"
    texts[name] = texts[name].replace(f"{total} kB", f"{total - 4} kB")

    assert notes_of(read_machine(snapshot(texts)), "inconsistent") == [
        f"meminfo shows MemTotal {total + 8} kB, the managed pages are {total} kB (difference +8 kB)",
        f"node 0: its meminfo shows MemTotal {total - 4} kB, its managed pages are {total} kB",
    ]


def test_sizes_that_disagree_are_noted(texts: dict[str, str], snapshot: Make) -> None:
    """Managed beyond present, present beyond spanned and beyond System RAM."""
    texts["proc/zoneinfo"] = (
        texts["proc/zoneinfo"].replace("present  3998", "present  5000").replace("managed  3840", "managed  6000")
    )

    found = notes_of(read_machine(snapshot(texts)), "inconsistent")

    assert found[:3] == [
        "node 0 zone DMA: 6000 managed pages are more than the 5000 present",
        "node 0 zone DMA: 5000 present pages are more than the 4095 spanned",
        "node 0 zone DMA: 5000 present pages, System RAM in its online blocks holds 3998 (difference +1002)",
    ]


def test_free_pages_beyond_the_managed_are_noted(texts: dict[str, str], snapshot: Make) -> None:
    """Per-cpu lists count as free."""
    texts["proc/zoneinfo"] = texts["proc/zoneinfo"].replace("managed  3840", "managed  100")

    found = notes_of(read_machine(snapshot(texts)), "inconsistent")

    assert "free pages (per-cpu lists included) are more than the 100 managed" in found[0]


def test_blocks_that_disagree_are_noted(texts: dict[str, str], snapshot: Make) -> None:
    """A wrong phys_index, and online blocks where there is no zone and no RAM."""
    texts[f"{MEMORY}/memory3/phys_index"] = "00000004\n"
    for block in (50, 51):
        texts[f"{MEMORY}/memory{block}/state"] = "online\n"
        texts[f"{MEMORY}/memory{block}/valid_zones"] = "Movable\n"
        texts[f"{MEMORY}/memory{block}/node"] = "0"

    assert notes_of(read_machine(snapshot(texts)), "inconsistent") == [
        "memory blocks 3: phys_index is not the block's number",
        "memory blocks 50-51 are online, but outside every zone's span",
        "memory blocks 50-51 are online, but hold no System RAM",
    ]


def test_nodes_that_disagree_are_noted(texts: dict[str, str], snapshot: Make) -> None:
    """Zones and blocks of a node that is not online; has_memory that does not tell the truth."""
    texts[f"{NODE}/online"] = "1\n"
    texts[f"{NODE}/has_memory"] = "1\n"

    assert notes_of(read_machine(snapshot(texts)), "inconsistent") == [
        "node 0 has a zone with memory, but is not online",
        "node 0 has memory blocks, but is not online",
        "node 0 is not in has_memory, but its zones hold 294782 pages",
        "node 1 is in has_memory, but its zones hold 0 pages",
    ]


def test_zones_of_different_machines_are_refused(texts: dict[str, str], snapshot: Make) -> None:
    """buddyinfo knows a zone that zoneinfo does not."""
    line = next(line for line in texts["proc/buddyinfo"].splitlines() if "Normal" in line)
    texts["proc/buddyinfo"] += line.replace("Node 0", "Node 3") + "\n"

    assert message_of(snapshot(texts)) == (
        "snap: proc/buddyinfo: got node 3 zone Normal, expected the zones of zoneinfo"
    )


def test_buddyinfo_with_more_than_all_memory_is_refused(texts: dict[str, str], snapshot: Make) -> None:
    """Without zoneinfo nothing else would notice."""
    files = without(texts, "proc/zoneinfo")
    files["proc/buddyinfo"] = "Node 0, zone   Normal 0 0 0 0 0 0 0 0 0 0 99\n"

    message = message_of(snapshot(files, arch="x86_64"))

    assert message == (
        "snap: got 101376, expected at most 32768 free pages in node 0 zone Normal, which is all its memory"
    )
