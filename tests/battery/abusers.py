"""Clients that are no clients, in a process of their own: `python -m tests.battery.abusers URL SLOW LARGE FLOODS` until SIGTERM.

Each connects again as soon as it is thrown out. What they were answered is printed at the end: how often each kind saw each status.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain, count

import uvloop

from tests.abusive import FORMS, FRAMING, HEADS, SMUGGLED, post

PAUSE = 0.5
"""Seconds between two bytes."""

LARGE = 10 * 1024 * 1024
_PIECE = b"x" * 65_536
_FORM = b"application/x-www-form-urlencoded"
_HALF = post(b"", _FORM).replace(b"Content-Length: 0", b"Content-Length: 100000")
_DECLARED = post(b"", _FORM).replace(b"Content-Length: 0", b"Content-Length: %d" % LARGE)
_CHUNKED = post(b"", _FORM).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
_MANY = b"GET /static/app.css HTTP/1.1\r\nHost: x\r\n\r\n" * 90
_SMUGGLING = post(b"", _FORM).replace(b"Content-Length: 0\r\n\r\n", b"")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _status(reader: asyncio.StreamReader) -> str:
    """The status of what comes; "closed" when nothing does."""
    line = await reader.readline()
    return line[9:12].decode() if line.startswith(b"HTTP/1.1 ") else "closed"


async def silent(stream: Stream, number: int) -> str:
    """Say nothing."""
    return await _status(stream[0])


async def slow_head(stream: Stream, number: int) -> str:
    """A head, byte by byte."""
    return await _slowly(stream, b"GET /login HTTP/1.1\r\nHost: x\r\nX-Long: ")


async def slow_body(stream: Stream, number: int) -> str:
    """A body, byte by byte."""
    return await _slowly(stream, _HALF)


async def _slowly(stream: Stream, begin: bytes) -> str:
    reader, writer = stream
    answer = asyncio.create_task(_status(reader))
    try:
        writer.write(begin)
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait([answer], timeout=PAUSE)
        return answer.result()
    finally:
        answer.cancel()


async def unread(stream: Stream, number: int) -> str:
    """Ask for much, and read nothing."""
    _, writer = stream
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has
    writer.write(_MANY)
    while not writer.transport.is_closing():
        await asyncio.sleep(PAUSE)
        writer.write(b"\r\n")  # it is told so that the server has let go
    return "closed"


async def large(stream: Stream, number: int) -> str:
    """Ten mebibytes, declared or in chunks, without looking for an answer before they are sent."""
    reader, writer = stream
    declared = number % 2 == 0
    writer.write(_DECLARED if declared else _CHUNKED)
    for _ in range(LARGE // len(_PIECE)):
        writer.write(_PIECE if declared else b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE))
        await writer.drain()
    writer.write(b"" if declared else b"0\r\n\r\n")
    return await _status(reader)


_FLOOD = [
    *(post(body, kind) for kind, body, _ in FORMS.values()),
    *(head for head, _ in HEADS.values()),
    *(_SMUGGLING + rest for rest in SMUGGLED.values()),
    *(_CHUNKED + rest for rest in FRAMING.values()),
]


async def flood(stream: Stream, number: int) -> str:
    """What parsers are known to have stumbled over, one after the other."""
    reader, writer = stream
    writer.write(_FLOOD[number % len(_FLOOD)])
    return await _status(reader)


Way = Callable[[Stream, int], Awaitable[str]]


async def again_and_again(way: Way, host: str, port: int, first: int, seen: Counter[str]) -> None:
    """Connect and be no client, until cancelled."""
    for number in count(first):
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that what is not read stays with the server
        own.setblocking(False)
        seen[f"{way.__name__} began"] += 1
        status = "reset"
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await asyncio.get_running_loop().sock_connect(own, (host, port))
                reader, writer = await asyncio.open_connection(sock=own)
                try:
                    status = await way((reader, writer), number)
                finally:
                    writer.transport.abort()
        finally:
            own.close()
        seen[f"{way.__name__} {status}"] += 1
        if status == "reset":
            await asyncio.sleep(0.01)


async def main(url: str, slow: int, large_ones: int, floods: int) -> None:
    """All of them, until SIGTERM."""
    os.nice(10)  # abusers have machines of their own; here, they must not keep the server from running
    host, _, port = url.removeprefix("http://").partition(":")
    seen: Counter[str] = Counter()
    ways = chain(
        ((silent, slow_head, slow_body, unread)[number % 4] for number in range(slow)),
        (large for _ in range(large_ones)),
        (flood for _ in range(floods)),
    )
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tasks = [asyncio.create_task(again_and_again(way, host, int(port), number * 7, seen)) for number, way in enumerate(ways)]
    await over.wait()
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            seen[f"broke {type(result).__name__}"] += 1
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], *(int(each) for each in sys.argv[2:5])))
