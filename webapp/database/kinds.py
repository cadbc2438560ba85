"""Which engine a database URL means, and what is there before it is opened."""

from webapp.database import sqlite
from webapp.database.rows import Row
from webapp.setting_values import is_sqlite


def is_postgresql(url: str) -> bool:
    """Whether this URL means PostgreSQL, which any number of processes may use at a time; otherwise it is SQLite's."""
    return not is_sqlite(url)


def inspect(url: str, statements: tuple[str, ...]) -> list[list[Row]] | None:
    """Read an existing database without changing a byte of it, before anything else opens it. Blocks; for a thread without an event loop.

    Returns the rows of each statement (no rows where its table does not exist), or None when there is no database.
    Raises ConfigurationError when it is none of ours; Unavailable.
    """
    if not is_postgresql(url):
        return sqlite.inspect(url, statements)
    from webapp.database import postgresql  # noqa: PLC0415  its driver takes a while to import

    return postgresql.inspect(url, statements)
