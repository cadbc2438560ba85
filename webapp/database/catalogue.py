"""Which tables the migrations make, read off a database that they have made: nothing here is a list that could forget one."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from graphlib import TopologicalSorter

from webapp.database import sqlite
from webapp.database.migrations import migrations

KINDS: Mapping[str, type[str | int | bytes]] = {"TEXT": str, "INTEGER": int, "BIGINT": int, "BLOB": bytes}
"""What the columns of a declared type hold, besides NULL."""

LARGEST = {"INTEGER": 2**31 - 1, "BIGINT": 2**63 - 1}
"""The largest number of a type in PostgreSQL (https://www.postgresql.org/docs/current/datatype-numeric.html)."""

_OBJECTS = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE :own ESCAPE '!'"
_COLUMNS = 'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(:table) ORDER BY name'
_REFERENCES = 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(:table)'


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, the type that it was declared with, and whether it may be NULL."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns by their names, those of its primary key in that key's order, and the tables that it refers to."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    refers_to: frozenset[str]

    @property
    def select(self) -> str:
        """The statement that reads all rows: the columns by their names, the rows in the order of the primary key."""
        return f"SELECT {', '.join(column.name for column in self.columns)} FROM {self.name} ORDER BY {', '.join(self.key)}"


def tables_of(connection: sqlite3.Connection) -> dict[str, Table]:
    """The tables of this database, without SQLite's own and without `migrations`, by their names."""
    names = [name for kind, name in connection.execute(_OBJECTS, {"own": "sqlite!_%"}) if kind == "table" and name != "migrations"]
    return {name: _table(connection, name) for name in sorted(names)}


def odd_objects(connection: sqlite3.Connection) -> list[str]:
    """The names of the triggers and views, of which the program never makes any."""
    return [name for kind, name in connection.execute(_OBJECTS, {"own": "sqlite!_%"}) if kind not in ("table", "index")]


def our_tables() -> dict[str, Table]:
    """The tables that the migrations make, in an order in which each comes after those that it refers to."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations(sqlite.WORDS):
            for statement in migration.statements:
                connection.execute(statement)
        tables = tables_of(connection)
    return {name: tables[name] for name in TopologicalSorter({table.name: table.refers_to for table in tables.values()}).static_order()}


def _table(connection: sqlite3.Connection, name: str) -> Table:
    columns = connection.execute(_COLUMNS, {"table": name}).fetchall()
    return Table(
        name,
        tuple(Column(column, kind, bool(required or place)) for column, kind, required, place, hidden in columns if not hidden),
        tuple(column for _, column in sorted((place, column) for column, _, _, place, _ in columns if place)),
        frozenset(other for (other,) in connection.execute(_REFERENCES, {"table": name})),
    )
