"""Memory block devices: one row a block, columns in NumPy arrays, and the latest rows as plain integers.

Models: drivers/base/memory.c:struct memory_block (include/linux/memory.h).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memhotplug.lazy import np
from memhotplug.model.block_columns import Column
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import FEW

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["NO_ZONE", "BlockRow", "BlockState", "BlockTable", "OnlineType"]

NO_ZONE = -1
"""The zone column of a block that is offline, or whose pages lie in several zones."""


class BlockState(IntEnum):
    """A block's state, with the kernel's numbers (include/linux/memory.h)."""

    ONLINE = 1
    GOING_OFFLINE = 2
    OFFLINE = 4

    @property
    def label(self) -> str:
        """The word that the ``state`` attribute reads."""
        return self.name.lower().replace("_", "-")


class OnlineType(IntEnum):
    """How a block is onlined, with the kernel's numbers (enum mmop, MMOP_*)."""

    OFFLINE = 0
    ONLINE = 1
    ONLINE_KERNEL = 2
    ONLINE_MOVABLE = 3

    @property
    def label(self) -> str:
        """The word that is written to ``state``."""
        return self.name.lower()


_FRESH: Final[dict[str, int]] = {
    "state": BlockState.OFFLINE,
    "nid": 0,
    "zone": NO_ZONE,
    "device": -1,
    "early": 0,
    "group": -1,
    "altmap_pages": 0,
    "online_type": OnlineType.ONLINE,
}
"""The columns of a block that has just come."""


_PLACES: Final = {name: place for place, name in enumerate(("id", *_FRESH))}
_FEW_ROWS = 64  # up to which a list of values is faster than two passes of NumPy

BlockRow: TypeAlias = tuple[int, ...]
"""The values of one block: id, state, nid, zone, device, early, group, altmap_pages, online_type."""


class BlockTable:
    """All memory blocks, ascending by id.

    Blocks that came last, behind all others, are kept as rows of plain integers while they are few: adding one, or
    changing one, costs the same on a machine of any size. Which are kept so shows nowhere.

    Columns, each of shape (n,), read-only and replaced as a whole on every change:
        id: int64, start pfn / pages per block.
        state: int8, a BlockState.
        nid: int32.
        zone: int8, a ZoneKind or NO_ZONE.
        device: int32, index of the device that brought it, -1 for boot memory.
        early: bool, whether it was there at boot.
        group: int32, id of its memory group, -1 for none.
        altmap_pages: int64, pages at its start that its own altmap reserves (0 without one).
        online_type: int8, the OnlineType that the file ``online`` would use.
    """

    # _columns hold the first _settled rows, _late those behind them; _whole are the columns of all rows and _known the
    # answers about the settled ones, as far as somebody has asked for them. Copies share them: nothing is changed in
    # place, but that columns come to _whole and answers to _known.
    __slots__ = ("_columns", "_known", "_late", "_settled", "_whole")

    id: Column[np.int64] = Column("int64")
    state: Column[np.int8] = Column("int8")
    nid: Column[np.int32] = Column("int32")
    zone: Column[np.int8] = Column("int8")
    device: Column[np.int32] = Column("int32")
    early: Column[np.bool_] = Column("bool_")
    group: Column[np.int32] = Column("int32")
    altmap_pages: Column[np.int64] = Column("int64")
    online_type: Column[np.int8] = Column("int8")

    def __init__(self) -> None:
        self._columns: dict[str, npt.NDArray[Any]]
        self._whole: dict[str, npt.NDArray[Any]]
        self._known: dict[object, Any]
        self._late: list[BlockRow]
        self._settled: int
        self._take({name: np.empty(0, dtype=_dtype(name)) for name in _PLACES})

    def __repr__(self) -> str:
        words = {word.label: int((self.state == word).sum()) for word in BlockState}
        counts = ", ".join(f"{count} {label}" for label, count in words.items() if count)
        return f"<BlockTable of {len(self)} blocks{f': {counts}' if counts else ''}>"

    def __len__(self) -> int:
        return self._settled + len(self._late)

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield each column with its name."""
        for name in _PLACES:
            yield name, self.column(name)

    def copy(self) -> BlockTable:
        """Return an independent table that shares columns and rows."""
        twin = BlockTable.__new__(BlockTable)
        twin._columns, twin._settled, twin._known = self._columns, self._settled, self._known
        twin._late, twin._whole = self._late, self._whole
        return twin

    # ---- looking ----

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one column, by its name."""
        found = self._whole.get(name)
        if found is None:
            late = np.array(self._values(name, self._late), dtype=_dtype(name))
            found = self._whole[name] = _frozen(np.concatenate((self._columns[name], late)))
        return found

    @staticmethod
    def _values(name: str, rows: list[BlockRow]) -> list[int]:
        return [row[_PLACES[name]] for row in rows]

    def records(self) -> Sequence[BlockRow]:
        """Return every row as plain integers; kept until a row changes."""
        known: tuple[list[BlockRow], list[BlockRow], list[BlockRow]] | None = self._known.get("records")
        if known is None or known[0] is not self._late:
            columns = [self._columns[name].tolist() for name in _PLACES] if known is None else []
            settled = list(zip(*columns, strict=True)) if known is None else known[1]
            known = self._known["records"] = self._late, settled, [*settled, *self._late]
        return known[2]

    def value(self, name: str, row: int) -> int:
        """Return what one row has in a column."""
        if row >= self._settled:
            return self._late[row - self._settled][_PLACES[name]]
        return int(self._columns[name][row])

    def listed(self, name: str, rows: slice) -> list[int]:
        """Return what some rows have in a column, as plain integers."""
        if rows.start >= self._settled:
            return self._values(name, self._late[rows.start - self._settled : rows.stop - self._settled])
        found: list[int] = self.column(name)[rows].tolist()
        return found

    def rows(self, first: int, last: int) -> slice:
        """Return the rows of the existing blocks with first <= id <= last."""
        low = self._place(first)
        return slice(low, low + self._is_at(low, first) if first == last else self._place(last + 1))

    def _place(self, block: int) -> int:
        """Return the row of the first block whose id is not below ``block``."""
        if self._late and block >= self._late[0][0]:
            return self._settled + bisect_left(self._late, (block,))
        return int(self._columns["id"].searchsorted(block))

    def row(self, block: int) -> int | None:
        """Return the row of one block, None if there is no such block."""
        low = self._place(block)
        return low if self._is_at(low, block) else None

    def _is_at(self, row: int, block: int) -> bool:
        """Return whether a row exists and is that of a block."""
        late = row - self._settled
        if late < 0:
            return int(self._columns["id"][row]) == block
        return late < len(self._late) and self._late[late][0] == block

    def ids_with(self, **values: int) -> list[int]:
        """Return the ids of the blocks that have some values, each in the column of its name, ascending."""
        asked = tuple(values.items())
        settled: list[int] | None = self._known.get(asked)
        if settled is None:
            rows = np.ones(self._settled, dtype=np.bool_)
            for name, value in asked:
                rows &= self._columns[name] == value
            settled = self._known[asked] = self._columns["id"][rows].tolist()
        late = self._late
        for name, value in asked:
            late = [row for row in late if row[_PLACES[name]] == value]
        return [*settled, *[row[0] for row in late]]

    def id_runs(self, chosen: npt.NDArray[np.bool_] | None = None) -> ExtentSet:
        """Return the ids of all blocks, or of the chosen ones, as a set; ``chosen`` has shape (n,)."""
        if chosen is not None:
            return _runs_of(self.id[chosen])
        known: ExtentSet | None = self._known.get("id")
        if known is None:
            known = self._known["id"] = _runs_of(self._columns["id"])
        return _with_late(known, [row[0] for row in self._late])

    def runs_with(self, name: str, value: int) -> ExtentSet:
        """Return the ids of the blocks that have a value in a column, as a set."""
        known: ExtentSet | None = self._known.get((name, value))
        if known is None:
            known = self._known[name, value] = _runs_of(self._columns["id"][self._columns[name] == value])
        place = _PLACES[name]
        return _with_late(known, [row[0] for row in self._late if row[place] == value])

    def tally(self, *names: str) -> dict[tuple[int, ...], int]:
        """Return how many blocks have the same values in some columns, by these values."""
        known: dict[tuple[int, ...], int] | None = self._known.get(names)
        if known is None:
            known = self._known[names] = _tally([self._columns[name] for name in names])
        found = known.copy()
        chosen = itemgetter(*(_PLACES[name] for name in names))
        for row in self._late:
            values = chosen(row) if len(names) > 1 else (chosen(row),)
            found[values] = found.get(values, 0) + 1
        return found

    def values(self, name: str) -> set[int]:
        """Return the values that a column has."""
        return {value for (value,) in self.tally(name)}

    def is_ascending(self) -> bool:
        """Return whether each id is above the one before it."""
        known: bool | None = self._known.get("ascending")
        ids = self._columns["id"]
        if known is None:
            known = self._known["ascending"] = bool((ids[1:] > ids[:-1]).all())
        late = [int(ids[-1]), *[row[0] for row in self._late]] if len(ids) else [row[0] for row in self._late]
        return known and all(low < high for low, high in pairwise(late))

    def common(self, name: str, rows: slice) -> int | None:
        """Return the value that all of some rows have in a column, None if they differ or there is no row."""
        if rows.stop - rows.start == 1:
            return self.value(name, rows.start)
        if rows.start < self._settled and rows.stop - rows.start > _FEW_ROWS:
            part = self.column(name)[rows]
            return int(part[0]) if (part == part[0]).all() else None
        values = self.listed(name, rows)
        return values[0] if values and values.count(values[0]) == len(values) else None

    def count(self, name: str, rows: slice, value: int) -> int:
        """Return how many of some rows have a value in a column."""
        if rows.start >= self._settled:
            return self.listed(name, rows).count(value)
        return int(np.count_nonzero(self.column(name)[rows] == value))

    def total(self, name: str, rows: slice) -> int:
        """Return the sum of a column over some rows."""
        if rows.stop - rows.start == 1:
            return self.value(name, rows.start)
        return sum(self.listed(name, rows)) if rows.start >= self._settled else int(self.column(name)[rows].sum())

    # ---- changing ----

    def insert(self, first: int, count: int, **values: int) -> None:
        """Add ``count`` blocks with ascending ids from ``first``, none of which exists.

        Args:
            values: columns that differ from a fresh offline block's.
        """
        new = {**_FRESH, **values}
        if len(new) != len(_FRESH):
            raise TypeError(f"blocks have no {', '.join(values.keys() - _FRESH.keys())}")
        at = self._place(first)
        if at == len(self) and self._settled and len(self._late) + count <= FEW:
            rest = tuple(map(int, new.values()))
            self._late = [*self._late, *((block, *rest) for block in range(first, first + count))]
            self._whole = {}
            return
        longer: dict[str, npt.NDArray[Any]] = {}
        for name, column in self:
            longer[name] = grown = np.empty(len(column) + count, dtype=column.dtype)
            grown[:at], grown[at + count :] = column[:at], column[at:]
            grown[at : at + count] = np.arange(first, first + count) if name == "id" else new[name]
        self._take(longer)

    def delete(self, rows: slice) -> None:
        """Take out some rows."""
        if rows.start >= self._settled:
            low, high = rows.start - self._settled, rows.stop - self._settled
            self._late = [*self._late[:low], *self._late[high:]]
            self._whole = {} if self._late else self._columns
            return
        last = rows.stop == len(self)
        self._take(
            {
                name: column[: rows.start] if last else np.concatenate((column[: rows.start], column[rows.stop :]))
                for name, column in self
            }
        )

    def set(self, rows: slice, **values: int | npt.NDArray[Any]) -> None:
        """Set columns of some rows, in fresh arrays."""
        if rows.start >= self._settled:
            self._set_late(rows, values)
            return
        if rows.stop > self._settled:
            self._take(dict(self))
        changed: dict[str, npt.NDArray[Any]] = {}
        for name, value in values.items():
            changed[name] = self._columns[name].copy()
            changed[name][rows] = value
            changed[name].setflags(write=False)
        self._columns, self._known = self._columns | changed, {}
        self._forget(values)

    def _set_late(self, rows: slice, values: dict[str, int | npt.NDArray[Any]]) -> None:
        late = self._late.copy()
        for number, at in enumerate(range(rows.start - self._settled, rows.stop - self._settled)):
            row = list(late[at])
            for name, value in values.items():
                row[_PLACES[name]] = int(value[number] if isinstance(value, np.ndarray) else value)
            late[at] = tuple(row)
        self._late = late
        self._forget(values)

    def _forget(self, names: Iterable[str]) -> None:
        """Forget the whole columns of some names, which have changed."""
        if self._late:
            self._whole = {name: column for name, column in self._whole.items() if name not in names}
        else:
            self._whole = self._columns

    def _take(self, columns: dict[str, npt.NDArray[Any]]) -> None:
        """Become a table of some columns; nobody writes into them any more, since copies share them."""
        for column in columns.values():
            column.setflags(write=False)
        self._columns = self._whole = columns
        self._known = {}
        self._settled, self._late = len(columns["id"]), []


def _runs_of(ids: npt.NDArray[np.int64]) -> ExtentSet:
    """Return ascending ids as a set."""
    if not len(ids):
        return ExtentSet()
    if int(ids[-1]) - int(ids[0]) + 1 == len(ids):
        return ExtentSet.of_few([int(ids[0])], [int(ids[-1]) + 1])
    cuts = np.flatnonzero(ids[1:] - ids[:-1] > 1)
    return ExtentSet.of_few([int(ids[0]), *ids[cuts + 1].tolist()], [*(ids[cuts] + 1).tolist(), int(ids[-1]) + 1])


def _with_late(settled: ExtentSet, ids: list[int]) -> ExtentSet:
    """Return some settled blocks and some late ones, which are ascending and lie behind them, as a set."""
    found = settled.copy()
    if ids and ids[-1] - ids[0] + 1 == len(ids):
        found.add(ids[0], ids[-1] + 1)
    elif ids:
        found.update(_runs_of(np.array(ids, dtype=np.int64)))
    return found


def _tally(columns: list[npt.NDArray[Any]]) -> dict[tuple[int, ...], int]:
    """Return how many rows have the same values, by these; neighbours are counted together."""
    found: dict[tuple[int, ...], int] = {}
    count = len(columns[0])
    if not count:
        return found
    changes = np.zeros(count - 1, dtype=np.bool_)
    for column in columns:
        changes |= column[1:] != column[:-1]
    cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), count]
    for (low, high), values in zip(
        pairwise(cuts), zip(*[column[cuts[:-1]].tolist() for column in columns], strict=True), strict=True
    ):
        found[values] = found.get(values, 0) + high - low
    return found


@cache
def _dtype(name: str) -> np.dtype[Any]:
    column: Column[Any] = getattr(BlockTable, name)
    return np.dtype(column.dtype)


def _frozen(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    column.setflags(write=False)
    return column
