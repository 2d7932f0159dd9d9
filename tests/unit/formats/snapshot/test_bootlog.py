"""What the log of a boot says of memory."""

from __future__ import annotations

from pathlib import Path

from memhotplug.formats.snapshot import open_snapshot, read_recording
from memhotplug.formats.snapshot.bootlog import early_log, early_ranges
from memhotplug.naming import read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
GIB = 1 << 30

LOG = [
    "Movable zone start for each node",
    "Early memory node ranges",
    "  node   0: [mem 0x0000000000001000-0x000000000009efff]",
    "  node   0: [mem 0x0000000000100000-0x000000003fffffff]",
    "  node   1: [mem 0x0000000040000000-0x000000007ffdffff]",
    "Initmem setup node 0 [mem 0x0000000000001000-0x000000003fffffff]",
    "  node   7: [mem 0x0000000100000000-0x000000017fffffff]",
]
RANGES = ((0x1000, 0x9F000), (0x100000, GIB), (GIB, 0x7FFE0000))


def test_the_log_lists_the_memory_of_each_node() -> None:
    """Nodes stay apart, and the list ends with its lines."""
    assert early_ranges(LOG) == RANGES


def test_what_is_known_of_boot_memory_can_be_kept_as_a_log() -> None:
    """It reads back as it was."""
    assert early_ranges(early_log(RANGES).splitlines()) == RANGES


def test_times_and_ends_of_lines_do_not_matter() -> None:
    """As dmesg prints them."""
    assert early_ranges(f"[    0.0{n}] {line}\r\n" for n, line in enumerate(LOG)) == RANGES


def test_a_log_that_has_lost_its_beginning_tells_nothing() -> None:
    """A part of the list would be taken for all of it."""
    assert early_ranges(LOG[3:]) == ()


def test_a_range_that_ends_before_it_begins_is_none() -> None:
    """Nobody prints it; a broken log may."""
    assert early_ranges(["Early memory node ranges", "  node   0: [mem 0x2000-0x1fff]"]) == ()
    assert early_ranges(["Early memory node ranges", "  node   0: [mem 0x2000-0x1000]"]) == ()


def test_a_recording_tells_it_at_every_step() -> None:
    """The log is in the first step; 2 GiB but for the holes of a PC."""
    path = RECORDINGS / "x86_64-6.1-numa-auto.json.xz"
    expected = ((0x1000, 0x9F000), (0x100000, 0x60000000), (0x60000000, 0x7FFE0000))

    assert read_machine(read_recording(path).snapshot(3)).early == expected
    assert read_machine(open_snapshot(path, 3)).early == expected


def test_an_sos_report_tells_it_where_it_kept_the_log(tmp_path: Path) -> None:
    """sos_commands/kernel/dmesg."""
    files = open_snapshot(RECORDINGS / "x86_64-6.1-numa-auto.json.xz", 1).files
    for name, text in {**files, "sos_commands/kernel/dmesg": "\n".join(LOG)}.items():
        path = tmp_path / "report" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert read_machine(open_snapshot(tmp_path)).early == RANGES
