"""What lsmem printed stands in for the files that it was made from."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import InputError
from memhotplug.formats.snapshot import open_snapshot
from memhotplug.formats.snapshot.lsmem import is_lsmem, lsmem_files
from memhotplug.formats.snapshot.source import Source
from memhotplug.naming import read_machine

TABLE = """\
RANGE                                  SIZE  STATE REMOVABLE BLOCK NODE          ZONES
0x0000000000000000-0x0000000007ffffff  128M online       yes     0    0           None
0x0000000008000000-0x00000000bfffffff  2.9G online       yes  1-23    0          DMA32
0x0000000100000000-0x000000013fffffff    1G online        no 32-39    0         Normal
0x0000000140000000-0x000000017fffffff    1G offline           40-47    1 Normal/Movable

Memory block size:       128M
Total online memory:       4G
Total offline memory:      1G
"""
M = "sys/devices/system/memory"
BUDDY = "Node 0, zone    DMA32 1 1 1 1 1 1 1 1 1 1 700\nNode 0, zone   Normal 1 1 1 1 1 1 1 1 1 1 200\n"


def read(text: str) -> dict[str, str]:
    return lsmem_files(text, Source(file="lsmem"))


def test_a_table_becomes_the_files_of_its_blocks() -> None:
    """State, zone, node, and whether it can be removed: what the columns say, and no more."""
    files = read(TABLE)
    assert files[f"{M}/block_size_bytes"] == "8000000\n"
    assert sorted({int(name.split("/memory")[2].split("/")[0]) for name in files if "/memory/memory" in name}) == [
        *range(24),
        *range(32, 48),
    ]
    assert [files.get(f"{M}/memory0/{name}") for name in ("state", "valid_zones", "removable", "node")] == [
        "online\n",
        "none\n",
        "1\n",
        "0\n",
    ]
    assert [files.get(f"{M}/memory39/{name}") for name in ("state", "valid_zones", "removable", "phys_index")] == [
        "online\n",
        "Normal\n",
        "0\n",
        "00000027\n",
    ]
    assert [files.get(f"{M}/memory47/{name}") for name in ("state", "valid_zones", "removable", "node")] == [
        "offline\n",
        "Normal Movable\n",
        None,
        "1\n",
    ]


def test_without_headings_the_columns_are_those_of_lsmem_itself() -> None:
    """lsmem --noheadings, where the column REMOVABLE may be empty; other columns are told by their headings alone."""
    rows = [line.split() for line in TABLE.split("\n\n")[0].splitlines()[1:]]
    few = [row[: 5 if "online" in row else 4] for row in rows]
    ends = f"\n\n{TABLE.partition(2 * chr(10))[2]}"
    headed = "\n".join(map(" ".join, [["RANGE", "SIZE", "STATE", "REMOVABLE", "BLOCK"], *few])) + ends
    bare = "\n".join(map(" ".join, few)) + ends
    assert is_lsmem(bare)
    assert read(bare) == read(headed)
    with pytest.raises(InputError, match="expected a cell for each of RANGE, SIZE, STATE, REMOVABLE, BLOCK"):
        read("\n".join(map(" ".join, rows)) + ends)


def test_pairs_tell_the_same() -> None:
    """lsmem --pairs --output-all, whose columns come in any order."""
    heading, *rows = (line.split() for line in TABLE.split("\n\n")[0].splitlines())
    rows[-1].insert(3, "")
    text = "".join(
        " ".join(f'{name}="{cell}"' for name, cell in reversed(list(zip(heading, row, strict=True)))) + "\n"
        for row in rows
    )
    assert is_lsmem(text)
    assert read(text) == read(TABLE)
    assert is_lsmem('RANGE="0x0000000000000000-0x0000000007ffffff" SIZE="128M" STATE="online"\n')


def test_json_tells_the_same() -> None:
    """lsmem --json --all --output-all; the size of a block is that of a range over its blocks."""
    rows = [
        {"range": "0x0000000000000000-0x000000000fffffff", "size": "256M", "state": "online", "removable": True,
         "block": "0-1", "node": "0", "zones": "DMA32"},
        {"range": "0x0000000100000000-0x0000000107ffffff", "size": 134217728, "state": "offline", "removable": False,
         "block": 32, "node": 0, "zones": "Normal/Movable"},
    ]  # fmt: skip
    files = read(json.dumps({"memory": rows}))
    assert files[f"{M}/block_size_bytes"] == "8000000\n"
    assert files[f"{M}/memory1/removable"] == "1\n"
    assert files[f"{M}/memory32/valid_zones"] == "Normal Movable\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "0x0000000100000000-0x000000013fffffff",
            "0x0000000100000000-0x000000013ffffffe",
            "line 4: got 0x0000000100000000-0x000000013ffffffe, expected ranges one after the other, of whole memory "
            "blocks of 0x8000000 bytes",
        ),
        (
            "0x0000000100000000-0x000000013fffffff",
            "0x0000000080000000-0x00000000bfffffff",
            "line 4: got 0x0000000080000000-0x00000000bfffffff, expected ranges one after the other, of whole memory "
            "blocks of 0x8000000 bytes",
        ),
        (
            "32-39",
            "32-40",
            "line 4: got 8 in 0x0000000100000000-0x000000013fffffff, expected 9 memory blocks of 0x8000000 bytes, as "
            "the column BLOCK says",
        ),
        (
            "32-39    0         Normal",
            "32-39",
            "line 4: got '0x0000000100000000-0x000000013fffffff    1G online        no 32-39', expected a cell for "
            "each of RANGE, SIZE, STATE, REMOVABLE, BLOCK, NODE, ZONES",
        ),
        (
            "0x000000013fffffff",
            "0x00000000ffffffff",
            "line 4: got '0x0000000100000000-0x00000000ffffffff', expected a range such as "
            "0x0000000100000000-0x0000000107ffffff",
        ),
        (
            "128M\nTotal",
            "12.5X\nTotal",
            "got Memory block size: 12.5X, expected a size such as 128M, 1GiB or 0x8000000; fractions are not "
            "accepted, write the next smaller unit",
        ),
        (
            "Memory block size:       128M",
            "Memory block size:       96M",
            "got 100663296 bytes, expected 'Memory block size:' below the table, or a column BLOCK (lsmem --all "
            "--output-all)",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_both_numbers(old: str, new: str, message: str) -> None:
    """One line, with the line."""
    with pytest.raises(InputError) as caught:
        read(TABLE.replace(old, new))
    assert str(caught.value) == f"lsmem: {message}"


def test_without_a_size_of_a_block_nothing_can_be_told() -> None:
    """A table of ranges and sizes alone."""
    text = "RANGE                                 SIZE\n0x0000000000000000-0x0000000007ffffff 128M\n"
    with pytest.raises(InputError, match=r"got neither, expected 'Memory block size:' below the table"):
        read(text)
    with pytest.raises(InputError, match="got none, expected ranges of memory, as lsmem prints them"):
        read("RANGE SIZE STATE\n\n")


def test_absurdly_many_blocks_are_refused_at_once() -> None:
    """64 bits of memory in blocks of 4 KiB."""
    text = "RANGE SIZE STATE\n0x0000000000000000-0x7fffffffffffffff 8E online\n\nMemory block size: 4K\n"
    with pytest.raises(InputError, match="got more, expected at most 2097152 memory blocks"):
        read(text)


def test_a_report_with_lsmem_and_without_sysfs_has_its_blocks(tmp_path: Path) -> None:
    """sos keeps what lsmem printed: the size of a block is written there, and not guessed."""
    root = tmp_path / "report"
    files = {
        "proc/buddyinfo": BUDDY,
        "proc/version": "Linux version 6.12.0-amd64 (x)\n",
        "sos_commands/memory/lsmem_-a_-o_RANGE.SIZE.STATE.REMOVABLE.ZONES.NODE.BLOCK": TABLE,
    }
    archive = tmp_path / "report.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            member = tarfile.TarInfo(f"report/{name}")
            member.size = len(text)
            tar.addfile(member, BytesIO(text.encode()))
    for source in (root, archive):
        machine = read_machine(open_snapshot(source))
        assert machine.block_size == 128 << 20
        assert [block.id for block in machine.blocks] == [*range(24), *range(32, 48)]
        assert (machine.blocks[-1].state, machine.blocks[-1].valid_zones) == ("offline", ("Normal", "Movable"))
        assert "memory blocks as lsmem printed them" in [note.text for note in machine.notes]
        assert not machine.free_is_guessed


def test_files_of_sysfs_count_more(tmp_path: Path) -> None:
    """lsmem read them: where they were kept, it is not needed."""
    for name, text in {
        "proc/buddyinfo": BUDDY,
        f"{M}/block_size_bytes": "8000000\n",
        f"{M}/memory32/state": "online\n",
        "sos_commands/memory/lsmem": TABLE,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert [name for name in open_snapshot(tmp_path).files if "memory32" in name] == [f"{M}/memory32/state"]


def test_lsmem_alone_is_a_machine_whose_free_memory_nobody_knows(tmp_path: Path) -> None:
    """Zones by the blocks' zones and the architecture's; free is what is free after boot at most."""
    path = tmp_path / "lsmem.txt"
    path.write_text(TABLE, encoding="utf-8")
    machine = read_machine(open_snapshot(path), "x86_64")
    assert machine.free_is_guessed
    assert [(zone.node, zone.name, zone.present) for zone in machine.zones] == [
        (0, "DMA", 4096),
        (0, "DMA32", 24 * 32768 - 4096),
        (0, "Normal", 8 * 32768),
    ]
    assert all(zone.free < zone.managed <= zone.present - zone.present // 64 for zone in machine.zones[1:2])


@given(st.integers(0, len(TABLE)), st.integers(0, 40))
def test_damaged_tables_are_read_or_refused(cut: int, drop: int) -> None:
    """One InputError or files, never anything else."""
    text = TABLE[:cut] + TABLE[cut + drop :]
    if is_lsmem(text):
        found = _outcome(text)
        assert found
        assert isinstance(found, dict) or "\n" not in str(found)


def _outcome(text: str) -> dict[str, str] | InputError:
    try:
        return read(text)
    except InputError as problem:
        return problem


@pytest.mark.parametrize("text", ["", "hello RANGE SIZE world", "{}", '{"meta": {}}', "0x1-0x2", "\0" * 99])
def test_other_texts_are_none_of_lsmem(text: str) -> None:
    """Neither a recording nor prose."""
    assert not is_lsmem(text)
