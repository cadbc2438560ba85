"""What befalls a PostgreSQL that is in use. Each returns when it is over: from then on the database takes writes again."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.real.postgresql import ROLE, SUPERUSER, Cluster
from tests.real.process_tree import children

DOWN_SECONDS = 1.0
"""How long the database is away, before it is started again or the standby is promoted."""

HANG_SECONDS = 7.0
"""How long it says nothing: longer than a request may wait."""

TERMINATIONS = 30

_TERMINATE = f"SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE usename = '{ROLE}' {{which}}) AS one"


@dataclass
class Pair:
    """A primary and its synchronous standby."""

    primary: Cluster
    standby: Cluster
    chance: random.Random


async def failover(pair: Pair) -> None:
    """The primary is killed, and a while later the standby is promoted."""
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(pair.standby.promote)


async def crash(pair: Pair) -> None:
    """The primary is killed, and a while later it is started again."""
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(pair.primary.start)


async def terminations(pair: Pair) -> None:
    """One connection after the other is ended by the server, whatever it is used for just then."""
    for _ in range(TERMINATIONS):
        await pair.primary.execute(SUPERUSER, _TERMINATE.format(which="ORDER BY random() LIMIT 1"))
        await asyncio.sleep(pair.chance.random() * 0.1)


async def all_terminated(pair: Pair) -> None:
    """All connections at once."""
    await pair.primary.execute(SUPERUSER, _TERMINATE.format(which=""))


async def primary_hangs(pair: Pair) -> None:
    """The primary says nothing and takes no connection, and then goes on as if nothing had been."""
    async with _stopped(pair.primary, whole=True):
        await asyncio.sleep(HANG_SECONDS)


async def sessions_hang(pair: Pair) -> None:
    """The primary takes connections; those that there are say nothing."""
    async with _stopped(pair.primary, whole=False):
        await asyncio.sleep(HANG_SECONDS)


async def standby_hangs(pair: Pair) -> None:
    """Nothing is committed, since the standby does not say that it has it; what was committed can be read."""
    async with _stopped(pair.standby, whole=True):
        await asyncio.sleep(HANG_SECONDS)


Trouble = Callable[[Pair], Awaitable[None]]

TROUBLES: dict[str, Trouble] = {
    each.__name__: each for each in (terminations, all_terminated, standby_hangs, sessions_hang, primary_hangs, crash, failover)
}
"""By their names, the one that leaves no primary last."""


@asynccontextmanager
async def _stopped(cluster: Cluster, *, whole: bool) -> AsyncIterator[None]:
    """The server's processes do not run, and the one that takes connections neither where it is the `whole` server."""
    assert cluster.process is not None
    pids = [*([cluster.process.pid] if whole else []), *children(cluster.process.pid)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
