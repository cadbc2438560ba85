"""Group commit: those who wait are written together, since a sync costs as much for one as for many."""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence

from webapp.database.engine import MOST_IN_A_BATCH, Done, Engine, Taken, Write
from webapp.database.rows import Unreachable
from webapp.errors import Unavailable
from webapp.log import get_logger

_logger = get_logger(__name__)

_ROUNDS = 4

_LOOK_SECONDS = 0.1

_NOT_NOW = "The audit log cannot be written just now, so nothing was released. Try again."

_TOLD_AT_ONCE = 16
"""Answers that are sent before the event loop goes round: who has one asks again while the others are still made."""


class GroupCommit:
    """The queue of those who wait for the next batch, and the task that has them written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Taken] = []
        self._taken: list[Taken] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._longest = engine.longest_wait
        self._since: list[float] = []  # when each of those who wait came, and the first of those who are taken
        self._taken_since = 0.0
        self._watch: asyncio.TimerHandle | None = None

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
        if self._longest is not None:
            loop = asyncio.get_running_loop()
            self._since.append(loop.time())
            if self._watch is None:
                self._watch = loop.call_later(_LOOK_SECONDS, self._look, loop, self._longest)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())

    async def close(self) -> None:
        """Let those who wait be written."""
        if self._flusher is not None:
            await asyncio.shield(self._flusher)
        if self._watch is not None:
            self._watch.cancel()

    async def take(self) -> Sequence[Taken]:
        """Those who are in this batch; see `Group.take`."""
        await self._gather()
        self._taken = self._waiting[:MOST_IN_A_BATCH]
        self._taken_since = next(iter(self._since), 0.0)
        del self._waiting[:MOST_IN_A_BATCH], self._since[:MOST_IN_A_BATCH]
        return tuple(self._taken)

    def fails(self, taken: Taken, error: Exception) -> None:
        """Have this one take no part after all; see `Group.fails`."""
        if self._taken is not None and taken in self._taken:  # else it was told that it took too long
            self._taken.remove(taken)
            _tell(taken[1], error)

    async def _flush(self) -> None:
        while self._waiting:
            self._taken = None
            problem: Exception | None = None
            try:
                await self._engine.commit(self)
            except Exception as error:
                told = self._failed(all_of_them=isinstance(error, Unreachable))
                _logger.error("a batch of audited writes could not be committed", writes=len(told), error=type(error).__name__)
                problem = Unavailable(_NOT_NOW)
            else:
                told = self._of_batch()
            self._taken = None
            for number, (_, done) in enumerate(told, 1):
                _tell(done, problem)
                if number % _TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _of_batch(self) -> list[Taken]:
        return self._taken or []

    def _failed(self, *, all_of_them: bool) -> list[Taken]:
        """Those who are told that it failed: who was in the batch, and who waits for a server that is not reached."""
        taken = self._taken
        if taken is not None and not all_of_them:
            return taken
        waiting, self._waiting, self._since = self._waiting, [], []
        return [*(taken or ()), *waiting]

    def _look(self, loop: asyncio.AbstractEventLoop, longest: float) -> None:
        """Tell those who have waited for too long to try again, and look again in a moment, as long as somebody may wait."""
        before = loop.time() - longest
        late = bisect_left(self._since, before)
        told = self._waiting[:late]
        del self._waiting[:late], self._since[:late]
        if self._taken and self._taken_since < before:
            # Whether it will be committed nobody knows; nothing is released for it.
            told, self._taken = [*self._taken, *told], []
        if told:
            _logger.error("audited writes were not committed in time", writes=len(told), seconds=longest)
        for _, done in told:
            _tell(done, Unavailable(_NOT_NOW))
        idle = self._flusher is None or self._flusher.done()
        self._watch = None if idle else loop.call_later(_LOOK_SECONDS, self._look, loop, longest)

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
