"""The one queue of writes: a transaction of a page or a batch of audit rows, never interleaved.

On a connection that tasks share, another task's acknowledged row vanished with a page's rollback. So
whoever writes holds the queue's lock from BEGIN to COMMIT, in the order of asking.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from webapp.database import sqlite
from webapp.database.batch import Batch
from webapp.database.connection import HeldConnection
from webapp.database.generations import Generations
from webapp.database.transaction import Transaction
from webapp.errors import Unavailable

_logger = logging.getLogger(__name__)

MOST_IN_A_BATCH = 256

_ROUNDS = 4

_QUICK = 0.005
"""Seconds. On a disk that syncs within this a batch is written in the event loop itself: on a thread it would ask for the interpreter's
lock at every row, and wait up to 5 ms for it each time. On a slower disk it goes to the thread, so that others are served meanwhile."""

Write = Callable[[Batch], Awaitable[None] | None]
"""Takes part in a batch: reads, and says what to write."""

Done = Callable[[Exception | None], None]
"""Is told once how that ended: with None when it is committed and synced."""

_TOLD_AT_ONCE = 16
"""Answers that are sent before the event loop goes round: who has one asks again while the others are still made."""


class Writer:
    """Owns the connection that writes; everything that changes the database goes through it."""

    def __init__(self, connect: Callable[[], HeldConnection]) -> None:
        self._connect = connect
        self._connection: HeldConnection | None = None
        self.generations = Generations()
        self._in_doubt = False
        self._usual = 0.0  # seconds that a batch takes, as the mean of the last few
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[Write, Done]] = []
        self._flusher: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Hold the queue for one transaction: committed and synced at the end, rolled back on any exception.

        Raises Unavailable when the database cannot begin or commit; then nothing was written.
        """
        async with self._lock:
            connection = await self._usable()
            self._in_doubt = True  # until it is committed or rolled back, so that a cancelled task leaves no open transaction
            await connection.execute(sqlite.BEGIN)
            transaction = Transaction(connection)
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
                self.generations.raise_for(transaction.changed)  # however it ended, and before anybody else reads

    async def submit(self, write: Write) -> None:
        """Group commit: have `write` take part in the next batch, and return once the commit that holds its rows is synced.

        Raises Unavailable for every write of a batch that could not be committed, and whatever `write` itself raises.
        """
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(error: Exception | None) -> None:
            if ended.done():
                return  # whoever asked has gone
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        self.queue(write, done)
        await ended

    def queue(self, write: Write, done: Done) -> None:
        """As `submit`, for who does not wait: a task and its waking cost more than all that a hand-over reads."""
        self._waiting.append((write, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())

    async def close(self) -> None:
        """Let the writes that wait finish, then close the connection."""
        if self._flusher is not None:
            await asyncio.shield(self._flusher)
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _flush(self) -> None:
        while self._waiting:
            taken: list[tuple[Write, Done]] | None = None
            problem: Exception | None = None
            try:
                async with self._lock:
                    connection = await self._usable()
                    await self._gather()
                    # Taken only now: those who came while this batch waited for the queue are in it too.
                    taken = self._waiting[:MOST_IN_A_BATCH]
                    del self._waiting[:MOST_IN_A_BATCH]
                    batch = Batch(connection.fetch_tuples_now, connection.fetch_all_now)
                    self._in_doubt = True  # until it is committed or rolled back
                    try:
                        # All reads are in the one transaction that writes: none of them has to ask the other processes for a lock.
                        connection.run_now(lambda raw: raw.execute(sqlite.BEGIN))
                        taken = [(write, done) for write, done in taken if await _takes_part(batch, write, done)]
                        await self._commit(connection, batch)
                    except BaseException:
                        batch.settle(committed=False)
                        await self._roll_back(connection)
                        raise
                    finally:
                        self.generations.raise_for(batch.changed)  # however it ended, and before anybody else reads
                    self._in_doubt = False
                    batch.settle(committed=True)
            except Exception as error:
                if taken is None:
                    taken, self._waiting = self._waiting, []
                _logger.error("a batch of %d audited writes could not be committed: %s", len(taken), type(error).__name__)
                problem = Unavailable("The audit log cannot be written just now, so nothing was released. Try again.")
            for number, (_, done) in enumerate(taken, 1):
                _tell(done, problem)
                if number % _TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _gather(self) -> None:
        """Let the event loop go round as long as more come: a sync costs as much for one as for many."""
        for _ in range(_ROUNDS):
            before = len(self._waiting)
            await asyncio.sleep(0)
            if len(self._waiting) == before:
                break

    async def _commit(self, connection: HeldConnection, batch: Batch) -> None:
        started = time.perf_counter()
        if self._usual < _QUICK:
            connection.run_now(batch.commit)
        else:
            await connection.run(batch.commit)
        self._usual += (time.perf_counter() - started - self._usual) / 8

    async def _usable(self) -> HeldConnection:
        if self._in_doubt and self._connection is not None:
            _logger.warning("the connection that writes is replaced, since its last transaction did not end well")
            doubtful, self._connection = self._connection, None
            try:
                await doubtful.close()
            except Exception as error:
                _logger.warning("the old connection could not be closed: %s", type(error).__name__)
        if self._connection is None:
            connection = self._connect()
            await connection.open()
            self._connection = connection
        self._in_doubt = False
        return self._connection

    async def _roll_back(self, connection: HeldConnection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except Exception as error:
            _logger.warning("a rollback failed: %s", type(error).__name__)
        else:
            self._in_doubt = False


async def _takes_part(batch: Batch, write: Write, done: Done) -> bool:
    """Whether this write takes part in the batch; one that raises is told so, and the others go on."""
    try:
        waiting = write(batch)
        if waiting is not None:  # most do not
            await waiting
    except Exception as error:
        batch.drop()
        _tell(done, error)
        return False
    batch.take()
    return True


def _tell(done: Done, error: Exception | None) -> None:
    try:
        done(error)
    except Exception:  # the others of the batch are told all the same
        _logger.exception("somebody who took part in a batch failed after it had ended")
