"""Which physical pages back which part of the memmap.

Under SPARSEMEM_VMEMMAP the memmap is a virtually contiguous array that is mapped leaf by leaf. A
row of the table is a run of leaves of one size and one source whose backing is contiguous.

Models: mm/sparse-vmemmap.c, and the vmemmap page tables of each architecture.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memhotplug.lazy import np
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.runs import FEW, intersect

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["MapRuns", "Row", "Source", "VmemmapTable"]

Row: TypeAlias = tuple[int, int, int, int, int]
"""Described start and end, first page that backs them, pages of a leaf, source."""


class Source(IntEnum):
    """Where the pages that back a part of the memmap came from."""

    BOOT = 0
    ALLOCATOR = 1
    ALTMAP = 2


class MapRuns:
    """Runs of vmemmap mappings; few are kept as rows of plain integers, many as columns, which shows nowhere.

    All columns have shape (n,) and are read-only.

    Attributes:
        known_backing: the pages that back them, those of a source or (None) all, as far as a table was asked.
    """

    # At least one of rows and columns is there. Neither is ever changed in place.
    __slots__ = ("_columns", "_rows", "known_backing")

    def __init__(self, rows: list[Row]) -> None:
        self._rows: list[Row] | None = rows
        self._columns: tuple[npt.NDArray[Any], ...] | None = None
        self.known_backing: dict[Source | None, ExtentSet] = {}

    @classmethod
    def of_columns(cls, *columns: npt.NDArray[Any]) -> MapRuns:
        """Return runs by their columns: start, end, backing, leaf, source; nobody writes into them any more."""
        found = cls.__new__(cls)
        for column in columns:
            column.setflags(write=False)
        found._rows, found._columns, found.known_backing = None, columns, {}
        return found

    @classmethod
    def make(cls, start: Array, end: Array, backing: Array, leaf: int, source: Source) -> MapRuns:
        """Return runs that share one leaf size and source."""
        count = len(start)
        leaves, sources = np.full(count, leaf, dtype=np.int32), np.full(count, source, dtype=np.int8)
        return cls.of_columns(start.view(), end.view(), backing.view(), leaves, sources)

    @classmethod
    def join(cls, parts: list[MapRuns]) -> MapRuns:
        """Return the runs of all parts, one part after the other."""
        return cls.of_columns(*map(np.concatenate, zip(*(part.columns for part in parts), strict=True)))

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """Start, end, backing, leaf, source."""
        if self._columns is None:
            table = np.array(self._rows, dtype=np.int64).reshape(-1, 5).T
            self._columns = (*table[:3], table[3].astype(np.int32), table[4].astype(np.int8))
            for column in self._columns:
                column.setflags(write=False)
        return self._columns

    @property
    def rows(self) -> list[Row] | None:
        """The runs as plain integers if they are few, None if they are many; read it, it is shared."""
        if self._rows is None and len(self) <= FEW:
            self._rows = list(zip(*(column.tolist() for column in self.columns), strict=True))
        return self._rows

    @property
    def start(self) -> Array:
        """First described pfns; int64."""
        return self.columns[0]

    @property
    def end(self) -> Array:
        """First pfns behind those described; int64."""
        return self.columns[1]

    @property
    def backing(self) -> Array:
        """First page that backs each run; int64."""
        return self.columns[2]

    @property
    def leaf(self) -> npt.NDArray[np.int32]:
        """Pages that one leaf of each run maps; int32."""
        return self.columns[3]

    @property
    def source(self) -> npt.NDArray[np.int8]:
        """A Source of each run; int8."""
        return self.columns[4]

    def __len__(self) -> int:
        return len(self._rows) if self._rows is not None else len(self.columns[0])

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows or zip(*(column.tolist() for column in self.columns), strict=True))

    def __getitem__(self, index: slice | Array | npt.NDArray[np.bool_]) -> MapRuns:
        return MapRuns.of_columns(*(column[index] for column in self.columns))

    def of(self, *sources: Source) -> MapRuns:
        """Return the runs that come from some sources, the same object if all do."""
        if self.rows is not None:
            rows = [row for row in self.rows if row[4] in sources]
            return MapRuns(rows) if len(rows) < len(self.rows) else self
        chosen = np.isin(self.source, sources) if len(sources) > 1 else self.source == sources[0]
        return self if chosen.all() else self[chosen]


_END: Final = 2**63 - 1


class VmemmapTable:
    """All mappings of the memmap, ascending by the pfns that they describe.

    Invariants: rows are disjoint in what they describe and in what backs them. The number of
    pages that back a row is (end - start) / described_per_page.

    Args:
        described_per_page: pages whose struct pages fill one page of memmap.
    """

    __slots__ = ("described_per_page", "mapped", "runs")

    def __init__(self, described_per_page: int) -> None:
        self.described_per_page = described_per_page
        self.runs = MapRuns([])
        self.mapped = ExtentSet()

    def copy(self) -> VmemmapTable:
        """Return an independent table that shares the runs."""
        twin = VmemmapTable.__new__(VmemmapTable)
        twin.described_per_page, twin.runs, twin.mapped = self.described_per_page, self.runs, self.mapped.copy()
        return twin

    def insert(self, runs: MapRuns) -> None:
        """Add mappings of pfns that are not mapped yet, in any order; neighbours are joined."""
        rows, fresh = self.runs.rows, runs.rows
        if rows is not None and fresh is not None and len(rows) + len(fresh) <= FEW:
            rows = rows.copy()
            for row in fresh:
                self._put(rows, row)
                self.mapped.add(row[0], row[1])
            self.runs = MapRuns(rows)
            return
        if len(runs) != 1 or not self._grow(runs):
            joined = MapRuns.join([self.runs, runs]) if len(self.runs) else runs
            ascend = (joined.start[1:] > joined.start[:-1]).all()
            self.runs = self._coalesce(joined if ascend else joined[np.argsort(joined.start, kind="stable")])
        self.mapped.add_many(runs.start, runs.end)

    def _put(self, rows: list[Row], row: Row) -> None:
        """Put one row where it belongs among ascending ones, joined with its neighbours where it goes on as they do."""
        at = bisect(rows, row)
        first = last = at
        if at and self._goes_on(rows[at - 1], row):
            first, row = at - 1, (*rows[at - 1][:1], row[1], *rows[at - 1][2:])
        if at < len(rows) and self._goes_on(row, rows[at]):
            last, row = at + 1, (row[0], rows[at][1], *row[2:])
        rows[first:last] = [row]

    def _goes_on(self, row: Row, behind: Row) -> bool:
        if row[1] != behind[0] or row[3:] != behind[3:]:
            return False
        return row[2] + (row[1] - row[0]) // self.described_per_page == behind[2]

    def _grow(self, run: MapRuns) -> bool:
        """Let a run that goes on where a row ends, and joins no other row, make that row longer; else return False."""
        old, start, end = self.runs, int(run.start[0]), int(run.end[0])
        at = int(old.start.searchsorted(start)) - 1
        if at < 0 or old.end[at] != start or (at + 1 < len(old) and old.start[at + 1] == end):
            return False
        behind = int(old.backing[at]) + (start - int(old.start[at])) // self.described_per_page
        if behind != run.backing[0] or old.leaf[at] != run.leaf[0] or old.source[at] != run.source[0]:
            return False
        ends = old.end.copy()
        ends[at] = end
        self.runs = MapRuns.of_columns(old.start, ends, old.backing, old.leaf, old.source)
        return True

    def _coalesce(self, runs: MapRuns) -> MapRuns:
        if len(runs) < 2:
            return runs
        pages = (runs.end - runs.start) // self.described_per_page
        same = (
            (runs.start[1:] == runs.end[:-1])
            & (runs.backing[1:] == (runs.backing + pages)[:-1])
            & (runs.leaf[1:] == runs.leaf[:-1])
            & (runs.source[1:] == runs.source[:-1])
        )
        if not same.any():
            return runs
        heads = np.flatnonzero(np.concatenate(([True], ~same)))
        last = np.append(heads[1:], len(runs)) - 1
        columns = runs.start[heads], runs.end[last], runs.backing[heads], runs.leaf[heads], runs.source[heads]
        return MapRuns.of_columns(*columns)

    def _part(self, row: Row, low: int, high: int) -> Row:
        """Return what of a row describes [low, high), all of which it describes."""
        return low, high, row[2] + (low - row[0]) // self.described_per_page, row[3], row[4]

    def clip(self, start: int, end: int) -> MapRuns:
        """Return the mappings of [start, end), cut at its borders."""
        rows = self.runs.rows
        if rows is not None:
            inside = [row for row in rows if row[0] < end and start < row[1]]
            return MapRuns([self._part(row, max(row[0], start), min(row[1], end)) for row in inside])
        first = int(self.runs.end.searchsorted(start, side="right"))
        last = int(self.runs.start.searchsorted(end, side="left"))
        found = self.runs[first : max(first, last)]
        low = np.maximum(found.start, start)
        shift = (low - found.start) // self.described_per_page
        return MapRuns.of_columns(low, np.minimum(found.end, end), found.backing + shift, found.leaf, found.source)

    def delete(self, starts: Array | list[int], ends: Array | list[int]) -> MapRuns:
        """Take out the mappings of some ascending, disjoint pfn runs and return them."""
        if not len(starts):
            return MapRuns([])
        rows = self.runs.rows
        if rows is not None and len(starts) <= FEW:
            taken, kept_rows = self._without(rows, list(map(int, starts)), list(map(int, ends)))
            self.runs, gone = MapRuns(kept_rows), MapRuns(taken)
        else:
            low, high = int(starts[0]), int(ends[-1])
            gone, kept = self._split(self.clip(low, high), ExtentSet(starts, ends))
            self.runs = MapRuns.join([self.clip(0, low), kept, self.clip(high, _END)])
        self.mapped.remove_many(starts, ends)
        return gone

    def _without(self, rows: list[Row], starts: list[int], ends: list[int]) -> tuple[list[Row], list[Row]]:
        """Return what of some rows describes ascending, disjoint runs of pfns, and the rest of them."""
        gone: list[Row] = []
        kept: list[Row] = []
        first = 0  # of the runs that do not lie before the row
        for row in rows:
            low, high = row[0], row[1]
            while first < len(starts) and ends[first] <= low:
                first += 1
            at, rest = first, low
            while at < len(starts) and starts[at] < high:
                if rest < starts[at]:
                    kept.append(self._part(row, rest, starts[at]))
                rest = min(ends[at], high)
                gone.append(self._part(row, max(starts[at], low), rest))
                at += 1
            if rest < high:
                kept.append(self._part(row, rest, high))
        return gone, kept

    def _split(self, runs: MapRuns, chosen: ExtentSet) -> tuple[MapRuns, MapRuns]:
        """Return the parts of ``runs`` inside and outside of ``chosen``."""
        low = int(runs.start[0]) if len(runs) else 0
        high = int(runs.end[-1]) if len(runs) else 0
        return self._pick(runs, chosen.within(low, high)), self._pick(runs, chosen.gaps(low, high))

    def _pick(self, runs: MapRuns, chosen: ExtentSet) -> MapRuns:
        low, high, index, _ = intersect(runs.start, runs.end, *chosen.arrays)
        shift = (low - runs.start[index]) // self.described_per_page
        return MapRuns.of_columns(low, high, runs.backing[index] + shift, runs.leaf[index], runs.source[index])

    def backing_of(self, pfn: int) -> int | None:
        """Return the pfn of the page that holds the struct page of ``pfn``, None if there is none."""
        row = self.row_of(pfn)
        return None if row is None else row[2] + (pfn - row[0]) // self.described_per_page

    def row_of(self, pfn: int) -> Row | None:
        """Return the mapping that describes a pfn, None if there is none."""
        rows = self.runs.rows
        if rows is not None:
            return next((row for row in rows if row[0] <= pfn < row[1]), None)
        at = int(self.runs.end.searchsorted(pfn, side="right"))
        if at == len(self.runs) or self.runs.start[at] > pfn:
            return None
        start, end, backing, leaf, source = (int(column[at]) for column in self.runs.columns)
        return start, end, backing, leaf, source

    def backing(self, runs: MapRuns | None = None) -> ExtentSet:
        """Return the pages that back some runs, or the whole memmap."""
        if runs is None:
            return self._known_backing(None)
        per_page, rows = self.described_per_page, runs.rows
        if rows is not None:
            return ExtentSet.of(*[(page, page + (end - start) // per_page) for start, end, page, _, _ in rows])
        return ExtentSet(runs.backing, runs.backing + (runs.end - runs.start) // per_page)

    def backing_from(self, source: Source) -> ExtentSet:
        """Return the pages from one source that back any part of the memmap."""
        return self._known_backing(source)

    def _known_backing(self, source: Source | None) -> ExtentSet:
        """Return the pages from a source, or from all; worked out once for all copies that have the same runs."""
        known = self.runs.known_backing.get(source)
        if known is None:
            own = self.runs if source is None else self.runs.of(source)
            known = self.backing(own) if source is None or own is not self.runs else self._known_backing(None)
            self.runs.known_backing[source] = known
        return known.copy()
