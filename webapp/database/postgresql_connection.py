"""One held connection of `databases` to PostgreSQL, used by one task at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
import databases
from databases.core import Connection

from webapp.database import postgresql
from webapp.database.batch import Table
from webapp.database.postgresql import STATEMENT_SECONDS, bound
from webapp.database.rows import Row, Unreachable, Values
from webapp.database.writer import Writer
from webapp.errors import ConfigurationError
from webapp.log import get_logger

_logger = get_logger(__name__)

T = TypeVar("T")

_CLOSE_SECONDS = 2.0

_CHECKS = (
    "SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,"
    " current_setting('server_encoding') AS server_encoding"
)
_CLAIM = f"SELECT n FROM (SELECT generate_series(0, 65535) AS n) AS numbers WHERE pg_try_advisory_lock({postgresql.WRITER}, n) LIMIT 1"
"""The first number that no connection has. It is let go of when the connection ends, however it ends.

The numbers are made one by one: in the place of a table they would all be made first, which takes PostgreSQL 5 ms.
"""


class PostgresqlConnection:
    """A connection that is opened when it is first used, and opened again when it was lost."""

    def __init__(self, url: str, *, writes: bool = False, patience: bool = False) -> None:
        self._url = url
        self._writes = writes
        self._patience = patience
        self._owner: databases.Database | None = None
        self._connection: Connection | None = None
        self._inserts: dict[Table, str] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.lost = False
        self.hung = False
        """Whether it was lost since it gave no answer in time."""
        self.in_a_hurry = not patience
        """Whether a statement may take a few seconds only."""
        self.opened = 0
        """How often it was opened."""
        self.writer = Writer(0)
        """Its number among those that write, claimed anew each time that it is opened."""

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._connection is not None and not self.lost

    async def open(self) -> None:
        """Connect, and see that what is committed there stays. Raises Unavailable, ConfigurationError."""
        self.discard()
        self._inserts = {}
        problem: Exception | None = None
        self._owner = databases.Database(
            "postgresql://", min_size=1, max_size=1, **postgresql.options_of(self._url, patience=self._patience)
        )
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                await self._owner.connect()
                connection = Connection(self._owner, self._owner._backend)
                await connection.__aenter__()
        except Exception as error:
            problem = postgresql.cannot_connect(error)
        else:
            self._connection, self.lost, self.hung = connection, False, False
            self.opened += 1
            try:
                _refuse_settings(await self.fetch_all(_CHECKS))
                if self._writes:
                    self.writer = Writer(int((await self.fetch_all(_CLAIM))[0]["n"]))
            except BaseException:
                await self.close()
                raise
        if problem is not None:
            self._owner = None
            raise problem

    async def close(self) -> None:
        """Close it; what was not committed is gone."""
        self.discard()
        while self._ending:
            await asyncio.wait(set(self._ending))

    def discard(self) -> None:
        """As `close`, for who does not wait: what still runs there is cancelled, so that it lets go of its locks."""
        connection, owner = self._connection, self._owner
        self._connection = self._owner = None
        if connection is not None and owner is not None:
            task = asyncio.create_task(_end(connection, owner, is_there=self.hung or not self.lost))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """Run a statement for its effect. Raises DuplicateKey, Unavailable."""
        text, names = bound(sql)
        await self._do(lambda raw: raw.execute(text, *postgresql.arguments(names, values or {})))

    async def execute_all(self, statements: Sequence[str]) -> None:
        """Run statements without values, one after the other, in one go. Raises as `execute`."""
        await self._do(lambda raw: raw.execute(";\n".join(statements)))

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """Run a statement and return its first row. Raises as `execute`."""
        rows = await self.fetch_all(sql, values)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows. Raises as `execute`."""
        return [dict(record) for record in await self.fetch_records(sql, values or {})]

    async def fetch_records(self, sql: str, values: Values) -> list[Any]:
        """As `fetch_all`, each row as asyncpg has it: a tuple that knows the columns' names. Raises as `execute`."""
        text, names = bound(sql)
        return cast(list[Any], await self._do(lambda raw: raw.fetch(text, *postgresql.arguments(names, values))))

    async def execute_many(self, sql: str, rows: Iterable[Values]) -> None:
        """Run a statement for each of these. Raises as `execute`."""
        text, names = bound(sql)
        many = [postgresql.arguments(names, values) for values in rows]
        await self._do(lambda raw: raw.executemany(text, many))

    async def insert_many(self, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert these rows with one statement. Raises as `execute`."""
        text = self._inserts.get(table)
        if text is None:
            text = self._inserts[table] = await self._insert_of(table)
        statement, columns = text, list(zip(*rows, strict=True))
        await self._do(lambda raw: raw.execute(statement, *columns))

    async def _insert_of(self, table: Table) -> str:
        """The statement, with the types that the table's columns have."""
        name, columns = table
        sql = f"SELECT {', '.join(columns)} FROM {name} LIMIT 0"
        prepared: Any = await self._do(lambda raw: raw.prepare(sql))
        return postgresql.insert(name, columns, [attribute.type.name for attribute in prepared.get_attributes()])

    async def _do(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        if self._connection is None or self.lost:
            raise Unreachable
        raw = cast(asyncpg.Connection, self._connection.raw_connection)
        problem: Exception | None = None
        try:
            async with asyncio.timeout(STATEMENT_SECONDS if self.in_a_hurry else None):
                return await work(raw)
        except asyncio.CancelledError:
            self.lost = self.hung = True  # what it was doing there, nobody knows
            raise
        except Exception as error:
            if postgresql.is_lost(error) and not self.lost:
                self.lost, self.hung = True, isinstance(error, TimeoutError)
                _logger.warning("a connection to PostgreSQL was lost", error=type(error).__name__)
            problem = postgresql.translated(error)
        # Raised out here: the engine's exception quotes bound values.
        raise problem


async def _end(connection: Connection, owner: databases.Database, *, is_there: bool) -> None:
    """Close it in order when it still `is_there`, which waits for what was cancelled; without a word when that takes too long."""
    raw = cast(asyncpg.Connection, connection.raw_connection)
    if is_there:
        with suppress(Exception):
            await raw.close(timeout=_CLOSE_SECONDS)
    with suppress(Exception):
        raw.terminate()
    with suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.__aexit__()
            await owner.disconnect()


def _refuse_settings(rows: list[Row]) -> None:
    """Refuse a server that forgets what it has said to be committed. Raises ConfigurationError."""
    found = rows[0]
    if found["fsync"] != "on":
        raise ConfigurationError("WEBAPP_DATABASE_URL: fsync is off there: a crash would lose what was committed. Set it to on.")
    if found["synchronous_commit"] == "off":
        raise ConfigurationError(
            "WEBAPP_DATABASE_URL: synchronous_commit is off there: a crash would lose audit rows of what was handed over. Set it to on."
        )
    if found["server_encoding"] != "UTF8":
        raise ConfigurationError("WEBAPP_DATABASE_URL: the database is not in UTF8. Make one with ENCODING 'UTF8'.")
