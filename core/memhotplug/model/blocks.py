"""Memory block devices: one row a block, columns in NumPy arrays.

Models: drivers/base/memory.c:struct memory_block (include/linux/memory.h).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from memhotplug.model.extents import Array, ExtentSet

__all__ = ["NO_ZONE", "BlockState", "BlockTable", "OnlineType"]

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


_FRESH: dict[str, int] = {
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


_COLUMNS = ("id", *_FRESH)
_FEW_ROWS = 64  # up to which a list of values is faster than two passes of NumPy


class _Room:
    """Rows of one column, some of which no table has yet.

    Args:
        column: the first of them.

    Attributes:
        rows, read_only: all of them, for who appends and for tables.
        latest: those that the table with the most of them has; nobody writes into those any more.
    """

    __slots__ = ("capacity", "latest", "read_only", "rows")

    def __init__(self, column: npt.NDArray[Any], capacity: int) -> None:
        self.rows, self.capacity, self.latest = np.empty(capacity, dtype=column.dtype), capacity, column
        self.rows[: len(column)] = column
        self.read_only = self.rows.view()
        self.read_only.setflags(write=False)


class BlockTable:
    """All memory blocks, ascending by id.

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

    __slots__ = ("_room", "altmap_pages", "device", "early", "group", "id", "nid", "online_type", "state", "zone")

    def __init__(self) -> None:
        self._room: dict[str, _Room] = {}
        self.id: Array = np.empty(0, dtype=np.int64)
        self.state: npt.NDArray[np.int8] = np.empty(0, dtype=np.int8)
        self.nid: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self.zone: npt.NDArray[np.int8] = np.empty(0, dtype=np.int8)
        self.device: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self.early: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self.group: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self.altmap_pages: Array = np.empty(0, dtype=np.int64)
        self.online_type: npt.NDArray[np.int8] = np.empty(0, dtype=np.int8)
        for _, column in self:
            column.setflags(write=False)

    def __repr__(self) -> str:
        words = {word.label: int((self.state == word).sum()) for word in BlockState}
        counts = ", ".join(f"{count} {label}" for label, count in words.items() if count)
        return f"<BlockTable of {len(self)} blocks{f': {counts}' if counts else ''}>"

    def __len__(self) -> int:
        return len(self.id)

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield each column with its name."""
        for name in _COLUMNS:
            yield name, getattr(self, name)

    def copy(self) -> BlockTable:
        """Return an independent table that shares the columns."""
        twin = BlockTable.__new__(BlockTable)
        twin.id, twin.state, twin.nid, twin.zone = self.id, self.state, self.nid, self.zone
        twin.device, twin.early, twin.group = self.device, self.early, self.group
        twin.altmap_pages, twin.online_type = self.altmap_pages, self.online_type
        twin._room = self._room.copy()
        return twin

    def rows(self, first: int, last: int) -> slice:
        """Return the rows of the existing blocks with first <= id <= last."""
        low = int(self.id.searchsorted(first))
        if first == last:
            return slice(low, low + (low < len(self.id) and int(self.id[low]) == first))
        return slice(low, int(self.id.searchsorted(last + 1)))

    def row(self, block: int) -> int | None:
        """Return the row of one block, None if there is no such block."""
        found = self.rows(block, block)
        return found.start if found.stop > found.start else None

    def id_runs(self, chosen: npt.NDArray[np.bool_] | None = None) -> ExtentSet:
        """Return the ids of all blocks, or of the chosen ones, as a set; ``chosen`` has shape (n,)."""
        ids = self.id if chosen is None else self.id[chosen]
        if len(ids) and int(ids[-1]) - int(ids[0]) + 1 == len(ids):
            return ExtentSet.of_few([int(ids[0])], [int(ids[-1]) + 1])
        return ExtentSet(ids, ids + 1)

    def common(self, name: str, rows: slice) -> int | None:
        """Return the value that all of some rows have in a column, None if they differ or there is no row."""
        column: npt.NDArray[Any] = getattr(self, name)
        if rows.stop - rows.start == 1:
            return int(column[rows.start])
        part = column[rows]
        if len(part) > _FEW_ROWS:
            return int(part[0]) if (part == part[0]).all() else None
        values = part.tolist()
        return int(values[0]) if values and values.count(values[0]) == len(values) else None

    def total(self, name: str, rows: slice) -> int:
        """Return the sum of a column over some rows."""
        column: npt.NDArray[Any] = getattr(self, name)
        return int(column[rows.start]) if rows.stop - rows.start == 1 else int(column[rows].sum())

    def insert(self, first: int, count: int, **values: int) -> None:
        """Add ``count`` blocks with ascending ids from ``first``, none of which exists.

        Args:
            values: columns that differ from a fresh offline block's.
        """
        at = int(self.id.searchsorted(first))
        ids = first if count == 1 else np.arange(first, first + count, dtype=np.int64)
        new: dict[str, int | Array] = {"id": ids, **_FRESH, **values}
        if at == len(self.id):
            self._append(count, new)
            return
        for name, value in new.items():
            column = getattr(self, name)
            longer = np.empty(len(column) + count, dtype=column.dtype)
            longer[:at], longer[at : at + count], longer[at + count :] = column[:at], value, column[at:]
            self._keep(name, longer)

    def _append(self, count: int, values: dict[str, int | Array]) -> None:
        """Add rows behind the last, in place where nobody else has them.

        Copies share a column with the room behind it; the first that appends takes the room.
        """
        size, rooms = len(self.id), self._room
        end = size + count
        place = size if count == 1 else slice(size, end)  # one row is much cheaper than a slice of one
        for name, value in values.items():
            column, room = getattr(self, name), rooms.get(name)
            if room is None or room.latest is not column or end > room.capacity:
                room = rooms[name] = _Room(column, end + (end // 8 if size else 0))
            room.rows[place] = value
            room.latest = longer = room.read_only[:end]
            setattr(self, name, longer)

    def delete(self, rows: slice) -> None:
        """Take out some rows."""
        last = rows.stop == len(self.id)
        for name, column in self:
            rest = column[: rows.start] if last else np.concatenate((column[: rows.start], column[rows.stop :]))
            self._keep(name, rest)

    def set(self, rows: slice, **values: int | npt.NDArray[Any]) -> None:
        """Set columns of some rows, in fresh arrays."""
        for name, value in values.items():
            column = getattr(self, name).copy()
            column[rows] = value
            self._keep(name, column)

    def _keep(self, name: str, column: npt.NDArray[Any]) -> None:
        """Replace a column; nobody writes into it any more, since copies share it."""
        column.setflags(write=False)
        setattr(self, name, column)
