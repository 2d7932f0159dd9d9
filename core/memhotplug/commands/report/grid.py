"""Variants and sweeps as grids: a heat map of one measure over two keys, or variants by measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Final

from memhotplug import __version__
from memhotplug.commands.compare.answer import Compared
from memhotplug.commands.sweep.store import Store
from memhotplug.commands.sweep.summary import DEFAULT_MEASURE
from memhotplug.errors import InputError, nearest
from memhotplug.memory_map.runs import MapRun, map_runs
from memhotplug.units import format_size, parse_size

__all__ = ["Cell", "Grid", "VariantMap", "maps_of", "of_results", "of_variants"]

_MAX: Final = 64
"""Rows and columns of a heat map; a larger sweep has its table cut there, and says so."""
_OTHERS: Final = ("self_hosted_bytes", "allocated_bytes", "page_table_bytes", "largest_free_run_bytes", "huge_pages_1g",
                  "failed_steps", "violations")  # fmt: skip
"""Measures that are shown besides, where cases differ in them."""
_MAX_LINES: Final = 8
"""Columns that are drawn as lines."""
_MAX_MAPS: Final = 24
"""Variants whose memory is drawn."""
_MEMMAP: Final = ("memmap in itself", "memmap elsewhere", "page tables")


@dataclass(frozen=True, slots=True)
class Cell:
    """A field: what stands in it, its value if it has one, and how warm it is, from 0 to 1."""

    text: str
    value: float | None
    heat: float | None


@dataclass(frozen=True, slots=True)
class VariantMap:
    """The memory of one variant: what it is called, what came of it, and the runs of its blocks."""

    label: str
    outcome: str
    runs: tuple[MapRun, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table of cells.

    Attributes:
        title: what it shows.
        corner: what the rows and the columns are.
        rows, columns: their headings.
        cells: row by row.
        note: what is left out, empty if nothing is.
        lines: the columns that lines over the rows show, too; all of one measure, or of one unit.
        as_bytes: whether that unit is bytes.
    """

    title: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    note: str = ""
    lines: tuple[str, ...] = ()
    as_bytes: bool = True


def of_variants(done: Sequence[Compared]) -> Grid:
    """Return variants of a scenario side by side, each measure warm where it is large among them."""
    measured = [_measures(entry) for entry in done]
    columns = list(dict.fromkeys(name for values in measured for name in values))
    shades = [_shaded([values.get(name) for values in measured]) for name in columns]
    rows = []
    for index, entry in enumerate(done):
        outcome = entry.refused or entry.outcome
        rows.append((Cell(outcome, None, None), *(column[index] for column in shades)))
    return Grid(
        title="Variants",
        corner=", ".join(done[0].values) if done else "",
        rows=tuple(entry.label or "as it is" for entry in done),
        columns=("outcome", *columns),
        cells=tuple(rows),
        lines=_MEMMAP if _is_scale(done) and set(_MEMMAP) <= set(columns) else (),
    )


def _is_scale(done: Sequence[Compared]) -> bool:
    """Whether the variants are steps on a scale, so that a line from one to the next says something."""
    if len(done) < 2 or len(done[0].values) != 1:
        return False
    try:
        sizes = [parse_size(next(iter(entry.values.values()))) for entry in done]
    except ValueError:
        return False
    return sizes == sorted(sizes)


def maps_of(done: Sequence[Compared]) -> list[VariantMap]:
    """Return the memory of each variant at the moment at which all are measured; the first of very many."""
    return [
        VariantMap(entry.label or "as it is", entry.outcome, tuple(map_runs(entry.machine.kernel)))
        for entry in done[:_MAX_MAPS]
        if entry.machine is not None
    ]


def _measures(entry: Compared) -> dict[str, float]:
    found = entry.measures
    if found is None:
        return {}
    size = found.page_size
    values: dict[str, float] = {
        name: part * size
        for name, part in zip(_MEMMAP, (found.self_hosted, found.allocated, found.page_tables), strict=True)
    }
    for zone in found.zones:
        values[f"usable {zone.node} {zone.zone}"] = zone.usable * size
    values["longest free run"] = found.largest_free_run * size
    return values


def _shaded(values: Sequence[float | None], *, as_bytes: bool = True) -> list[Cell]:
    known = [value for value in values if value is not None]
    low, high = min(known, default=0), max(known, default=0)
    cells = []
    for value in values:
        if value is None:
            cells.append(Cell("-", None, None))
            continue
        text = format_size(int(value)) if as_bytes else f"{value:g}"
        cells.append(Cell(text, value, round((value - low) / (high - low), 3) if high > low else 0.0))
    return cells


def of_results(store: Store, measure: str | None = None) -> list[Grid]:
    """Return a sweep as heat maps: of one measure, or without a name of the memmap and of whatever else differs.

    Raises:
        InputError: the results are of another version, there are none, or they have no such measure.
    """
    version = store.meta("version")
    if version != __version__:
        raise InputError(f"results of version {__version__}", got=f"results of version {version}", file=store.path)
    rows = list(store.rows())
    if not rows:
        raise InputError("results with at least one case", got="none", file=store.path)
    keys = [axis.partition("=")[0].strip() for axis in store.meta("shape")["vary"]]
    if not keys:
        raise InputError("results with a key that was varied", got="one case", file=store.path)
    numbers = sorted({key for row in rows for key, value in row.items() if _is_number(value)})
    chosen = measure or DEFAULT_MEASURE
    if chosen not in numbers and (measure is not None or numbers):
        raise InputError(
            "a measure that the results have", got=chosen, nearest=nearest(chosen, numbers), path="--measure"
        )
    others = () if measure is not None else [name for name in _OTHERS if name in numbers and _differs(rows, name)]
    return [_of_measure(rows, keys, name) for name in (chosen, *others)]


def _differs(rows: Sequence[dict[str, Any]], measure: str) -> bool:
    return len({row.get(measure) for row in rows if row["outcome"] == "ok"}) > 1


def _of_measure(rows: Sequence[dict[str, Any]], keys: Sequence[str], chosen: str) -> Grid:
    """Return a heat map: the first varied key down, the second across, the median of all other keys."""
    down, across = keys[0], keys[1] if len(keys) > 1 else None
    fields: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        fields.setdefault((_text(row[down]), _text(row[across]) if across else chosen), []).append(row)
    heads = list(dict.fromkeys(key[0] for key in fields)), list(dict.fromkeys(key[1] for key in fields))
    names = heads[0][:_MAX], heads[1][:_MAX]
    left_out = len(fields) - sum(key[0] in names[0] and key[1] in names[1] for key in fields)
    values = [_median(fields.get((row, column), []), chosen) for row in names[0] for column in names[1]]
    shaded = iter(_shaded(values, as_bytes=chosen.endswith("_bytes")))
    cells = tuple(
        tuple(_or_reason(next(shaded), fields.get((row, column), [])) for column in names[1]) for row in names[0]
    )
    note = f"the median over {', '.join(keys[2:])}" if len(keys) > 2 else ""
    if left_out:
        note = "; ".join(part for part in (note, f"{left_out} more fields are not drawn") if part)
    return Grid(
        title=chosen, corner=f"{down} \\ {across}" if across else down, rows=tuple(names[0]),
        columns=tuple(names[1]), cells=cells, note=note,
        lines=tuple(names[1][:_MAX_LINES]) if len(names[0]) > 1 else (), as_bytes=chosen.endswith("_bytes"),
    )  # fmt: skip


def _text(value: object) -> str:
    return str(value) if value not in (None, "") else "(none)"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _median(rows: Sequence[dict[str, Any]], measure: str) -> float | None:
    known = sorted(row[measure] for row in rows if _is_number(row.get(measure)) and row["outcome"] == "ok")
    return median_low(known) if known else None


def _or_reason(cell: Cell, rows: Sequence[dict[str, Any]]) -> Cell:
    """Return what the cases were refused with where none has a value."""
    if cell.value is not None or not rows:
        return cell
    return Cell(str(rows[0].get("errno") or rows[0]["outcome"]), None, None)
