"""The table of memory block devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.few import few_is

from memhotplug.model.blocks import NO_ZONE, BlockState, BlockTable, OnlineType
from memhotplug.model.extents import ExtentSet
from memhotplug.model.runs import FEW


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


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(BlockState),
        "nid": st.integers(0, 2),
        "zone": st.integers(-1, 3),
        "device": st.integers(-1, 2),
        "early": st.integers(0, 1),
        "altmap_pages": st.sampled_from((0, 512)),
        "online_type": st.sampled_from(OnlineType),
    },
)
_STEPS = st.tuples(
    st.integers(0, 3),
    st.sampled_from(("copy", "copy", "append", "insert", "delete", "set", "set", "look")),
    st.integers(0, 12),
    st.integers(1, 4),
    _VALUES,
)


@given(st.lists(_STEPS, min_size=3, max_size=25))
def test_rows_and_columns_are_one_table(steps: list[tuple[int, str, int, int, dict[str, int]]]) -> None:
    """Late rows that are kept as integers and columns only: whatever happens to copies, both answer alike.

    No copy sees what another one does, and whatever anybody has looked at before is still as it was.
    """
    pairs = [(BlockTable(), BlockTable())]
    for table, limit in zip(pairs[0], (FEW, 0), strict=True):
        with few_is(limit):
            table.insert(0, 3)
            table.insert(4, 5, device=1)
    looked: list[tuple[npt.NDArray[Any], list[int]]] = []
    for which, what, first, count, values in steps:
        late, settled = pairs[which % len(pairs)]
        if what == "copy":
            pairs.append((late.copy(), settled.copy()))
        elif what == "look":
            looked += [(column, column.tolist()) for table in (late, settled) for _, column in table]
        else:
            _change(late, what, first, count, values)
            with few_is(0):
                _change(settled, what, first, count, values)
        for one, other in pairs:
            _same_tables(one, other)
    for column, before in looked:
        assert column.tolist() == before
        assert not column.flags.writeable


def _change(table: BlockTable, what: str, first: int, count: int, values: dict[str, int]) -> None:
    if what == "append":
        first = table.value("id", len(table) - 1) + 1 + first // 10 if len(table) else first
    rows = table.rows(first, first + count - 1)
    if what == "delete":
        table.delete(rows)
    elif what == "set":
        table.set(rows, **values, group=np.arange(rows.stop - rows.start))
    elif rows.start == rows.stop:
        table.insert(first, count, **values)


def _same_tables(one: BlockTable, other: BlockTable) -> None:
    count = len(one)
    assert count == len(other)
    for bounds in {(0, count), (count // 2, count), (max(count - 2, 0), count), (0, count // 2)}:
        rows = slice(*bounds)
        for name in ("id", "state", "nid", "early", "altmap_pages"):
            assert one.common(name, rows) == other.common(name, rows)
            assert one.listed(name, rows) == other.listed(name, rows) == one.column(name)[rows].tolist()
            assert one.total(name, rows) == other.total(name, rows)
            assert one.count(name, rows, 4) == other.count(name, rows, 4)
    assert one.ids_with(device=1) == other.ids_with(device=1)
    held = [block for block, state, nid, *_ in one.records() if (state, nid) == (4, 0)]
    assert one.ids_with(state=4, nid=0) == other.ids_with(state=4, nid=0) == held
    for block in range(0, 30, 3):
        assert one.row(block) == other.row(block)
        assert one.rows(block, block) == other.rows(block, block)
        assert one.rows(block, block + 5) == other.rows(block, block + 5)
    for (name, column), (_, same) in zip(one, other, strict=True):
        assert column.tolist() == same.tolist() == [one.value(name, row) for row in range(count)], name
        assert column.dtype == same.dtype, name


def test_many_late_rows_become_columns() -> None:
    """One by one, and more at once than are kept as rows."""
    table, whole = BlockTable(), BlockTable()
    table.insert(0, 2, nid=1)
    for block in range(2, 200):
        table.insert(block, 1, device=block, nid=block % 3)
        if block % 7 == 0:
            table.set(slice(block - 1, block + 1), state=BlockState.ONLINE)
    whole.insert(0, 2, nid=1)
    whole.insert(2, 198)
    states = [
        BlockState.ONLINE if block % 7 in (0, 6) and 2 <= block < 199 else BlockState.OFFLINE for block in range(200)
    ]
    whole.set(slice(2, 200), device=np.arange(2, 200), nid=np.arange(2, 200) % 3)
    whole.set(slice(0, 200), state=np.array(states))

    _same_tables(table, whole)


def test_a_column_that_no_block_has_is_refused() -> None:
    """By name, and nothing is added."""
    table = BlockTable()

    with pytest.raises(TypeError, match=r"^blocks have no colour$"):
        table.insert(0, 1, colour=3)

    assert len(table) == 0


def test_ids_of_chosen_blocks_are_a_set() -> None:
    """All of them, or those of a mask."""
    table = BlockTable()
    table.insert(2, 3, nid=1)
    table.insert(8, 2)

    assert list(table.id_runs()) == [(2, 5), (8, 10)]
    assert list(table.id_runs(table.nid == 1)) == [(2, 5)]
    assert list(table.id_runs(table.nid == 7)) == []


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_runs_of_ids_are_those_of_a_set(ids: set[int], chosen: set[int]) -> None:
    """Whatever is missing between them."""
    table = BlockTable()
    for block in sorted(ids):
        table.insert(block, 1)

    assert list(table.id_runs()) == list(ExtentSet.of(*[(block, block + 1) for block in ids]))
    mask = np.array([block in chosen for block in sorted(ids)], dtype=np.bool_)
    assert list(table.id_runs(mask)) == list(ExtentSet.of(*[(block, block + 1) for block in ids & chosen]))


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


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "state", "nid", "early", "copy"]), st.integers(0, 40), st.integers(1, 6)
    ),
    max_size=20,
)


@given(_CHANGES)
def test_what_is_asked_of_a_table_is_what_its_columns_say(changes: list[tuple[str, int, int]]) -> None:
    """Whatever was known of it, or of its copies, before it changed."""
    table = BlockTable()
    table.insert(0, 4, state=BlockState.ONLINE, early=1)
    for change, at, count in changes:
        if change == "insert":
            if not any(table.row(block) is not None for block in range(at, at + count)):
                table.insert(at, count, nid=at % 3)
        elif change == "copy":
            table = table.copy()
        elif change == "delete":
            table.delete(slice(min(at, len(table)), min(at + count, len(table))))
        else:
            rows = slice(min(at, len(table)), min(at + count, len(table)))
            table.set(rows, **{change: count % 2 + (change == "state")})
        _answers_are_right(table)


def _answers_are_right(table: BlockTable) -> None:
    columns = {name: column.tolist() for name, column in table}
    for name, value in (("state", 1), ("state", 4), ("nid", 0), ("early", 1), ("altmap_pages", 0)):
        ids = [block for block, held in zip(columns["id"], columns[name], strict=True) if held == value]
        assert table.runs_with(name, value) == ExtentSet.of(*[(block, block + 1) for block in ids])
    assert table.id_runs() == ExtentSet.of(*[(block, block + 1) for block in columns["id"]])
    for names in (("nid",), ("early", "state"), ("state", "nid", "early")):
        rows = list(zip(*[columns[name] for name in names], strict=True))
        assert table.tally(*names) == {row: rows.count(row) for row in rows}
    assert table.records() == list(zip(*columns.values(), strict=True))
    assert table.values("nid") == set(columns["nid"])
    assert table.is_ascending()


def test_ids_out_of_order_are_found() -> None:
    """Among settled rows, among late ones, and between the two."""
    for ids in ([3, 3], [4, 2]):
        table = BlockTable()
        table.insert(0, 2)
        table.set(slice(0, 2), id=np.array(ids))
        assert not table.is_ascending()
    table = BlockTable()
    table.insert(0, 2)
    table.insert(5, 2)
    table.set(slice(2, 3), id=1)
    assert not table.is_ascending()
