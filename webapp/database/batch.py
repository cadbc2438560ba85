"""A group commit: the rows of many requests, written in one transaction and with one statement for each kind of row."""

from collections.abc import Callable
from typing import Any

from webapp.database.generations import EVERY_ACCOUNT, is_quiet
from webapp.database.rows import Row, Values
from webapp.database.writer import Writer

Read = Callable[[str, Values], list[tuple[Any, ...]]]
"""Reads what was committed last, without the columns' names."""

ReadRows = Callable[[str, Values], list[Row]]
"""Reads what was committed last."""

Table = tuple[str, tuple[str, ...]]
"""A table's name, and the columns of it that are inserted."""


class Batch:
    """What one group commit writes. Made by an engine only; nobody else writes through it meanwhile.

    Looks like a `Transaction` to who takes part, with one difference: nothing is written before all have taken part, so that
    what is read is what was committed last.
    """

    def __init__(self, read: Read, read_rows: ReadRows, generation: Callable[[str], int], writer: Writer) -> None:
        self._read, self._read_rows = read, read_rows
        self.generation = generation
        """The generation of an account's rows, as they are read here (`generations.py`)."""
        self.writer = writer
        """The connection that it is written by."""
        self.statements: dict[str, list[Values]] = {}
        """What is to be written, by statement; for the engine."""
        self.inserts: dict[Table, list[tuple[object, ...]]] = {}
        """What is to be inserted, by table; for the engine."""
        self._part: list[tuple[str, Values]] = []
        self._part_inserts: list[tuple[Table, tuple[object, ...]]] = []
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
        self._part_inserts.append(((table, columns), row))

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
        """Keep what was said since the last time; for the engine."""
        for sql, values in self._part:
            self.statements.setdefault(sql, []).append(values)
        for table, row in self._part_inserts:
            self.inserts.setdefault(table, []).append(row)
        self._part.clear()
        self._part_inserts.clear()
        self._dropped.clear()

    def drop(self) -> None:
        """Forget what was said since the last time: who said it has failed. For the engine."""
        self._part.clear()
        self._part_inserts.clear()
        while self._dropped:
            self._dropped.pop()()

    def settle(self, *, committed: bool) -> None:
        """Tell those who asked how it ended; for the engine."""
        tell(self._kept, self._lost, committed=committed)


def tell(kept: list[Callable[[], None]], lost: list[Callable[[], None]], *, committed: bool) -> None:
    """Tell how it ended. One of them that fails after the commit leaves the others in doubt: they are told so, and ask the database."""
    try:
        for callback in kept if committed else lost:
            callback()
    except BaseException:
        if committed:
            tell(kept, lost, committed=False)
        raise
