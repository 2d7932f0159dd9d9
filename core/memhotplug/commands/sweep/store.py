"""The file that a sweep keeps: SQLite, one writer, rows in batches, readable while it is written.

A batch is there wholly or not at all, whatever is killed when. A file belongs to one question.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from memhotplug.commands.sweep.question import Question
from memhotplug.errors import InputError, Interruption

__all__ = ["Played", "Store", "StoreFullError", "open_store"]

_APPLICATION: Final = 0x6D687031  # "mhp1", the last byte for the layout
_SCHEMA: Final = """
BEGIN IMMEDIATE;
PRAGMA application_id = {application};
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cases (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, row TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps
(number INTEGER NOT NULL, place INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (number, place)) WITHOUT ROWID;
COMMIT;
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
        """Return the digests of the cases that are there, by number.

        Raises:
            InputError: the file is damaged; so it is with all that is read.
        """
        return dict(self._read("SELECT number, digest FROM cases"))

    def _read(self, query: str, *values: object) -> Iterator[Any]:
        """Yield the rows of a query."""
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.DatabaseError as problem:
            raise self._damaged(str(problem)) from problem

    def _damaged(self, got: str) -> InputError:
        return InputError("the results of a sweep", got=got, file=self.path)

    def _parsed(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as problem:
            raise self._damaged(f"a row that is no JSON ({problem})") from problem

    def add(self, batch: Sequence[Played]) -> None:
        """Keep what a batch of cases came to, all of it or nothing.

        Raises:
            StoreFullError: the disk is full, or the file cannot be written any more.
        """
        steps = [(played.number, place, row) for played in batch for place, row in enumerate(played.steps)]
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

    def meta(self, key: str) -> Any:
        """Return what is kept of the question, None if there is nothing."""
        found = next(self._read("SELECT value FROM meta WHERE key = ?", key), None)
        return None if found is None else self._parsed(found[0])

    def keys(self) -> list[str]:
        """Return the varied keys, as they were typed."""
        return [axis.partition("=")[0].strip() for axis in self.meta("shape")["vary"]]

    def set_meta(self, **values: object) -> None:
        """Keep something of the question, in a transaction."""
        for key, value in values.items():
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Return a block in which nobody else writes: of two questions on a new file, one comes second."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """Return a block in which what is read is what there is now, though a sweep goes on."""
        with self._connection:
            self._connection.execute("BEGIN")
            yield

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all cases, ascending by number."""
        for (row,) in self._read("SELECT row FROM cases ORDER BY number"):
            yield self._parsed(row)

    def step_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all steps, ascending by case."""
        for (row,) in self._read("SELECT row FROM steps ORDER BY number, place"):
            yield self._parsed(row)


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
        store = Store(path, _connected(path, makes=question is not None))
    except sqlite3.OperationalError as problem:
        raise InputError("a file that can be opened and written", got=str(problem), file=path) from problem
    except sqlite3.DatabaseError as problem:
        raise InputError("the results of a sweep", got=str(problem), file=path) from problem
    try:
        if question is not None:
            with store.locked():
                _check_question(store, question, redo=redo)
        elif store.meta("shape") is None:
            raise InputError("the results of a sweep", got="a file without any yet", file=path)
    except sqlite3.OperationalError as problem:
        store.close()
        raise InputError("a file that can be opened and written", got=str(problem), file=path) from problem
    except BaseException:
        store.close()
        raise
    return store


def _connected(path: str, *, makes: bool = True) -> sqlite3.Connection:
    connection = _opened(path, makes=makes)
    try:
        _begin(connection, path, makes=makes)
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(path: str, *, makes: bool) -> sqlite3.Connection:
    """Open a file; results are read where nothing can be written, too."""
    if makes:
        return sqlite3.connect(path, timeout=10)
    beside = any(os.path.exists(f"{path}{ending}") for ending in ("-wal", "-shm"))
    is_writable = os.access(path, os.W_OK) and os.access(os.path.dirname(path) or ".", os.W_OK)
    how = "mode=rw" if is_writable or beside else "mode=ro&immutable=1"
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?{how}", timeout=10, uri=True)


def _begin(connection: sqlite3.Connection, path: str, *, makes: bool) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    if tables and mark != _APPLICATION:
        other = mark >> 8 == _APPLICATION >> 8
        got = "those of another version of mhp, in another layout" if other else "a database of another program"
        raise InputError("the results of a sweep", got=got, file=path)
    if not makes:
        if not tables:
            raise InputError("the results of a sweep", got="an empty file", file=path)
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if tables < _SCHEMA.count("TABLE"):  # or a kill left some undone, before all of them came at once
        connection.executescript(_SCHEMA.replace("{application}", str(_APPLICATION)))


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
