"""The server with a fault put in, as a program: `python -m tests.battery.faulty FAULT serve`. What looks for it has to find it."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from webapp.accounts.throttle import Kind, Throttle, Try
from webapp.cli import main
from webapp.database import postgresql_engine
from webapp.database.postgresql_reads import NotRead, Reads, _key

_GENERATION = Reads.generation


def _as_read_first() -> None:
    """The generation of an account stays what it was when it was first read."""
    first: dict[str, int] = {}

    def generation(self: Reads, account_id: str) -> int:
        now = _GENERATION(self, account_id)
        return first.setdefault(account_id, now)

    Reads.generation = generation  # type: ignore[method-assign]


def _never_raised() -> None:
    """What changes a row tells nobody: the generation is never raised."""
    postgresql_engine._RAISE = "SELECT 1 FROM unnest(CAST(:accounts AS TEXT[])) LIMIT 1"


def _row_before_generation() -> None:
    """A row is read first and then the generation that it is kept with, not both of one state."""

    async def read(self: Reads, wanted: NotRead) -> None:
        if wanted.statement is not None:
            sql, values = wanted.statement
            self._records[_key(sql, values)] = await self._connection.fetch_records(sql, values)
        await self._read_generations(*([] if wanted.account_id is None else [wanted.account_id]))

    Reads.read = read  # type: ignore[method-assign]


def _counts_nobody() -> None:
    """Whoever guesses passwords is let through each time, since nobody is counted."""

    async def begin(self: Throttle, subjects: Sequence[tuple[Kind, str]]) -> Try:
        return Try((), 0)

    Throttle.begin = begin  # type: ignore[method-assign]
    Throttle.refuse_known = lambda self, subjects: None  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], Any]] = {
    "as-read-first": _as_read_first,
    "never-raised": _never_raised,
    "counts-nobody": _counts_nobody,
    "row-before-generation": _row_before_generation,
}


def program(fault: str) -> tuple[str, ...]:
    """What Python runs for the server with this fault; without one, the server as it is."""
    return ("-m", "tests.battery.faulty", fault) if fault else ("-m", "webapp")


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    sys.exit(main())
