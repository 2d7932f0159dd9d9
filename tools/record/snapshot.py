"""What is kept after each step: the kernel's files about memory, and the flags of the watched pages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tools.record.guest import FlagRun, Guest

__all__ = [
    "MEMORY",
    "PARAMETERS",
    "covered_ranges",
    "left_out_ranges",
    "past_end",
    "read_block_ids",
    "read_page_flags",
    "take_files",
]

MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"
PARAMETERS = "sys/module/memory_hotplug/parameters"

_PROC = ("zoneinfo", "buddyinfo", "pagetypeinfo", "meminfo", "vmstat", "iomem")
_NODES = ("has_cpu", "has_generic_initiator", "has_memory", "has_normal_memory", "online", "possible")
_BLOCKS = ("block_size_bytes", "auto_online_blocks")
_BLOCK = ("state", "valid_zones", "removable", "phys_index", "phys_device")
_WHOLE_DEVICE_BYTES = 4 << 30


async def take_files(guest: Guest) -> dict[str, str]:
    """Return path (no leading slash) -> text of every file of a snapshot.

    The counters of all processors are folded together first, by reading /proc/sys/vm/stat_refresh.
    Of vmstat only the nr_* lines are kept, the rest counts events. ``memoryN/node`` is no file of
    the kernel's: it holds the number of the node that links to the block.
    """
    await guest.read_files("/proc/sys/vm", ["stat_refresh"])
    files = {f"proc/{name}": text for name, text in (await guest.read_files("/proc", _PROC)).items()}
    if "proc/vmstat" in files:
        lines = files["proc/vmstat"].splitlines(keepends=True)
        files["proc/vmstat"] = "".join(line for line in lines if line.startswith("nr_"))
    nodes = await _ids(guest, NODE, "node")
    node_of = {block: node for node in reversed(nodes) for block in await _ids(guest, f"{NODE}/node{node}", "memory")}
    files |= _below(NODE, await guest.read_files(f"/{NODE}", _NODES))
    for node in nodes:
        files |= _below(f"{NODE}/node{node}", await guest.read_files(f"/{NODE}/node{node}", ["meminfo"]))
    files |= _below(MEMORY, await guest.read_files(f"/{MEMORY}", _BLOCKS))
    for block in await read_block_ids(guest):
        where = f"{MEMORY}/memory{block}"
        files |= _below(where, await guest.read_files(f"/{where}", _BLOCK))
        if block in node_of:
            files[f"{where}/node"] = f"{node_of[block]}\n"
    return files


async def read_block_ids(guest: Guest) -> list[int]:
    """Return the memory blocks that are there, ascending."""
    return await _ids(guest, MEMORY, "memory")


async def read_page_flags(
    guest: Guest, covered: list[tuple[int, int]], left_out: list[tuple[int, int]] | None = None
) -> dict[str, object]:
    """Return a step's ``kpageflags`` for ascending pfn ranges that do not overlap; ``left_out`` are not read."""
    runs: list[FlagRun] = []
    beyond: list[list[int]] = []
    for start, end in covered:
        found = await guest.page_flags(start, end)
        runs += found
        beyond += past_end(found, start, end)
    flags: dict[str, object] = {
        "ranges": [[start, end, f"{value:#x}"] for start, end, value in runs],
        "covered": [list(pair) for pair in covered],
    }
    flags |= {"past_end_of_file": beyond} if beyond else {}
    return flags | ({"left_out": [list(pair) for pair in left_out]} if left_out else {})


def past_end(found: list[FlagRun], start_pfn: int, end_pfn: int) -> list[list[int]]:
    """Return the part of a range that the file did not have, as one range or none."""
    last = found[-1][1] if found else start_pfn
    return [[last, end_pfn]] if last < end_pfn else []


def covered_ranges(ranges: Iterable[tuple[int, int]], page_size: int, block_size: int) -> list[tuple[int, int]]:
    """Return the pfn ranges to read for address ranges [start, end) in bytes.

    Each stays a range of its own; of one above 4 GiB only the first two blocks and the last are
    read. Where two overlap (the place of a removed DIMM taken again) the later is cut.
    """
    pieces: set[tuple[int, int]] = set()
    for start, end in ranges:
        if end - start > _WHOLE_DEVICE_BYTES:
            pieces |= {(start, start + 2 * block_size), (end - block_size, end)}
        else:
            pieces.add((start, end))
    covered: list[tuple[int, int]] = []
    last = 0
    for start, end in sorted(pieces):
        first = max(start // page_size, last)
        if first < end // page_size:
            last = end // page_size
            covered.append((first, last))
    return covered


def left_out_ranges(
    ranges: Iterable[tuple[int, int]], covered: list[tuple[int, int]], page_size: int
) -> list[tuple[int, int]]:
    """Return the pfn ranges of address ranges in bytes that are watched and not covered, ascending."""
    found: list[tuple[int, int]] = []
    last = 0
    for start, end in sorted((start // page_size, end // page_size) for start, end in ranges):
        low = max(start, last)
        for first, behind in covered:
            if behind <= low or first >= end:
                continue
            if low < first:
                found.append((low, first))
            low = behind
        if low < end:
            found.append((low, end))
        last = max(last, end)
    return found


async def _ids(guest: Guest, directory: str, prefix: str) -> list[int]:
    names = await guest.list_directory(f"/{directory}")
    return sorted(int(name[len(prefix) :]) for name in names if re.fullmatch(rf"{prefix}\d+", name))


def _below(directory: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{directory}/{name}": text for name, text in files.items()}
