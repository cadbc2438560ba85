"""Writing to a database as somebody who owns it: past the program, its constraints, and SQLite's own."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.battery.kept_open import Opened
from webapp.database.sqlite import path_of

Cell = tuple[str, object]
"""What SQLite says the type is, and the value; text as its bytes, since it need not be UTF-8."""


@contextmanager
def owner(opened: Opened) -> Iterator[sqlite3.Connection]:
    """A connection that nothing is forbidden to. The program has the database open beside it."""
    connection = sqlite3.connect(path_of(opened.settings.database_url), isolation_level=None)
    connection.text_factory = bytes
    for pragma in ("foreign_keys=OFF", "ignore_check_constraints=ON", "synchronous=OFF", "wal_autocheckpoint=0", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}").close()
    try:
        yield connection
    finally:
        connection.close()


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """The table's columns."""
    return [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]


def cells(connection: sqlite3.Connection, table: str, order: str) -> list[tuple[Cell, ...]]:
    """The whole table, with SQLite's types, so that 1 and '1' are two."""
    columns = columns_of(connection, table)
    asked = ", ".join(f"typeof({column}), {column}" for column in columns)
    rows = connection.execute(f"SELECT {asked} FROM {table} ORDER BY {order}").fetchall()
    return [tuple((row[at].decode(), row[at + 1]) for at in range(0, len(row), 2)) for row in rows]


def put_back(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Cell, ...]]) -> None:
    """Make the table what it was."""
    columns = columns_of(connection, table)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DELETE FROM {table}")
    binds = ", ".join("?" for _ in columns)
    plain = [[value.decode() if kind == "text" and isinstance(value, bytes) else value for kind, value in row] for row in rows]
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({binds})", plain)
    connection.execute("COMMIT")


def loosen(connection: sqlite3.Connection, table: str) -> None:
    """Make the table anew without keys and constraints: what is in it stays the same."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    made = ", ".join(f"{column[1].decode()} {column[2].decode()}" for column in columns)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"ALTER TABLE {table} RENAME TO loosened")
    connection.execute(f"CREATE TABLE {table} ({made})")
    connection.execute(f"INSERT INTO {table} SELECT * FROM loosened")
    connection.execute("DROP TABLE loosened")
    connection.execute("COMMIT")
