"""What a sweep's results come to: the best, the worst, groups, flips, and the same as text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.sweep.store import Played, Store, StoreFullError, open_store
from memhotplug.commands.sweep.summary import summary, summary_lines
from memhotplug.errors import InputError

_MIB = 1 << 20
Results = Callable[..., Store]


def case(number: int, size: str, driver: str, value: object, errno: str | None = None) -> dict[str, Any]:
    """Return the row of a case of two varied keys."""
    outcome = "ok" if errno is None else "failed"
    row = {"case": number, "size": size, "driver": driver, "outcome": outcome, "errno": errno}
    return row | ({} if value is None else {"memmap_bytes": value})


_ROWS = [
    case(0, "1G", "acpi", 16 * _MIB),
    case(1, "1G", "dax", 8 * _MIB),
    case(2, "2G", "acpi", 32 * _MIB),
    case(3, "2G", "dax", None, "ENOMEM"),
    case(4, "4G", "acpi", None, "ENOMEM"),
    case(5, "4G", "dax", None, "EINVAL"),
]

_VARY = ("size = 1G,2G", "driver=acpi,dax")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return a function that makes a results file of some rows."""

    def make(
        rows: Sequence[dict[str, Any]] = _ROWS, vary: Sequence[str] = ("size = 1G,2G", "driver=acpi,dax")
    ) -> Store:
        store = open_store_of(tmp_path / "r.sqlite")
        store.set_meta(shape={"vary": list(vary)})
        store.add([Played(row["case"], f"d{row['case']}", json.dumps(row), ()) for row in rows])
        return store

    return make


def open_store_of(path: Path) -> Store:
    """Return a new results file."""
    from memhotplug.commands.sweep import store

    return Store(str(path), store._connected(str(path)))


def test_the_best_and_the_worst_are_by_the_measure(results: Results) -> None:
    """Cases without it are in neither; the number decides where the measure does not."""
    with results() as store:
        found = summary(store)
    assert [(entry["case"], entry["value"]) for entry in found["best"]] == [
        (1, 8 * _MIB),
        (0, 16 * _MIB),
        (2, 32 * _MIB),
    ]
    assert [entry["case"] for entry in found["worst"]] == [2, 0, 1]
    assert found["best"][0] == {
        "case": 1,
        "values": {"size": "1G", "driver": "dax"},
        "outcome": "ok",
        "value": 8 * _MIB,
    }
    assert (found["schema"], found["measure"], found["keys"]) == (1, "memmap_bytes", ["size", "driver"])


@pytest.mark.parametrize(("count", "shown"), [(5, 5), (6, 5), (4, 4)])
def test_five_of_each_are_shown(results: Results, count: int, shown: int) -> None:
    """Of those that are equal the first cases are the best, the last the worst."""
    with results([case(number, "1G", "acpi", 1) for number in range(count)]) as store:
        found = summary(store)
    assert [entry["case"] for entry in found["best"]] == list(range(shown))
    assert [entry["case"] for entry in found["worst"]] == list(range(count))[::-1][:shown]


def test_outcomes_and_errnos_are_counted_by_name(results: Results) -> None:
    """Ascending; what did not fail has no errno."""
    with results() as store:
        found = summary(store)
    assert (found["cases"], found["outcomes"], found["errnos"]) == (
        6,
        {"failed": 3, "ok": 3},
        {"EINVAL": 1, "ENOMEM": 2},
    )
    assert list(found["errnos"]) == ["EINVAL", "ENOMEM"]


def test_groups_are_by_the_first_key_unless_said(results: Results) -> None:
    """One for each combination of values, in the order of the cases; the median is the upper of two."""
    with results() as store:
        by_size, by_driver = summary(store), summary(store, group_by=["driver"])
        both = summary(store, group_by=["driver", "size"])
    assert by_size["group_by"] == ["size"]
    assert by_size["groups"] == [
        {"values": {"size": "1G"}, "cases": 2, "ok": 2, "refused": 0, "errnos": {}, "least": 8 * _MIB,
         "median": 16 * _MIB, "most": 16 * _MIB},
        {"values": {"size": "2G"}, "cases": 2, "ok": 1, "refused": 0, "errnos": {"ENOMEM": 1}, "least": 32 * _MIB,
         "median": 32 * _MIB, "most": 32 * _MIB},
        {"values": {"size": "4G"}, "cases": 2, "ok": 0, "refused": 0, "errnos": {"EINVAL": 1, "ENOMEM": 1},
         "least": None, "median": None, "most": None},
    ]  # fmt: skip
    assert [(group["values"], group["least"], group["most"]) for group in by_driver["groups"]] == [
        ({"driver": "acpi"}, 16 * _MIB, 32 * _MIB),
        ({"driver": "dax"}, 8 * _MIB, 8 * _MIB),
    ]
    assert len(both["groups"]) == 6
    assert both["groups"][0]["values"] == {"driver": "acpi", "size": "1G"}


def test_an_outcome_flips_from_one_value_to_the_next(results: Results) -> None:
    """All other keys being equal; another errno is another outcome."""
    with results() as store:
        flips = summary(store)["flips"]
    assert flips == [
        {"key": "size", "from": "1G", "to": "2G", "outcomes": ["ok", "ENOMEM"], "values": {"driver": "dax"}},
        {"key": "size", "from": "2G", "to": "4G", "outcomes": ["ok", "ENOMEM"], "values": {"driver": "acpi"}},
        {"key": "size", "from": "2G", "to": "4G", "outcomes": ["ENOMEM", "EINVAL"], "values": {"driver": "dax"}},
        {"key": "driver", "from": "acpi", "to": "dax", "outcomes": ["ok", "ENOMEM"], "values": {"size": "2G"}},
        {"key": "driver", "from": "acpi", "to": "dax", "outcomes": ["ENOMEM", "EINVAL"], "values": {"size": "4G"}},
    ]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"measure": "memmap_byte"},
            "--measure: got memmap_byte, expected a measure that the results have; did you mean 'memmap_bytes'?",
        ),
        ({"measure": "outcome"}, "--measure: got outcome, expected a measure that the results have"),
        (
            {"group_by": ["sizes"]},
            "--group-by: got sizes, expected a varied key: size, driver; did you mean 'size'?",
        ),
        ({"group_by": ["case"]}, "--group-by: got case, expected a varied key: size, driver"),
    ],
)
def test_what_the_results_do_not_have_is_refused(results: Results, keywords: dict[str, Any], message: str) -> None:
    """With the nearest name; text is no measure."""
    with results() as store, pytest.raises(InputError) as caught:
        summary(store, **keywords)
    assert str(caught.value).startswith(message)


def test_a_file_without_cases_has_nothing_to_measure(results: Results) -> None:
    """Whatever was asked for; it is no error, as a sweep may have only begun."""
    with results([]) as store:
        found = summary(store, measure="nonsense")
    assert (found["cases"], found["best"], found["worst"], found["groups"], found["flips"]) == (0, [], [], [], [])
    assert list(summary_lines(found))[-1] == "0 cases: "


def test_booleans_are_no_numbers(results: Results) -> None:
    """They are in no order worth a list."""
    with results([case(0, "1G", "acpi", True), case(1, "1G", "acpi", 1.5)]) as store:
        assert [entry["value"] for entry in summary(store)["best"]] == [1.5]


def test_people_read_sizes_shares_and_flips(results: Results) -> None:
    """Tables first, what flips then, and what all came to in the last line."""
    with results() as store:
        lines = [line.rstrip() for line in summary_lines(summary(store))]
    assert [line.split() for line in lines[:16]] == [
        ["best", "by", "memmap_bytes"],
        ["CASE", "size", "driver", "OUTCOME", "memmap_bytes"],
        ["1", "1G", "dax", "ok", "8M"],
        ["0", "1G", "acpi", "ok", "16M"],
        ["2", "2G", "acpi", "ok", "32M"],
        [],
        ["worst", "by", "memmap_bytes"],
        ["CASE", "size", "driver", "OUTCOME", "memmap_bytes"],
        ["2", "2G", "acpi", "ok", "32M"],
        ["0", "1G", "acpi", "ok", "16M"],
        ["1", "1G", "dax", "ok", "8M"],
        [],
        ["size", "CASES", "OK", "LEAST", "MEDIAN", "MOST", "FAILED"],
        ["1G", "2", "100%", "8M", "16M", "16M", "-"],
        ["2G", "2", "50%", "32M", "32M", "32M", "ENOMEM", "1"],
        ["4G", "2", "0%", "-", "-", "-", "EINVAL", "1,", "ENOMEM", "1"],
    ]
    assert lines[16:] == [
        "",
        "where it flips",
        "  size: 1G ok, 2G ENOMEM  with driver=dax",
        "  size: 2G ok, 4G ENOMEM  with driver=acpi",
        "  size: 2G ENOMEM, 4G EINVAL  with driver=dax",
        "  driver: acpi ok, dax ENOMEM  with size=2G",
        "  driver: acpi ENOMEM, dax EINVAL  with size=4G",
        "",
        "6 cases: 3 failed, 3 ok, EINVAL 1, ENOMEM 2",
    ]


def test_cases_that_could_not_be_stand_behind_what_failed(results: Results) -> None:
    """They have no errno, and would be missing from what adds up to all cases."""
    rows = [case(0, "1G", "acpi", 1), case(1, "1G", "dax", 1, "EBUSY"), case(2, "1G", "xen", None)]
    rows[2]["outcome"] = "refused"
    with results(rows) as store:
        found = summary(store)
    assert (found["groups"][0]["refused"], found["groups"][0]["ok"]) == (1, 1)
    assert [line.split(maxsplit=6) for line in summary_lines(found) if line.startswith("1G")] == [
        ["1G", "3", "33%", "1B", "1B", "1B", "EBUSY 1, refused 1"],
    ]


def test_of_many_flips_twelve_are_listed(results: Results) -> None:
    """And how many more there are; with one key nothing stands beside them."""
    rows = [case(number, f"{number}G", "acpi", 1, "ENOMEM" if number % 2 else None) for number in range(15)]
    with results(rows, vary=["size=..."]) as store:
        lines = list(summary_lines(summary(store)))
    at = lines.index("where it flips")
    assert lines[at + 1] == "  size: 0G ok, 1G ENOMEM"
    assert lines[at + 12 : at + 14] == ["  size: 11G ENOMEM, 12G ok", "  and 2 more"]


# ---- the file ----


def test_a_batch_is_there_wholly_or_not_at_all(results: Results) -> None:
    """A step that is twice in it makes the file refuse all of it; what was there stays."""
    with results() as store:
        bad = Played(9, "d9", "{}", ('{"step": 0}',))
        store._connection.execute("CREATE TRIGGER no BEFORE INSERT ON steps BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(StoreFullError, match="full"):
            store.add([Played(8, "d8", "{}", ()), bad])
        assert store.done() == {number: f"d{number}" for number in range(6)}


def test_a_case_that_is_played_again_replaces_itself(results: Results) -> None:
    """Its steps, too: none of the old ones is left."""
    with results() as store:
        store.add([Played(1, "new", '{"case": 1}', ('{"a": 0}', '{"a": 1}'))])
        store.add([Played(1, "newer", '{"case": 1, "x": 2}', ('{"b": 0}',))])
        assert store.done()[1] == "newer"
        assert [row for row in store.rows() if row["case"] == 1] == [{"case": 1, "x": 2}]
        assert list(store.step_rows()) == [{"b": 0}]


def test_rows_come_by_number_and_steps_by_case_and_place(results: Results) -> None:
    """In whatever order they were played."""
    with results([]) as store:
        for number in (3, 1, 2):
            steps = tuple(json.dumps({"at": [number, place]}) for place in range(2))
            store.add([Played(number, "", json.dumps({"case": number}), steps)])
        assert [row["case"] for row in store.rows()] == [1, 2, 3]
        assert [row["at"] for row in store.step_rows()] == [[1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 1]]


def test_what_is_kept_of_the_question_reads_back(results: Results) -> None:
    """As JSON has it; nothing where nothing was kept."""
    with results() as store:
        store.set_meta(version="1", shape={"vary": ["b=1"]})
        assert (store.meta("version"), store.meta("shape"), store.meta("x")) == ("1", {"vary": ["b=1"]}, None)


@pytest.mark.parametrize(
    ("make", "got", "expected"),
    [
        (lambda path: None, "no such file", "the results of a sweep"),
        (lambda path: path.mkdir(), "no such file", "the results of a sweep"),
        (lambda path: path.write_bytes(b"x" * 4096), "file is not a database", "the results of a sweep"),
        (
            lambda path: sqlite3.connect(path).execute("CREATE TABLE x (y)").connection.close(),
            "a database of another program",
            "the results of a sweep",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, make: Callable[[Path], object], got: str, expected: str
) -> None:
    """And left as it is."""
    path = tmp_path / "other"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as caught:
        open_store(str(path))
    assert str(caught.value) == f"{path}: got {got}, expected {expected}"
    assert (path.read_bytes() if path.is_file() else None) == before


def test_no_path_is_no_file() -> None:
    """As an empty option gives it."""
    with pytest.raises(InputError, match="got nothing, expected a path for the results"):
        open_store("")
