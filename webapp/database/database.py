"""The database as the program sees it, whatever its engine is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webapp.database.engine import Done, Engine, Write
from webapp.database.group_commit import GroupCommit
from webapp.database.kinds import is_postgresql
from webapp.database.rows import Row, Values
from webapp.database.sqlite_engine import SqliteEngine
from webapp.database.transaction import AccountTransaction, Transaction, scoped


class Database:
    """An open database. Made by `Database.open`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.words = engine.words
        """What stands in this engine's statements for the words of a migration."""
        self.place = engine.place
        """The column of every table with an id that says in which order its rows are best read in pages, and what is before all."""
        self.own_tables = engine.own_tables
        """Statements that make the tables which the engine itself writes to."""
        self.is_shared = engine.is_shared
        """Whether other processes may have the database open as well."""
        self._group = GroupCommit(engine)

    @classmethod
    async def open(cls, url: str, *, patience: bool = False) -> "Database":
        """Open the database at this URL; a SQLite file is made when it is not there. Raises Unavailable, ConfigurationError.

        With `patience` nothing is given up because it takes long: for a command, which nobody waits for.
        """
        engine = _engine(url, patience=patience)
        try:
            await engine.open()
        except BaseException:
            await engine.close()  # on SQLite each connection has a thread, and the process would not end as long as one is there
            raise
        return cls(engine)

    async def close(self) -> None:
        """Let the writes that wait finish, and close the connections."""
        await self._group.close()
        await self._engine.close()

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """The first row of what was committed last. Raises Unavailable."""
        rows = await self.fetch_all(sql, values)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """The rows of what was committed last. Raises Unavailable."""
        return await self._engine.fetch_all(sql, values or {})

    async def fetch_one_now(self, sql: str, values: Values | None = None) -> Row | None:
        """As `fetch_one`, for the few statements that every machine asks: by a key, and on SQLite without leaving the event loop."""
        rows = await self.fetch_all_now(sql, values)
        return rows[0] if rows else None

    async def fetch_all_now(self, sql: str, values: Values | None = None) -> list[Row]:
        """As `fetch_one_now`, for all of the rows: a handful."""
        return await self._engine.fetch_all_now(sql, values or {})

    @asynccontextmanager
    async def transaction(self, account_id: str = "", *, patient: bool = False) -> AsyncIterator[Transaction]:
        """A transaction, of this account or of the whole installation; see `Engine.transaction`."""
        async with self._engine.transaction(account_id, patient=patient) as transaction:
            yield transaction

    async def other_writers(self) -> int:
        """How many connections of other processes may write here just now. Raises Unavailable."""
        return await self._engine.other_writers()

    @asynccontextmanager
    async def exclusively(self, name: str) -> AsyncIterator[bool]:
        """Hold this name while the block runs, so that one at a time does what it stands for, in whichever process.

        The block gets False when somebody else holds it. A connection that is lost lets go of it: it keeps work from being done twice,
        and no row from being written. Raises Unavailable.
        """
        taken = await self._engine.take_name(name)
        try:
            yield bool(taken)
        finally:
            if taken:
                await self._engine.let_go_of_name(name, taken)

    async def keeps(self, name: str) -> bool:
        """Whether this process is the one that has this name, for what one process does all the time: for who asks before each step.

        It is taken when nobody has it, and is let go of when the database is closed, or by a connection that is lost. Raises Unavailable.
        """
        return await self._engine.keep_name(name)

    async def submit(self, write: Write) -> None:
        """Group commit; see `GroupCommit.submit`."""
        await self._group.submit(write)

    def queue(self, write: Write, done: Done) -> None:
        """Group commit for who does not wait; see `GroupCommit.queue`."""
        self._group.queue(write, done)

    def account(self, account_id: str) -> "AccountDatabase":
        """The same database, in which no statement runs without this account's id."""
        return AccountDatabase(self, account_id)


def _engine(url: str, *, patience: bool) -> Engine:
    if not is_postgresql(url):
        return SqliteEngine(url)
    from webapp.database.postgresql_engine import PostgresqlEngine  # noqa: PLC0415  its driver takes a while to import

    return PostgresqlEngine(url, patience=patience)


class AccountDatabase:
    """The database as one account may see it: `:account_id` is bound here, and nowhere else."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._database = database
        self._account_id = account_id

    async def fetch_one(self, sql: str, values: Values | None = None) -> Row | None:
        """As `Database.fetch_one`. Raises RuntimeError when the statement does not mention `:account_id`."""
        return await self._database.fetch_one(sql, scoped(sql, values, self._account_id))

    async def fetch_all(self, sql: str, values: Values | None = None) -> list[Row]:
        """As `Database.fetch_all`. Raises RuntimeError when the statement does not mention `:account_id`."""
        return await self._database.fetch_all(sql, scoped(sql, values, self._account_id))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AccountTransaction]:
        """A transaction whose statements are all bound to the account. Raises RuntimeError for no account."""
        if not self._account_id:
            raise RuntimeError("a transaction of an account was begun for no account")
        async with self._database.transaction(self._account_id) as transaction:
            yield AccountTransaction(transaction, self._account_id)
