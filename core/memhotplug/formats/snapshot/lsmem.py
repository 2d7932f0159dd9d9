"""Reading what lsmem printed, for machines of which little else was kept: it becomes the files that it was made from.

Models: sys-utils/lsmem.c (util-linux 2.33 to 2.40): the table, with any columns that tell a range, --pairs and --json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from memhotplug.formats.jsonread import parse_json
from memhotplug.formats.snapshot.layout import MEMORY
from memhotplug.formats.snapshot.source import Source
from memhotplug.units import is_power_of_two, parse_size

__all__ = ["is_lsmem", "lsmem_files"]

_HEADER: Final = re.compile(r"^\s*(?=.*\bRANGE\b)(?=.*\b(?:SIZE|STATE|BLOCK|ZONES|NODE)\b)[A-Z_ ]+$", re.MULTILINE)
_PAIRS: Final = re.compile(r'^(?:[A-Z]+="[^"\n]*" ?)*RANGE="0x', re.MULTILINE)
_PAIR: Final = re.compile(r'([A-Z]+)="([^"]*)"')
_JSON: Final = re.compile(r'\A\s*\{\s*"memory"\s*:\s*\[')
_RANGE: Final = re.compile(r"0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})")
_BARE: Final = re.compile(
    r"\A\s*0x[0-9a-f]{16}-0x[0-9a-f]{16} +[\d.]+[BKMGTPE] +(?:online|offline|going-offline) .*$", re.MULTILINE
)
_DEFAULT: Final = ("range", "size", "state", "removable", "block")  # what it prints unless told what to print
_BLOCKS: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_BLOCK_SIZE: Final = re.compile(r"^Memory block size: +(\S+)", re.MULTILINE)
_COLUMNS: Final = ("range", "size", "state", "removable", "block", "node", "zones")
_MOST_BLOCKS: Final = 1 << 21


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """One line: a range of bytes, ``end`` exclusive, with what it says of its blocks; None where it does not."""

    line: int
    start: int
    end: int
    cells: Mapping[str, str]

    @property
    def nr_blocks(self) -> int | None:
        match = _BLOCKS.fullmatch(self.cells.get("block", ""))
        return int(match[2] or match[1]) - int(match[1]) + 1 if match else None


def is_lsmem(text: str) -> bool:
    """Return whether a text is what lsmem prints: a table, with or without headings, its pairs, or its JSON."""
    head = text[: 1 << 14]
    return any((_JSON.match(head), _HEADER.search(head), _PAIRS.search(head), _BARE.match(head)))


def lsmem_files(text: str, source: Source) -> dict[str, str]:
    """Return path -> text of the files below ``sys/devices/system/memory`` from which lsmem made its output.

    Raises:
        InputError: a line that is cut off, ranges that overlap or are no whole blocks, or no size of a block.
    """
    rows = list(_json_rows(text, source) if _JSON.match(text) else _table_rows(text, source))
    if not rows:
        raise source.error("ranges of memory, as lsmem prints them", got="none")
    size = _block_size(text, rows, source)
    files = {f"{MEMORY}/block_size_bytes": f"{size:x}\n"}
    seen = count = 0
    for row in sorted(rows, key=lambda row: row.start):
        shown = f"0x{row.start:016x}-0x{row.end - 1:016x}"
        if row.start % size or row.end % size or row.start < seen:
            expected = f"ranges one after the other, of whole memory blocks of {size:#x} bytes"
            raise source.error(expected, got=shown, line=row.line)
        if row.nr_blocks not in (None, (row.end - row.start) // size):
            expected = f"{row.nr_blocks} memory blocks of {size:#x} bytes, as the column BLOCK says"
            raise source.error(expected, got=f"{(row.end - row.start) // size} in {shown}", line=row.line)
        seen, count = row.end, count + (row.end - row.start) // size
        if count > _MOST_BLOCKS:
            raise source.error(f"at most {_MOST_BLOCKS} memory blocks", got="more", line=row.line)
        for block in range(row.start // size, row.end // size):
            files.update(_block_files(block, row))
    return files


def _block_files(block: int, row: _Row) -> Iterator[tuple[str, str]]:
    root, cells = f"{MEMORY}/memory{block}", row.cells
    if cells.get("state") in ("online", "offline", "going-offline"):
        yield f"{root}/state", f"{cells['state']}\n"
    if cells.get("removable") in ("yes", "no"):
        yield f"{root}/removable", f"{int(cells['removable'] == 'yes')}\n"
    if cells.get("node", "").isdigit():
        yield f"{root}/node", f"{int(cells['node'])}\n"
    zones = cells.get("zones", "").replace("/", " ").strip()
    if zones:
        yield f"{root}/valid_zones", f"{'none' if zones.lower() == 'none' else zones}\n"
    yield f"{root}/phys_index", f"{block:08x}\n"


def _block_size(text: str, rows: Sequence[_Row], source: Source) -> int:
    told = _BLOCK_SIZE.search(text)
    sizes = {(row.end - row.start) // row.nr_blocks for row in rows if row.nr_blocks}
    if told is not None:
        try:
            sizes = {parse_size(told[1])}
        except ValueError as problem:
            raise source.error(str(problem), got=f"Memory block size: {told[1]}") from None
    found = min(sizes, default=0)
    if not sizes or not is_power_of_two(found):
        expected = "'Memory block size:' below the table, or a column BLOCK (lsmem --all --output-all)"
        raise source.error(expected, got="neither" if not sizes else f"{found} bytes")
    return found


def _table_rows(text: str, source: Source) -> Iterator[_Row]:
    names: list[str] = [*_DEFAULT] if _BARE.match(text) else []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if _PAIRS.match(line):
            yield _row({name.lower(): value for name, value in _PAIR.findall(line)}, source, number)
        elif words and not names and "RANGE" in words:
            names = [word.lower() for word in words]
        elif names and words and words[0].startswith("0x"):
            yield _row(_cells(names, words, line, source, number), source, number)
        elif names and not words:
            return


def _cells(names: Sequence[str], words: Sequence[str], line: str, source: Source, number: int) -> dict[str, str]:
    """Return a row's cells by column; the column REMOVABLE alone may be empty."""
    if len(words) == len(names) - 1 and "removable" in names:
        names = [name for name in names if name != "removable"]
    if len(words) != len(names):
        columns = ", ".join(name.upper() for name in names)
        raise source.error(f"a cell for each of {columns}", got=repr(line[:80]), line=number)
    return dict(zip(names, words, strict=True))


def _row(cells: Mapping[str, str], source: Source, number: int) -> _Row:
    match = _RANGE.fullmatch(cells.get("range", "").lower())
    if match is None or int(match[2], 16) < int(match[1], 16):
        expected = "a range such as 0x0000000100000000-0x0000000107ffffff"
        raise source.error(expected, got=repr(cells.get("range", "")[:60]), line=number)
    return _Row(line=number, start=int(match[1], 16), end=int(match[2], 16) + 1, cells=cells)


def _json_rows(text: str, source: Source) -> Iterator[_Row]:
    try:
        entries = cast(Any, parse_json(text))["memory"]
    except (ValueError, KeyError, TypeError):
        raise source.error("lsmem --json, complete", got="something else, or a part of it") from None
    for number, entry in enumerate(_objects(entries, source), start=1):
        cells = {name: _word(entry.get(name)) for name in _COLUMNS if entry.get(name) is not None}
        yield _row(cells, source, number)


def _objects(entries: object, source: Source) -> Iterable[Mapping[str, object]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise source.error("an array of objects at 'memory'", got=type(entries).__name__)
    return entries


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
