"""A comparison as people read it, as JSON, and as a tidy table: one value a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from memhotplug.commands.compare.answer import Compared
from memhotplug.commands.compare.granularity import Removable
from memhotplug.commands.compare.measure import Measures, ZoneMeasure
from memhotplug.formats.scenario.refusal import cut
from memhotplug.output.tables import Paint, plain, table
from memhotplug.units import format_blocks, format_size, parse_size

if TYPE_CHECKING:
    from memhotplug.documents.compare import (
        ComparedMemmapDocument,
        CompareDocument,
        ComparedZoneDocument,
        RemovableDocument,
        VariantDocument,
    )

__all__ = ["compare_lines", "to_csv", "to_document"]

_LONGEST: Final = 400
_CELL: Final = 40
"""Letters of a value in the table, half of it on a terminal."""


def to_document(done: Sequence[Compared], *, scenario: str | None) -> CompareDocument:
    """Return the JSON object; counts are in pages where the key says so, else in bytes."""
    return {
        "schema": 1,
        "scenario": scenario,
        "ok": all(entry.ok for entry in done),
        "vary": list(done[0].values) if done else [],
        "variants": [_variant(entry) for entry in done],
    }


def _variant(entry: Compared) -> VariantDocument:
    measures = entry.measures
    return {
        "values": dict(entry.values),
        "arch": entry.arch,
        "kernel": entry.kernel,
        "ok": entry.ok,
        "refused": entry.refused,
        "failures": [
            {"step": failure.step, "op": failure.op, "errno": failure.errno, "message": failure.message}
            for failure in entry.failures
        ],
        "violations": list(entry.violations),
        "measured_after_step": entry.measured_after[0] if entry.measured_after else None,
        "page_size": measures.page_size if measures else None,
        "memory_block_size": measures.memory_block_size if measures else None,
        "memmap": _memmap(measures) if measures else None,
        "zones": [_zone(zone, measures.page_size) for zone in measures.zones] if measures else [],
        "largest_free_run_bytes": measures.largest_free_run * measures.page_size if measures else None,
        "huge_pages_1g": measures.huge_pages if measures else None,
        "removable": [_removable(found) for found in entry.removable],
    }


def _memmap(measures: Measures) -> ComparedMemmapDocument:
    return {
        "self_hosted_pages": measures.self_hosted,
        "allocated_pages": measures.allocated,
        "page_table_pages": measures.page_tables,
        "by_node": dict(measures.by_node),
        "bytes": (measures.self_hosted + measures.allocated + measures.page_tables) * measures.page_size,
    }


def _zone(zone: ZoneMeasure, page_size: int) -> ComparedZoneDocument:
    return {
        "node": zone.node,
        "zone": zone.zone,
        "managed_pages": zone.managed,
        "usable_pages": zone.usable,
        "usable_bytes": zone.usable * page_size,
        "free_pages": zone.free,
        "largest_free_run_bytes": zone.largest_free_run * page_size,
        "huge_pages_1g": zone.huge_pages,
    }


def _removable(found: Removable) -> RemovableDocument:
    return {
        "device": found.device,
        "unit": found.unit,
        "bytes": found.size,
        "sampled": found.sampled,
        "problem": found.problem,
    }


# ---- people ----


def compare_lines(done: Sequence[Compared], paint: Paint = plain, *, width: int | None = None) -> Iterator[str]:
    """Yield the table, one column a variation, and below it what does not fit into one.

    Args:
        width: columns of the terminal; of more variations than fit there are several tables, one below the other.
    """
    keys = list(done[0].values) if done else []
    values = _Values(_CELL if width is None else _CELL // 2)
    rows = [[key, *values.row(key, [entry.values[key] for entry in done])] for key in keys]
    rows.append(["result", *(entry.outcome for entry in done)])
    rows += [[label, *cells] for label, cells in _rows(done)]
    rows.insert(0, ["", *map(str, range(1, len(done) + 1))])
    for number, columns in enumerate(_groups(rows, width)):
        if number:
            yield ""
        head, *part = [[row[column] for column in (0, *columns)] for row in rows]
        yield from table(head, part, ("",), paint, width=width)
    yield from values.legend()
    yield from _moments(done)
    yield from _details(done)


class _Values:
    """Values of varied keys as they stand in the table; long ones have a letter there, and a line below it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._long: dict[str, str] = {}

    def row(self, key: str, values: Sequence[str]) -> list[str]:
        """Return what stands in the table for the values of a key."""
        if all(len(value) <= self._most for value in values):
            return [cut(value, self._most) or "-" for value in values]
        names = {value: f"[{len(self._long) + index}]" for index, value in enumerate(dict.fromkeys(values), 1)}
        self._long |= {name: f"{key}={cut(value, _LONGEST)}" for value, name in names.items()}
        return [names[value] for value in values]

    def legend(self) -> Iterator[str]:
        """Yield what the letters stand for."""
        if self._long:
            yield ""
            yield from (f"{name} {text}" for name, text in self._long.items())


def _groups(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[list[int]]:
    """Yield the columns that fit beside the first one, at least one at a time."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    group: list[int] = []
    for column in range(1, len(sizes)):
        taken = sizes[0] + sum(sizes[index] + 1 for index in (*group, column))
        if width is not None and group and taken > width:
            yield group
            group = []
        group.append(column)
    yield group


def _rows(done: Sequence[Compared]) -> Iterator[tuple[str, list[str]]]:
    """Yield each measure with one cell a variation; a dash where there is nothing."""
    yield "memmap, self-hosted", [_pages(entry.measures, "self_hosted") for entry in done]
    yield "memmap, allocated", [_pages(entry.measures, "allocated") for entry in done]
    yield "page tables", [_pages(entry.measures, "page_tables") for entry in done]
    for node in sorted({node for entry in done if entry.measures for node in entry.measures.by_node}, key=int):
        yield f"memmap on node {node}", [_on_node(entry.measures, node) for entry in done]
    for key in _zone_keys(done):
        yield f"usable, node {key[0]} {key[1]}", [_usable(entry.measures, key) for entry in done]
    yield "largest free run", [_pages(entry.measures, "largest_free_run") for entry in done]
    yield "1G pages formable", ["-" if entry.measures is None else str(entry.measures.huge_pages) for entry in done]
    for device in _devices(done):
        yield f"{device} removable by", [_unit(entry, device) for entry in done]
    yield "broken invariants", ["-" if entry.measures is None else str(len(entry.violations)) for entry in done]


def _moments(done: Sequence[Compared]) -> Iterator[str]:
    """Yield after which step the variations were measured: the same one, but for those that never came so far."""
    found: dict[str, list[int]] = {}
    for number, entry in enumerate(done, 1):
        if entry.measures is not None:
            moment = "boot" if entry.measured_after is None else "step {} ({})".format(*entry.measured_after)
            found.setdefault(moment, []).append(number)
    if found:
        yield ""
    for moment, numbers in found.items():
        yield f"Measured after {moment}" + (f": {format_blocks(numbers)}" if len(found) > 1 else "")


_MIB: Final = 1 << 20


def _size(nr_bytes: int) -> str:
    """Return a size in which a difference of some MiB still shows: 2G, but 2016M and 3936.1M."""
    short = format_size(nr_bytes)
    if nr_bytes < _MIB or ("." not in short and parse_size(short) == nr_bytes):
        return short
    return f"{nr_bytes / _MIB:.1f}".removesuffix(".0") + "M"


def _pages(measures: Measures | None, name: str) -> str:
    return "-" if measures is None else _size(int(getattr(measures, name)) * measures.page_size)


def _on_node(measures: Measures | None, node: str) -> str:
    return "-" if measures is None else _size(measures.by_node.get(node, 0) * measures.page_size)


def _zone_keys(done: Sequence[Compared]) -> list[tuple[int, str]]:
    keys: dict[tuple[int, str], None] = {}
    for entry in done:
        for zone in entry.measures.zones if entry.measures else ():
            keys[zone.node, zone.zone] = None
    order = ("DMA", "DMA32", "Normal", "Movable")
    return sorted(keys, key=lambda key: (key[0], order.index(key[1])))


def _usable(measures: Measures | None, key: tuple[int, str]) -> str:
    for zone in measures.zones if measures else ():
        if (zone.node, zone.zone) == key and measures is not None:
            return _size(zone.usable * measures.page_size)
    return "-"


def _devices(done: Sequence[Compared]) -> list[str]:
    return list(dict.fromkeys(found.device for entry in done for found in entry.removable))


def _unit(entry: Compared, device: str) -> str:
    for found in entry.removable:
        if found.device == device:
            return "nothing" if found.unit is None else f"{found.unit} ({_size(found.size or 0)})"
    return "-"


def _details(done: Sequence[Compared]) -> Iterator[str]:
    lines = []
    for number, entry in enumerate(done, 1):
        if entry.refused is not None:
            lines.append(f"  {number}: refused: {cut(entry.refused, _LONGEST)}")
        for failure in entry.failures:
            words = [f"steps[{failure.step}].{failure.op}", failure.errno, cut(failure.message or "", _LONGEST)]
            lines.append(f"  {number}: " + ": ".join(word for word in words if word))
        lines += [f"  {number}: {cut(text, _LONGEST)}" for text in entry.violations]
        for found in entry.removable:
            if found.problem is not None:
                how = "cannot be removed" if found.unit is None else f"can be removed only as a whole {found.unit}"
                lines.append(f"  {number}: {found.device} {how}: {cut(found.problem, _LONGEST)}")
            if found.sampled:
                lines.append(f"  {number}: {found.device} has many blocks; not every one was tried")
    if lines:
        yield ""
        yield "Notes:"
        yield from lines


# ---- tidy ----

_COLUMNS: Final = ("arch", "kernel", "page_size", "measure", "node", "zone", "device", "value", "unit")


def to_csv(done: Sequence[Compared]) -> str:
    """Return one line for each value: the variation, the measure, what it is about, the value and its unit."""
    keys = list(done[0].values) if done else []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["variant", *keys, *_COLUMNS])
    for number, entry in enumerate(done, 1):
        head = [number, *entry.values.values(), entry.arch, entry.kernel]
        size = entry.measures.page_size if entry.measures else ""
        writer.writerows([*head, size, *row] for row in _tidy(entry))
    return stream.getvalue()


_Row = tuple[str, object, str, str, object, str]


def _tidy(entry: Compared) -> Iterator[_Row]:
    yield "result", "", "", "", entry.outcome, "text"
    if entry.measures is None:
        return
    size = entry.measures.page_size
    for name in ("self_hosted", "allocated", "page_tables"):
        yield f"memmap_{name}", "", "", "", int(getattr(entry.measures, name)) * size, "bytes"
    for node, count in entry.measures.by_node.items():
        yield "memmap_on_node", node, "", "", count * size, "bytes"
    for zone in entry.measures.zones:
        for name in ("managed", "usable", "free", "largest_free_run"):
            yield name, zone.node, zone.zone, "", int(getattr(zone, name)) * size, "bytes"
        yield "huge_pages_1g", zone.node, zone.zone, "", zone.huge_pages, "count"
    for found in entry.removable:
        yield "removable_unit", "", "", found.device, "" if found.size is None else found.size, "bytes"
    yield "failures", "", "", "", len(entry.failures), "count"
    yield "violations", "", "", "", len(entry.violations), "count"
