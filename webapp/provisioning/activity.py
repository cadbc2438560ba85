"""When agents were last here, and when credentials were last handed over.

Every hand-over is in the audit log. What lists show of them is noted in memory and written a moment later, in the batches of the queue
of writes; when a whole rack comes back, only after the rush. So a server that is killed forgets a minute of it, and nothing else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice

from webapp.database import Batch, Database
from webapp.errors import Unavailable
from webapp.provisioning.intended import Intended

EVERY = 1.0
"""Seconds between two times that it is written."""

RUSH = 1000
"""Notes within that time: then it waits."""

PATIENCE = 60
"""How often it waits at the most."""

MOST = 100_000
"""Notes that are kept in memory; with more of them it does not wait."""

CHUNK = 200
"""Rows of one batch."""

_SEEN = (
    "INSERT INTO agent_activity (agent_id, account_id, last_seen_at)"
    " SELECT id, account_id, :at FROM agents WHERE account_id = :account_id AND id = :id"
    " ON CONFLICT (agent_id) DO UPDATE SET last_seen_at = :at WHERE agent_activity.last_seen_at < :at"
)
# A credential may have been deleted meanwhile.
_USED = (
    "INSERT INTO registry_credential_activity (registry_credential_id, account_id, last_used_at)"
    " SELECT id, account_id, :at FROM registry_credentials WHERE account_id = :account_id AND id = :id"
    " ON CONFLICT (registry_credential_id) DO UPDATE SET last_used_at = :at WHERE registry_credential_activity.last_used_at < :at"
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
        self._lately += 1

    def used(self, intended: Intended, now: int) -> None:
        """The credential was handed over."""
        if intended.credential_id is not None:
            self._used[intended.account_id, intended.credential_id] = now

    async def run(self) -> None:
        """Write what is noted, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            lately, self._lately = self._lately, 0
            if lately > RUSH and self._waited < PATIENCE and len(self._seen) + len(self._used) < MOST:
                self._waited += 1
                continue
            self._waited = 0
            try:
                await self.write()
            except Unavailable:
                continue  # the audit log has it, and says why it cannot be written

    async def write(self) -> None:
        """Write all that is noted. Raises Unavailable; then what was not written is still noted."""
        for notes, sql in ((self._seen, _SEEN), (self._used, _USED)):
            while notes:
                await self._write_some(notes, sql)
                await asyncio.sleep(0.02)  # hand-overs go first

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
            await activity.write()
        except Unavailable:
            _logger.warning("when agents were last here could not be written at the end; the audit log has it")
