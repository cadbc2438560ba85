"""When agents were last here, and when credentials were last handed over.

Every hand-over is in the audit log. What lists show of them is noted in memory and written a moment later, in the batches of the queue
of writes; when a whole rack comes back, only after the rush. So a server that is killed forgets a minute of it, and nothing else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice

from webapp.clock import MINUTE
from webapp.database import Batch, Database
from webapp.errors import Unavailable
from webapp.provisioning.intended import Intended
from webapp.provisioning.kept_rows import Known

EVERY = 1.0
"""Seconds between two times that it is written."""

RUSH = 1000
"""Hand-overs within that time: then it waits."""

PATIENCE = 60
"""How often it waits at the most."""

MOST = 100_000
"""Notes that are kept in memory; with more of them it does not wait."""

CHUNK = 50
"""Rows of one batch."""

SLOWLY = 0.05
"""Seconds between two batches while there is a rush."""

_SEEN = (
    "UPDATE agent_activity SET last_seen_at = :at WHERE account_id = :account_id AND agent_id = :id"
    " AND (last_seen_at IS NULL OR last_seen_at < :at)"
)
_USED = (
    "UPDATE registry_credential_activity SET last_used_at = :at WHERE account_id = :account_id AND registry_credential_id = :id"
    " AND (last_used_at IS NULL OR last_used_at < :at)"
)

_logger = logging.getLogger(__name__)

Notes = dict[tuple[str, str], int]
"""When (Unix milliseconds), by account and record."""


class Activity:
    """What was noted and is not written yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: Notes = {}
        self._used: Notes = {}
        self._waited = 0
        self._lately = 0

    def seen(self, intended: Intended, now: int) -> None:
        """The agent was here."""
        self._seen[intended.account_id, intended.agent_id] = now

    def handed_over(self, known: Known, now: int) -> None:
        """The agent was here, and was handed its credential; noted once a minute."""
        self._lately += 1
        if now - known.noted_at < MINUTE:
            return
        known.noted_at = now
        self.seen(known.intended, now)
        if known.intended.credential_id is not None:
            self._used[known.intended.account_id, known.intended.credential_id] = now

    async def run(self) -> None:
        """Write what is noted, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            rush = self._lately > RUSH
            self._lately = 0
            if rush and self._waited < PATIENCE and len(self._seen) + len(self._used) < MOST:
                self._waited += 1
                continue
            self._waited = 0
            with suppress(Unavailable):  # the queue of writes has said so in the log; it is still noted
                await self.write(slowly=rush)

    async def write(self, *, slowly: bool = False) -> None:
        """Write all that is noted. Raises Unavailable; then what was not written is still noted."""
        for notes, sql in ((self._seen, _SEEN), (self._used, _USED)):
            while notes:
                await self._write_some(notes, sql)
                await asyncio.sleep(SLOWLY if slowly or self._lately > RUSH else 0)

    async def finish(self) -> None:
        """Write all that is noted, and do not wait for a rush to end. Raises Unavailable."""
        self._lately = 0
        await self.write()

    async def _write_some(self, notes: Notes, sql: str) -> None:
        some = list(islice(notes.items(), CHUNK))

        def write(batch: Batch) -> None:
            for (account_id, record_id), at in some:
                batch.write(sql, {"account_id": account_id, "id": record_id, "at": at})

        await self._database.submit(write)
        for key, at in some:
            if notes.get(key) == at:  # or it was noted again meanwhile
                del notes[key]


@asynccontextmanager
async def written_soon(database: Database) -> AsyncIterator[Activity]:
    """The activity of a server: written as it runs, and to the end when it stops."""
    activity = Activity(database)
    running = asyncio.create_task(activity.run())
    try:
        yield activity
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        try:
            await activity.finish()
        except Unavailable:
            _logger.warning("when agents were last here could not be written at the end; the audit log has it")
