"""Columns of the table of blocks: whole, typed, and nobody's to write to."""

from __future__ import annotations

import pytest

from memhotplug.model.block_columns import Column
from memhotplug.model.blocks import BlockTable


def test_a_column_has_all_rows_in_its_type() -> None:
    """Those that are kept as plain integers, too."""
    table = BlockTable()
    table.insert(8, 3, nid=1)
    table.insert(11, 1, nid=2)

    assert table.nid.tolist() == [1, 1, 1, 2]
    assert [str(column.dtype) for column in (table.id, table.nid, table.early)] == ["int64", "int32", "bool"]


def test_a_column_is_read_only_and_stays_what_it_was() -> None:
    """A change of the table replaces it."""
    table = BlockTable()
    table.insert(8, 2)
    before = table.nid
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 5
    table.set(slice(0, 1), nid=3)

    assert (before.tolist(), table.nid.tolist()) == ([0, 0], [3, 0])


def test_a_column_of_the_class_says_its_type() -> None:
    """Before there is a table."""
    assert isinstance(BlockTable.nid, Column)
    assert (BlockTable.nid.name, BlockTable.nid.dtype) == ("nid", "int32")
