"""Group commit: those who wait are written together, since a sync costs as much for one as for many."""

import asyncio
import logging
from collections.abc import Sequence

from webapp.database.engine import MOST_IN_A_BATCH, Done, Engine, Taken, Write
from webapp.database.rows import Unreachable
from webapp.errors import Unavailable

_logger = logging.getLogger(__name__)

_ROUNDS = 4

_TOLD_AT_ONCE = 16
"""Answers that are sent before the event loop goes round: who has one asks again while the others are still made."""


class GroupCommit:
    """The queue of those who wait for the next batch, and the task that has them written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Taken] = []
        self._taken: list[Taken] | None = None
        self._flusher: asyncio.Task[None] | None = None

    async def submit(self, write: Write) -> None:
        """Have `write` take part in the next batch, and return once the commit that holds its rows is synced.

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
        """Let those who wait be written."""
        if self._flusher is not None:
            await asyncio.shield(self._flusher)

    async def take(self) -> Sequence[Taken]:
        """Those who are in this batch; see `Group.take`."""
        await self._gather()
        self._taken = self._waiting[:MOST_IN_A_BATCH]
        del self._waiting[:MOST_IN_A_BATCH]
        return tuple(self._taken)

    def fails(self, taken: Taken, error: Exception) -> None:
        """Have this one take no part after all; see `Group.fails`."""
        if self._taken is not None:
            self._taken.remove(taken)
        _tell(taken[1], error)

    async def _flush(self) -> None:
        while self._waiting:
            self._taken = None
            problem: Exception | None = None
            try:
                await self._engine.commit(self)
            except Exception as error:
                self._taken = failed = self._failed(all_of_them=isinstance(error, Unreachable))
                _logger.error("a batch of %d audited writes could not be committed: %s", len(failed), type(error).__name__)
                problem = Unavailable("The audit log cannot be written just now, so nothing was released. Try again.")
            for number, (_, done) in enumerate(self._taken or (), 1):
                _tell(done, problem)
                if number % _TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _failed(self, *, all_of_them: bool) -> list[Taken]:
        """Those who are told that it failed: who was in the batch, and who waits for a server that is not reached."""
        taken = self._taken
        if taken is not None and not all_of_them:
            return taken
        waiting, self._waiting = self._waiting, []
        return [*(taken or ()), *waiting]

    async def _gather(self) -> None:
        """Let the event loop go round as long as more come."""
        for _ in range(_ROUNDS):
            before = len(self._waiting)
            await asyncio.sleep(0)
            if len(self._waiting) == before:
                break


def _tell(done: Done, error: Exception | None) -> None:
    try:
        done(error)
    except Exception:  # the others of the batch are told all the same
        _logger.exception("somebody who took part in a batch failed after it had ended")
