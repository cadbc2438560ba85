"""SQLite as the program's engine: one connection that writes and checkpoints, a few that read, and one that reads in the event loop.

A transaction of a page or a batch of audit rows is written at a time, never interleaved: on a connection that tasks share, another
task's acknowledged row vanished with a page's rollback. So whoever writes holds the lock from BEGIN to COMMIT, in the order of asking.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from webapp.database import sqlite
from webapp.database.batch import Batch
from webapp.database.engine import Group, Taken
from webapp.database.generations import Generations
from webapp.database.rows import Row, Values
from webapp.database.sqlite_connection import HeldConnection
from webapp.database.transaction import Transaction
from webapp.database.writer import Writer
from webapp.log import get_logger

_logger = get_logger(__name__)

READERS = 4

_QUICK = 0.005
"""Seconds. On a disk that syncs within this a batch is written in the event loop itself: on a thread it would ask for the interpreter's
lock at every row, and wait up to 5 ms for it each time. On a slower disk it goes to the thread, so that others are served meanwhile."""


class SqliteEngine:
    """The connections of one database file, which only this process has open."""

    words = sqlite.WORDS
    place = ("rowid", 0)
    own_tables = ()
    is_shared = False
    longest_wait = None

    def __init__(self, url: str, connect: Callable[[], HeldConnection] | None = None) -> None:
        self._url = url
        self._connect = connect or (lambda: HeldConnection(url, sqlite.WriterConnection, check_same_thread=False))
        self._writer: HeldConnection | None = None
        self._number = Writer(0)
        self._generations = Generations()
        self._in_doubt = False
        self._usual = 0.0  # seconds that a batch takes, as the mean of the last few
        self._lock = asyncio.Lock()
        self._names: set[str] = set()
        self._readers: asyncio.LifoQueue[HeldConnection] = asyncio.LifoQueue()
        self._opened = 0
        self._now: sqlite.NowReader | None = None

    async def open(self) -> None:
        """Connect. Raises Unavailable."""
        async with self.transaction(""):
            pass  # the writer comes first: it makes the file and sets its journal mode
        self._now = sqlite.NowReader(self._url)
        for _ in range(READERS):
            reader = HeldConnection(self._url, sqlite.ReaderConnection)
            await reader.open()
            self._opened += 1
            self._readers.put_nowait(reader)

    async def close(self) -> None:
        """Close the readers, then the writer: whoever closes last checkpoints."""
        while self._opened:
            self._opened -= 1
            await (await self._readers.get()).close()
        if self._now is not None:
            self._now.close()
        async with self._lock:
            if self._writer is not None:
                await self._writer.close()
                self._writer = None

    async def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """The rows of what was committed last. Raises Unavailable."""
        reader = await self._readers.get()
        try:
            return await reader.fetch_all(sql, values)
        finally:
            self._readers.put_nowait(reader)

    async def fetch_all_now(self, sql: str, values: Values) -> list[Row]:
        """As `fetch_all`, without leaving the event loop: such a read takes some 10 µs, less than one hop to a thread."""
        if self._now is None:
            raise RuntimeError("the database is closed")
        return self._now.fetch_all(sql, values)

    @asynccontextmanager
    async def transaction(self, account_id: str, *, patient: bool = False) -> AsyncIterator[Transaction]:
        """A transaction; see `Engine.transaction`. All of them are written one after the other, and may take as long as they do."""
        async with self._lock:
            connection = await self._usable()
            self._in_doubt = True  # until it is committed or rolled back, so that a cancelled task leaves no open transaction
            await connection.execute(sqlite.BEGIN)
            transaction = Transaction(connection, self._number)
            try:
                try:
                    yield transaction
                except BaseException:
                    transaction.settle(committed=False)
                    await self._roll_back(connection)
                    raise
                try:
                    await connection.execute("COMMIT")
                except BaseException:
                    transaction.settle(committed=False)
                    raise
                self._in_doubt = False
                transaction.settle(committed=True)
            finally:
                self._generations.raise_for(transaction.changed)  # however it ended, and before anybody else reads

    async def other_writers(self) -> int:
        """None: only this process has the file open."""
        return 0

    async def take_name(self, name: str) -> int:
        """Take this name; see `Engine.take_name`. There is no other process."""
        if name in self._names:
            return 0
        self._names.add(name)
        return 1

    async def let_go_of_name(self, name: str, taken: int) -> None:
        """Let go of it."""
        self._names.discard(name)

    async def keep_name(self, name: str) -> bool:
        """There is no other process."""
        return True

    async def commit(self, group: Group) -> None:
        """Write one batch; see `Engine.commit`."""
        async with self._lock:
            connection = await self._usable()
            taken = await group.take()
            batch = Batch(connection.fetch_tuples_now, connection.fetch_all_now, self._generations.of, self._number)
            self._in_doubt = True  # until it is committed or rolled back
            try:
                # All reads are in the one transaction that writes: none of them has to ask the other processes for a lock.
                connection.run_now(lambda raw: raw.execute(sqlite.BEGIN))
                for each in taken:
                    await _take_part(batch, each, group)
                await self._write(connection, batch)
            except BaseException:
                batch.settle(committed=False)
                await self._roll_back(connection)
                raise
            finally:
                self._generations.raise_for(batch.changed)  # however it ended, and before anybody else reads
            self._in_doubt = False
            batch.settle(committed=True)

    async def _write(self, connection: HeldConnection, batch: Batch) -> None:
        def work(raw: sqlite3.Connection) -> None:
            for sql, rows in batch.statements.items():
                raw.executemany(sql, rows)
            for (table, columns), inserted in batch.inserts.items():
                raw.executemany(sqlite.insert(table, columns), inserted)
            raw.execute("COMMIT")

        started = time.perf_counter()
        if self._usual < _QUICK:
            connection.run_now(work)
        else:
            await connection.run(work)
        self._usual += (time.perf_counter() - started - self._usual) / 8

    async def _usable(self) -> HeldConnection:
        if self._in_doubt and self._writer is not None:
            _logger.warning("the connection that writes is replaced, since its last transaction did not end well")
            doubtful, self._writer = self._writer, None
            try:
                await doubtful.close()
            except Exception as error:
                _logger.warning("the old connection could not be closed", error=type(error).__name__)
        if self._writer is None:
            connection = self._connect()
            await connection.open()
            self._writer = connection
        self._in_doubt = False
        return self._writer

    async def _roll_back(self, connection: HeldConnection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except Exception as error:
            _logger.warning("a rollback failed", error=type(error).__name__)
        else:
            self._in_doubt = False


async def _take_part(batch: Batch, taken: Taken, group: Group) -> None:
    """Have this one take part in the batch; when it raises it is told so, and the others go on."""
    try:
        waiting = taken[0](batch)
        if waiting is not None:  # most do not
            await waiting
    except Exception as error:
        batch.drop()
        group.fails(taken, error)
    else:
        batch.take()
