"""What one process at a time does on PostgreSQL: each has a name, and who does it holds that name's advisory lock.

The locks are held by one connection of their own, which is opened when the first one is asked for. When it is lost, so are they, and so
they keep work from being done twice; what must not be done twice is refused by its own statements as well.
"""

import asyncio
import logging

from webapp.database import postgresql
from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.errors import ConfigurationError, Unavailable

_logger = logging.getLogger(__name__)

_TAKE = f"SELECT pg_try_advisory_lock({postgresql.NAME}, :number) AS taken"
_LET_GO = f"SELECT pg_advisory_unlock({postgresql.NAME}, :number)"


class Names:
    """The names that this process holds."""

    def __init__(self, url: str) -> None:
        self._connection = PostgresqlConnection(url)
        self._held: set[int] = set()
        self._lock = asyncio.Lock()

    async def take(self, name: str) -> bool:
        """Take the name; False when another one has it, here or in another process. Raises Unavailable."""
        number = postgresql.lock_number(name)
        async with self._lock:
            if number in self._held:
                return False
            if not self._connection.is_open:
                await self._open()
            row = await self._connection.fetch_one(_TAKE, {"number": number})
            if row is None or not row["taken"]:
                return False
            self._held.add(number)
            return True

    async def let_go(self, name: str) -> None:
        """Let go of it. A connection that was lost has let go of it by itself."""
        number = postgresql.lock_number(name)
        async with self._lock:
            self._held.discard(number)
            if not self._connection.is_open:
                return
            try:
                await self._connection.fetch_one(_LET_GO, {"number": number})
            except Exception as error:
                # Whether it is held still, nobody knows: it is not when the connection is closed.
                self._connection.lost = True
                _logger.warning("a lock could not be let go of: %s", type(error).__name__)

    async def _open(self) -> None:
        try:
            await self._connection.open()
        except ConfigurationError as error:  # it was right when the program began
            _logger.error("PostgreSQL cannot be reached: %s", error)
            raise Unavailable("The store cannot be reached just now. Try again.") from None

    async def close(self) -> None:
        """Let go of all of them."""
        async with self._lock:
            await self._connection.close()
