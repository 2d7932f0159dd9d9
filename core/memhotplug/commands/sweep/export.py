"""Results as a table for other programs: CSV or Parquet, one row a case, or a row a step and zone."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from memhotplug.commands.sweep.store import Store
from memhotplug.errors import InputError
from memhotplug.output.files import replacing

__all__ = ["export"]

_FORMATS: Final = (".csv", ".parquet")
_ROWS_AT_ONCE: Final = 16384

Row: TypeAlias = dict[str, Any]


def export(store: Store, path: str, *, steps: bool = False) -> int:
    """Write the results of a sweep into a file by its ending; return the rows.

    The rows are read twice, once for their columns, and never are all of them in memory.

    Args:
        steps: the rows of steps, each with the values of its case, instead of those of cases.

    Raises:
        InputError: another ending, no such rows, a missing extra, or a file that cannot be written.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in _FORMATS:
        raise InputError(f"a file that ends in {' or '.join(_FORMATS)}", got=path or "nothing", path="--export")
    rows = partial(_step_rows, store) if steps else store.rows
    with store.as_it_is():
        table = _Table(rows())
        if steps and not table.count:
            raise InputError("results that were made with --steps", got="none", file=store.path)
        with replacing(path) as place:
            _WRITERS[ending](place, table, rows())
    return table.count


def _step_rows(store: Store) -> Iterator[Row]:
    """Yield the rows of all steps, the values of their case behind its number."""
    keys = store.keys()
    values: Row = {}
    cases = store.rows()
    for row in store.step_rows():
        while values.get("case") != row["case"]:
            case = next(cases)
            values = {"case": case["case"], **{key: case[key] for key in keys}}
        yield {**values, **row}


class _Table:
    """The columns of some rows: those that all have in their order, then those that some have, sorted.

    Attributes:
        count: how many rows there are.
        columns: their names, each with the type of its values.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        seen: dict[str, int] = {}
        types: dict[str, set[type]] = {}
        self.count = 0
        for row in rows:
            self.count += 1
            for key, value in row.items():
                seen[key] = seen.get(key, 0) + 1
                types.setdefault(key, set()).add(type(value))
        common = [key for key, times in seen.items() if times == self.count]
        names = [*common, *sorted(key for key, times in seen.items() if times < self.count)]
        self.columns = {name: _NUMBERS.get(name) or _type_of(types[name]) for name in names}


_NUMBERS: Final[dict[str, type]] = {"failed_step": int, "measured_after_step": int, "movable_kernel_ratio": float}
"""Columns of numbers that may have none at all."""


def _type_of(types: set[type]) -> type:
    """Return what holds all values of a column; text where there is none, since what may be missing is words."""
    known = types - {type(None)}
    if known <= {int, float} and known:
        return float if float in known else int
    return known.pop() if len(known) == 1 else str


def _write_csv(path: Path, table: _Table, rows: Iterable[Row]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows([_cell(row.get(key)) for key in table.columns] for row in rows)


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(path: Path, table: _Table, rows: Iterable[Row]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as problem:
        raise InputError("the extra 'parquet': pip install 'memhotplug[parquet]'", got=str(problem)) from problem
    types = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_(), str: pyarrow.string()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in table.columns.items()])
    left = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(left, _ROWS_AT_ONCE)):
            columns = {name: [row.get(name) for row in part] for name in table.columns}
            writer.write_table(pyarrow.table(columns, schema=schema))


_WRITERS: Final = {".csv": _write_csv, ".parquet": _write_parquet}
