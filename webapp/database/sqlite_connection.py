"""One held connection of `databases`, used by one task at a time.

`databases` maps its connections by task and opens a new one, with a new thread, at every acquire. Held
open, they are some fifteen times as fast, and nothing is shared by accident.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, cast

import aiosqlite
import databases
from databases.core import Connection

from webapp.database import sqlite
from webapp.database.rows import Row, Values


class HeldConnection:
    """An open connection of the engine; the caller sees to it that one task at a time uses it."""

    def __init__(self, url: str, factory: type, **options: Any) -> None:
        self._owner = databases.Database(url, factory=factory, **options)
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Open it. Raises Unavailable."""
        try:
            await self._owner.connect()
            connection = Connection(self._owner, self._owner._backend)
            await connection.__aenter__()
        except Exception as error:
            raise sqlite.translated(error) from error
        self._connection = connection

    async def close(self) -> None:
        """Close it; what was not committed is gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.__aexit__()
        await self._owner.disconnect()

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """Run a statement for its effect. Raises DuplicateKey, Unavailable."""
        await self.execute_all([sql], values)

    async def execute_all(self, statements: Sequence[str], values: Values | None = None) -> None:
        """Run statements for their effect, one after the other, in one go on the connection's thread. Raises as `execute`."""

        def work(raw: sqlite3.Connection) -> None:
            for sql in statements:
                raw.execute(sql, values or {}).close()

        await self.run(work)

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """Run a statement and return its first row. Raises DuplicateKey, Unavailable."""
        rows = await self.fetch_all(sql, values)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows. Raises DuplicateKey, Unavailable.

        In one go on the connection's thread: a statement that is begun and not read to the end, because who asked was cancelled, would
        hold this connection at an old state.
        """
        rows: list[Row] = []
        await self.run(lambda raw: rows.extend(sqlite.fetch_all(raw, sql, values or {})))
        return rows

    async def run(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do this with the engine's own connection, on its thread: a batch costs one hop, and not one a statement. Raises Unavailable."""
        if self._connection is None:
            raise RuntimeError("the connection is closed")
        try:
            held = cast(aiosqlite.Connection, self._connection.raw_connection)
            await held._execute(work, held._conn)  # type: ignore[no-untyped-call]  # aiosqlite says nothing of it
        except Exception as error:
            ours = sqlite.translated(error)
            if ours is error:
                raise
            raise ours from None

    def run_now(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """As `run`, in the caller's own thread, while nothing else uses the connection. Raises Unavailable."""
        if self._connection is None:
            raise RuntimeError("the connection is closed")
        try:
            work(cast(aiosqlite.Connection, self._connection.raw_connection)._conn)
        except Exception as error:
            ours = sqlite.translated(error)
            if ours is error:
                raise
            raise ours from None

    def fetch_tuples_now(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        """As `fetch_all_now`, without the columns' names."""
        if self._connection is None:
            raise RuntimeError("the connection is closed")
        return sqlite.fetch_tuples(cast(aiosqlite.Connection, self._connection.raw_connection)._conn, sql, values)

    def fetch_all_now(self, sql: str, values: Values) -> list[Row]:
        """Read in the caller's own thread, while nothing else uses the connection. Raises Unavailable.

        Its pages are still in its cache, since nobody else writes; those of a reader are stale after every commit.
        """
        if self._connection is None:
            raise RuntimeError("the connection is closed")
        held = cast(aiosqlite.Connection, self._connection.raw_connection)
        return sqlite.fetch_all(held._conn, sql, values)
