"""What the program asks of a database engine, and which one a URL means."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from webapp.database.batch import Batch
from webapp.database.rows import Row, Values
from webapp.database.transaction import Transaction

Write = Callable[[Batch], Awaitable[None] | None]
"""Takes part in a batch: reads, and says what to write. It may be asked again: what it does beside that has to bear it."""

Done = Callable[[Exception | None], None]
"""Is told once how that ended: with None when it is committed and synced."""

Taken = tuple[Write, Done]

MOST_IN_A_BATCH = 256


class Group(Protocol):
    """Those who wait for the next batch."""

    async def take(self) -> Sequence[Taken]:
        """Those who are in this batch: called once its turn has come, so that who came meanwhile is in it, too."""

    def fails(self, taken: Taken, error: Exception) -> None:
        """Have this one take no part after all, and tell it why; the others go on."""


class Engine(Protocol):
    """An engine's connections: some that read, and what writes."""

    @property
    def words(self) -> Mapping[str, str]:
        """What stands in its statements for the words of a migration."""

    @property
    def place(self) -> tuple[str, object]:
        """The column of every table with an id that says in which order its rows are best read in pages, and what is before all."""

    @property
    def longest_wait(self) -> float | None:
        """Seconds after which whoever waits for a batch is told to try again; None where nothing but the disk can keep it waiting."""

    @property
    def own_tables(self) -> Sequence[str]:
        """Statements that make the tables which the engine itself writes to, where they are not there yet."""

    async def open(self) -> None:
        """Connect. Raises Unavailable, ConfigurationError."""

    async def close(self) -> None:
        """Close all connections, the one that writes last."""

    async def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """The rows of what was committed last. Raises Unavailable."""

    async def fetch_all_now(self, sql: str, values: Values) -> list[Row]:
        """As `fetch_all`, for the few statements that every machine asks, by a key. Raises Unavailable."""

    def transaction(self, account_id: str, *, patient: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """A transaction of this account, or of no account (""): committed and synced at the end, rolled back on any exception.

        Two of one account never run at a time, and one of no account runs alone; `patient` ones may take long.
        Raises Unavailable when it cannot begin or commit.
        """

    async def other_writers(self) -> int:
        """How many connections of other processes may write here just now. Raises Unavailable."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may have the database open as well."""

    async def take_name(self, name: str) -> int:
        """Take this name, for what one at a time does, and return what lets go of it; 0 when it is taken, here or by another process.

        Raises Unavailable.
        """

    async def let_go_of_name(self, name: str, taken: int) -> None:
        """Let go of a name that was taken here."""

    async def keep_name(self, name: str) -> bool:
        """See `Database.keeps`. Raises Unavailable."""

    async def commit(self, group: Group) -> None:
        """Write one batch, and return when it is committed and synced. Raises for all of the batch; then nobody knows that it was."""
