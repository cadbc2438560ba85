"""SQLite: how its connections are set up, what its words and its errors are.

One process, one connection that writes and checkpoints, readers that never do either: SQLite 3.7.0 to
3.51.2 in WAL mode can lose committed writes when one connection writes while another checkpoints
(https://sqlite.org/wal.html, "The WAL-reset bug").
"""

import sqlite3
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from webapp.database.rows import DuplicateKey, Row, Values
from webapp.errors import ConfigurationError, Unavailable

WORDS = {"BYTES": "BLOB", "KEYTEXT": "TEXT COLLATE BINARY"}
BEGIN = "BEGIN IMMEDIATE"  # a deferred transaction that reads before it writes fails with "database is locked"

_TUNING = (
    "cache_size=-2048",  # KiB; a larger one is no faster, since what it holds is in the system's memory as well
    "wal_autocheckpoint=1000",  # pages, 4 MB: everybody waits for a checkpoint, and a larger log makes it longer (4000: up to 30 ms)
)
_PREFIX = "sqlite:///"
_NO_UTF_8 = "Could not decode to UTF-8"
"""How Python's error about a text begins that SQLite took for one; it has no error name."""

_BROKEN = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class WriterConnection(sqlite3.Connection):
    """The one connection that writes and checkpoints; every commit is synced before it returns."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF", *_TUNING):
            self.execute(f"PRAGMA {pragma}").close()


class ReaderConnection(sqlite3.Connection):
    """A connection that cannot write, and never checkpoints."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for pragma in ("query_only=ON", "wal_autocheckpoint=0", "trusted_schema=OFF"):
            self.execute(f"PRAGMA {pragma}").close()


@cache
def insert(table: str, columns: tuple[str, ...]) -> str:
    """The statement that inserts these columns, by their places: a name for each is looked up at every row."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def fetch_all(connection: sqlite3.Connection, sql: str, values: Values) -> list[Row]:
    """The rows of a statement."""
    names, rows = _read(connection, sql, values)
    return [dict(zip(names, row, strict=True)) for row in rows]


def fetch_tuples(connection: sqlite3.Connection, sql: str, values: Values) -> list[tuple[Any, ...]]:
    """The rows of a statement, without the columns' names."""
    return _read(connection, sql, values)[1]


def _read(connection: sqlite3.Connection, sql: str, values: Values) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names of the columns, and the rows.

    Read to the end: a statement that is not done would hold on to an old state and keep the log from shrinking. So the cursor of one
    that fails on the way is closed.
    """
    cursor = connection.cursor()
    try:
        cursor.execute(sql, values)
        return [column[0] for column in cursor.description or ()], cursor.fetchall()
    except sqlite3.Error as error:
        cursor.close()
        foreign = is_no_text(error) and connection.text_factory is str and sql.lstrip()[:6].upper() in ("SELECT", "WITH R")
        problem = translated(error)
    if foreign:
        return _read_foreign(connection, sql, values)
    # Raised out here: the engine's exception may quote bound values.
    raise problem


def _read_foreign(connection: sqlite3.Connection, sql: str, values: Values) -> tuple[list[str], list[tuple[Any, ...]]]:
    """As `_read`, where somebody has written text that is not UTF-8: each byte that is none becomes half of a surrogate pair.

    Nothing of ours has one, so that no seal and no MAC fits such a text; but its row can be named. At every read this would cost too much.
    """
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        return _read(connection, sql, values)
    finally:
        connection.text_factory = str


class NowReader:
    """A plain connection for reads by a key in the event loop itself."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(path_of(url), factory=ReaderConnection, isolation_level=None)

    def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """All rows."""
        return fetch_all(self._connection, sql, values)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def url_of(path: Path) -> str:
    """The database URL of a file, with what a URL cannot hold quoted."""
    return _PREFIX + quote(str(path.absolute()))


def path_of(url: str) -> Path:
    """The file that a `sqlite:///…` URL names."""
    return Path(unquote(url.removeprefix(_PREFIX)))


def translated(error: Exception) -> Exception:
    """The program's own error for one of the engine's; the same error when it is a mistake of ours."""
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorname in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}:
        columns = str(error).rpartition(": ")[2].split(", ")
        return DuplicateKey(tuple(column.rpartition(".")[2] for column in columns))
    if isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorname", "") in _BROKEN:
        return Unavailable("The store cannot be read: the database file is damaged. Restore a backup.")
    if isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorname", "") != "SQLITE_ERROR":
        return Unavailable("The store cannot be written or read just now; nothing was changed. Try again.")
    return error


def is_no_text(error: sqlite3.Error) -> bool:
    """Whether this is about a text that is not UTF-8. Such an error quotes it."""
    return _NO_UTF_8 in str(error)


def inspect(url: str, statements: tuple[str, ...]) -> list[list[Row]] | None:
    """Read an existing database without changing a byte of it, before anything else opens it.

    Returns the rows of each statement (no rows where its table does not exist), or None when there is no
    database. Raises ConfigurationError when the file is none of ours.
    """
    path = path_of(url)
    if not path.exists() or path.stat().st_size == 0:
        return None
    path = path.resolve()  # where SQLite looks for the log, too, when the name is a link
    try:
        # Without a write-ahead log there is nothing but the file itself to read, and opening it makes no log beside it. Nobody
        # else has it open: whoever calls holds the store's lock.
        immutable = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro{immutable}", uri=True)
    except sqlite3.Error as error:
        raise ConfigurationError(f"WEBAPP_DATABASE_URL: {path} cannot be opened ({error}).") from error
    connection.row_factory = sqlite3.Row
    answers: list[list[Row]] = []
    try:
        for statement in statements:
            try:
                answers.append([dict(row) for row in connection.execute(statement)])
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise
                answers.append([])
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"WEBAPP_DATABASE_URL: {path} cannot be read as a database ({error}).") from error
    finally:
        connection.close()
    return answers
