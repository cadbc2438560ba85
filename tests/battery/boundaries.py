"""The boundaries of what a program writes, each with a number: there it dies, or is told that the disk has failed.

Nothing of this is in the program: the connection that writes is another class while `Boundaries` are set up, and the audit chain's
methods are wrapped. A boundary is before and after every statement, also every row of a batch, and every step of the chain's head.
"""

import functools
import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Literal

from webapp.chain import AuditChain
from webapp.database import sqlite
from webapp.errors import Unavailable

Act = Literal["kill", "fail", "undo"]
"""What happens at a boundary: the process is killed; an error is raised; or the transaction is rolled back, and an error raised, which is
what SQLite does by itself when a disk is full in the middle of it."""


class Boundaries:
    """Counts them, once it is `armed`; at the one with the number `at` it acts, once."""

    def __init__(self, at: int, act: Act) -> None:
        self._at, self._act = at, act
        self.armed = False
        self.names: list[str] = []

    def reach(self, name: str, connection: sqlite3.Connection | None = None) -> None:
        """Here is one."""
        if not self.armed:
            return
        self.names.append(name)
        if len(self.names) != self._at:
            return
        if self._act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if connection is None:
            raise Unavailable("made up")
        if self._act == "undo" and connection.in_transaction:
            sqlite3.Connection.cursor(connection).execute("ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_IOERR", sqlite3.SQLITE_IOERR
        raise error

    def set_up(self) -> None:
        """From now on every store that is opened has them. There is no way back: this process is for one try only."""
        boundaries = self

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: str, parameters: Any = (), /) -> "Cursor":
                word = _word(sql)
                if word == "PRAGMA":
                    super().execute(sql, parameters)
                    return self
                boundaries.reach(f"before {word}", self.connection)
                super().execute(sql, parameters)
                try:
                    boundaries.reach(f"after {word}", self.connection)
                except sqlite3.Error:
                    self.close()  # as a statement that has failed: one that is not done would hold the lock
                    raise
                return self

            def executemany(self, sql: str, rows: Iterable[Any], /) -> "Cursor":
                def each() -> Iterator[Any]:
                    for row in rows:
                        boundaries.reach(f"before a row of {_word(sql)}", self.connection)
                        yield row

                super().executemany(sql, each())
                boundaries.reach(f"after the rows of {_word(sql)}", self.connection)
                return self

        class Connection(sqlite.WriterConnection):
            def cursor(self, factory: Any = None) -> Any:
                return super().cursor(Cursor)

            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                return self.cursor().execute(sql, parameters)  # type: ignore[no-any-return]  # it is a Cursor

            def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
                return self.cursor().executemany(sql, rows)  # type: ignore[no-any-return]  # it is a Cursor

        sqlite.WriterConnection = Connection  # type: ignore[misc]  # that is what this is for
        for name in ("add", "_keep", "_forget"):
            self._wrap(name)
        self._wrap_append()

    def _wrap(self, name: str) -> None:
        method: Callable[..., Any] = getattr(AuditChain, name)

        @functools.wraps(method)
        def wrapped(*arguments: Any) -> Any:
            self.reach(f"before the chain's {name}")
            result = method(*arguments)
            self.reach(f"after the chain's {name}")
            return result

        setattr(AuditChain, name, wrapped)

    def _wrap_append(self) -> None:
        method: Callable[..., Awaitable[int]] = AuditChain.append

        @functools.wraps(method)
        async def wrapped(*arguments: Any) -> int:
            self.reach("before the chain's append")
            result = await method(*arguments)
            self.reach("after the chain's append")
            return result

        AuditChain.append = wrapped  # type: ignore[assignment]  # as above


def _word(sql: str) -> str:
    return sql.split(maxsplit=1)[0].upper()
