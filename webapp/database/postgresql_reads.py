"""What a batch reads on PostgreSQL, where a read is a round trip and who takes part in a batch does not wait.

Who asks for what was not read yet is stopped, it is read, and they are asked again. All of it is of one state of the database: of the
one statement that read the generations, or, when anything else is needed, of one transaction that sees one snapshot.
"""

from collections.abc import Iterable
from typing import Any

from webapp.database.generations import EVERY_ACCOUNT
from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.database.rows import Row, Values

_GENERATIONS = "SELECT account_id, generation FROM generations WHERE account_id = ANY(:accounts)"
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_NEW_SERVER = 2**48
"""More than there are generations: what was kept of one connection is none of the next one. That may be to a server that was promoted
without the last changes (an asynchronous standby), on which the same numbers then stand for others."""

_Asked = tuple[str, tuple[tuple[str, Any], ...]]


class NotRead(Exception):
    """Stops who takes part in a batch: this is to be read first."""

    def __init__(self, *, statement: tuple[str, Values] | None = None, account_id: str | None = None) -> None:
        super().__init__("it is not read yet")
        self.statement, self.account_id = statement, account_id


class Reads:
    """What was read for one batch. `lately` are the accounts that it probably asks for."""

    def __init__(self, connection: PostgresqlConnection, lately: Iterable[str]) -> None:
        self._connection = connection
        self._lately = dict.fromkeys(lately)
        self._generations: dict[str, int] = {}
        self._records: dict[_Asked, list[Any]] = {}
        self._in_snapshot = False
        self.asked: dict[str, None] = {}
        """The accounts that were asked for, in that order."""

    async def begin(self) -> None:
        """Read the generations: of the accounts that are probably asked for. Raises Unavailable."""
        await self._read_generations()

    async def end(self) -> None:
        """Let go of the snapshot, if there is one. Raises Unavailable."""
        if self._in_snapshot:
            await self._connection.execute("COMMIT")
            self._in_snapshot = False

    async def read(self, wanted: NotRead) -> None:
        """Read what somebody was stopped for. Raises Unavailable."""
        if not self._in_snapshot:
            await self._connection.execute(_SNAPSHOT)
            self._in_snapshot = True
            await self._read_generations()
        if wanted.account_id is not None:
            await self._read_generations(wanted.account_id)
        if wanted.statement is not None:
            sql, values = wanted.statement
            self._records[_key(sql, values)] = await self._connection.fetch_records(sql, values)

    def generation(self, account_id: str) -> int:
        """The account's generation. Raises NotRead."""
        self.asked[account_id] = None
        if account_id not in self._generations:
            raise NotRead(account_id=account_id)
        return self._generations[account_id] + self._generations[EVERY_ACCOUNT] + self._connection.opened * _NEW_SERVER

    def tuples(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        """The rows, without the columns' names. Raises NotRead."""
        return self._of(sql, values)

    def rows(self, sql: str, values: Values) -> list[Row]:
        """The rows. Raises NotRead."""
        return [dict(record) for record in self._of(sql, values)]

    def _of(self, sql: str, values: Values) -> list[Any]:
        records = self._records.get(_key(sql, values))
        if records is None:
            raise NotRead(statement=(sql, values))
        return records

    async def _read_generations(self, *more: str) -> None:
        # Those asked for before are read again, too: in the snapshot they may be others.
        wanted = [EVERY_ACCOUNT, *(self._lately | self.asked | dict.fromkeys(more))]
        found = await self._connection.fetch_records(_GENERATIONS, {"accounts": wanted})
        self._generations = dict.fromkeys(wanted, 0) | {row["account_id"]: row["generation"] for row in found}


def _key(sql: str, values: Values) -> _Asked:
    return sql, tuple(values.items())
