"""What one process at a time does on PostgreSQL: each has a name, and who does it holds that name's advisory lock.

The locks are held by one connection of their own, which is opened when the first one is asked for. When it is lost, so are they, and so
they keep work from being done twice; what must not be done twice is refused by its own statements as well.
"""

import asyncio
from contextlib import suppress

from webapp.database import postgresql
from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.errors import ConfigurationError, Unavailable
from webapp.log import get_logger

_logger = get_logger(__name__)

_TAKE = f"SELECT pg_try_advisory_lock({postgresql.NAME}, :number) AS taken"
_LET_GO = f"SELECT pg_advisory_unlock({postgresql.NAME}, :number)"


class Names:
    """The names that this process holds."""

    def __init__(self, url: str) -> None:
        self._connection = PostgresqlConnection(url)
        self._held: set[int] = set()
        self._opened = 0
        self._lock = asyncio.Lock()

    async def take(self, name: str) -> int:
        """Take the name, and return what lets go of it; 0 when another one has it, here or in another process. Raises Unavailable."""
        number = postgresql.lock_number(name)
        async with self._lock:
            return await self._take(number)

    async def let_go(self, name: str, taken: int) -> None:
        """Let go of it. A connection that was lost has let go of it by itself."""
        number = postgresql.lock_number(name)
        async with self._lock:
            if not self._connection.is_open or self._opened != taken:
                return
            self._held.discard(number)
            try:
                await self._connection.fetch_one(_LET_GO, {"number": number})
            except Exception as error:
                # Whether it is held still, nobody knows: it is not when the connection is closed.
                self._connection.lost = True
                _logger.warning("a lock could not be let go of", error=type(error).__name__)

    async def _open(self) -> None:
        try:
            await self._connection.open()
        except ConfigurationError as error:  # it was right when the program began
            _logger.error("PostgreSQL cannot be reached", error=str(error))
            raise Unavailable("The store cannot be reached just now. Try again.") from None
        self._held.clear()
        self._opened += 1

    async def keep(self, name: str) -> bool:
        """Have the name from now on, if nobody else has it; see `Database.keeps`. Raises Unavailable."""
        number = postgresql.lock_number(name)
        async with self._lock:
            if number in self._held and self._connection.is_open:
                with suppress(Unavailable):
                    await self._connection.fetch_one("SELECT 1 AS one")
                    return True
            return bool(await self._take(number))

    async def _take(self, number: int) -> int:
        if not self._connection.is_open:
            await self._open()
        if number in self._held:
            return 0
        row = await self._connection.fetch_one(_TAKE, {"number": number})
        if row is None or not row["taken"]:
            return 0
        self._held.add(number)
        return self._opened

    async def close(self) -> None:
        """Let go of all of them."""
        async with self._lock:
            await self._connection.close()
