"""A program for the tests of `webapp.processes`: workers that do nothing but say what happens to them.

`python -m tests.supervised COUNT KIND`. Each line on standard output is a worker's pid and what it does, or the announcement. The kinds:
`waits` ends when it is told to; `stubborn` does not end in order, only at once; `deaf` not even so; `refuses` has a wrong setting;
`fails` has a fault; `unavailable` cannot begin now; `listens:PORT` tells every client its pid.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from webapp.errors import ConfigurationError, Unavailable
from webapp.listening import bound, own_sockets
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
        say("begins")
        parent.ready(f"{os.getpid()} announced\n")
        await told.wait()


def listen(port: int, sockets: Sequence[socket.socket], parent: Parent) -> None:
    with own_sockets("127.0.0.1", port, sockets) as own:
        asyncio.run(_listen(own, parent))


async def _listen(own: list[socket.socket], parent: Parent) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{os.getpid()}\n".encode())
        await reader.read()
        writer.close()

    async with AsyncExitStack() as stack:
        for each in own:
            await stack.enter_async_context(await asyncio.start_server(answer, sock=each))
        await _wait("waits", parent)


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
    count, (kind, _, port) = int(sys.argv[1]), sys.argv[2].partition(":")
    run = partial(supervise, announce=lambda text: void(os.write(1, text.encode())), delays=DELAYS, early_seconds=EARLY_SECONDS)
    try:
        if kind == "listens":
            with bound("127.0.0.1", int(port), several=True) as sockets:
                run(partial(listen, int(port), sockets), count, listeners=sockets)
        else:
            run(WORKERS[kind], count)
    except ConfigurationError as error:
        os.write(1, f"refused: {error}\n".encode())
        return os.EX_CONFIG
    return 0


def void(_: object) -> None:
    """For a call whose result nobody wants."""


if __name__ == "__main__":
    sys.exit(main())
