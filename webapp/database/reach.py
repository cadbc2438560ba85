"""Whether a server is reached: who finds it gone tries again, and not all the time."""

import asyncio
import random

from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.database.rows import Unreachable
from webapp.log import get_logger

_logger = get_logger(__name__)

FIRST, MOST = 0.05, 1.0
"""Seconds between two tries to connect: after the first failure, doubled with each, and at the most."""

TRIED = 0.5
"""Seconds of trying after which who gives up has found out something: others are not to wait for a server that hangs, nor to be sent away
since somebody has ended."""


class Reach:
    """What the connections to one server have in common. While it cannot be reached, all but a few are told so at once."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before = 0.0

    async def usable(self, connection: PostgresqlConnection) -> None:
        """Open the connection where it is not open, or was lost. Raises Unreachable."""
        if connection.is_open:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise Unreachable
        began = loop.time()
        try:
            await connection.open()
        except asyncio.CancelledError:
            if loop.time() - began >= TRIED:
                self._failed(loop.time())  # whoever asked could wait no longer
            raise
        except Exception as error:
            if not self._failures:
                _logger.error("PostgreSQL cannot be reached", error=str(error))
            self._failed(loop.time())
            raise Unreachable from None
        if self._failures:
            _logger.warning("PostgreSQL is reached again")
        self._failures = 0

    def _failed(self, now: float) -> None:
        self._failures += 1
        pause = min(FIRST * 2 ** min(self._failures, 10), MOST)
        self._not_before = now + pause * random.uniform(0.5, 1)  # noqa: S311  no secret: so that not all processes try at the same moment
