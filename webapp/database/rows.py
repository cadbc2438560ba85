"""What goes into a statement and what comes out of it."""

from collections.abc import Mapping
from typing import Any

from webapp.errors import Unavailable

Row = Mapping[str, Any]
"""One row by column name: `str`, `int`, `bytes` or None."""

Values = Mapping[str, Any]
"""The named binds of a statement."""


class DuplicateKey(Exception):
    """A unique index refused the row. `columns` are the index's columns, without their table."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        super().__init__(f"another row has the same {', '.join(columns)}")
        self.columns = columns


class Unreachable(Unavailable):
    """The server is not there, or does not answer: what waits for it is told so, too."""

    def __init__(self) -> None:
        super().__init__("The store cannot be reached just now. Try again.")


class StatementFailed(Exception):
    """The engine refuses a statement: a mistake of ours, or a row that somebody else has changed. It names no value."""


class NotPermitted(StatementFailed):
    """The database's user may not do that. It names no value."""
