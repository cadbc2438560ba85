"""PostgreSQL: how its connections are set up, what its words and its errors are.

Anything that is written at the same time elsewhere is kept apart by advisory locks (https://www.postgresql.org/docs/current/explicit-locking.html,
"Advisory Locks"), whose numbers are all here.
"""

import asyncio
import re
import ssl
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from webapp.database.rows import DuplicateKey, NotPermitted, Row, StatementFailed, Unreachable, Values
from webapp.errors import ConfigurationError, Invalid, Unavailable
from webapp.names import printable

WORDS = {"BYTES": "BYTEA", "KEYTEXT": "TEXT", "TEXT": 'TEXT COLLATE "C"'}
"""Text is compared by its bytes, as SQLite does: a page's last key and an index mean the same on both."""

WHOLE, ACCOUNT, WRITER, NAME = 0x5243_0001, 0x5243_0002, 0x5243_0003, 0x5243_0004
"""The first number of our advisory locks: the whole database, an account, a connection that writes, what one process at a time does."""

CONNECT_SECONDS = 3.0

STATEMENT_SECONDS = 4.0
"""How long a statement may take. After them whoever asked is told to try again."""

LONGEST_WAIT = STATEMENT_SECONDS + 0.25
"""Seconds after which whoever asked is told to try again, however many statements that is: within 5 seconds in all."""

_SESSION = {
    "application_name": "registry-credentials",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "jit": "off",  # every statement is short
    "lock_timeout": "3s",
    "statement_timeout": "60s",
    # Who holds a lock and is gone without a word lets go of it: others wait for it meanwhile. A transaction takes less in all.
    "idle_in_transaction_session_timeout": "5s",
}

_PATIENCE = {"lock_timeout": "60s", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}

_BIND = re.compile(r"'(?:[^']|'')*'|::|:([a-z_][a-z0-9_]*)", re.IGNORECASE)

_WRONG_SETTING = {
    "28": "the user or the password is not accepted",
    "3D": "there is no such database",
    "42501": "the user may not do that there",
}
"""What begins a SQLSTATE that no patience helps against (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""The options of a URL that name a file."""

_NO_PEM = {"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE", "BAD_END_LINE", "KEY_VALUES_MISMATCH"}
"""Why OpenSSL does not take one of these files."""

_OPTION = re.compile(r'parameter "([a-z0-9_.]+)"', re.IGNORECASE)
"""What a refusal of an option names it by; its value may be behind that."""

_OTHERS = """\
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname NOT IN ('generations', 'migrations')
 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 AND NOT EXISTS (SELECT 1 FROM pg_class m JOIN pg_attribute a ON a.attrelid = m.oid
  WHERE m.relnamespace = n.oid AND m.relname = 'migrations' AND a.attname = 'number')
 ORDER BY c.relname LIMIT 3"""
"""Tables, not of an extension, in a database that was not begun by this program."""

_LOST = ("08", "57P", "25006", "25P03", "25P04", "53300")
"""The server, or its connection, is gone, or is one that does not write any more."""

_PASSING = ("40", "53", "55P03", "57014", "58", "0A000", "XX")
"""Not just now: a deadlock, a disk that is full, a lock that another one holds, a plan that a migration made invalid."""


def options_of(url: str, *, patience: bool = False) -> dict[str, Any]:
    """What asyncpg connects with. Of several hosts, the one that takes writes is chosen, unless the URL says another thing.

    Raises ConfigurationError for a file that cannot be read: to asyncpg that is a server that cannot be reached.
    """
    said = dict(parse_qsl(urlsplit(url).query))
    for name in (name for name in _FILES if name in said):
        try:
            Path(said[name]).open("rb").close()
        except OSError as error:
            raise ConfigurationError(f"WEBAPP_DATABASE_URL: the file of {name} cannot be read ({error.strerror}).") from None
    options: dict[str, Any] = {
        "dsn": url,
        "database": None,  # the DSN has it
        "timeout": CONNECT_SECONDS,
        "server_settings": _SESSION | (_PATIENCE if patience else {}),
        "statement_cache_size": 512,
        "max_cached_statement_lifetime": 0,
    }
    if "target_session_attrs" not in said:
        options["target_session_attrs"] = "read-write"
    return options


@lru_cache(maxsize=1024)
def bound(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1` for its named binds, and their names in that order."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _BIND.sub(place, sql), tuple(names)


def insert(table: str, columns: Sequence[str], types: Sequence[str]) -> str:
    """The statement that inserts many rows: one array for each column."""
    arrays = ", ".join(f"${number}::{each}[]" for number, each in enumerate(types, 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"


def lock_number(name: str) -> int:
    """The second number of an account's or a name's lock, a signed integer of 32 bits. Two that share one wait for each other, no more."""
    return int.from_bytes(zlib.crc32(name.encode()).to_bytes(4), signed=True)


def begin(account_id: str, *, patient: bool) -> str:
    """Begin a transaction of this account, or of no account, and wait for its locks: what is read afterwards is what was committed last."""
    statements = ["BEGIN"]
    if patient:
        statements += [f"SET LOCAL {name} = '{value}'" for name, value in _PATIENCE.items()]
    statements.append(f"SELECT pg_advisory_xact_lock{'_shared' if account_id else ''}({WHOLE}, 0)")
    if account_id:
        statements.append(f"SELECT pg_advisory_xact_lock({ACCOUNT}, {lock_number(account_id)})")
    return "; ".join(statements)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_LOST)
    return isinstance(error, (OSError, TimeoutError, asyncio.CancelledError, asyncpg.InterfaceError, asyncpg.InternalClientError))


def translated(error: Exception) -> Exception:
    """The program's own error for one of the engine's, without the values that an error of PostgreSQL quotes."""
    if isinstance(error, asyncpg.UniqueViolationError):
        # The detail names the columns, and then their values: Key (account_id, name_key)=(…) already exists.
        columns = str(error.detail or "").partition("(")[2].partition(")=")[0]
        return DuplicateKey(tuple(column.strip().strip('"') for column in columns.split(",")))
    if isinstance(error, asyncpg.CharacterNotInRepertoireError):
        return Invalid({"": "A text holds a NUL character (U+0000), which cannot be stored. Take it out."})
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate or "")
        if state.startswith(_LOST):
            return Unreachable()
        if state.startswith(_PASSING) or isinstance(error, asyncpg.OutdatedSchemaCacheError):
            return Unavailable("The store cannot be written or read just now. Try again.")
        kind = NotPermitted if isinstance(error, asyncpg.InsufficientPrivilegeError) else StatementFailed
        return kind(f"{type(error).__name__} ({state}): {_named(error)}")
    return Unreachable() if is_lost(error) else error


def cannot_connect(error: Exception) -> Exception:
    """The program's own error for one that came while it connected. It names no user and no password."""
    state = str(getattr(error, "sqlstate", "") or "")
    for begins, sentence in _WRONG_SETTING.items():
        if state.startswith(begins):
            return ConfigurationError(f"WEBAPP_DATABASE_URL: {sentence} (PostgreSQL says {state}).")
    if state in {"22023", "42704"}:
        option = _OPTION.search(str(error))
        which = f"the option {option[1]}" if option else "an option"
        return ConfigurationError(f"WEBAPP_DATABASE_URL: PostgreSQL does not take {which} behind the ? (it says {state}).")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(f"WEBAPP_DATABASE_URL: the server's certificate is not trusted ({error.verify_message}).")
    if isinstance(error, ssl.SSLError) and ("PEM" in str(error) or error.reason in _NO_PEM):
        return ConfigurationError(f"WEBAPP_DATABASE_URL: one of the files of {', '.join(_FILES)} is not what it should be, PEM.")
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return ConfigurationError("WEBAPP_DATABASE_URL: the server has no TLS, and sslmode asks for it.")
    if isinstance(error, asyncpg.ClientConfigurationError) and "root certificate" in str(error):
        return ConfigurationError("WEBAPP_DATABASE_URL: its sslmode needs sslrootcert=FILE, the certificates to trust, PEM.")
    if isinstance(error, (asyncpg.ClientConfigurationError, ValueError)):
        return ConfigurationError("WEBAPP_DATABASE_URL: it cannot be used. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE.")
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return Unavailable("No server of WEBAPP_DATABASE_URL takes writes just now. Try again.")
    return Unreachable()


def _named(error: asyncpg.PostgresError) -> str:
    named = [str(name) for name in (error.table_name, error.column_name, error.constraint_name) if name]
    return ", ".join(named) or "the statement is wrong"


def inspect(url: str, statements: tuple[str, ...]) -> list[list[Row]]:
    """Read an existing database without changing it; blocks, and so is for a thread of its own.

    Returns the rows of each statement, no rows where its table does not exist. Raises ConfigurationError, Unavailable.
    """
    return asyncio.run(_inspected(url, statements))


async def _inspected(url: str, statements: tuple[str, ...]) -> list[list[Row]]:
    problem: Exception | None = None
    answers: list[list[Row]] = []
    try:
        connection = await asyncpg.connect(**options_of(url))
        try:
            if others := [str(row["name"]) for row in await connection.fetch(_OTHERS)]:
                raise _of_another_program(others)
            for statement in statements:
                try:
                    answers.append([dict(row) for row in await connection.fetch(statement)])
                except asyncpg.UndefinedTableError:
                    answers.append([])
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
    except Exception as error:
        problem = error if isinstance(error, ConfigurationError) else cannot_connect(error)
        if isinstance(error, asyncpg.UndefinedColumnError):
            problem = _of_another_program(["migrations"])  # the only name among those that are read which others have, too
    if problem is not None:
        raise problem
    return answers


def _of_another_program(tables: Sequence[str]) -> ConfigurationError:
    named = ", ".join(printable(name) for name in tables)
    return ConfigurationError(f"WEBAPP_DATABASE_URL: tables of another program are there ({named}). Name a database of its own.")


def arguments(names: Sequence[str], values: Values) -> list[Any]:
    """The values in the order of the statement's binds."""
    return [values[name] for name in names]
