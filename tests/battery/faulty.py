"""The server with a fault put in, as a program: `python -m tests.battery.faulty FAULT serve`. What looks for it has to find it."""

import sys
from collections.abc import Callable
from typing import Any

from webapp.cli import main
from webapp.database import postgresql_engine
from webapp.database.postgresql_reads import Reads

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


def _one_late() -> None:
    """Now and then a batch goes by the generations of the batch before."""
    last: dict[str, int] = {}
    calls = [0]

    def generation(self: Reads, account_id: str) -> int:
        calls[0] += 1
        now = _GENERATION(self, account_id)
        before = last.get(account_id, now)
        last[account_id] = now
        return before if calls[0] % 16 == 0 else now

    Reads.generation = generation  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], Any]] = {"as-read-first": _as_read_first, "never-raised": _never_raised, "one-late": _one_late}


def program(fault: str) -> tuple[str, ...]:
    """What Python runs for the server with this fault; without one, the server as it is."""
    return ("-m", "tests.battery.faulty", fault) if fault else ("-m", "webapp")


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    sys.exit(main())
