"""A group commit: the rows of many requests, written in one transaction and with one statement for each kind of row."""

import sqlite3
from collections.abc import Callable
from typing import Any

from webapp.database import sqlite
from webapp.database.generations import EVERY_ACCOUNT, is_quiet
from webapp.database.rows import Row, Values

Read = Callable[[str, Values], list[tuple[Any, ...]]]
"""Reads what was committed last, without the columns' names."""

ReadRows = Callable[[str, Values], list[Row]]
"""Reads what was committed last."""


class Batch:
    """What one group commit writes. Made by the queue of writes only, which nobody else writes through meanwhile.

    Looks like a `Transaction` to who takes part, with one difference: nothing is written before all have taken part, so that
    what is read is what was committed last.
    """

    def __init__(self, read: Read, read_rows: ReadRows) -> None:
        self._read, self._read_rows = read, read_rows
        self._rows: dict[str, list[Values | tuple[object, ...]]] = {}
        self._part: list[tuple[str, Values | tuple[object, ...]]] = []
        self.changed: set[str] = set()
        """The accounts of what is said to be written, but for what changes nothing that may have been kept (`generations.py`)."""
        self.memo: dict[object, Any] = {}
        """What was read for one and may be asked by the next: nothing is written before all have read."""
        self._kept: list[Callable[[], None]] = []
        self._lost: list[Callable[[], None]] = []
        self._dropped: list[Callable[[], None]] = []

    def write(self, sql: str, values: Values) -> None:
        """Write this, too. It fails only when the whole batch does."""
        self._part.append((sql, values))
        if not is_quiet(sql):
            self.changed.add(str(values.get("account_id") or EVERY_ACCOUNT))

    def note(self, sql: str, values: Values) -> None:
        """As `write`, for what changes nothing that was kept, though it is in one of its rows."""
        self._part.append((sql, values))

    async def execute(self, sql: str, values: Values | None = None) -> None:
        """As `write`, for who takes a `Transaction` as well."""
        self.write(sql, values or {})

    def insert(self, table: str, columns: tuple[str, ...], row: tuple[object, ...]) -> None:
        """Insert a row, too: as `execute`, for the rows that every hand-over writes."""
        self._part.append((sqlite.insert(table, columns), row))

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """The first row of what was committed last."""
        return self.row(sql, values or {})

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """The rows of what was committed last."""
        return self._read_rows(sql, values or {})

    def row(self, sql: str, values: Values) -> Row | None:
        """As `fetch_one`, for who does not wait."""
        rows = self._read_rows(sql, values)
        return rows[0] if rows else None

    def rows(self, sql: str, values: Values) -> list[Row]:
        """As `fetch_all`, for who does not wait."""
        return self._read_rows(sql, values)

    def tuples(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        """As `rows`, without the columns' names: what every hand-over asks."""
        return self._read(sql, values)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call this once the commit is synced."""
        self._kept.append(callback)

    def on_abandon(self, callback: Callable[[], None]) -> None:
        """Call this when the batch is rolled back, or when nobody knows whether it was committed."""
        self._lost.append(callback)

    def on_drop(self, callback: Callable[[], None]) -> None:
        """Call this, the last one first, when who takes part just now fails: what it said is dropped, and the batch goes on."""
        self._dropped.append(callback)

    def take(self) -> None:
        """Keep what was said since the last time; for the queue of writes."""
        for sql, values in self._part:
            self._rows.setdefault(sql, []).append(values)
        self._part.clear()
        self._dropped.clear()

    def drop(self) -> None:
        """Forget what was said since the last time: who said it has failed. For the queue of writes."""
        self._part.clear()
        while self._dropped:
            self._dropped.pop()()

    def settle(self, *, committed: bool) -> None:
        """Tell those who asked how it ended; for the queue of writes."""
        tell(self._kept, self._lost, committed=committed)

    def commit(self, connection: sqlite3.Connection) -> None:
        """Write it all and sync it, in the transaction that has begun; for the queue of writes."""
        for sql, rows in self._rows.items():
            connection.executemany(sql, rows)
        connection.execute("COMMIT")


def tell(kept: list[Callable[[], None]], lost: list[Callable[[], None]], *, committed: bool) -> None:
    """Tell how it ended. One of them that fails after the commit leaves the others in doubt: they are told so, and ask the database."""
    try:
        for callback in kept if committed else lost:
            callback()
    except BaseException:
        if committed:
            tell(kept, lost, committed=False)
        raise
