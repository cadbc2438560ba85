"""When agents were last here, and when credentials were last handed over.

Every hand-over is in the audit log. What lists show of them is noted in memory and written a moment later, in the batches of the queue
of writes; when a whole rack comes back, only after the rush. So a server that is killed forgets a minute of it, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice

from webapp.clock import MINUTE
from webapp.database import Batch, Database
from webapp.errors import Unavailable
from webapp.log import get_logger
from webapp.provisioning.intended import Intended
from webapp.provisioning.kept_rows import Known

EVERY = 1.0
"""Seconds between two times that it is written."""

RUSH = 1000
"""Hand-overs within that time: then it waits."""

PATIENCE = 60
"""How often it waits at the most."""

MOST = 50_000
"""Notes of a kind that are kept in memory. Whoever comes when there are so many is noted the next time."""

CHUNK = 50
"""Rows of one batch."""

PAUSE, SLOWLY = 0.02, 0.05
"""Seconds between two batches: hand-overs and pages go first; and while there is a rush."""

_SEEN = "UPDATE agent_activity SET last_seen_at = :at WHERE agent_id = :id AND (last_seen_at IS NULL OR last_seen_at < :at)"
_USED = (
    "UPDATE registry_credential_activity SET last_used_at = :at"
    " WHERE registry_credential_id = :id AND (last_used_at IS NULL OR last_used_at < :at)"
)

_logger = get_logger(__name__)

Notes = dict[str, int]
"""When (Unix milliseconds), by the record's id."""


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
        if len(self._seen) < MOST:
            self._seen[intended.agent_id] = now

    def handed_over(self, known: Known, now: int) -> None:
        """The agent was here, and was handed its credential; noted once a minute."""
        self._lately += 1
        if now - known.noted_at < MINUTE or len(self._seen) >= MOST:
            return
        known.noted_at = now
        self._seen[known.intended.agent_id] = now
        if known.intended.credential_id is not None:
            self._used[known.intended.credential_id] = now

    async def run(self) -> None:
        """Write what is noted, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            rush = self._lately > RUSH
            self._lately = 0
            if rush and self._waited < PATIENCE:
                self._waited += 1
                continue
            with suppress(Unavailable):  # the queue of writes has said so in the log; it is still noted
                await self._write_a_while(SLOWLY if rush else PAUSE)
            if not rush or not (self._seen or self._used):
                self._waited = 0

    async def _write_a_while(self, pause: float) -> None:
        """Write for about as long as it waits between two times, and then look again whether there is a rush."""
        for _ in range(int(EVERY / pause)):
            if not await self._write_some():
                return
            await asyncio.sleep(pause)

    async def write(self) -> None:
        """Write all that is noted, without a pause. Raises Unavailable; then what was not written is still noted."""
        while await self._write_some():
            pass

    async def _write_some(self) -> bool:
        """Write a few; False when nothing is left."""
        notes, sql = (self._seen, _SEEN) if self._seen else (self._used, _USED)
        some = list(islice(notes.items(), CHUNK))

        def write(batch: Batch) -> None:
            for record_id, at in some:
                batch.write(sql, {"id": record_id, "at": at})

        if some:
            await self._database.submit(write)
        for record_id, at in some:
            if notes.get(record_id) == at:  # or it was noted again meanwhile
                del notes[record_id]
        return bool(self._seen or self._used)


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
