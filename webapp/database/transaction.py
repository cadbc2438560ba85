"""A transaction of the one queue of writes, as its holder sees it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from webapp.database.batch import Batch, tell
from webapp.database.generations import EVERY_ACCOUNT, is_quiet
from webapp.database.rows import Row, Values
from webapp.database.writer import Writer


class Statements(Protocol):
    """A connection of an engine, in a transaction."""

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """Run a statement for its effect. Raises DuplicateKey, Unavailable."""

    async def execute_all(self, statements: Sequence[str]) -> None:
        """Run statements without values, one after the other. Raises as `execute`."""

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """Run a statement and return its first row. Raises as `execute`."""

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows. Raises as `execute`."""


class Transaction:
    """Statements that become true together. Made by an engine only."""

    def __init__(self, connection: Statements, writer: Writer) -> None:
        self._connection = connection
        self.writer = writer
        """The connection that it is written by."""
        self._kept: list[Callable[[], None]] = []
        self._lost: list[Callable[[], None]] = []
        self.changed: set[str] = set()
        """The accounts of what was written, but for what changes nothing that may have been kept (`generations.py`)."""

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """Run a statement for its effect. Raises DuplicateKey, Unavailable."""
        self._note(sql, values)
        await self._connection.execute(sql, values)

    async def execute_all(self, statements: Sequence[str]) -> None:
        """Run statements without values, one after the other, in one go."""
        for sql in statements:
            self._note(sql, None)
        await self._connection.execute_all(statements)

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """Run a statement and return its first row, such as the one that `RETURNING` names."""
        self._note(sql, values)
        return await self._connection.fetch_one(sql, values)

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows."""
        self._note(sql, values)
        return await self._connection.fetch_all(sql, values)

    def _note(self, sql: str, values: Values | None) -> None:
        if not is_quiet(sql):
            self.changed.add(str((values or {}).get("account_id") or EVERY_ACCOUNT))

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call this once the commit is synced."""
        self._kept.append(callback)

    def on_abandon(self, callback: Callable[[], None]) -> None:
        """Call this when the transaction is rolled back, or when nobody knows whether it was committed."""
        self._lost.append(callback)

    def settle(self, *, committed: bool) -> None:
        """Tell those who asked how it ended; for the engine."""
        tell(self._kept, self._lost, committed=committed)


class AccountTransaction:
    """A transaction in which every statement is bound to one account."""

    def __init__(self, transaction: Transaction | Batch, account_id: str) -> None:
        self.whole = transaction
        self.account_id = account_id

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """As `Transaction.execute`, with `:account_id` bound."""
        await self.whole.execute(sql, scoped(sql, values, self.account_id))

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """As `Transaction.fetch_one`, with `:account_id` bound."""
        return await self.whole.fetch_one(sql, scoped(sql, values, self.account_id))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """As `Transaction.fetch_all`, with `:account_id` bound."""
        return await self.whole.fetch_all(sql, scoped(sql, values, self.account_id))

    async def insert(self, table: str, values: Values) -> None:
        """Insert a row of the account; the table and the columns, which are the names of the values, are words of our own."""
        columns, binds = ", ".join(values), ", ".join(f":{column}" for column in values)
        await self.execute(f"INSERT INTO {table} (account_id, {columns}) VALUES (:account_id, {binds})", values)

    async def update(self, table: str, record_id: str, values: Values) -> None:
        """Set these columns of the account's row with this id."""
        columns = ", ".join(f"{column} = :{column}" for column in values)
        await self.execute(f"UPDATE {table} SET {columns} WHERE account_id = :account_id AND id = :id", {**values, "id": record_id})

    def on_commit(self, callback: Callable[[], None]) -> None:
        """As `Transaction.on_commit`."""
        self.whole.on_commit(callback)


def scoped(sql: str, values: Values | None, account_id: str) -> Values:
    """The binds with the account's id; a statement that does not mention it is a mistake of ours.

    Raises RuntimeError: no statement of a slice may run without naming its account.
    """
    if ":account_id" not in sql:
        raise RuntimeError("a statement of an account does not mention :account_id")
    if not account_id:
        raise RuntimeError("a statement of an account was run for no account")
    return {**(values or {}), "account_id": account_id}
