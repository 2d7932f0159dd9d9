"""The file that a sweep keeps: damaged, half made, read by others, and where nothing can be written."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from tests.unit.commands.sweep.conftest import asked, exported, rows, run

from memhotplug import InputError
from memhotplug.commands.sweep.store import Store, open_store
from memhotplug.commands.sweep.workers import Seat


@pytest.mark.parametrize(
    ("damage", "got"),
    [
        ("UPDATE cases SET row = '{'", "a row that is no JSON (Expecting property name enclosed in double quotes: "),
        ("UPDATE meta SET value = '{'", "a row that is no JSON (Expecting property name enclosed in double quotes: "),
        ("DROP TABLE cases", "no such table: cases"),
        ("DELETE FROM meta", "a file without any yet"),
        ("PRAGMA application_id = 0x6D687039", "those of another version of mhp, in another layout"),
    ],
)
def test_a_damaged_file_is_named(damage: str, got: str, results: Path) -> None:
    """Whatever is wrong with it, by whoever reads it."""
    with sqlite3.connect(results) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(InputError) as caught:
        exported(results)
    assert f"{results}: got {got}" in str(caught.value)
    assert str(caught.value).endswith(", expected the results of a sweep")


def test_pages_that_are_lost_are_named(results: Path) -> None:
    """As a file looks that was copied in parts."""
    data = bytearray(results.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    results.write_bytes(data)
    with pytest.raises(InputError, match="got database disk image is malformed, expected the results of a sweep"):
        exported(results)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    """An empty file is no results, and stays empty."""
    path = tmp_path / "r.sqlite"
    path.touch()
    with pytest.raises(InputError) as caught:
        open_store(str(path))
    assert str(caught.value) == f"{path}: got an empty file, expected the results of a sweep"
    assert path.read_bytes() == b""


def test_a_file_of_which_a_part_was_made_is_made_whole(tmp_path: Path) -> None:
    """As a kill in the first moment may have left it."""
    path = tmp_path / "r.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 0x6D687031")
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    connection.close()
    assert run(asked(), path).played == 6


def test_of_two_questions_on_a_new_file_one_is_second(tmp_path: Path) -> None:
    """It waits for the other, and is refused."""
    path = str(tmp_path / "r.sqlite")
    with ThreadPoolExecutor(1) as other, open_store(path, asked()) as store, store.locked():
        later = other.submit(open_store, path, asked(vary=("steps.0.add.size=1G",)))
        assert not wait([later], timeout=0.05).done
    with pytest.raises(InputError, match="got another question"):
        later.result()


def test_results_are_read_where_nothing_can_be_written(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the file nor one beside it."""
    whole = exported(results)
    monkeypatch.setattr("memhotplug.commands.sweep.store.os.access", lambda _path, _mode: False)
    with open_store(str(results)) as store:
        assert len(list(store.rows())) == 6
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store.set_meta(version="x")
    assert exported(results) == whole


def test_a_store_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """As WAL allows."""
    path = tmp_path / "r.sqlite"
    with open_store(str(path), asked()) as store, Seat(asked()) as seat:
        store.add(seat.play([0]))
        assert isinstance(store, Store)
        assert [row["case"] for row in rows(path)] == [0]
