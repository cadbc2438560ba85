"""The two engines that a store may be in. A test that asks for `engine` runs once on each; those that ask for the house do.

What a test does to the database behind the program's back is said here for both, where their words differ.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.postgresql import SUPERUSER, Cluster
from tests.real.psql import Session
from webapp.database import Database
from webapp.database.migrations import migrate
from webapp.database.sqlite import path_of, url_of

ENGINES = ("sqlite", "postgresql")

on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For what only SQLite's store can be: its file, its lock, a value of another type in a column. The reason stands beside it. A file that
asks the database nothing which others do not ask on both says `ENGINES = ("sqlite",)`, and why (`tests/conftest.py`)."""

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
"""For what only PostgreSQL does."""

_REFUSED = {
    "sqlite": ("CREATE TRIGGER full BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END",),
    "postgresql": (
        (
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$"
        ),
        "CREATE TRIGGER full_disk BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()",
    ),
}
_TAKEN = {"sqlite": ("DROP TRIGGER full",), "postgresql": ("DROP FUNCTION full_disk CASCADE",)}

_MIGRATED: list[bytes] = []
_TEMPLATES: dict[int, str] = {}
_EMPTY: dict[int, list[str]] = {}
"""Databases that tests have left as the migrations make them, by the port of their cluster: to use one again takes a third of the time of
a new one, and what connects to it finds the server's caches made."""

_AS_MADE = """
    SELECT md5(string_agg(word, ' ' ORDER BY word)) FROM (
        SELECT concat(oid, relname, relpersistence) FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat(attrelid, attname, atttypid, attnotnull) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat(conrelid, conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT concat(tgrelid, tgname) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT concat(oid, proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat('migration ', number, name) FROM migrations
    ) AS made (word)
"""
_TABLES = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
_LEAVE = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_MADE: dict[str, tuple[str, str]] = {}
"""What `_AS_MADE` says of such a database, and the statements that empty it, by its name."""
_SUPERUSERS: dict[str, Session] = {}
"""The superuser's sessions with them: to start `psql` and connect each time would take five times as long as what is done then."""


@dataclass
class Engine:
    """Where a test's stores are. `cluster` is None for SQLite; with an `icu_locale` its databases order text as people do."""

    name: str
    folder: Path
    cluster: Cluster | None = None
    icu_locale: str = ""

    def __post_init__(self) -> None:
        self.made: list[str] = []

    def new_url(self) -> str:
        """The URL of an empty database of the test's own."""
        if self.cluster is None:
            self.made.append(f"{len(self.made)}.sqlite3")
            return url_of(self.folder / self.made[-1])
        self.made.append(self.cluster.new_database(icu_locale=self.icu_locale))
        return self.cluster.url(self.made[-1])

    async def migrated_url(self) -> str:
        """As `new_url`, of a database in which is what the migrations make: they take more time than most of the tests."""
        if self.cluster is None:
            url = self.new_url()
            path_of(url).write_bytes(await _migrated_file())
            return url
        if self.icu_locale:
            url = self.new_url()
            await _migrate(url)
            return url
        template = _TEMPLATES.get(self.cluster.port)
        if template is None:
            template = _TEMPLATES[self.cluster.port] = self.cluster.new_database()
            await _migrate(self.cluster.url(template))
        empty = _EMPTY.setdefault(self.cluster.port, [])
        self.made.append(empty.pop() if empty else _copied(self.cluster, template))
        return self.cluster.url(self.made[-1])

    def on_disk(self) -> bytes:
        """All that is on the disk of what was made."""
        if self.cluster is None:
            return b"".join(path.read_bytes() for path in sorted(self.folder.iterdir()) if path.name.startswith(tuple(self.made)))
        for name in self.made:
            self.cluster.sql(name, "VACUUM FULL")  # nothing of a test before
        self.cluster.sql(SUPERUSER, "CHECKPOINT")
        names = ", ".join(f"'{name}'" for name in self.made)
        folders = self.cluster.sql(SUPERUSER, f"SELECT oid FROM pg_database WHERE datname IN ({names})").splitlines()
        files = [path for folder in folders for path in sorted((self.cluster.data / "base" / folder).iterdir())]
        return b"".join(path.read_bytes() for path in files)

    def content(self) -> object:
        """What the databases hold, to be compared: on SQLite byte for byte, with what SQLite keeps beside them."""
        if self.cluster is None:
            return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name.startswith(tuple(self.made))}
        return [self.cluster.sql(name, "SELECT database_to_xml(true, true, '')") for name in self.made]

    def change(self, statement: str) -> None:
        """Write to the database that was made last, as somebody who is not this program."""
        if self.cluster is not None:
            self.cluster.sql(self.made[-1], statement)
            return
        with closing(sqlite3.connect(self.folder / self.made[-1])) as connection, connection:
            connection.execute(statement)

    async def refuse_writes(self, database: Database, table: str, verb: str = "INSERT") -> None:
        """Let the disk be full for what is written to the table."""
        async with database.transaction() as transaction:
            await transaction.execute_all([sql.format(table=table, verb=verb) for sql in _REFUSED[self.name]])

    async def take_writes(self, database: Database) -> None:
        """Let there be room again."""
        async with database.transaction() as transaction:
            await transaction.execute_all(_TAKEN[self.name])

    def drop(self) -> None:
        """Drop what was made, or empty it for the next test."""
        if self.cluster is not None:
            for name in self.made:
                if _emptied(self.cluster, name):
                    _EMPTY[self.cluster.port].append(name)
                else:
                    self.cluster.drop_database(name)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The engine that the test runs on; a file may name the ones that it is about by a parameter of its own."""
    yield from engine_of(request.param, request, tmp_path)


def engine_of(name: str, request: pytest.FixtureRequest, tmp_path: Path, *, icu_locale: str = "") -> Iterator[Engine]:
    """The engine with this name, for a fixture of a file's own."""
    made = Engine(name, tmp_path, request.getfixturevalue("postgresql") if name == "postgresql" else None, icu_locale)
    yield made
    made.drop()


def _copied(cluster: Cluster, template: str) -> str:
    """A new database in which is what the migrations make, and which is known by that."""
    name = cluster.new_database(template)
    made, tables = cluster.sql(name, f"{_AS_MADE}; {_TABLES}").splitlines()
    # The log is read in the order in which its rows lie: no row takes the place of one that has gone.
    rows = [f"DELETE FROM {table}" for table in tables.split() if table not in ("audit_log", "migrations")]
    _MADE[name] = made, "; ".join(["SET session_replication_role = replica", "TRUNCATE audit_log", *rows])
    return name


def _emptied(cluster: Cluster, name: str) -> bool:
    """Whether it is as the migrations make it again: nobody is connected, and there is no row."""
    if name not in _MADE:
        return False
    made, statements = _MADE[name]
    try:
        session = _SUPERUSERS.get(name) or _SUPERUSERS.setdefault(name, cluster.session(name))
        now = session.sql(f"{_AS_MADE}; {_LEAVE}; {statements}")[0]
    except RuntimeError:  # a table is another one, or there is none, or the test has ended this session too
        _SUPERUSERS.pop(name).close()
        return False
    return now == made


async def _migrated_file() -> bytes:
    if not _MIGRATED:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "migrated.sqlite3")
            await _migrate(url_of(path))
            _MIGRATED.append(path.read_bytes())  # noqa: ASYNC240  once in a process
    return _MIGRATED[0]


async def _migrate(url: str) -> None:
    database = await Database.open(url)
    await migrate(database, lambda: 1)
    await database.close()
