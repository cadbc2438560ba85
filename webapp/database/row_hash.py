"""A hash over the rows of a table that says the same of the same rows in every engine."""

import hashlib
from collections.abc import Iterable, Sequence

from webapp.database.catalogue import Table


class RowHash:
    """SHA-256 over the table's name, the names of its columns, and its rows in the order of the primary key.

    A value is written as its kind, its length and itself, so that no two rows look alike: `n` for NULL, `i` and the decimal digits with a
    comma behind them, `t` and `b` with the number of bytes, a colon, and the text in UTF-8 or the bytes.
    """

    def __init__(self, table: Table) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()
        self.add([[table.name, *(column.name for column in table.columns)]])
        self.rows = 0

    def add(self, rows: Sequence[Iterable[object]]) -> None:
        """Add the next rows. Raises TypeError, UnicodeEncodeError for what no column holds."""
        parts: list[bytes] = []
        add = parts.append
        for row in rows:
            for value in row:
                if value is None:
                    add(b"n")
                elif type(value) is str:
                    text = value.encode()
                    add(b"t%d:" % len(text))
                    add(text)
                elif type(value) is int:
                    add(b"i%d," % value)
                elif type(value) is bytes:
                    add(b"b%d:" % len(value))
                    add(value)
                else:
                    raise TypeError("no column holds such a value")
        self._hash.update(b"".join(parts))
        self.rows += len(rows)

    @property
    def hexdigest(self) -> str:
        """The hash of what was added, in hexadecimal digits."""
        return self._hash.hexdigest()


def hash_of_all(hashes: Iterable[tuple[str, RowHash]]) -> str:
    """One SHA-256 for all tables: over a line for each, in the order of their names, with its rows and its hash."""
    lines = [f"{name} {each.rows} {each.hexdigest}\n" for name, each in sorted(hashes, key=lambda pair: pair[0])]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
