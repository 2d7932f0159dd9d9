"""The table of memory block devices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.model.blocks import NO_ZONE, BlockState, BlockTable, OnlineType


def test_a_fresh_block_is_offline_in_no_zone() -> None:
    """Everything that insert() is not told has the value of a block that was just hot-added."""
    table = BlockTable()
    table.insert(32, 2)

    assert table.id.tolist() == [32, 33]
    for name, value in {
        "state": BlockState.OFFLINE,
        "nid": 0,
        "zone": NO_ZONE,
        "device": -1,
        "early": False,
        "group": -1,
        "altmap_pages": 0,
        "online_type": OnlineType.ONLINE,
    }.items():
        assert getattr(table, name).tolist() == [value, value], name


def test_insert_keeps_ids_ascending_and_columns_together() -> None:
    """Blocks below and between others take their values along."""
    table = BlockTable()
    table.insert(10, 2, nid=1)
    table.insert(2, 1, nid=2)
    table.insert(5, 1, nid=3)

    assert table.id.tolist() == [2, 5, 10, 11]
    assert table.nid.tolist() == [2, 3, 1, 1]
    assert len(table) == 4


def test_rows_finds_existing_blocks_only() -> None:
    """rows() takes inclusive ids, row() a single one."""
    table = BlockTable()
    table.insert(10, 3)
    table.insert(20, 1)

    assert table.rows(0, 9) == slice(0, 0)
    assert table.rows(11, 20) == slice(1, 4)
    assert table.row(12) == 2
    assert table.row(13) is None
    assert table.row(99) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["insert", "delete", "set"]), st.integers(0, 20), st.integers(1, 4)), max_size=15
    )
)
def test_table_is_a_dict_from_id_to_node(steps: list[tuple[str, int, int]]) -> None:
    """Inserting, deleting and setting runs of blocks agree with a dict."""
    table, truth = BlockTable(), dict[int, int]()
    for number, (what, first, count) in enumerate(steps):
        ids = range(first, first + count)
        rows = table.rows(first, first + count - 1)
        if what == "insert" and not truth.keys() & set(ids):
            table.insert(first, count, nid=number)
            truth |= dict.fromkeys(ids, number)
        elif what == "delete":
            table.delete(rows)
            truth = {block: nid for block, nid in truth.items() if block not in ids}
        elif what == "set":
            table.set(rows, nid=number)
            truth |= {block: number for block in truth if block in ids}

    assert dict(zip(table.id.tolist(), table.nid.tolist(), strict=True)) == dict(sorted(truth.items()))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(("copy", "append", "delete", "set")), st.integers(1, 3)),
        max_size=20,
    )
)
def test_copies_that_grow_apart_never_see_each_other(steps: list[tuple[int, str, int]]) -> None:
    """Copies share columns and the room behind them; whatever one of them does, the others keep their rows."""
    tables: list[tuple[BlockTable, list[tuple[int, int]]]] = [(BlockTable(), [])]
    for number, (which, what, count) in enumerate(steps):
        table, truth = tables[which % len(tables)]
        if what == "copy":
            tables.append((table.copy(), truth.copy()))
        elif what == "append":
            first = truth[-1][0] + 1 if truth else 0
            table.insert(first, count, group=number)
            truth += [(block, number) for block in range(first, first + count)]
        elif what == "delete":
            table.delete(slice(max(len(truth) - count, 0), len(truth)))
            del truth[max(len(truth) - count, 0) :]
        elif truth:
            table.set(slice(0, 1), group=number)
            truth[0] = truth[0][0], number

        for other, expected in tables:
            assert list(zip(other.id.tolist(), other.group.tolist(), strict=True)) == expected
            assert not any(column.flags.writeable for _, column in other)


def test_ids_of_chosen_blocks_are_a_set() -> None:
    """All of them, or those of a mask."""
    table = BlockTable()
    table.insert(2, 3, nid=1)
    table.insert(8, 2)

    assert list(table.id_runs()) == [(2, 5), (8, 10)]
    assert list(table.id_runs(table.nid == 1)) == [(2, 5)]
    assert list(table.id_runs(table.nid == 7)) == []


def test_what_rows_have_in_common() -> None:
    """One value, None if they differ; and the sum."""
    table = BlockTable()
    table.insert(0, 3, altmap_pages=5)
    table.insert(3, 1, altmap_pages=7)

    assert [table.common("altmap_pages", slice(*bounds)) for bounds in ((0, 3), (2, 4), (3, 4), (1, 1))] == [
        5,
        None,
        7,
        None,
    ]
    assert [table.total("altmap_pages", slice(*bounds)) for bounds in ((0, 4), (3, 4), (1, 1))] == [22, 7, 0]


def test_a_copy_does_not_follow() -> None:
    """Columns are shared, but replaced whenever they change."""
    table = BlockTable()
    table.insert(0, 4)
    twin = table.copy()

    twin.set(slice(0, 2), state=BlockState.ONLINE, zone=np.array([2, 3]))
    twin.delete(slice(3, 4))
    twin.insert(9, 1)

    assert table.state.tolist() == [BlockState.OFFLINE] * 4
    assert table.id.tolist() == [0, 1, 2, 3]
    assert twin.zone.tolist() == [2, 3, NO_ZONE, NO_ZONE]


@pytest.mark.parametrize(
    ("value", "label"),
    [(BlockState.ONLINE, "online"), (BlockState.GOING_OFFLINE, "going-offline"), (BlockState.OFFLINE, "offline")],
)
def test_block_state_labels_are_what_state_reads(value: BlockState, label: str) -> None:
    """With a dash in going-offline."""
    assert value.label == label


def test_online_type_labels_are_what_state_takes() -> None:
    """In the order of the kernel's numbers."""
    assert [kind.label for kind in OnlineType] == ["offline", "online", "online_kernel", "online_movable"]
