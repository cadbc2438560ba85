"""PostgreSQL as the program's engine: connections that read, one for the transactions of pages and one for batches.

Other processes write meanwhile. So a transaction of an account holds that account's advisory lock, and one of no account holds the
whole database's: the repositories read before they write, and rely on that nobody writes in between. A batch takes no lock: each of its
statements says itself on what it depends, and what it hands over is compared with the accounts' generations (`generations.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from webapp.database import postgresql
from webapp.database.batch import Batch
from webapp.database.engine import Group, Taken
from webapp.database.postgresql import LONGEST_WAIT
from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.database.postgresql_names import Names
from webapp.database.postgresql_reads import NotRead, Reads
from webapp.database.reach import Reach
from webapp.database.rows import Row, Unreachable, Values
from webapp.database.transaction import Transaction
from webapp.log import get_logger

_logger = get_logger(__name__)

T = TypeVar("T")

READERS = 4

LATELY = 256
"""Accounts whose generations are read with every batch, since a batch before has asked for them."""

MOST_SECONDS = 4.5
"""How long a read, a batch or a transaction may take: a request is answered within 5 seconds, whatever happens."""

_MOST_READS = 50
"""How often one write of a batch is stopped for what was not read: more is a mistake of ours."""

_RAISE = (
    "INSERT INTO generations (account_id, generation) SELECT account_id, 1 FROM unnest(CAST(:accounts AS TEXT[])) AS account_id"
    " ON CONFLICT (account_id) DO UPDATE SET generation = generations.generation + 1"
)


_WRITERS = (
    "SELECT l.objid AS number FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    f" WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = {postgresql.WRITER} AND l.granted"
)


class PostgresqlEngine:
    """The connections to one database. With `patience` nothing is in a hurry: for a command, which nobody waits for."""

    words = postgresql.WORDS
    place = ("id", "")
    is_shared = True
    own_tables = ('CREATE TABLE IF NOT EXISTS generations (account_id TEXT COLLATE "C" PRIMARY KEY, generation BIGINT NOT NULL)',)

    def __init__(self, url: str, *, patience: bool = False) -> None:
        self._patience = patience
        self.longest_wait = None if patience else LONGEST_WAIT
        self._pages = PostgresqlConnection(url, writes=True, patience=patience)
        self._batches = PostgresqlConnection(url, writes=True, patience=patience)
        self._all_readers = [PostgresqlConnection(url, patience=patience) for _ in range(READERS)]
        self._readers: asyncio.LifoQueue[PostgresqlConnection] = asyncio.LifoQueue()
        self._reach = Reach()
        self._lock = asyncio.Lock()
        self._names = Names(url)
        self.take_name, self.let_go_of_name, self.keep_name = self._names.take, self._names.let_go, self._names.keep
        self._lately: dict[str, None] = {}

    async def open(self) -> None:
        """Connect. Raises Unavailable, ConfigurationError."""
        for connection in (self._pages, self._batches):
            await connection.open()
        for reader in self._all_readers:  # opened when they are first used
            self._readers.put_nowait(reader)

    async def close(self) -> None:
        """Close all connections."""
        await self._names.close()
        async with self._lock:
            for connection in (*self._all_readers, self._pages, self._batches):
                await connection.close()

    async def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """The rows of what was committed last. Raises Unavailable."""
        async with _in_time(self._deadline()):
            reader = await self._readers.get()
            try:
                return await self._first(reader, lambda: reader.fetch_all(sql, values))
            finally:
                if not reader.is_open:
                    reader.discard()
                self._readers.put_nowait(reader)

    async def fetch_all_now(self, sql: str, values: Values) -> list[Row]:
        """As `fetch_all`."""
        return await self.fetch_all(sql, values)

    @asynccontextmanager
    async def transaction(self, account_id: str, *, patient: bool = False) -> AsyncIterator[Transaction]:
        """A transaction; see `Engine.transaction`."""
        connection, begin = self._pages, postgresql.begin(account_id, patient=patient or self._patience)
        late = self._deadline()
        async with _in_time(late):
            await self._lock.acquire()
        try:
            connection.in_a_hurry = not (patient or self._patience)
            async with _in_time(late if connection.in_a_hurry else None):
                try:
                    await self._first(connection, lambda: connection.execute(begin))
                    transaction = Transaction(connection, connection.writer)
                    try:
                        yield transaction
                        if transaction.changed:
                            await connection.execute(_RAISE, {"accounts": sorted(transaction.changed)})
                        await connection.execute("COMMIT")
                    except BaseException:
                        transaction.settle(committed=False)
                        raise
                except BaseException:
                    await _roll_back(connection)
                    raise
                transaction.settle(committed=True)
        finally:
            connection.in_a_hurry = not self._patience
            self._lock.release()

    async def other_writers(self) -> int:
        """How many connections of other processes may write here: each holds the lock of its number."""
        rows = await self.fetch_all(_WRITERS, {})
        return len({row["number"] for row in rows} - {self._pages.writer.number, self._batches.writer.number})

    async def commit(self, group: Group) -> None:
        """Write one batch; see `Engine.commit`. In the best case it is two round trips: the generations, and all rows at once."""
        connection = self._batches
        async with _in_time(self._deadline()):
            await self._reach.usable(connection)
            taken = await group.take()
            reads = Reads(connection, self._lately)
            await self._first(connection, reads.begin)
            batch = Batch(reads.tuples, reads.rows, reads.generation, connection.writer)
            try:
                for each in taken:
                    await _take_part(batch, each, reads, group)
                await reads.end()
                await _write(connection, batch)
            except BaseException:
                batch.settle(committed=False)
                await _roll_back(connection)
                raise
        self._remember(reads)
        batch.settle(committed=True)

    async def _first(self, connection: PostgresqlConnection, statement: Callable[[], Awaitable[T]]) -> T:
        """Run what is done first on this connection: once more on a new one, where the old one turns out to be of no use any more.

        Nothing was done on it yet, so nothing is done twice. One that hangs is not tried again: whoever asked has waited enough.
        """
        was_open = connection.is_open
        await self._reach.usable(connection)
        try:
            return await statement()
        except Unreachable:
            if not was_open or connection.hung:
                raise
        await self._reach.usable(connection)
        return await statement()

    def _remember(self, reads: Reads) -> None:
        for account_id in reads.asked:
            self._lately.pop(account_id, None)
            self._lately[account_id] = None
        while len(self._lately) > LATELY:
            del self._lately[next(iter(self._lately))]

    def _deadline(self) -> float | None:
        return None if self._patience else asyncio.get_running_loop().time() + MOST_SECONDS


@asynccontextmanager
async def _in_time(deadline: float | None) -> AsyncIterator[None]:
    """Raises Unreachable when this moment of the event loop's clock passes."""
    late = False
    try:
        async with asyncio.timeout_at(deadline) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise  # somebody else's
        late = True
    if late:
        raise Unreachable


async def _take_part(batch: Batch, taken: Taken, reads: Reads, group: Group) -> None:
    """Have this one take part in the batch, as often as it asks for what is to be read first."""
    for _ in range(_MOST_READS):
        try:
            waiting = taken[0](batch)
            if waiting is not None:
                await waiting
        except NotRead as wanted:
            batch.drop()
            missing = wanted
        except Exception as error:
            batch.drop()
            group.fails(taken, error)
            return
        else:
            batch.take()
            return
        await reads.read(missing)
    group.fails(taken, RuntimeError("it asks again and again for what was not read yet"))


async def _write(connection: PostgresqlConnection, batch: Batch) -> None:
    """Write it all: one statement is a transaction by itself."""
    if not batch.statements and not batch.changed and len(batch.inserts) <= 1:
        for table, rows in batch.inserts.items():
            await connection.insert_many(table, rows)
        return
    await connection.execute("BEGIN")
    for sql in sorted(batch.statements, key=_turn):
        rows_of = batch.statements[sql]
        await connection.execute_many(sql, rows_of if _is_new(sql) else sorted(rows_of, key=_order))
    for table, rows in batch.inserts.items():
        await connection.insert_many(table, rows)
    if batch.changed:
        await connection.execute(_RAISE, {"accounts": sorted(batch.changed)})
    await connection.execute("COMMIT")


def _is_new(sql: str) -> bool:
    return sql.startswith("INSERT")


def _turn(sql: str) -> str:
    """New rows first, as they came; then what changes rows, in the same order in every process: two that wait for each other both fail."""
    return "" if _is_new(sql) else sql


def _order(values: Values) -> list[str]:
    return [repr(value) for value in values.values()]


async def _roll_back(connection: PostgresqlConnection) -> None:
    if not connection.is_open:
        connection.discard()
        return
    try:
        await connection.execute("ROLLBACK")
    except Exception as error:
        connection.lost = True
        connection.discard()
        _logger.warning("a rollback failed", error=type(error).__name__)
