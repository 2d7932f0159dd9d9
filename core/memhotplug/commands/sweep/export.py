"""Results as a table for other programs: CSV or Parquet, one row a case, or a row a step and zone."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import Any, Final

from memhotplug.commands.sweep.store import Store
from memhotplug.errors import InputError

__all__ = ["export"]

_FORMATS: Final = (".csv", ".parquet")


def export(store: Store, path: str, *, steps: bool = False) -> int:
    """Write the results of a sweep into a file by its ending; return the rows.

    Args:
        steps: the rows of steps instead of those of cases.

    Raises:
        InputError: another ending, no such rows, a missing extra, or a file that cannot be written.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in _FORMATS:
        raise InputError(f"a file that ends in {' or '.join(_FORMATS)}", got=path, path="--export")
    rows = list(store.step_rows() if steps else store.rows())
    if steps and not rows:
        raise InputError("results that were made with --steps", got="none", file=store.path)
    columns = _columns(rows)
    beside = f"{path}.part"
    try:
        _WRITERS[ending](beside, columns, rows)
        os.replace(beside, path)
    except OSError as problem:
        if os.path.exists(beside):
            os.unlink(beside)
        raise InputError("a file that can be written", got=problem.strerror or str(problem), file=path) from problem
    return len(rows)


def _columns(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the columns of all rows: those that all have in their order, then those that some have, sorted."""
    seen: dict[str, int] = {}
    count = 0
    for row in rows:
        count += 1
        for key in row:
            seen[key] = seen.get(key, 0) + 1
    common = [key for key, times in seen.items() if times == count]
    return [*common, *sorted(key for key, times in seen.items() if times < count)]


def _write_csv(path: str, columns: list[str], rows: Iterable[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(key)) for key in columns] for row in rows)


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(path: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as problem:
        raise InputError("the extra 'parquet': pip install 'memhotplug[parquet]'", got=str(problem)) from problem
    table = pyarrow.table({key: pyarrow.array([row.get(key) for row in rows]) for key in columns})
    parquet.write_table(table, path)


_WRITERS: Final = {".csv": _write_csv, ".parquet": _write_parquet}
