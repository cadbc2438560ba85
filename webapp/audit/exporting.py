"""Signed heads, written while the program runs: every minute or 1,000 rows, at the start and the end, when there is something new.

Of several processes one writes them, as long as it runs: to a collector one of all, to a file one of each machine.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from webapp.audit.heads import WRITTEN, Head, current, line_of
from webapp.audit.sinks import NotDelivered, append_to, post_to
from webapp.chain import AuditChain
from webapp.clock import MINUTE, Clock
from webapp.database import Database
from webapp.errors import Unavailable
from webapp.log import get_logger
from webapp.periodic import repeated
from webapp.vault import Secret, Vault

EVERY = MINUTE
ROWS = 1000
"""Rows after which a head is written before its time."""

LOOK = 1.0
"""Seconds between two looks at the time and at the rows."""

_logger = get_logger(__name__)


class Heads:
    """Writes heads to one sink: a file (a path), a collector (an http or https URL), or none ("")."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, sink: str, token: str = "") -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self.sink = sink
        self._token = Secret(token.encode()) if token else None
        self._turn = f"signed heads to {sink}" if "://" in sink else f"signed heads to {sink} on {socket.gethostname()}"
        self._tried_at: int | None = None
        self._written = 0  # rows, when it wrote a head last
        self.elsewhere = False
        """Whether another process writes them."""
        self.last: Head | None = None
        """The head that was written last by this process."""
        self.problem = ""
        """Why the last one could not be written; empty when it was."""

    async def write_if_due(self) -> None:
        """Write a head when it is time, and there is something new to say. Raises nothing for a sink that does not take it."""
        if self.sink and await self.has_turn() and await self._is_due():
            await self.write()

    async def has_turn(self) -> bool:
        """Whether this process is the one that writes them."""
        try:
            self.elsewhere = not await self._database.keeps(self._turn)
        except Unavailable:
            return False  # there is nothing that a head could name
        return not self.elsewhere

    async def write(self) -> None:
        """Write a head now, unless there is nothing new. Raises nothing for a sink that does not take it."""
        self._tried_at = self._clock()
        try:
            written = await self._rows()
            head = await current(self._database, self._vault, self._clock)
            if head.chains and (self.last is None or head.chains != self.last.chains):
                await asyncio.to_thread(self._deliver, line_of(head, self._vault))
                self.last = head
        except (NotDelivered, Unavailable) as error:
            if not self.problem:  # the first of many: the page shows it as long as it lasts
                _logger.error("a signed head of the audit log could not be exported", error=str(error))
            self.problem = str(error)
        else:
            if self.problem:
                _logger.info("signed heads of the audit log are exported again")
            self.problem, self._written = "", written

    async def _is_due(self) -> bool:
        if self._tried_at is None:
            return True
        waited = self._clock() - self._tried_at
        if not 0 <= waited < EVERY:
            return True
        if self.problem:
            return False
        return await self._rows() - self._written >= (ROWS if self.last is not None else 1)  # the first rows of all do not wait

    async def _rows(self) -> int:
        """How many rows there are, of all processes; where there is one, those that it has written."""
        if not self._database.is_shared:
            return self._chain.appended
        row = await self._database.fetch_one(WRITTEN)
        return 0 if row is None else int(row["rows"] or 0)

    def _deliver(self, line: str) -> None:
        if self.sink.startswith(("http://", "https://")):
            post_to(self.sink, line, self._token)
        else:
            append_to(Path(self.sink), line)


@asynccontextmanager
async def exported(heads: Heads) -> AsyncIterator[None]:
    """Write heads as long as the block runs, and one at its end."""
    async with repeated(heads.write_if_due, LOOK):
        yield
    if heads.sink and await heads.has_turn():
        await heads.write()
