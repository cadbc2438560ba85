"""The SQLite store that is to be moved: one state of it, read from the first row to the last, and not a byte of it changed."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from webapp.database import sqlite
from webapp.database.catalogue import KINDS, LARGEST, Column, Table, odd_objects, our_tables, tables_of
from webapp.database.copies import CopyFailed
from webapp.database.migrations import VERSIONS_SQL, newest
from webapp.database.row_hash import RowHash
from webapp.setting_values import shown

T = TypeVar("T")

CHUNK = 2000
"""Rows that are read, hashed and sent in one go: a few megabytes at the most usual sizes."""

_MOST_NAMED = 3


class Source:
    """An open store that nobody else has open. Made by `opened`; all of it blocks, and any thread may call it, one at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, tables: Mapping[str, Table]) -> None:
        self.path = path
        self.tables = tables
        """All tables, each after those that it refers to."""
        self._connection = connection
        self._reading = threading.Lock()
        self._before = _looks(path)

    def count(self, table: Table) -> int:
        """How many rows the table has, counted in the table itself and in none of its indices. Raises CopyFailed."""
        return int(self._do(lambda raw: raw.execute(f"SELECT count(*) FROM {table.name} NOT INDEXED").fetchone()[0]))

    def begin(self, table: Table) -> sqlite3.Cursor:
        """Begin to read a table, in the order of its primary key. Raises CopyFailed."""
        return self._do(lambda raw: raw.execute(table.select))

    def read(self, cursor: sqlite3.Cursor, digest: RowHash) -> list[tuple[Any, ...]]:
        """The next rows, which are hashed; none at the end. Raises CopyFailed, and TypeError or ValueError for a row that does not fit."""
        rows: list[tuple[Any, ...]] = self._do(lambda raw: cursor.fetchmany(CHUNK))
        digest.add(rows)
        return rows

    def unfit(self, table: Table) -> str:
        """A sentence about the first row of the table that PostgreSQL cannot hold; empty when there is none. Reads all of it."""
        return self._do(lambda raw: _unfit(raw, table))

    def changed(self) -> bool:
        """Whether somebody has written to it meanwhile."""
        return _looks(self.path) != self._before

    def close(self) -> None:
        """Stop what a thread is reading, and close it."""
        self._connection.interrupt()
        with self._reading:
            self._connection.close()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One thread at a time."""
        with self._reading:
            return careful(self.path, self._connection, work)


class NotText(ValueError):
    """A text is not UTF-8."""


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open the store in this file for reading. Raises CopyFailed when it is none, or none that this program has just used."""
    path = path.resolve()  # where SQLite looks for the log, too, when the name is a link
    if not path.is_file():
        raise CopyFailed(f"There is no file {path}.")
    # Without a log beside it there is nothing but the file itself to read, and opening it makes none.
    beside = any(path.with_name(path.name + ending).exists() for ending in ("-wal", "-journal"))
    where = f"file:{quote(str(path))}?mode=ro{'' if beside else '&immutable=1'}"
    problem = ""
    try:
        connection = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        problem = f"{path} cannot be opened ({error})."
    if problem:
        raise CopyFailed(problem)
    with closing(connection):
        source = Source(path, connection, our_tables())
        careful(path, connection, _begin)
        careful(path, connection, lambda raw: _refuse(path, raw, source.tables))
        try:
            yield source
        finally:
            source.close()


def _refuse(path: Path, connection: sqlite3.Connection, ours: Mapping[str, Table]) -> None:
    """Raises CopyFailed when this is no store as this program leaves it."""
    tables = tables_of(connection)
    versions: list[int] = []
    if {"installation", "keyring"} <= tables.keys():
        versions = [int(number) for (number,) in connection.execute(VERSIONS_SQL)]
    if not versions or not all(connection.execute(f"SELECT 1 FROM {name}").fetchone() for name in ("installation", "keyring")):
        raise CopyFailed(f"{path} is no store of this program: it holds no keyring.")
    known = newest()
    if max(versions) > known:
        raise CopyFailed(f"{path} is at migration {max(versions)}, and this program knows {known} at the most. Run the newer program.")
    if max(versions) < known:
        raise CopyFailed(
            f"{path} is at migration {max(versions)}, and this program at {known}."
            " Start this version of the server on it once, stop it again, and copy then."
        )
    if odd_objects(connection):
        raise CopyFailed(f"{path} holds triggers or views, which this program never makes. Remove what is not yours first.")
    if tables != dict(ours):
        odd = sorted(name for name in {*tables, *ours} if tables.get(name) != ours.get(name))
        more = ", …" if len(odd) > _MOST_NAMED else ""
        raise CopyFailed(
            f"{path} has tables that are not as this program makes them: {', '.join(shown(name) for name in odd[:_MOST_NAMED])}{more}."
        )
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise CopyFailed(f"{path} is damaged: {found}. Restore a backup.")


def careful(path: Path, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do it. Raises CopyFailed or NotText for an error of the engine, which may quote a text."""
    try:
        return work(connection)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or type(error).__name__
        problem = NotText("a text is not UTF-8") if sqlite.is_no_text(error) else CopyFailed(f"{path} cannot be read ({name}).")
    raise problem


def _begin(connection: sqlite3.Connection) -> None:
    """Nothing is written, and from the first read on it is one state."""
    for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.execute("BEGIN")


def _unfit(connection: sqlite3.Connection, table: Table) -> str:
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    for row in connection.execute(table.select):
        for column, value in zip(table.columns, row, strict=True):
            if wrong := _wrong(column, value):
                return f"{table.name}: the column {column.name} of the row {_key(table, row)} {wrong}."
    for _, rowid, parent, number in connection.execute(f"PRAGMA foreign_key_check({table.name})"):
        row = connection.execute(f"{table.select.partition(' ORDER ')[0]} WHERE rowid = ?", (rowid,)).fetchone()
        keys = connection.execute(f"PRAGMA foreign_key_list({table.name})").fetchall()
        columns = ", ".join(key[3] for key in keys if key[0] == number)
        return f"{table.name}: the column {columns} of the row {_key(table, row)} names a row of {parent} that is not there."
    return ""


def _wrong(column: Column, value: object) -> str:
    """What is wrong with a value of this column; empty when PostgreSQL can hold it."""
    kind = KINDS[column.type]
    if value is None:
        return "is empty, and may not be" if column.required else ""
    if type(value) is not kind:
        return f"holds {_NOUNS.get(type(value), 'something else')} where there should be {_NOUNS[kind]}"
    if isinstance(value, str):
        if "\0" in value:
            return "holds a text with a NUL character, which PostgreSQL has none of"
        return "holds a text that is not UTF-8" if any("\ud800" <= character <= "\udfff" for character in value) else ""
    if isinstance(value, int):
        largest = LARGEST[column.type]
        return "" if -largest <= value <= largest else f"holds a number beyond {largest:,}"
    return ""


_NOUNS: Mapping[type, str] = {str: "text", int: "a whole number", bytes: "bytes", float: "a number that is not whole"}


def _key(table: Table, row: tuple[Any, ...]) -> str:
    """The row, by its primary key."""
    values = dict(zip((column.name for column in table.columns), row, strict=True))
    return ", ".join(f"{name} {shown(values[name]) if isinstance(values[name], str) else values[name]}" for name in table.key)


def _looks(path: Path) -> list[tuple[int, int, int] | None]:
    """By what one sees that a database was written to: the file and its logs."""
    found: list[tuple[int, int, int] | None] = []
    for ending in ("", "-wal", "-journal"):
        try:
            there = path.with_name(path.name + ending).stat()
            found.append((there.st_ino, there.st_size, there.st_mtime_ns))
        except FileNotFoundError:
            found.append(None)
    return found
