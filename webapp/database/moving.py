"""Moving a whole store from SQLite to PostgreSQL, sealed as it is: nothing is opened, and so no root key is needed.

All of it is one transaction of the target. Before it is committed every table is read back and compared, so that there is either all of
the store or no row of it, whenever this is interrupted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from webapp.clock import Clock
from webapp.database import postgresql
from webapp.database.catalogue import Table
from webapp.database.copies import CopyFailed
from webapp.database.database import Database
from webapp.database.kinds import inspect
from webapp.database.migrations import VERSIONS_SQL, migrate, refuse_newer
from webapp.database.moving_source import CHUNK, Source
from webapp.database.row_hash import RowHash, hash_of_all
from webapp.errors import AppError, Unavailable

T = TypeVar("T")

Progress = Callable[[int, int], None]

_BEGUN = ("SELECT 1 AS one FROM installation", "SELECT 1 AS one FROM keyring LIMIT 1", VERSIONS_SQL)

_COLUMNS = "SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"

_LATER = "The connection to PostgreSQL was lost, and nothing was copied. Try again."
_IN_DOUBT = (
    "The connection to PostgreSQL was lost at the very end, so that nobody knows here whether all was copied or nothing."
    " Run it again: when it is there, you are told that there is an installation already."
)
_LAST_WORD = 1.0
"""Seconds in which the driver may say itself that the connection was lost."""

_FULL, _LOCKED = "53100", "55P03"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied: how many rows of each table, in the order of the names; and one hash over all of them, which both sides have."""

    rows: dict[str, int]
    sha256: str


async def move(source: Source, url: str, clock: Clock, progress: Progress) -> Moved:
    """Copy all that is in the source into the PostgreSQL database at this URL, in which there is no installation yet.

    `progress` is told rows, each twice: written and read back. Raises CopyFailed, Unavailable, ConfigurationError; then no row was copied,
    unless an Unavailable says that nobody knows.
    """
    await _make_tables(url, clock)
    tables = list(source.tables.values())
    counts = {table.name: await asyncio.to_thread(source.count, table) for table in tables}
    tell = _teller(progress, 2 * sum(counts.values()))
    async with _transaction(url) as connection:
        await _refuse_what_is_there(connection, tables)
        written: dict[str, RowHash] = {}
        for table in tables:
            written[table.name] = await _copy(connection, source, table, tell)
            if written[table.name].rows != counts[table.name]:
                raise CopyFailed(f"{source.path} is damaged: {table.name} has rows that its index has not. Restore a backup.")
        for table in tables:
            read = await _read_back(connection, table, tell)
            if (read.rows, read.hexdigest) != (written[table.name].rows, written[table.name].hexdigest):
                raise CopyFailed(f"{table.name} reads otherwise in PostgreSQL than it was written. Nothing was copied.")
        if source.changed():
            raise CopyFailed(f"{source.path} was written to meanwhile, so nothing was copied. Stop what uses it first.")
        await _do(connection.execute(f"ANALYZE {', '.join(source.tables)}"))  # so that the first queries are planned well
    return Moved({name: counts[name] for name in sorted(counts)}, hash_of_all(list(written.items())))


async def _make_tables(url: str, clock: Clock) -> None:
    """Make the tables, unless they are there; not a byte changes where there is an installation. Raises CopyFailed."""
    found = await asyncio.to_thread(inspect, url, _BEGUN) or [[], [], []]
    if found[0] or found[1]:
        raise CopyFailed(
            "There is an installation in the PostgreSQL database already. Name one that is empty: CREATE DATABASE makes it,"
            " as docs/operations.md says."
        )
    refuse_newer([int(row["number"]) for row in found[2]])
    database = await Database.open(url)
    try:
        await migrate(database, clock)
    finally:
        await database.close()


@asynccontextmanager
async def _transaction(url: str) -> AsyncIterator[asyncpg.Connection]:
    """One transaction in which no installation is begun there by anybody else; without COMMIT the server keeps nothing of it."""
    problem: Exception | None = None
    try:
        connection: asyncpg.Connection = await asyncpg.connect(**postgresql.options_of(url))
    except Exception as error:
        problem = postgresql.cannot_connect(error)
    if problem is not None:
        raise problem
    try:
        # Whoever would begin an installation there waits; and the source may take a while to be read.
        await _do(connection.execute(postgresql.begin("", patient=True)))
        yield connection
        await _do(connection.execute("COMMIT"), lost=_IN_DOUBT)
        with suppress(Exception):  # it is committed
            await connection.close(timeout=postgresql.CONNECT_SECONDS)
    finally:
        connection.terminate()


async def _refuse_what_is_there(connection: asyncpg.Connection, tables: list[Table]) -> None:
    """Raises CopyFailed when a table is another one than the migrations make, or not empty."""
    for table in tables:
        found = {row["name"] for row in await _do(connection.fetch(_COLUMNS, table.name))}
        if found != {column.name for column in table.columns}:
            raise CopyFailed(
                f"The table {table.name} of the PostgreSQL database is not as this program makes it. Name a database that is empty."
            )
        if await _do(connection.fetch(f"SELECT 1 FROM {table.name} LIMIT 1")):
            raise CopyFailed(f"The table {table.name} of the PostgreSQL database has rows already. Name a database that is empty.")


async def _copy(connection: asyncpg.Connection, source: Source, table: Table, tell: Callable[[int], None]) -> RowHash:
    """Copy a table. Raises CopyFailed, which names the row that PostgreSQL cannot hold."""
    digest = RowHash(table)

    async def records() -> AsyncIterator[tuple[Any, ...]]:
        cursor = await asyncio.to_thread(source.begin, table)
        while rows := await asyncio.to_thread(source.read, cursor, digest):
            for row in rows:
                yield row
            tell(len(rows))

    try:
        columns = [column.name for column in table.columns]
        await _connected(connection, connection.copy_records_to_table(table.name, records=records(), columns=columns))
        return digest
    except AppError as error:
        problem: Exception = error
        asked = True
    except Exception as error:
        problem = _translated(error, table.name, _LATER)
        asked = isinstance(problem, Unavailable)
    # Out here: the engines' errors quote values.
    if not asked and (sentence := await asyncio.to_thread(source.unfit, table)):
        raise CopyFailed(f"{sentence} Nothing was copied.")
    raise problem


async def _read_back(connection: asyncpg.Connection, table: Table, tell: Callable[[int], None]) -> RowHash:
    """The hash of what PostgreSQL has of a table. Raises Unavailable."""
    digest = RowHash(table)
    cursor = await _do(connection.cursor(table.select))
    while rows := await _do(cursor.fetch(CHUNK)):
        await asyncio.to_thread(digest.add, rows)
        tell(len(rows))
    return digest


async def _connected(connection: asyncpg.Connection, work: Coroutine[Any, Any, T]) -> T:
    """Do what takes turns in writing and reading, and is not to wait for an answer that cannot come. Raises ConnectionError for it."""
    lost = asyncio.Event()

    def note(_: object) -> None:
        lost.set()

    connection.add_termination_listener(note)
    task, losing = asyncio.create_task(work), asyncio.create_task(lost.wait())
    try:
        await asyncio.wait({task, losing}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({task}, timeout=_LAST_WORD)
        if not task.done():
            raise ConnectionError("the connection was lost")
        return task.result()
    finally:
        task.cancel()
        losing.cancel()
        await asyncio.wait({task, losing})
        connection.remove_termination_listener(note)


async def _do(asked: Awaitable[T], lost: str = _LATER) -> T:
    try:
        return await asked
    except Exception as error:
        problem = _translated(error, "", lost)
    raise problem


def _translated(error: Exception, table: str, lost: str) -> Exception:
    """The program's own error for one of the engine's, without the values that it quotes."""
    state = str(getattr(error, "sqlstate", "") or "")
    if state == _FULL:
        return CopyFailed("The disk of the PostgreSQL server is full. Nothing was copied.")
    if state == _LOCKED:
        return CopyFailed("Another process is busy in the PostgreSQL database. Nothing was copied.")
    if postgresql.is_lost(error):
        return Unavailable(lost)
    rule = getattr(error, "constraint_name", None)
    which = f" ({rule or state})" if rule or state else ""
    if not table:
        return CopyFailed(f"PostgreSQL refuses it{which or f' ({type(error).__name__})'}. Nothing was copied.")
    return CopyFailed(f"{table}: there is a row that breaks a rule there{which}. Nothing was copied.")


def _teller(progress: Progress, total: int) -> Callable[[int], None]:
    """What adds to the number that `progress` is told."""
    done = 0

    def tell(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total)

    return tell
