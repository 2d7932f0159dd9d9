"""The file that a sweep keeps: SQLite, one writer, rows in batches, readable while it is written.

A batch is there wholly or not at all, whatever is killed when. A file belongs to one question.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from memhotplug.commands.sweep.question import Question
from memhotplug.errors import InputError, Interruption

__all__ = ["Played", "Store", "StoreFullError", "open_store"]

_APPLICATION: Final = 0x6D687031  # "mhp1"
_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cases (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, row TEXT NOT NULL);
CREATE TABLE steps (number INTEGER NOT NULL, place INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (number, place))
WITHOUT ROWID;
"""


class StoreFullError(Interruption):
    """The file cannot take any more; what was committed stays."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Played:
    """One case that was played: its number, its digest, its row and the rows of its steps as JSON."""

    number: int
    digest: str
    row: str
    steps: tuple[str, ...]


class Store:
    """An open results file."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def done(self) -> dict[int, str]:
        """Return the digests of the cases that are there, by number."""
        return dict(self._connection.execute("SELECT number, digest FROM cases"))

    def add(self, batch: Sequence[Played]) -> None:
        """Keep what a batch of cases came to, all of it or nothing.

        Raises:
            StoreFullError: the disk is full, or the file cannot be written any more.
        """
        steps = [
            (played.number, place, row) for played in batch for place, row in enumerate(played.steps)
        ]  # fmt: skip
        try:
            with self._connection:
                self._connection.executemany(
                    "DELETE FROM steps WHERE number = ?", [(played.number,) for played in batch]
                )
                self._connection.executemany(
                    "INSERT OR REPLACE INTO cases VALUES (?, ?, ?)",
                    [(played.number, played.digest, played.row) for played in batch],
                )
                self._connection.executemany("INSERT INTO steps VALUES (?, ?, ?)", steps)
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as problem:
            raise StoreFullError(str(problem)) from problem

    def forget(self, numbers: Iterable[int]) -> None:
        """Take out cases that were played by another version."""
        with self._connection:
            self._connection.executemany("DELETE FROM cases WHERE number = ?", [(number,) for number in numbers])

    def meta(self, key: str) -> Any:
        """Return what is kept of the question, None if there is nothing."""
        found = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set_meta(self, **values: object) -> None:
        """Keep something of the question."""
        with self._connection:
            for key, value in values.items():
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all cases, ascending by number."""
        for (row,) in self._connection.execute("SELECT row FROM cases ORDER BY number"):
            yield json.loads(row)

    def step_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all steps, ascending by case."""
        for (row,) in self._connection.execute("SELECT row FROM steps ORDER BY number, place"):
            yield json.loads(row)


def open_store(path: str, question: Question | None = None, *, redo: bool = False) -> Store:
    """Open a results file; with a question, make it or go on with it.

    Args:
        redo: play what another version of this program played again, instead of refusing it.

    Raises:
        InputError: it is no results file, belongs to another question or version, or cannot be made.
    """
    if not path:
        raise InputError("a path for the results", got="nothing")
    if question is None and not Path(path).is_file():
        raise InputError("the results of a sweep", got="no such file", file=path)
    try:
        store = Store(path, _connected(path))
    except sqlite3.OperationalError as problem:
        raise InputError("a file that can be opened and written", got=str(problem), file=path) from problem
    except sqlite3.DatabaseError as problem:
        raise InputError("the results of a sweep", got=str(problem), file=path) from problem
    try:
        if question is not None:
            _check_question(store, question, redo=redo)
    except BaseException:
        store.close()
        raise
    return store


def _connected(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10)
    try:
        _begin(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: sqlite3.Connection, path: str) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    if tables and mark != _APPLICATION:
        raise InputError("the results of a sweep", got="a database of another program", file=path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.executescript(_SCHEMA)


def _check_question(store: Store, question: Question, *, redo: bool) -> None:
    asked = {"identity": question.identity, "shape": question.shape}
    known = {key: store.meta(key) for key in asked}
    if known["identity"] is None:
        store.set_meta(**asked, version=question.version, file=question.file)
        return
    different = [_WORDS[key] for key, value in asked.items() if json.loads(json.dumps(value)) != known[key]]
    if different:
        expected = f"the same question as before, or another file: {' and '.join(different)} differ"
        raise InputError(expected, got="another question", file=store.path)
    version = store.meta("version")
    if version == question.version:
        return
    if not redo:
        expected = f"results of version {question.version}; --redo plays the {len(store.done())} cases again"
        raise InputError(expected, got=f"results of version {version}", file=store.path)
    store.set_meta(version=question.version)


_WORDS: Final = {"identity": "the scenario, its plugins, its snapshot or its trace", "shape": "the values"}
