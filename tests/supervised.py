"""A program for the tests of `webapp.processes`: workers that do nothing but say what happens to them.

`python -m tests.supervised COUNT KIND`. Each line on standard output is a worker's pid and what it does, or the announcement. The kinds:
`waits` ends when it is told to; `stubborn` does not end in order, only at once; `deaf` not even so; `refuses` has a wrong setting;
`fails` has a fault; `unavailable` cannot begin now.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial

from webapp.errors import ConfigurationError, Unavailable
from webapp.log import set_up_logging
from webapp.processes import Parent, supervise

EARLY_SECONDS = 60.0
DELAYS = (0.01, 0.02)


def wait(kind: str, parent: Parent) -> None:
    asyncio.run(_wait(kind, parent))


async def _wait(kind: str, parent: Parent) -> None:
    told = asyncio.Event()

    def end(at_once: bool) -> None:
        say("at once" if at_once else "in order")
        if kind == "waits" or (kind == "stubborn" and at_once):
            told.set()

    with parent.heard_by(end):
        parent.ready(f"{os.getpid()} announced\n")
        say("begins")
        await told.wait()


def refuse(parent: Parent) -> None:
    say("begins")
    raise ConfigurationError("WEBAPP_COLOUR: no such colour.")


def fail(parent: Parent) -> None:
    raise RuntimeError("nobody foresaw this")


def be_unavailable(parent: Parent) -> None:
    raise Unavailable("The disk is full.")


WORKERS: dict[str, Callable[[Parent], None]] = {
    **{kind: partial(wait, kind) for kind in ("waits", "stubborn", "deaf")},
    "refuses": refuse,
    "fails": fail,
    "unavailable": be_unavailable,
}


def say(what: str) -> None:
    """Write a line in one piece: several processes write to the same file."""
    os.write(1, f"{os.getpid()} {what}\n".encode())


def main() -> int:
    """Supervise; the exit status is the command line's."""
    set_up_logging("info")
    count, kind = sys.argv[1:]
    try:
        supervise(
            WORKERS[kind],
            int(count),
            announce=lambda text: void(os.write(1, text.encode())),
            delays=DELAYS,
            early_seconds=EARLY_SECONDS,
        )
    except ConfigurationError as error:
        os.write(1, f"refused: {error}\n".encode())
        return os.EX_CONFIG
    return 0


def void(_: object) -> None:
    """For a call whose result nobody wants."""


if __name__ == "__main__":
    sys.exit(main())
