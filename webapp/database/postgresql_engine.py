"""PostgreSQL as the program's engine: connections that read, one for the transactions of pages and one for batches.

Other processes write meanwhile. So a transaction of an account holds that account's advisory lock, and one of no account holds the
whole database's: the repositories read before they write, and rely on that nobody writes in between. A batch takes no lock: each of its
statements says itself on what it depends, and what it hands over is compared with the accounts' generations (`generations.py`).
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webapp.database import postgresql
from webapp.database.batch import Batch
from webapp.database.engine import Group, Taken
from webapp.database.postgresql import LONGEST_WAIT, STATEMENT_SECONDS
from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.database.postgresql_reads import NotRead, Reads
from webapp.database.rows import Row, Values
from webapp.database.transaction import Transaction
from webapp.errors import Unavailable

_logger = logging.getLogger(__name__)

READERS = 4

LATELY = 256
"""Accounts whose generations are read with every batch, since a batch before has asked for them."""

_MOST_READS = 50
"""How often one write of a batch is stopped for what was not read: more is a mistake of ours."""

_ROLL_BACK_SECONDS = 1.0

_BACK_OFF = 0.05, 1.0
"""Seconds between two tries to connect: after the first failure, doubled with each, and at the most."""

_RAISE = (
    "INSERT INTO generations (account_id, generation) SELECT account_id, 1 FROM unnest(CAST(:accounts AS TEXT[])) AS account_id"
    " ON CONFLICT (account_id) DO UPDATE SET generation = generations.generation + 1"
)


class PostgresqlEngine:
    """The connections to one database."""

    words = postgresql.WORDS
    place = ("id", "")
    longest_wait = LONGEST_WAIT
    own_tables = ('CREATE TABLE IF NOT EXISTS generations (account_id TEXT COLLATE "C" PRIMARY KEY, generation BIGINT NOT NULL)',)

    def __init__(self, url: str) -> None:
        self._pages = PostgresqlConnection(url, writes=True)
        self._batches = PostgresqlConnection(url, writes=True)
        self._all_readers = [PostgresqlConnection(url) for _ in range(READERS)]
        self._readers: asyncio.LifoQueue[PostgresqlConnection] = asyncio.LifoQueue()
        self._lock = asyncio.Lock()
        self._lately: dict[str, None] = {}
        self._failures = 0
        self._not_before = 0.0

    async def open(self) -> None:
        """Connect. Raises Unavailable, ConfigurationError."""
        for connection in (self._pages, self._batches, *self._all_readers):
            await connection.open()
        for reader in self._all_readers:
            self._readers.put_nowait(reader)

    async def close(self) -> None:
        """Close all connections."""
        async with self._lock:
            for connection in (*self._all_readers, self._pages, self._batches):
                await connection.close()

    async def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """The rows of what was committed last. Raises Unavailable."""
        async with _in_time():
            reader = await self._readers.get()
            try:
                return await (await self._usable(reader)).fetch_all(sql, values)
            finally:
                self._readers.put_nowait(reader)

    async def fetch_all_now(self, sql: str, values: Values) -> list[Row]:
        """As `fetch_all`."""
        return await self.fetch_all(sql, values)

    @asynccontextmanager
    async def transaction(self, account_id: str, *, patient: bool = False) -> AsyncIterator[Transaction]:
        """A transaction; see `Engine.transaction`."""
        async with _in_time() as limit:
            await self._lock.acquire()
            try:
                connection = await self._usable(self._pages)
                transaction = Transaction(connection, connection.writer)
                connection.seconds = STATEMENT_SECONDS
                if patient:
                    limit.reschedule(None)
                    connection.seconds = None
                try:
                    await connection.execute(_begin(account_id, patient=patient))
                    yield transaction
                    if transaction.changed:
                        await connection.execute(_RAISE, {"accounts": sorted(transaction.changed)})
                    await connection.execute("COMMIT")
                except BaseException:
                    transaction.settle(committed=False)
                    await _roll_back(connection)
                    raise
                transaction.settle(committed=True)
            finally:
                self._lock.release()

    async def commit(self, group: Group) -> None:
        """Write one batch; see `Engine.commit`. In the best case it is two round trips: the generations, and all rows at once."""
        connection = await self._usable(self._batches)
        taken = await group.take()
        reads = Reads(connection, self._lately)
        batch = Batch(reads.tuples, reads.rows, reads.generation, connection.writer)
        try:
            await reads.begin()
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

    def _remember(self, reads: Reads) -> None:
        for account_id in reads.asked:
            self._lately.pop(account_id, None)
            self._lately[account_id] = None
        while len(self._lately) > LATELY:
            del self._lately[next(iter(self._lately))]

    async def _usable(self, connection: PostgresqlConnection) -> PostgresqlConnection:
        """The connection, opened again when it was lost, and not too often. Raises Unavailable."""
        if connection.is_open:
            return connection
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise Unavailable("The store cannot be reached just now. Try again.")
        try:
            await connection.open()
        except Exception as error:
            self._failures += 1
            first, most = _BACK_OFF
            self._not_before = loop.time() + min(first * 2**self._failures, most) * random.uniform(0.5, 1)  # noqa: S311  no secret
            if self._failures == 1:
                _logger.error("PostgreSQL cannot be reached: %s", error)
            raise Unavailable("The store cannot be reached just now. Try again.") from None
        if self._failures:
            _logger.info("PostgreSQL is reached again")
        self._failures = 0
        return connection


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
    # In the same order in every process: two that wait for each other would both be rolled back.
    for sql in sorted(batch.statements):
        await connection.execute_many(sql, sorted(batch.statements[sql], key=lambda values: [repr(value) for value in values.values()]))
    for table, rows in batch.inserts.items():
        await connection.insert_many(table, rows)
    if batch.changed:
        await connection.execute(_RAISE, {"accounts": sorted(batch.changed)})
    await connection.execute("COMMIT")


def _begin(account_id: str, *, patient: bool) -> str:
    """Begin, and wait for the locks, in one round trip. What is read afterwards is what was committed last."""
    whole = f"pg_advisory_xact_lock{'_shared' if account_id else ''}({postgresql.WHOLE}, 0)"
    statements = ["BEGIN", *(["SET LOCAL lock_timeout = '60s'", "SET LOCAL statement_timeout = 0"] if patient else []), f"SELECT {whole}"]
    if account_id:
        statements.append(f"SELECT pg_advisory_xact_lock({postgresql.ACCOUNT}, {postgresql.lock_number(account_id)})")
    return "; ".join(statements)


async def _roll_back(connection: PostgresqlConnection) -> None:
    if not connection.is_open:
        return
    connection.seconds = _ROLL_BACK_SECONDS
    try:
        await connection.execute("ROLLBACK")
    except Exception as error:
        connection.lost = True
        _logger.warning("a rollback failed: %s", type(error).__name__)
    connection.seconds = STATEMENT_SECONDS


@asynccontextmanager
async def _in_time() -> AsyncIterator[asyncio.Timeout]:
    """Raises Unavailable when it takes longer than a request may wait."""
    late = False
    try:
        async with asyncio.timeout(LONGEST_WAIT) as limit:
            yield limit
    except TimeoutError:
        if not limit.expired():
            raise
        late = True
    if late:
        raise Unavailable("The store cannot be reached just now. Try again.")
