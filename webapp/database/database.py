"""The database as the program sees it: reads from held connections, writes through one queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webapp.database import sqlite
from webapp.database.connection import HeldConnection
from webapp.database.rows import Row, Values
from webapp.database.transaction import AccountTransaction, Transaction, scoped
from webapp.database.writer import Done, Write, Writer

READERS = 4


class Database:
    """An open database. Made by `Database.open`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._readers: asyncio.LifoQueue[HeldConnection] = asyncio.LifoQueue()
        self._opened = 0
        self._now: sqlite.NowReader | None = None
        self._writer = Writer(lambda: HeldConnection(url, sqlite.WriterConnection, check_same_thread=False))

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Open the database at this URL, made when it is not there. Raises Unavailable."""
        database = cls(url)
        try:
            async with database.transaction():
                pass  # the writer comes first: it makes the file and sets its journal mode
            database._now = sqlite.NowReader(url)
            for _ in range(READERS):
                reader = HeldConnection(url, sqlite.ReaderConnection)
                await reader.open()
                database._opened += 1
                database._readers.put_nowait(reader)
        except BaseException:
            await database.close()  # each has a thread, and the process would not end as long as one is there
            raise
        return database

    async def close(self) -> None:
        """Close the readers, then the writer, which checkpoints."""
        while self._opened:
            self._opened -= 1
            await (await self._readers.get()).close()
        if self._now is not None:
            self._now.close()
        await self._writer.close()  # the last one, since whoever closes last checkpoints

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """The first row of what was committed last. Raises Unavailable."""
        async with self._reader() as reader:
            return await reader.fetch_one(sql, values)

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """The rows of what was committed last. Raises Unavailable."""
        async with self._reader() as reader:
            return await reader.fetch_all(sql, values)

    async def fetch_one_now(self, sql: str, values: Values | None = None) -> Row | None:
        """As `fetch_one`, for the few statements that every hand-over asks: by a key, and on SQLite without leaving the event loop.

        Such a read takes some 10 µs, less than one hop to a thread. Raises Unavailable.
        """
        if self._now is None:
            raise RuntimeError("the database is closed")
        rows = self._now.fetch_all(sql, values or {})
        return rows[0] if rows else None

    async def fetch_all_now(self, sql: str, values: Values | None = None) -> list[Row]:
        """As `fetch_one_now`, for all of the rows: a handful."""
        if self._now is None:
            raise RuntimeError("the database is closed")
        return self._now.fetch_all(sql, values or {})

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction of the one queue of writes; see `Writer.transaction`."""
        async with self._writer.transaction() as transaction:
            yield transaction

    async def submit(self, write: Write) -> None:
        """Group commit; see `Writer.submit`."""
        await self._writer.submit(write)

    def queue(self, write: Write, done: Done) -> None:
        """Group commit for who does not wait; see `Writer.queue`."""
        self._writer.queue(write, done)

    def generation(self, account_id: str) -> int:
        """Of the state that the account's rows are in; see `generations.py`."""
        return self._writer.generations.of(account_id)

    def account(self, account_id: str) -> "AccountDatabase":
        """The same database, in which no statement runs without this account's id."""
        return AccountDatabase(self, account_id)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[HeldConnection]:
        reader = await self._readers.get()
        try:
            yield reader
        finally:
            self._readers.put_nowait(reader)


class AccountDatabase:
    """The database as one account may see it: `:account_id` is bound here, and nowhere else."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._database = database
        self._account_id = account_id

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """As `Database.fetch_one`. Raises RuntimeError when the statement does not mention `:account_id`."""
        return await self._database.fetch_one(sql, scoped(sql, values, self._account_id))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """As `Database.fetch_all`. Raises RuntimeError when the statement does not mention `:account_id`."""
        return await self._database.fetch_all(sql, scoped(sql, values, self._account_id))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AccountTransaction]:
        """A transaction whose statements are all bound to the account."""
        async with self._database.transaction() as transaction:
            yield AccountTransaction(transaction, self._account_id)
